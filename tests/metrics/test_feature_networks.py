"""Feature networks against their libraries' own preprocessing and calls; what is said when they are not here."""

import sys
import types

import pytest
import torch
import transformers

from tiny import pictures
from unlearnable.errors import SetupError, UsageError
from unlearnable.metrics.features import features, own_network
from unlearnable.models.features import FeatureNetwork


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    """CLIP and DINOv2 with random weights, as the hub would deliver them."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16}
    clip = transformers.CLIPVisionConfig(image_size=32, intermediate_size=32, projection_dim=8, **small)
    dino = transformers.Dinov2Config(image_size=224, **small)
    folders = {name: tmp_path_factory.mktemp(name) for name in ("clip", "dinov2")}
    transformers.CLIPVisionModelWithProjection(clip).save_pretrained(folders["clip"])
    transformers.Dinov2Model(dino).save_pretrained(folders["dinov2"])
    return folders


def processed(images, size, resize, mean, std):
    """Pictures as transformers' own processor (on Pillow) prepares them for these networks."""
    options = {"size": {"shortest_edge": resize}, "crop_size": {"height": size, "width": size}}
    options |= {"image_mean": mean, "image_std": std, "resample": 3}
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    levels = [(x.permute(1, 2, 0) * 255).round().byte().numpy() for x in images]
    return CLIPImageProcessorPil(**options)(levels, return_tensors="pt")["pixel_values"]


CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_clip_sees_and_says_what_transformers_does(vision):
    network = features(f"clip:{vision['clip']}", device="cpu")
    images = pictures(3, seed=4, side=80)[..., :50, :]
    reference = transformers.CLIPVisionModelWithProjection.from_pretrained(vision["clip"]).eval()
    with torch.no_grad():
        expected = reference(processed(images, 32, 32, *CLIP)).image_embeds
    found = network(images)
    assert (network.name, network.dim, network.size) == ("clip", 8, 32) and found.shape == (3, 8)
    # Pillow rounds to 8 bits after scaling
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.std()))
    maps = network.maps(images)
    assert [m.shape for m in maps] == [(3, 16, 2, 2)] * 3


def test_dinov2_gives_the_class_token(vision):
    network = features(f"dinov2:{vision['dinov2']}", device="cpu")
    images = pictures(2, seed=4, side=120)[..., :90]
    reference = transformers.Dinov2Model.from_pretrained(vision["dinov2"]).eval()
    with torch.no_grad():
        expected = reference(processed(images, 224, 256, *IMAGENET)).last_hidden_state[:, 0]
    assert (network.name, network.dim) == ("dinov2", 16)
    torch.testing.assert_close(network(images), expected, rtol=0, atol=0.02 * float(expected.std()))
    assert network.maps(images)[-1].shape == (2, 16, 14, 14)


def test_maps_keep_the_place_of_patches(vision):
    network = features(f"clip:{vision['clip']}", device="cpu")
    images = torch.full((2, 3, 32, 32), 0.5)
    images[1, :, :16, 16:] = 1  # only the upper right patch differs
    first = network.maps(images)[0]
    assert (first[0] - first[1]).abs().amax(0).bool().tolist() == [[False, True], [False, False]]


def test_embedded_features_from_a_folder(tmp_path):
    torch.manual_seed(0)
    network = FeatureNetwork(["a", "b", "c"], (8, 8, 16))
    network.save(tmp_path)
    found = features(f"embedded-features:{tmp_path}", device="cpu")
    images = pictures(70, side=48)
    assert (found.name, found.dim) == ("embedded-features", 16) and found(images).shape == (70, 16)
    with torch.no_grad():
        expected = FeatureNetwork.from_folder(tmp_path).embed(images)
    torch.testing.assert_close(found(images), expected, rtol=1e-4, atol=1e-5)
    assert not found(images).requires_grad
    assert [m.shape[-1] for m in found.maps(images[:1])] == [24, 12, 6]


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("clip", SetupError, "hf download openai/clip-vit-base-patch32"),
        ("dinov2", SetupError, "hf download facebook/dinov2-base"),
        ("clip:no/such", SetupError, "clip needs no/such, which is not on this machine"),
        ("inception", SetupError, "give it as inception:"),
        ("embedded-features:/nowhere", SetupError, "give a folder that FeatureNetwork.save wrote"),
        ("dino", UsageError, "did you mean 'dinov2'"),
        ("resnet", UsageError, "use one of embedded-features, clip, dinov2, inception"),
    ],
)
def test_what_is_not_here_is_one_sentence(name, kind, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        features(name, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_damaged_folder_is_one_sentence(vision, tmp_path):
    (tmp_path / "config.json").write_text((vision["clip"] / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(SetupError, match="not whole"):
        features(f"clip:{tmp_path}", device="cpu")


def test_pickled_weights_are_not_read(vision, tmp_path):
    (tmp_path / "config.json").write_text((vision["clip"] / "config.json").read_text())
    state = transformers.CLIPVisionModelWithProjection.from_pretrained(vision["clip"]).state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(SetupError, match="clip needs"):
        features(f"clip:{tmp_path}", device="cpu")


def test_inception_without_its_package_and_with_a_stand_in(tmp_path, monkeypatch):
    weights = tmp_path / "inception.pth"
    weights.write_bytes(b"")
    with pytest.raises(SetupError, match="fits your torch"):
        features(f"inception:{weights}", device="cpu")

    class StandIn(torch.nn.Module):
        def __init__(self, name, layers, path):
            super().__init__()
            assert layers[-1] == "2048" and path == str(weights)

        def forward(self, images):
            assert images.dtype == torch.uint8
            means = images.float().mean((2, 3))
            return images.float(), images.float(), means, means

    module = types.ModuleType("feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = StandIn
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    network = features(f"inception:{weights}", device="cpu")
    images = pictures(2)
    torch.testing.assert_close(network(images), images.mean((2, 3)) * 255, rtol=1e-5, atol=0)
    assert [m.ndim for m in network.maps(images)] == [4, 4, 4, 4]


def test_networks_refuse_what_is_no_picture():
    network = own_network(FeatureNetwork(["a"], (8, 8, 16)))
    for bad in (torch.full((1, 3, 32, 32), torch.nan), torch.zeros(3, 32, 32)):
        with pytest.raises(UsageError, match="pictures must be"):
            network(bad)
