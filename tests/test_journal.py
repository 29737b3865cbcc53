import errno

import pytest

from unlearnable.errors import SetupError, UsageError
from unlearnable.storage.journal import Journal, key

LINE = {"name": "ä b.png", "input_sha256": "1", "recipe_hash": "2", "output": "ä b.png", "bytes": 3, "measured": {}}


def test_lines_come_back_and_a_cut_one_is_ignored(tmp_path):
    Journal.open(tmp_path / "new" / "folder").append(LINE)
    journal = Journal.open(tmp_path / "new" / "folder")
    assert journal.done == {key(LINE): LINE}
    text = journal.path.read_text()
    journal.path.write_text(text + text[: len(text) // 2])
    again = Journal.open(tmp_path / "new" / "folder")
    again.append(LINE | {"name": "c.png", "output": "c.png"})
    assert len(Journal.open(tmp_path / "new" / "folder").done) == 2


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="name another with -o"):
        Journal.open(tmp_path / "x")


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    journal = Journal.open(tmp_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unlearnable.storage.journal.os.fsync", full)
    with pytest.raises(SetupError, match="No space left on device: make room"):
        journal.append(LINE)
