"""The public verbs of the package, used as the README does."""

import sys

import pytest

import unlearnable
from tiny import adapt, build, pictures


def test_verbs_stay_verbs_after_everything_is_imported(tmp_path):
    from PIL import Image

    (tmp_path / "in").mkdir()
    pixels = (pictures(1)[0].permute(1, 2, 0).numpy() * 255).round().astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "in" / "x.png")
    recipe = unlearnable.Recipe(method="mist", eps=6, steps=1)
    for out in ("a", "b"):
        (result,) = unlearnable.protect([tmp_path / "in"], tmp_path / out, recipe, model=adapt(build("sd1"), "tiny"))
        assert result.status == "protected" and result.measured["linf"] <= 6
    assert {f"unlearnable.{verb}" for verb in unlearnable.__all__}.isdisjoint(sys.modules), "a module hides a verb"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'protekt'"):
        _ = unlearnable.protekt
