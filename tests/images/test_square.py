"""Pictures as an attacker's trainer sees them, against Pillow; and views of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import pictures
from unlearnable.images import sheet
from unlearnable.images.square import LEAST, augmented, square


@pytest.mark.parametrize("size", [(64, 64), (50, 97), (130, 61), (20, 33), (32, 90)])
def test_square_is_pillows_bilinear_resize_and_centre_crop(size):
    x = pictures(1, seed=3, side=130)[..., : size[0], : size[1]].contiguous()
    image = Image.fromarray((x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    scale = 32 / min(size)
    height, width = max(32, round(size[0] * scale)), max(32, round(size[1] * scale))
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - 32) // 2, (height - 32) // 2
    wanted = torch.from_numpy(np.asarray(image.crop((left, top, left + 32, top + 32))) / 255).permute(2, 0, 1)
    got = square(x, 32)[0]
    assert got.shape == (3, 32, 32)
    assert (got - wanted).abs().max() < 2.5 / 255  # Pillow rounds twice


def test_a_picture_of_that_size_comes_back_as_it_is():
    x = pictures(2)
    assert square(x, 32) is x


def test_views_start_with_the_picture_and_do_not_depend_on_those_beside_it():
    x = pictures(3, seed=1)
    views = augmented(x, 6, seed=2)
    assert views.shape == (18, 3, 32, 32) and views.min() >= 0 and views.max() <= 1
    assert torch.equal(views[::6], x)
    assert torch.equal(augmented(x[1:2], 6, seed=2), views[6:12])
    assert torch.equal(augmented(x, 3, seed=2)[3:6], views[6:9])  # nor on how many there are
    assert not torch.equal(augmented(x, 6, seed=3), views)
    assert len({tuple(v.flatten().tolist()) for v in views}) > 14  # of few pixels, two crops may be one


def test_views_are_parts_of_the_picture_some_of_them_mirrored():
    """On a ramp from left to right, a view is a ramp over a part of it that is at least LEAST wide."""
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    slopes = [float(v[0, 32, 48] - v[0, 32, 16]) / (32 / 63) for v in augmented(ramp, 40)]
    assert all(LEAST - 0.03 < abs(slope) < 1.01 for slope in slopes)
    assert 5 < sum(slope < 0 for slope in slopes) < 35
    assert max(map(abs, slopes)) - min(map(abs, slopes)) > 0.1


def test_a_sheet_shows_rows_of_pictures_on_white(tmp_path):
    first, second = pictures(3, seed=1), pictures(2, seed=2)
    sheet.write([first, second], tmp_path / "page.png")
    page = torch.from_numpy(np.asarray(Image.open(tmp_path / "page.png")).copy()).permute(2, 0, 1) / 255
    assert page.shape == (3, 2 * 36, 3 * 36)
    assert torch.allclose(page[:, :32, 36:68], first[1]) and torch.allclose(page[:, 36:68, :32], second[0])
    assert page[:, 36:, 72:].min() == 1 and page[:, 32:36].min() == 1
