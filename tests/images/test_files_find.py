"""Finding inputs and naming outputs: nothing unasked for is read, and nothing is written outside the output folder."""

import os
import re
from pathlib import Path

import pytest

from unlearnable.errors import PictureError, UsageError
from unlearnable.images.files import find, target


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def relative(pairs):
    return [str(path) for _, path in pairs]


def test_a_folder_is_mirrored_in_sorted_order(tmp_path):
    root = tree(tmp_path / "in", "b.png", "a.JPG", "sub/deep/d.tiff", "sub/c.webp", "z.heic")
    tree(root, "notes.txt", ".hidden.png", ".git/e.png", "sub/.f.png", "._a.jpg", "Thumbs.db", "movie.gif")
    assert relative(find([root], True, None)) == ["a.JPG", "b.png", "z.heic", "sub/c.webp", "sub/deep/d.tiff"]
    assert relative(find([root], False, None)) == ["a.JPG", "b.png", "z.heic"]
    assert [source for source, _ in find([root], False, None)] == [root / name for name in ("a.JPG", "b.png", "z.heic")]


def test_named_files_are_always_listed(tmp_path):
    tree(tmp_path, ".hidden.png", "notes.txt", "sub/a.png")
    inputs = [tmp_path / name for name in (".hidden.png", "notes.txt", "sub/a.png", "missing.png")]
    assert find(inputs, False, None) == [(path, Path(path.name)) for path in inputs]


def test_a_source_asked_for_twice_is_listed_once(tmp_path):
    root = tree(tmp_path / "in", "a.png", "sub/b.png")
    inputs = [root, root / "a.png", root / "sub" / ".." / "a.png", root / "sub"]
    assert relative(find(inputs, True, None)) == ["a.png", "sub/b.png"]


def test_output_folder_inside_the_input_is_passed_over(tmp_path):
    root = tree(tmp_path / "in", "a.png", "out/a.png", "sub/out/b.png")
    assert relative(find([root], True, root / "out")) == ["a.png", "sub/out/b.png"]
    assert relative(find([root], True, tmp_path / "in" / "sub" / ".." / "out")) == ["a.png", "sub/out/b.png"]


def test_links_must_stay_inside_the_folder(tmp_path):
    root = tree(tmp_path / "in", "a.png", "sub/b.png")
    tree(tmp_path / "elsewhere", "secret.png")
    os.symlink(root / "sub" / "b.png", root / "inside.png")
    os.symlink("../elsewhere/secret.png", root / "outside.png")
    os.symlink(tmp_path / "elsewhere", root / "linked")
    os.symlink(root, root / "sub" / "loop")
    os.symlink("nowhere.png", root / "broken.png")
    os.symlink("self.png", root / "self.png")
    os.mkfifo(root / "pipe.png")
    assert relative(find([root], True, None)) == ["a.png", "inside.png", "sub/b.png"]
    os.symlink(root, tmp_path / "door")  # the folder itself may be a link: the user named it
    assert relative(find([tmp_path / "door"], True, None)) == ["a.png", "inside.png", "sub/b.png"]


@pytest.mark.parametrize(
    "first,second,output,wanted",
    [
        ("x/a.jpg", "x/a.png", "a.png", None),
        ("x/a.png", "y/a.png", "a.png", None),
        ("x/a.png", "y/A.PNG", "A.PNG", None),
        ("x/\u00e9.png", "y/e\u0301.png", "e\u0301.png", None),
        ("x/a.bmp", "x/a.png", "a.png", None),
        ("x/a.png", "x/a.webp", "a.jpg", "jpeg"),
    ],
    ids=["jpg and png", "two folders", "case", "unicode form", "bmp may become png", "one lossy format"],
)
def test_two_sources_for_one_output(tmp_path, first, second, output, wanted):
    tree(tmp_path, first, second)
    with pytest.raises(UsageError) as error:
        find([tmp_path / first, tmp_path / second], False, None, wanted)
    sentence = str(error.value)
    assert str(tmp_path / first) in sentence and str(tmp_path / second) in sentence
    assert f"(as {output}); rename one" in sentence


def test_no_clash_where_the_formats_stay_apart(tmp_path):
    tree(tmp_path, "a.png", "a.webp", "a.tif", "sub/a.png")
    assert len(find([tmp_path], True, None)) == 4


def test_inputs_are_never_overwritten(tmp_path):
    root = tree(tmp_path / "in", "a.png", "b.jpg")
    with pytest.raises(UsageError, match="is the input and the output folder; choose another"):
        find([root], False, tmp_path / "in" / "." / ".." / "in")
    with pytest.raises(UsageError, match=re.escape(f"would overwrite an input with {root / 'a.png'}; choose another")):
        find([root / "a.png"], False, root)
    os.symlink(root, tmp_path / "link")
    with pytest.raises(UsageError, match="would overwrite an input"):
        find([root / "a.png"], False, tmp_path / "link")
    assert relative(find([root / "b.jpg"], False, root)) == ["b.jpg"]  # becomes b.png, which is nobody's input


def test_nothing_found(tmp_path):
    tree(tmp_path, "sub/a.png", "notes.txt")
    with pytest.raises(UsageError, match=r"found no pictures in .*; look into subfolders with -r"):
        find([tmp_path], False, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"found no pictures in .*empty; name files"):
        find([tmp_path / "empty"], True, None)
    assert find([], True, None) == []


def test_a_folder_that_cannot_be_listed_is_not_passed_over_in_silence(tmp_path, monkeypatch):
    tree(tmp_path, "a.png", "sub/b.png")
    real = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match=r"sub may not be listed; change its permissions or leave it out"):
        find([tmp_path], True, None)


@pytest.mark.parametrize("name", ["a.png", "sub/b.png", "..a.png", "a..png", "...", "~", "$HOME.png", "C:x.png", "-rf"])
def test_target_stays_inside(tmp_path, name):
    out = tmp_path / "out"  # need not exist
    assert target(out, Path(name)) == out / name
    assert target(out, Path(name)).resolve().is_relative_to(out.resolve())


@pytest.mark.parametrize(
    "name", ["/etc/x.png", "../x.png", "sub/../../x.png", "..", ".", "", "a/..", "x\0.png", "\0/x"]
)
def test_target_refuses_what_leads_outside(tmp_path, name):
    with pytest.raises(PictureError, match="would be written outside the output folder; rename the file"):
        target(tmp_path / "out", Path(name))


def test_target_refuses_a_link_out_of_the_folder(tmp_path):
    out = tmp_path / "out"
    (out / "real").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", out / "door")
    os.symlink(out / "real", out / "inner")
    os.symlink(out / "loop", out / "loop")
    for name in ("door/x.png", "door/sub/x.png", "loop/x.png"):
        with pytest.raises(PictureError, match="outside the output folder"):
            target(out, Path(name))
    assert target(out, Path("inner/x.png")) == out / "inner" / "x.png"
    os.symlink(out, tmp_path / "shortcut")  # the output folder itself may be a link
    assert target(tmp_path / "shortcut", Path("x.png")) == tmp_path / "shortcut" / "x.png"
