"""Native size: every property that the protections rely on, on sizes from 16 px to 50 million pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from unlearnable.errors import UsageError
from unlearnable.images.views import cut, merge, plan

SIZES = [(16, 16), (17, 401), (300, 451), (768, 512), (64, 64), (63, 129), (900, 70)]
MODELS = [{"resolution": 128, "tile": 128, "multiple": 8}, {"resolution": 512, "tile": 768, "multiple": 64}]


def change(canvas, seed=0):
    shape = (len(canvas.tiles), 3, canvas.tile_height, canvas.tile_width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("model", MODELS, ids=["128", "512"])
@pytest.mark.parametrize("size", [*SIZES, (17, 4001), (5000, 10000), (16, 3_125_000)], ids=str)
def test_plan_obeys_the_model(size, model):
    canvas = plan(*size, overlap=32, **model)
    sides = canvas.tile_height, canvas.tile_width
    assert all(side % model["multiple"] == 0 and side <= model["tile"] for side in sides)
    assert canvas.work_height * canvas.work_width <= 16 * model["resolution"] ** 2
    assert min(canvas.work_height, canvas.work_width) >= 64
    for starts, side, length in (
        (canvas.tops, canvas.tile_height, canvas.work_height),
        (canvas.lefts, canvas.tile_width, canvas.work_width),
    ):
        assert starts[0] == 0 and starts[-1] == max(0, length - side)
        gaps = np.diff(starts)
        assert len(starts) == 1 or (gaps.max() <= side - 32 and gaps.max() - gaps.min() <= 1)
        assert len(starts) <= max(1, -(-(length - 32) // (side - 32)))  # no more than needed


def test_ordinary_pictures_are_never_scaled_up_and_keep_their_proportions():
    for height, width in [(64, 64), (200, 300), (768, 512), (3000, 4500), (5000, 10000)]:
        canvas = plan(height, width, resolution=512, tile=512, multiple=8)
        assert canvas.work_height <= height and canvas.work_width <= width
        assert canvas.work_height * canvas.work_width <= 512**2
        assert canvas.work_height / height == pytest.approx(canvas.work_width / width, rel=0.01)


def test_a_strip_gets_several_tiles_rather_than_being_squashed():
    canvas = plan(17, 4001, resolution=512, tile=512, multiple=8)
    assert canvas.work_height == 64
    assert canvas.work_width / 4001 == pytest.approx(64 / 17, rel=0.01)
    assert 30 < len(canvas.tiles) < 50


@pytest.mark.parametrize("model", MODELS, ids=["128", "512"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_constant_comes_back_exactly(size, model):
    canvas = plan(*size, **model)
    views = cut(canvas, torch.full((3, *size), 0.3))
    assert views.shape == (len(canvas.tiles), 3, canvas.tile_height, canvas.tile_width)
    assert torch.allclose(views, torch.tensor(0.3), atol=1e-6)
    assert torch.equal(merge(canvas, torch.full_like(views, 0.3)), torch.full((3, *size), 0.3))


@pytest.mark.parametrize("model", MODELS, ids=["128", "512"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_merge_never_exceeds_the_largest_change(size, model):
    canvas = plan(*size, **model)
    deltas = change(canvas).sign() * (8 / 255)
    merged = merge(canvas, deltas)
    assert merged.shape == (3, *size)
    assert merged.abs().max() <= deltas.abs().max()  # exactly, not approximately
    assert merged.abs().max() > 0


@pytest.mark.parametrize("size", [(64, 64), (304, 456), (300, 451), (65, 511)], ids=str)
def test_single_unscaled_tile_is_bitwise_the_picture(size):
    canvas = plan(*size, resolution=512, tile=512, multiple=8)
    image = torch.rand(3, *size)
    assert len(canvas.tiles) == 1 and canvas.native
    assert torch.equal(merge(canvas, cut(canvas, image)), image)


def test_several_unscaled_tiles_give_back_the_picture():
    canvas = plan(150, 500, resolution=512, tile=128, multiple=8)
    image = torch.rand(3, 150, 500)
    assert len(canvas.tiles) == 10 and canvas.native
    assert torch.allclose(merge(canvas, cut(canvas, image)), image, atol=1e-6)


def test_views_are_what_pillow_shows():
    """Scaled down against Pillow's bilinear filter, then cut by hand, padded by numpy's reflection."""
    image = np.random.default_rng(0).random((300, 421), dtype=np.float32)
    canvas = plan(300, 421, resolution=128, tile=128, multiple=8)
    views = cut(canvas, torch.from_numpy(image).expand(3, -1, -1))
    small = np.asarray(
        Image.fromarray(image).resize((canvas.work_width, canvas.work_height), Image.Resampling.BILINEAR)
    )
    below = canvas.tile_height - canvas.work_height
    padded = np.pad(small, ((0, below), (0, 0)), mode="reflect")
    assert below > 0 and len(canvas.tiles) == 2
    for view, tile in zip(views, canvas.tiles):
        expected = padded[:, tile.left : tile.left + canvas.tile_width]
        np.testing.assert_allclose(view[1].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size,tile,overlap", [((300, 700), 128, 32), ((128, 900), 128, 64), ((400, 400), 128, 100)])
def test_no_seams(size, tile, overlap):
    """Tiles that disagree as much as they can meet in a slope, not in a step."""
    canvas = plan(*size, resolution=4000, tile=tile, multiple=8, overlap=overlap)
    assert canvas.native and len(canvas.tiles) > 4
    signs = torch.randint(0, 2, (len(canvas.tiles), 1, 1, 1), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    merged = merge(canvas, signs.expand(-1, 3, canvas.tile_height, canvas.tile_width))
    steps = max(merged.diff(dim=1).abs().max().item(), merged.diff(dim=2).abs().max().item())
    assert merged.max() > 0.9 and merged.min() < -0.9  # the tiles do show
    # a raised cosine from -1 to 1 over the overlap has this slope; where three tiles share pixels it is a little more
    assert steps <= 1.2 * np.pi / overlap


def test_merge_is_the_weighted_mean_written_by_hand():
    canvas = plan(128, 200, resolution=4000, tile=128, multiple=8, overlap=40)
    assert canvas.lefts == (0, 72)
    deltas = change(canvas)
    x = np.arange(56)  # columns 72 to 127 are shared
    weight = np.sin(np.pi / 2 * (x + 0.5) / 56) ** 2
    left, right = deltas.numpy()
    middle = left[..., 72:] * (1 - weight) + right[..., :56] * weight
    expected = np.concatenate([left[..., :72], middle, right[..., 56:]], axis=2)
    np.testing.assert_allclose(merge(canvas, deltas).numpy(), expected, atol=1e-6)


def test_fifty_megapixels_from_a_low_resolution_change():
    canvas = plan(5000, 10000, resolution=128, tile=128, multiple=8)
    merged = merge(canvas, change(canvas))
    assert merged.shape == (3, 5000, 10000)
    assert merged.diff(dim=2).abs().max() < 0.1  # smooth: one working pixel covers about 55


def test_a_strip_that_must_be_squeezed_hard_keeps_its_brightness_in_place():
    canvas = plan(16, 200_000, resolution=32, tile=64, multiple=8)
    assert 200_000 / canvas.work_width > 64  # scaled in two steps
    ramp = torch.linspace(0, 1, 200_000).expand(3, 16, -1)
    views = cut(canvas, ramp)
    for view, tile in zip(views, canvas.tiles):
        centres = (tile.left + torch.arange(canvas.tile_width) + 0.5) / canvas.work_width
        assert torch.allclose(view[0, 0], centres, atol=0.002)
    assert torch.allclose(merge(canvas, views), ramp, atol=0.003)


def test_gradients_pass_both_ways():
    canvas = plan(150, 300, resolution=128, tile=128, multiple=8)
    image = torch.rand(3, 150, 300, requires_grad=True)
    merge(canvas, cut(canvas, image)).square().sum().backward()
    assert image.grad is not None and (image.grad != 0).float().mean() > 0.99


def test_half_precision_changes_blend_in_full_precision():
    canvas = plan(150, 500, resolution=512, tile=128, multiple=8)
    merged = merge(canvas, change(canvas).bfloat16())
    assert merged.dtype == torch.float32
    assert torch.allclose(merged, merge(canvas, change(canvas)), atol=0.01)


@pytest.mark.parametrize("bad", [{"tile": 100}, {"overlap": 128}, {"overlap": -1}, {"resolution": 0}], ids=str)
def test_contradictory_sizes_are_refused(bad):
    with pytest.raises(UsageError, match="choose positive sizes"):
        plan(100, 100, **({"resolution": 128, "tile": 128, "multiple": 8, "overlap": 32} | bad))


def test_wrong_shapes_are_refused():
    canvas = plan(150, 300, resolution=128, tile=128, multiple=8)
    with pytest.raises(ValueError, match="the canvas is for"):
        cut(canvas, torch.zeros(3, 300, 150))
    with pytest.raises(ValueError, match="views of"):
        merge(canvas, torch.zeros(1, 3, 8, 8))
