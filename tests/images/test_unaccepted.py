"""What folders hold and is not accepted is counted by its kind, also by its content, and links to nowhere too."""

import os

import pytest
from PIL import Image

from unlearnable.errors import UsageError
from unlearnable.images.files import find, sources, summary, unaccepted

NAMED = {
    "a.gif": "GIF", "B.GIF": "GIF", "c.jp2": "JPEG 2000", "d.tga": "TGA", "e.ppm": "PPM", "f.svg": "SVG",
    "g.NEF": "camera raw", "h.dng": "camera raw", "i.ico": "ICO", "j.psd": "PSD", "k.jxl": "JPEG XL", "l.exr": "EXR",
}  # fmt: skip


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path, "PNG")
    return path


def test_kinds_by_name(tmp_path):
    for name in NAMED:
        (tmp_path / name).write_bytes(b"whatever")
    for name in ("notes.txt", "data.csv", ".hidden.gif", "report.pdf"):
        (tmp_path / name).write_text("no picture")
    picture(tmp_path / "z.png")
    assert {path.name: kind for path, kind in unaccepted([tmp_path], False)} == NAMED
    assert [source.name for source, _ in find([tmp_path], False, None)] == ["z.png"]


def test_kinds_by_content(tmp_path):
    picture(tmp_path / "holiday").rename(tmp_path / "holiday")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.dat", "GIF")
    (tmp_path / "long.dat").write_bytes(bytes(1000))
    found = {path.name: kind for path, kind in unaccepted([tmp_path], False)}
    assert found == {"holiday": "PNG named otherwise", "x.dat": "GIF named otherwise"}


def test_links_that_are_not_followed(tmp_path):
    folder = tmp_path / "in"
    picture(folder / "a.png")
    picture(tmp_path / "outside.png")
    os.symlink("nowhere.png", folder / "dangling.png")
    os.symlink(tmp_path / "outside.png", folder / "away.png")
    (tmp_path / "other").mkdir()
    os.symlink(tmp_path / "other", folder / "linked")
    assert {path.name: kind for path, kind in unaccepted([folder], True)} == {
        "dangling.png": "link that leads nowhere",
        "away.png": "link out of the folder",
        "linked": "linked folder",
    }


def test_subfolders_only_where_they_are_looked_into(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.gif").write_bytes(b"GIF89a")
    assert unaccepted([tmp_path], False) == []
    assert summary(unaccepted([tmp_path, tmp_path], True)) == "1 GIF"


@pytest.mark.parametrize("look", [lambda folder: find([folder], False, None), lambda folder: sources([folder], True)])
def test_a_folder_of_gifs_is_called_that(tmp_path, look):
    for name in ("a.gif", "b.gif", "c.svg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"it holds 2 GIF, 1 SVG, which are not accepted: export them as one of PNG"):
        look(tmp_path)


def test_all_clashes_are_named_at_once(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpeg", "b.png", "c.png"):
        picture(tmp_path / name)
    with pytest.raises(UsageError) as error:
        find([tmp_path], False, None)
    sentence = str(error.value)
    assert all(str(tmp_path / name) in sentence for name in ("a.jpg", "a.png", "b.jpeg", "b.png"))
    assert str(tmp_path / "c.png") not in sentence
