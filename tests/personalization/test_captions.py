"""Captions beside pictures: read from files, learned in place of the prompt, refused where they are empty."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tiny
from unlearnable.errors import PictureError, UsageError
from unlearnable.evaluation.attack import Pictures, Trial
from unlearnable.images.captions import caption
from unlearnable.jobs.personalize import personalize
from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.personalization.textual_inversion import TextualInversion

PROMPT = "a photo of sks disc"
FEW = {"steps": 2, "lr": 1e-3}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    for name, x in zip("ab", tiny.pictures(2)):
        Image.fromarray((x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(place / f"{name}.png")
    (place / "b.txt").write_text("\ufeffsks, a disc\n  on red\n", encoding="utf-8")
    return place


def test_a_caption_is_the_text_file_of_the_pictures_name(folder):
    assert caption(folder / "a.png") is None and caption(folder / "b.png") == "sks, a disc on red"
    (folder / "a.txt").write_bytes(b"\xff\xff")
    with pytest.raises(PictureError, match=r"cannot read the caption .*a\.txt.*: make it UTF-8 text, or remove it"):
        caption(folder / "a.png")


def test_personalize_learns_them_and_stops_at_an_empty_one(folder, tmp_path):
    model = tiny.fitted("sd1")
    given = {"model": model, "prompt": PROMPT, "settings": {"augment": False, **FEW}, "samples": 0, "preset": "paper"}
    learned = personalize(folder, tmp_path / "out", **given)
    assert learned.report["captions"] == 1
    fit = replace(DreamBooth(), **FEW).fit
    own = fit(model, tiny.pictures(2), PROMPT, captions=[None, "sks, a disc on red"]).losses
    assert learned.concept.losses == pytest.approx(own, rel=1e-6)
    assert own != fit(model, tiny.pictures(2), PROMPT).losses
    (folder / "a.txt").write_text(" \n")
    with pytest.raises(PictureError, match=r"the caption .*a\.txt.* is empty: write what the picture shows, or remove"):
        personalize(folder, tmp_path / "other", **given)
    assert not (tmp_path / "other").exists()


def test_a_trial_hands_them_on():
    model, held = tiny.fitted("sd1"), Pictures(tiny.pictures(2, seed=4), ("d", "e"))
    names, texts = ("a", "b"), (None, "sks, a disc on red")
    seen = Pictures(tiny.pictures(2), names, names, texts)
    trial = Trial(DreamBooth(**FEW), PROMPT, 0, 1, 1, 2)
    learned = trial.attacker.fit(model, seen.images, PROMPT, keys=names, captions=texts).model
    told = trial(model, seen, held)[0]["held_out"]
    want = trial(model, replace(seen, captions=()), held)[0]["held_out"]
    assert told != want and trial.cell(model, seen, held) != trial.cell(model, replace(seen, captions=()), held)
    from unlearnable.metrics.subject import held_out_loss

    assert told == pytest.approx(held_out_loss(learned, held.images, PROMPT, 2).tolist())


def test_wrong_captions_are_one_sentence():
    model, x = tiny.fitted("sd1"), tiny.pictures(2)
    with pytest.raises(UsageError, match="3 captions for 2 pictures"):
        DreamBooth(**FEW).fit(model, x, PROMPT, captions=[None] * 3)
    with pytest.raises(UsageError, match="the prompt 'a disc' does not hold the token 'sks'"):
        TextualInversion(**FEW).fit(model, x, PROMPT, captions=[None, "a disc"])
    DreamBooth(steps=1).fit(model, x, PROMPT, captions=[None, "a disc"])  # trainers allow it where no word is new
