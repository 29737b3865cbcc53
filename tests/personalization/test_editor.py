"""The editor against SDEdit's loop written by hand, and the judge against known edits."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from typer.testing import CliRunner

import tiny
from unlearnable import cli
from unlearnable.errors import SetupError, UsageError
from unlearnable.evaluation.editing import ANOTHER, edits, judged
from unlearnable.jobs.edit import edit
from unlearnable.metrics import fidelity
from unlearnable.metrics.features import features
from unlearnable.models.adapters import adapt
from unlearnable.personalization.editor import Editor
from unlearnable.rng import generator
from unlearnable.storage.locks import alone

PROMPT = "a red disc"


def by_hand(model, x, prompt, name, steps, strength, guidance, seed=0):
    """SDEdit with DDIM (arXiv 2010.02502, eq. 12, eta 0) and classifier-free guidance, one picture ``[1 3 s s]``."""
    ab, rng = model.pipe.scheduler.alphas_cumprod, generator(seed, "edit", name)
    posterior = model.vae.encode(2 * x - 1).latent_dist
    z = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=rng)
    stride, count = 1000 // steps, int(steps * strength)
    times = [i * stride + 1 for i in range(count)][::-1]  # the scheduler counts from 1
    z = ab[times[0]].sqrt() * z + (1 - ab[times[0]]).sqrt() * torch.randn(z.shape, generator=rng)
    text = [model.pipe.encode_prompt([words], "cpu", 1, False)[0] for words in ("", prompt)]
    for t in times:
        none, some = (model.pipe.unet(z, t, c).sample for c in text)
        out, a, s = none + guidance * (some - none), ab[t].sqrt(), (1 - ab[t]).sqrt()
        clean, noise = ((z - s * out) / a, out) if model.family == "sd1" else (a * z - s * out, a * out + s * z)
        after = ab[max(0, t - stride)]
        z = after.sqrt() * clean + (1 - after).sqrt() * noise
    return (model.vae.decode(z).sample / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize(("family", "strength"), [("sd1", 0.5), ("sd1", 1.0), ("sd2", 0.7)])
@torch.no_grad()
def test_an_edit_is_sdedit_by_hand(family, strength):
    model, x = adapt(tiny.build(family, seed=4), family), tiny.pictures(2, seed=3)
    made = Editor(strength=strength, steps=10, guidance=3.0)(model, x, PROMPT, keys=["one", "two"])
    for image, clean, name in zip(made, x, ("one", "two")):
        assert_close(image[None], by_hand(model, clean[None], PROMPT, name, 10, strength, 3.0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_every_family_edits_and_each_picture_by_itself(family):
    model, x = adapt(tiny.build(family, seed=4), family), tiny.pictures(5, seed=3)
    model.size = 32
    editor = Editor(strength=0.5, steps=4)
    made = editor(model, x, PROMPT)
    assert made.shape == x.shape and made.min() >= 0 and made.max() <= 1
    assert_close(editor(model, x[4:], PROMPT), made[4:], rtol=1e-3, atol=1e-4)
    for other in (editor(model, x[:1], PROMPT, seed=1), editor(model, x[1:2], PROMPT, keys=["0"])):
        assert (other - made[:1]).abs().max() > 1e-2


@torch.no_grad()
def test_inpainting_paints_under_the_mask_alone():
    model, x = tiny.fitted("sd1"), tiny.pictures(2, seed=3)
    editor, left = Editor(strength=0.9, steps=10), torch.zeros(2, 1, 32, 32)
    kept = editor(model, x, PROMPT, keys=["a", "b"], mask=left)  # no light part: the autoencoder's round trip
    posterior = model.vae.encode(2 * x - 1).latent_dist
    draws = [torch.randn(posterior.mean.shape[1:], generator=generator(0, "edit", name)) for name in ("a", "b")]
    z = posterior.mean + posterior.std * torch.stack(draws)
    assert_close(kept, (model.vae.decode(z).sample / 2 + 0.5).clamp(0, 1), rtol=1e-3, atol=1e-4)
    left[..., :16] = 1
    change = (editor(model, x, PROMPT, keys=["a", "b"], mask=left) - kept).abs().mean((0, 1, 2))
    assert change[:12].mean() > 3 * change[20:].mean() > 0


def test_wrong_settings_are_one_sentence():
    with pytest.raises(UsageError, match=r"strength 1.5 is no share of the noise"):
        Editor(strength=1.5)
    with pytest.raises(UsageError, match=r"3 steps at strength 0.2 are none at all"):
        Editor(strength=0.2, steps=3)
    with pytest.raises(UsageError, match="reads no prompt, so nothing edits with it: use a latent model"):
        Editor()(adapt(tiny.build("ddpm"), "tiny"), tiny.pictures(1, side=16), PROMPT)


def test_the_judge_compares_edits_with_those_of_the_originals():
    x, network = tiny.pictures(6, seed=2), features()
    far, near = x.flip(-1), (x + 0.01).clamp(0, 1)

    def mirror(images, seed):
        return images.flip(-2) if seed == 7 else 1 - images

    def compared(protected, control, clean=x, together=4):
        chunks = zip(clean.split(together), protected.split(together), control.split(together))
        return judged((edits(mirror, a, {"protected": b, "control": c}, 7) for a, b, c in chunks), network)

    found = compared(far, near)
    assert found.distances["protected"]["psnr"].value == pytest.approx(float(fidelity.psnr(far, x).mean()))
    assert found.distances["control"]["ssim"].value == pytest.approx(float(fidelity.ssim(near, x).mean()), rel=1e-4)
    assert found.distances[ANOTHER]["psnr"].value == pytest.approx(float(fidelity.psnr(1 - x, x.flip(-2)).mean()))
    assert found.sentence.startswith("Disturbed") and found.over_control.low > 0
    swapped = compared(near, far)
    assert swapped.sentence.startswith("Not disturbed")
    assert compared(far, near, together=6).over_control.value == pytest.approx(found.over_control.value, rel=1e-4)
    alone = compared(far[:1], near[:1], x[:1])
    assert alone.sentence.startswith("Not shown")


def folder(place, images):
    place.mkdir()
    for i, x in enumerate(images):
        Image.fromarray((x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(place / f"{i}.png")
    return place


@pytest.mark.slow
def test_a_protection_against_editing_disturbs_edits_more_than_noise(tmp_path):
    """PhotoGuard's diffusion attack in 20 steps on the fitted model, judged on the saved files."""
    from dataclasses import replace

    from unlearnable.protection.constraints import LinfConstraint
    from unlearnable.protection.estimator import Estimator
    from unlearnable.protection.methods.photoguard_diffusion import PAPER

    model, x = tiny.fitted("sd1"), tiny.pictures(4, seed=6)
    method = replace(PAPER, constraint=LinfConstraint(16), estimator=Estimator(), steps=20)
    protected = method(model, x, prompt="")
    places = folder(tmp_path / "clean", x), folder(tmp_path / "protected", protected)
    editor = Editor(strength=0.4, steps=10, guidance=1.0)
    report = edit(*places, tmp_path / "out", prompt=tiny.PROMPT, editor=editor, model=model)
    psnr = {kind: row["psnr"]["mean"] for kind, row in report["distances"].items()}
    assert psnr["protected"] < psnr["control"] - 8, psnr  # 24 dB apart here, whatever the seed
    assert report["sentence"].startswith("Disturbed")
    assert json.loads((tmp_path / "out" / "edit.json").read_text())["sentence"] == report["sentence"]
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4 * 4 + 1
    assert (tmp_path / "out" / "another-seed" / "0.png.png").exists()
    purified = edit(*places, tmp_path / "two", prompt=tiny.PROMPT, editor=editor, model=model, purify="blur:3")
    assert purified["distances"]["protected"]["psnr"] != report["distances"]["protected"]["psnr"]


def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path):
    place = folder(tmp_path / "clean", tiny.pictures(1))
    said = CliRunner().invoke(cli.app, ["edit", str(place), str(place), "-o", str(tmp_path / "o"), "--prompt", " "])
    assert isinstance(said.exception, UsageError) and "the prompt is empty" in str(said.exception)
    assert not (tmp_path / "o").exists()


def test_a_folder_in_use_is_refused_before_a_model_is_loaded(tmp_path):
    for name in ("clean", "protected"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), (90, 120, 30)).save(tmp_path / name / "a.png")
    places = tmp_path / "clean", tmp_path / "protected", tmp_path / "out"
    with alone(tmp_path / "out"), pytest.raises(UsageError, match="out"):
        edit(*places, prompt="a dog", model="no/such-model", offline=True)
    with pytest.raises(SetupError, match="no/such-model"):
        edit(*places, prompt="a dog", model="no/such-model", offline=True)
