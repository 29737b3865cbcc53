"""What an audit works on: pairs by name, photographs held out, and one sentence for everything that cannot be used."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from audited import NAMES, guarded, save, unfitted
from unlearnable.auditing import defender as defending
from unlearnable.auditing.run import apart
from unlearnable.errors import UsageError
from unlearnable.evaluation.pairs import subject
from unlearnable.recipe import Recipe


@pytest.fixture
def folders(tmp_path):
    return save(tmp_path / "clean"), save(tmp_path / "protected", shift=1)


@pytest.mark.parametrize(("count", "held"), [(2, [1]), (3, [1]), (4, [1, 3]), (5, [1, 3]), (6, [1, 4])])
def test_about_a_third_is_held_out_always_the_same(tmp_path, count, held):
    names = [f"{i}.png" for i in range(count)]
    clean, protected = save(tmp_path / "a", names), save(tmp_path / "b", names, shift=1)
    found = subject(clean, protected)
    assert [photo.name for photo in found.held_out] == [names[i] for i in held]
    assert [pair.name for pair in found.train] == [name for i, name in enumerate(names) if i not in held]
    assert not found.problems and f"{len(held)} of {count} clean pictures were held out" in found.notes[0]
    assert {p.content for p in found.train}.isdisjoint(p.content for p in found.held_out)


def test_subfolders_and_other_formats_pair_by_name(folders):
    clean, protected = folders
    Image.open(clean / "0.png").save(clean / "0.bmp")
    (clean / "0.png").unlink()
    found = subject(clean, protected)
    assert len(found.train) + len(found.held_out) == len(NAMES) and not found.problems
    assert "deep/3.png" in {pair.name for pair in found.train}


def test_bad_files_are_one_sentence_each_and_the_others_go_on(folders):
    clean, protected = folders
    (clean / "alone.png").write_bytes((clean / "0.png").read_bytes())
    (protected / "stray.png").write_bytes((clean / "0.png").read_bytes())
    Image.new("RGB", (40, 30)).save(protected / "1.png")
    (protected / "deep" / "2.png").write_bytes(b"no picture")
    found = subject(clean, protected)
    assert len(found.train) + len(found.held_out) == 4
    said = sorted(found.problems)
    assert len(said) == 4 and all("\n" not in sentence for sentence in said)
    for name, words in [
        ("alone.png", "has no protected twin: give the two files the same name"),
        ("stray.png", "has no clean twin"),
        ("1.png", "has 64 x 64 px and its protected twin"),
        ("2.png", "deep"),
    ]:
        assert any(name in sentence and words in sentence for sentence in said)


def test_the_same_picture_twice_cannot_be_seen_and_held_out(folders):
    clean, protected = folders
    for folder in folders:
        (folder / "again.png").write_bytes((folder / "1.png").read_bytes())
    found = subject(clean, protected)
    contents = [item.content for item in (*found.train, *found.held_out)]
    assert len(set(contents)) == len(contents) == len(NAMES) and "is the same picture as" in found.problems[0]


def test_comparison_pages_beside_a_journal_are_no_pictures_of_the_subject(folders):
    clean, protected = folders
    save(protected / "compare", ("0.png",))
    assert len(subject(clean, protected).problems) == 1
    (protected / "unlearnable.jsonl").write_text("")
    assert not subject(clean, protected).problems


def test_one_picture_needs_photographs_to_test_on(tmp_path):
    clean, protected = save(tmp_path / "a", ("0.png",)), save(tmp_path / "b", ("0.png",), shift=1)
    with pytest.raises(UsageError, match=r"is the only picture that can be used.*--held-out"):
        subject(clean, protected)
    other = save(tmp_path / "other", ("x.png", "y.png"), shift=3)
    (other / "same.png").write_bytes((clean / "0.png").read_bytes())
    (other / "cut.png").write_bytes((clean / "0.png").read_bytes()[:60])
    found = subject(clean, protected, other)
    assert len(found.train) == 1 and {photo.name for photo in found.held_out} == {"x.png", "y.png"} and found.given
    assert len(found.problems) == 2 and any("which the attackers train on" in sentence for sentence in found.problems)
    assert subject(clean / "0.png", protected / "0.png", other).train[0].name == "0.png"
    with pytest.raises(UsageError, match=r"can be held out: .*same\.png is the same picture"):
        (other / "x.png").unlink(), (other / "y.png").unlink(), (other / "cut.png").unlink()
        subject(clean, protected, other)


def test_what_makes_no_sense_is_one_sentence(folders, tmp_path):
    clean, protected = folders
    with pytest.raises(UsageError, match="as clean and as protected"):
        subject(clean, clean)
    with pytest.raises(UsageError, match="does not exist"):
        subject(clean, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="does not exist: name a folder of clean photographs with --held-out"):
        subject(clean, protected, tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no picture of .* has a usable twin"):
        subject(clean, save(tmp_path / "others", ("other.png",)))
    for out in (protected, protected / "report", clean):
        with pytest.raises(UsageError, match="would lie in"):
            apart(out, [clean, protected])
    apart(tmp_path / "report", [clean, protected])


def test_the_journal_tells_how_the_files_were_protected(tmp_path):
    clean, model = save(tmp_path / "clean"), unfitted()
    protected = guarded(clean, tmp_path / "protected", model)
    journal = protected / "unlearnable.jsonl"
    before, pairs = journal.read_bytes(), subject(clean, protected).train
    known = defending.defender(protected, pairs)
    assert known.recipe == Recipe(method="advdm", strength="paper", eps=8, steps=2, prompt="a disc", model="tiny")
    assert known.budget == "L-inf 8/255" and set(known.constraints) == {pair.name for pair in pairs}
    assert defending.broken(known, pairs) == []
    pixels = np.asarray(Image.open(pairs[0].protected)).astype(int)
    pixels[0, 0] = np.asarray(Image.open(pairs[0].clean)).astype(int)[0, 0] - 9 % 255
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(pairs[0].protected)
    (sentence,) = defending.broken(known, pairs)
    assert sentence.startswith(f"{pairs[0].name} moves by up to 9/255") and "L-inf 8/255 was promised" in sentence
    assert journal.read_bytes() == before


def test_a_journal_that_says_something_else_is_not_believed(tmp_path):
    clean = save(tmp_path / "clean")
    protected = guarded(clean, tmp_path / "protected", unfitted())
    pairs, journal = subject(clean, protected).train, protected / "unlearnable.jsonl"
    text = journal.read_text()
    head, *files = text.splitlines()
    for change in ({"method": "nonsense"}, {"eps": "8"}, {"later": 1}, {"method": ["advdm"]}):
        run = json.loads(head)
        run["run"] |= change
        journal.write_text("\n".join([json.dumps(run), *files]))
        assert defending.defender(protected, pairs) is None
    save(clean, shift=2)  # other clean pictures than those that were protected
    journal.write_text(text)
    assert defending.defender(protected, subject(clean, protected).train) is None
    shutil.rmtree(protected)
    assert defending.defender(protected, pairs) is None
