import pytest

from tiny import adapt, build, fitted
from unlearnable.protection import sealing as work


@pytest.mark.parametrize(
    ("size", "resolution", "height", "width", "views"),
    [
        (128, 0, 512, 512, 1),
        (128, 0, 300, 451, 1),
        (128, 0, 4000, 3000, 1),  # protected at 256 px and enlarged
        (512, 0, 5000, 10000, 1),
        (1024, 0, 1365, 768, 1),
        (512, 4000, 4000, 3000, 35),  # at its own scale, by tiles
        (128, 128, 512, 512, 1),
    ],
)
def test_scale_and_number_of_views(size, resolution, height, width, views, monkeypatch):
    model = adapt(build("sd1"), "tiny")
    monkeypatch.setattr(model, "size", size)
    chosen = work.sizes(model, resolution)
    canvas = chosen.plan(height, width)
    assert len(canvas.tiles) == views
    assert canvas.work_height * canvas.work_width <= chosen.resolution**2
    assert max(canvas.tile_height, canvas.tile_width) <= 1.5 * max(512, size)
    assert canvas.tile_height % 4 == canvas.tile_width % 4 == 0


def test_tiny_models_work_small():
    assert work.sizes(fitted("sd1")).resolution == 64
