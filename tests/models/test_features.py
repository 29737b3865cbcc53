"""The feature network: the layers it says it has, the same after saving, and better than chance at what it is for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlearnable.models.features import FeatureNetwork, fitted


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FeatureNetwork(["cat", "dog", "tree"], widths=(8, 16, 16, 24)).eval()


def test_the_first_stage_written_out(network):
    x, block = torch.rand(2, 3, 32, 32), network.stages[0]
    with torch.no_grad():
        stem = F.conv2d(4 * x - 2, network.stem.weight, stride=2, padding=1)
        stem = F.relu(F.group_norm(stem, 8, network.stem_norm.weight, network.stem_norm.bias))
        inner = F.relu(F.group_norm(F.conv2d(stem, block.conv1.weight, padding=1), 8))
        inner = F.group_norm(F.conv2d(inner, block.conv2.weight, padding=1), 8)
        assert torch.allclose(network.maps(x)[0], F.relu(inner + stem), atol=1e-5)


def test_maps_have_the_pictures_own_scale(network):
    with torch.no_grad():
        shapes = [tuple(part.shape) for part in network.maps(torch.rand(1, 3, 96, 48))]
    assert shapes == [(1, 8, 48, 24), (1, 16, 24, 12), (1, 16, 12, 6), (1, 24, 6, 3)]


def test_embedding_is_standardised_means_of_the_last_stage(network):
    x = torch.rand(2, 3, 64, 64)
    network.centre.normal_()
    network.spread.uniform_(0.5, 2)
    with torch.no_grad():
        means = network.maps(x)[-1].mean((2, 3))
        assert torch.allclose(network.embed(x), (means - network.centre) / network.spread, atol=1e-5)
        assert torch.allclose(network(x), network.head(means), atol=1e-5)
    assert network.dim == means.shape[1]


def test_pictures_of_another_size_are_scaled_to_64_px():
    x = torch.rand(1, 3, 128, 128)
    assert torch.allclose(fitted(x).mean(), x.mean(), atol=1e-3)
    assert fitted(x).shape == (1, 3, 64, 64)
    assert torch.equal(fitted(fitted(x)), fitted(x))


def test_saved_and_loaded_it_is_the_same_to_half_precision(network, tmp_path):
    network.save(tmp_path / "features")
    again, x = FeatureNetwork.from_folder(tmp_path / "features"), torch.rand(2, 3, 64, 64)
    assert again.labels == network.labels
    with torch.no_grad():
        assert torch.allclose(again(x), network(x), atol=2e-2)
        assert torch.allclose(again.embed(x), network.embed(x), atol=2e-2)


def test_the_one_that_ships_knows_a_photograph_again():
    """Mirrored, cropped and blurred, a photograph is nearer to itself than to any other one."""
    import skimage
    from kornia.filters import gaussian_blur2d

    names = ("astronaut", "cat", "coffee", "rocket")
    network, photos, views = FeatureNetwork.from_folder(), [], []
    for name in names:
        x = torch.from_numpy(np.ascontiguousarray(getattr(skimage.data, name)()))[:288, :400].permute(2, 0, 1) / 255
        photos.append(fitted(x[None])[0])
        views.append(fitted(gaussian_blur2d(x[None, :, 30:260, 40:370], (13, 13), (4.0, 4.0)).flip(-1))[0])
    with torch.no_grad():
        a, b = (F.normalize(network.embed(torch.stack(part)), dim=1) for part in (views, photos))
    assert (a @ b.T).argmax(1).tolist() == [0, 1, 2, 3]
