"""What a browser sends is not believed: names, paths, links, sizes and counts."""

import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnable.web import files, names
from unlearnable.web.files import GRACE, Room

PARTS = st.sampled_from(
    ["..", ".", "/", "\\", "\0", "\n", "\x1b[2J", "\u202e", "~", "CON", ".png", "é", "e\u0301", "\ud800", "a"]
)
HOSTILE = st.one_of(st.text(max_size=200), st.lists(PARTS, max_size=12).map("".join))


@pytest.fixture
def room():
    room = Room()
    yield room
    room.close()


@pytest.fixture
def session(room):
    return room.session("cookie")


def upload(room, data=b"x", name="a.png", orig=None):
    path = room.uploads / os.urandom(8).hex() / name
    path.parent.mkdir()
    path.write_bytes(data)
    return {"path": str(path), "orig_name": orig if orig is not None else name}


@given(HOSTILE)
def test_a_name_leads_nowhere_and_hides_nothing(name):
    found = names.harmless(name)
    assert found == os.path.basename(found) and found not in ("", ".", "..") and not found.startswith(".")
    assert found.isprintable() and "\\" not in found and len(os.fsencode(found)) <= names.LONGEST
    assert Path("/folder", found).parent == Path("/folder")
    assert names.harmless(found) == found


@given(st.lists(HOSTILE, max_size=8))
def test_no_two_outputs_would_be_one_file(given_names):
    taken = set()
    for name in given_names:
        found = names.free(names.harmless(name), taken)
        assert names.key(found) not in taken
        taken.add(names.key(found))


@pytest.mark.parametrize("name", ["photo (1).png", "Kätzchen & co.jpeg", "a.b.c.webp", "été's.PNG", "-rf.png"])
def test_ordinary_names_are_kept(name):
    assert names.harmless(name) == name


def test_files_are_moved_under_their_own_names(room, session):
    given_files = [upload(room, b"1", "strip.png", "photo (1).png"), upload(room, b"2", "x.jpg", "a/b/PHOTO (1).jpg")]
    assert session.take(given_files, "originals", room.uploads) == []
    assert {path.name: path.read_bytes() for path in session.pictures("originals")} == {
        "photo (1).png": b"1", "PHOTO (1) (2).jpg": b"2",
    }  # fmt: skip
    assert not any(Path(one["path"]).exists() for one in given_files)


def test_only_plain_files_of_the_upload_folder_are_taken(room, session, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    link, folder = room.uploads / "link.png", room.uploads / "folder.png"
    link.symlink_to(secret)
    folder.mkdir()
    inner = room.uploads / "linked"
    inner.symlink_to(tmp_path)
    paths = [
        secret,
        link,
        folder,
        inner / "secret.png",
        room.uploads / ".." / ".." / "etc" / "passwd",
        room.uploads / "gone",
    ]
    paths += [Path("relative.png"), Path("\0"), room.uploads]
    refused = session.take([{"path": str(p), "orig_name": "x.png"} for p in paths] + [{}], "originals", room.uploads)
    assert len(refused) == len(paths) + 1 and all("no file that was uploaded" in text for text in refused)
    assert session.pictures("originals") == [] and secret.read_bytes() == b"secret"


def test_too_much_is_one_sentence_and_the_others_are_taken(room, session, monkeypatch):
    heavy = upload(room, name="heavy.png")
    os.truncate(heavy["path"], 100 * 2**20 + 1)  # a hole: no bytes on the disk
    refused = session.take([heavy, upload(room)], "originals", room.uploads)
    assert len(refused) == 1 and "heavy.png is larger than 100 MB" in refused[0] and not Path(heavy["path"]).exists()
    monkeypatch.setattr(files, "MOST_FILES", 2)
    refused = session.take([upload(room, name="b.png"), upload(room, name="c.png")], "originals", room.uploads)
    assert len(refused) == 1 and "c.png is left out: the page takes 2 pictures" in refused[0]
    monkeypatch.setattr(files, "MOST_BYTES", 3)
    refused = session.take([upload(room, b"12", name="d.png")], "twins", room.uploads)
    assert len(refused) == 1 and "d.png is left out" in refused[0]
    assert [path.name for path in session.pictures("originals")] == ["a.png", "b.png"]


def test_folders_are_private_apart_and_deleted(room, session):
    session.slot("originals"), session.out("protected")
    made = [path for path in room.root.rglob("*") if path.is_dir()]
    assert len(made) >= 6 and all(
        stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in [room.root, session.slot("a")]
    )
    other = room.session("another cookie")
    assert {other.inside, other.shown}.isdisjoint({session.inside, session.shown})
    room.close()
    assert not room.root.exists()


def test_a_closed_tabs_pictures_wait_for_a_reload_and_then_go(room, session):
    session.take([upload(room)], "originals", room.uploads)
    session.enter()
    session.enter()  # a reload: the new tab may come before the old one leaves
    session.leave()
    room.sweep(time.monotonic() + 2 * GRACE)
    assert session.pictures("originals")
    session.leave()
    room.sweep(time.monotonic() + GRACE / 2)
    assert session.pictures("originals")
    room.sweep(time.monotonic() + 2 * GRACE)
    assert not session.inside.exists() and room.session("cookie") is not session
