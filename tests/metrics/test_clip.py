"""What CLIP says of pictures, beside torchmetrics and the stock model; with tiny weights."""

import numpy as np
import pytest
import torch
import transformers
from natural import natural
from PIL import Image
from torch.testing import assert_close

import unlearnable
from tiny import clip_tokenizer
from unlearnable.errors import SetupError, UsageError
from unlearnable.metrics import clip


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    torch.manual_seed(0)
    text = {"vocab_size": 514, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    image = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    image |= {"image_size": 32, "patch_size": 16}
    folder = tmp_path_factory.mktemp("clip")
    config = transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def images():
    return torch.cat([natural(seed, 64) for seed in range(4)])


def embeddings(folder, images, texts):
    """Of the stock model, with the stock processor, of length 1."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = transformers.CLIPModel.from_pretrained(folder).eval()
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "do_rescale": False}
    seen = CLIPImageProcessorPil(**size)(
        [x.numpy() for x in images], return_tensors="pt", input_data_format="channels_first"
    )
    words = clip_tokenizer()(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        parts = model.get_image_features(**seen).pooler_output, model.get_text_features(**words).pooler_output
    return [part / part.norm(dim=-1, keepdim=True) for part in parts]


def test_clip_iqa_is_that_of_torchmetrics(tiny_clip, images):
    from torchmetrics.functional.multimodal import clip_iqa as theirs

    found = clip.clip_iqa(images, str(tiny_clip))
    expected = theirs._clip_iqa_compute(*embeddings(tiny_clip, images, ["Good photo.", "Bad photo."]), ["quality"])
    assert_close(found.float(), expected, rtol=0, atol=0.02)
    assert 0 < found.min() < found.max() < 1 and found.std() > 0.01, found


def test_clip_t_is_the_stock_models_cosine_and_depends_on_the_text(tiny_clip, images):
    pictures, texts = embeddings(tiny_clip, images, ["a photo of sks dog", "snow"])
    for i, prompt in enumerate(("a photo of sks dog", "snow")):
        assert_close(clip.clip_t(images, prompt, str(tiny_clip)).float(), pictures @ texts[i], rtol=0, atol=0.01)
    assert (pictures @ (texts[0] - texts[1])).abs().min() > 0.03, "the two texts are told apart"


def test_what_they_need_is_one_sentence(images, tmp_path):
    with pytest.raises(SetupError, match="clip-iqa needs openai/clip-vit-base-patch32"):
        clip.clip_iqa(images)
    with pytest.raises(SetupError, match="clip-t needs openai/clip-vit-base-patch32"):
        clip.clip_t(images, "a dog")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / folder / "x.png")
    with pytest.raises(UsageError, match="clip-t compares pictures with a text: give it by --prompt"):
        unlearnable.measure(tmp_path / "a", tmp_path / "b", metrics="clip-t")


def test_measure_hands_the_text_on(monkeypatch, tiny_clip, images, tmp_path):
    monkeypatch.setattr(clip.clip_t, "__defaults__", (str(tiny_clip),))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray((images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(
            tmp_path / folder / "x.png"
        )
    report = unlearnable.measure(tmp_path / "a", tmp_path / "b", metrics="clip-t", prompt="snow")
    assert report.scores["clip-t"].mean == pytest.approx(
        float(clip.clip_t(images[:1], "snow", str(tiny_clip))), abs=1e-5
    )
