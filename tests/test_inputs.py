"""Every public verb takes a path as text, a Path, or a sequence of them, and refuses anything else in one sentence."""

from pathlib import Path

import pytest
from PIL import Image

import unlearnable
from unlearnable.errors import UsageError
from unlearnable.inputs import joined, names, path, paths, split

QUICK = unlearnable.Recipe(method="random")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two pictures in a folder, and the folder itself the current one, so that letters of a name would be found."""
    folder = tmp_path / "three"
    folder.mkdir()
    for name in ("cat.png", "t"):
        Image.new("RGB", (64, 64), (90, 120, 30)).save(folder / name, "PNG")
    monkeypatch.chdir(tmp_path)
    return folder


NAME = "a b/c.png"


@pytest.mark.parametrize("given", [NAME, Path(NAME), [NAME], (Path(NAME),), iter([NAME])])
def test_one_path_or_several(given):
    assert paths(given) == [Path(NAME)]


def test_urls_stay_as_they_are():
    assert names("s3://bucket/a//b") == ["s3://bucket/a//b"]


@pytest.mark.parametrize("given", [None, 3, b"photo.png", [b"photo.png"], [None], [["a.png"]], "", "  ", [""], [], ()])
def test_anything_else_is_refused(given):
    with pytest.raises(UsageError):
        paths(given)


@pytest.mark.parametrize("parts, hint", [(("none", "jpeg:75"), tuple[str, ...]), ((0, 1, 12), tuple[int, ...])])
def test_parts_come_back_from_their_text(parts, hint):
    assert split(joined(parts), hint, "--flag") == parts == split(" , ".join(map(str, parts)) + ",", hint, "--flag")


@pytest.mark.parametrize("given", [["a"], None, "", 1.5])
def test_one_path_only(given):
    with pytest.raises(UsageError, match="mask"):
        path(given, "mask")


@pytest.mark.parametrize("kind", [str, Path, lambda p: [str(p)], lambda p: (p,), lambda p: iter([p])])
def test_protect_and_purify_take_one_path(photos, tmp_path, kind):
    for verb, settings in ((unlearnable.protect, (QUICK,)), (unlearnable.purify, ("blur:1",))):
        out = tmp_path / verb.__name__
        results = list(verb(kind(photos / "cat.png"), out, *settings))
        assert [Path(r.source).name for r in results] == ["cat.png"]
        assert [p.name for p in out.glob("*.png")] == ["cat.png"]


@pytest.mark.parametrize("kind", [str, Path])
def test_the_other_verbs_take_one_path(photos, tmp_path, kind):
    list(unlearnable.protect(photos, tmp_path / "out", QUICK))
    report = unlearnable.measure(kind(photos), kind(tmp_path / "out"), "psnr")
    assert report.scores["psnr"].values.numel() == 1
    learned = unlearnable.personalize(
        kind(photos / "cat.png"), kind(tmp_path / "learned"), held_out=kind(photos / "cat.png"), samples=0,
        settings={"steps": 1},
    )  # fmt: skip
    assert learned.report["pictures"] == 1 and "held_out" in learned.report


@pytest.mark.parametrize("given", [None, 5, "", []])
def test_every_verb_refuses_nonsense_at_once(given, tmp_path):
    calls = (
        lambda: unlearnable.protect(given, tmp_path / "out"),
        lambda: unlearnable.purify(given, tmp_path / "out"),
        lambda: unlearnable.personalize(given, tmp_path / "out"),
        lambda: unlearnable.measure(given, tmp_path),
        lambda: unlearnable.audit(given, tmp_path, tmp_path / "out"),
        lambda: unlearnable.load_model(given),
    )
    for call in calls:
        with pytest.raises(UsageError):
            call()
    assert not (tmp_path / "out").exists()
