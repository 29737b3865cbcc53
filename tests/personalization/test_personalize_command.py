"""`unlearnable personalize`, in this process: what is written, what is said, and every way to ask for nonsense."""

import json
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image
from typer.testing import CliRunner

import tiny
import unlearnable
from unlearnable.cli import app
from unlearnable.errors import PictureError, UnlearnableError, UsageError
from unlearnable.images.tensors import pictures
from unlearnable.models.adapters import adapt
from unlearnable.models.finetune.training import Trainer

PROMPT = "a photo of sks disc"
QUICK = ("--steps", 2, "--samples", 2, "--prompt", PROMPT)


def command(*words):
    return CliRunner().invoke(app, ["personalize", *map(str, words)])


def sentence(*words) -> str:
    """What a failing command says, and that it is one of ours."""
    error = command(*words).exception
    assert isinstance(error, UnlearnableError), error
    return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.build("sd1").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of several sizes, none of them the model's."""
    folder = tmp_path_factory.mktemp("photos")
    for i, (rows, columns) in enumerate([(48, 48), (40, 64), (96, 33)]):
        pixels = (tiny.pictures(1, seed=i, side=96)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels[:rows, :columns]).save(folder / f"{i}.png")
    return folder


def test_it_writes_the_concept_its_samples_and_a_report(photos, model, tmp_path):
    done = command(photos, "-o", tmp_path / "out", "--model", model, "--held-out", photos, "--json", *QUICK)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report == {
        k: v for k, v in json.loads((tmp_path / "out" / "personalize.json").read_text()).items() if k in report
    }
    assert report["pictures"] == 3 and report["settings"]["steps"] == 2 and report["prompt"] == PROMPT
    assert report["fit"]["before"] > 0 and report["held_out"].keys() == {"before", "after"}
    assert {p.name for p in (tmp_path / "out" / "samples").iterdir()} == {"00.png", "01.png"}
    assert Image.open(tmp_path / "out" / "samples.png").width > 3 * 32
    StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").glob(".*")] == [".unlearnable.lock"]


def test_two_steps_do_not_learn_and_it_says_so(photos, model, tmp_path):
    done = command(photos, "-o", tmp_path, "--model", model, "--attack", "textual-inversion", *QUICK)
    assert "loss on its own pictures" in done.stdout
    assert "did not learn its own pictures" in done.stderr


def test_a_run_that_was_stopped_goes_on_by_the_same_command(photos, model, tmp_path, monkeypatch):
    step, stopped = Trainer._step, []

    def stop(trainer, loss):
        step(trainer, loss)
        if trainer.done == 2 and not stopped:
            stopped.append(trainer)
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_step", stop)
    words = (photos, "--model", model, "--attack", "lora", "--prompt", PROMPT, "--steps", 4, "--samples", 1)
    first = command(*words, "-o", tmp_path / "a")
    assert first.exit_code == 130 and "the same command goes on from its checkpoint" in first.stderr
    assert command(*words, "-o", tmp_path / "a").exit_code == 0
    assert command(*words, "-o", tmp_path / "b").exit_code == 0
    name = "pytorch_lora_weights.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "samples" / "00.png").read_bytes() == (tmp_path / "b" / "samples" / "00.png").read_bytes()
    assert "belongs to a training run with other settings" in sentence(*words, "-o", tmp_path / "a", "--lr", 1)


def test_an_unreadable_picture_is_named_and_the_others_go_on(photos, model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (tmp_path / "in" / "one.png").write_bytes((photos / "0.png").read_bytes())
    done = command(tmp_path / "in", "-o", tmp_path / "out", "--model", model, *QUICK)
    assert done.exit_code == 1 and "broken.png" in done.stderr and "1 picture learned" in done.stdout
    assert "one picture only" in done.stderr
    assert (tmp_path / "out" / "samples.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attack", "dreambuth"], "UsageError: unknown attacker 'dreambuth': did you mean 'dreambooth'?"),
        (["--preset", "papr"], "UsageError: unknown preset 'papr' of dreambooth: did you mean 'paper'?"),
        (["--prompt", "a dog"], "UsageError: the prompt 'a dog' does not hold the token 'sks'"),
        (["--steps", "0"], "UsageError: steps 0 is too small: give more than 0"),
        (["--lr", "-1"], "UsageError: lr -1 is too small"),
        (["--set", "stepps=3"], "UsageError: dreambooth has no setting 'stepps': did you mean 'steps'"),
        (["--set", "text_lr=fast"], "UsageError: setting 'text_lr' of dreambooth is 'fast': give a number"),
        (["--set", "augment=1"], "UsageError: setting 'augment' of dreambooth is 1: give true or false"),
        (["--set", "rank"], "UsageError: --set 'rank' has no value: write name=value"),
        (["--attack", "lora", "--set", "rank=0"], "UsageError: rank 0 is too small"),
        (["--model", "no/such", "--offline"], "SetupError: model 'no/such' is not on this machine"),
        (["--held-out", "nowhere"], "PictureError: none of the pictures can be read: nowhere"),
    ],
)
def test_nonsense_is_one_sentence(words, said, photos, model, tmp_path):
    assert sentence(photos, "-o", tmp_path / "out", "--model", model, *words).startswith(said)
    assert not (tmp_path / "out" / "training.safetensors").exists()


def test_no_pictures_and_no_folder_to_write_to(photos, model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "found no pictures" in sentence(tmp_path / "empty", "-o", tmp_path / "out")
    (tmp_path / "file").write_text("")
    assert "name another with -o" in sentence(photos, "-o", tmp_path / "file", "--model", model, *QUICK)
    assert "is the input and the output folder" in sentence(photos, "-o", photos, "--model", model, *QUICK)


@pytest.mark.parametrize(
    ("family", "attack", "said"),
    [
        ("ddpm", "dreambooth", "cannot train 'tiny', a ddpm model: use scratch"),
        ("ddpm", "textual-inversion", "use scratch"),
        ("sd3", "dreambooth", "cannot train 'tiny', a sd3 model: use lora"),
        ("flux", "textual-inversion", "use lora"),
        ("flux", "scratch", "use lora"),
    ],
)
def test_a_model_that_cannot_is_one_sentence(family, attack, said, photos, tmp_path):
    with pytest.raises(UsageError, match=said):
        unlearnable.personalize([photos], tmp_path, attack=attack, model=adapt(tiny.build(family), "tiny"))


def test_settings_reach_the_attacker(photos, model, tmp_path):
    words = ("--attack", "lora", "--set", "rank=2", "--set", "text_lr=1", "--set", "initial=red dog", "--token", "<x>")
    done = command(
        photos, "-o", tmp_path, "--model", model, *words, *QUICK, "--prompt", "a <x>", "--samples", 0, "--json"
    )
    settings = json.loads(done.stdout)["settings"]
    assert (settings["rank"], settings["text_lr"], settings["initial"], settings["token"]) == (2, 1, "red dog", "<x>")
    assert not (tmp_path / "samples.png").exists()


def test_class_pictures_switch_prior_preservation_on(photos, tmp_path, monkeypatch):
    priors, run = [], Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda *a, prior=None, **k: priors.append(prior) or run(*a, prior=prior, **k))
    common = {"model": adapt(tiny.build("sd1"), "tiny"), "settings": {"steps": 1}, "prompt": PROMPT, "samples": 0}
    unlearnable.personalize([photos], tmp_path / "with", class_images=[photos], **common)
    unlearnable.personalize([photos], tmp_path / "without", **common)
    assert len(priors[0].images) == 3 and priors[0].weight == 1 and priors[1] is None


def test_pictures_that_cannot_be_read_at_all(tmp_path):
    for name in "ab":
        Path(tmp_path / f"{name}.png").write_bytes(b"no")
    with pytest.raises(PictureError, match=r"none of the pictures can be read: .*a\.png.* \(and 1 more\)"):
        pictures([tmp_path], False)
