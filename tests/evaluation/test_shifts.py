"""`encoders check`: shifts against a closed form, noise against noise, an ascent against both, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import tiny
from unlearnable.cli import app
from unlearnable.errors import PictureError, UsageError
from unlearnable.evaluation.rates import Estimate
from unlearnable.evaluation.shifts import compare, summary
from unlearnable.models.encoders import load as encoders
from unlearnable.models.encoders.load import Encoder

IDENTITY = Encoder("pixels", "test", True, torch.nn.Identity(), lambda network, x: x, 8)


def write(folder, pixels):
    folder.mkdir(exist_ok=True)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def clean():
    return [(x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for x in tiny.pictures(4, seed=3, side=64)]


def test_a_shift_in_spreads_by_the_closed_form(clean, tmp_path):
    """With the pixels as latents: the change's root mean square by channel, over each channel's deviation."""
    moved = [np.where(x > 127, x - 4, x + 4).astype(np.uint8) for x in clean]
    report = compare(write(tmp_path / "a", clean), write(tmp_path / "b", moved), [IDENTITY], purify=["none"])
    whole = np.stack(clean).reshape(-1, 3) / 255
    want = np.sqrt(((4 / 255) ** 2 / whole.var(0)).mean())
    shift = report.shifts[0]
    assert shift.protected == pytest.approx([want] * 4, rel=1e-4) and shift.noise == pytest.approx([want] * 4, rel=1e-4)
    assert shift.ratio.value == pytest.approx(1) and report.names == ("0.png", "1.png", "2.png", "3.png")


def test_what_is_made_against_an_encoder_moves_it_further_than_noise(clean, tmp_path):
    encoder = encoders.load("sd1", offline=True)[0]
    x = torch.stack([torch.from_numpy(p).permute(2, 0, 1) for p in clean]) / 255
    y = (x + 4 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()).clamp(0, 1)
    signs = [(y.permute(0, 2, 3, 1) * 255).round().byte().numpy()]
    for _ in range(5):
        y.requires_grad_(True)
        (g,) = torch.autograd.grad((encoder(y) - encoder(x).detach()).square().sum(), y)
        y = torch.min(torch.max(y.detach() + 2 / 255 * g.sign(), x - 4 / 255), x + 4 / 255).clamp(0, 1)
    signs.append((y.permute(0, 2, 3, 1) * 255).round().byte().numpy())
    folder = write(tmp_path / "clean", clean)
    noise, made = (
        compare(folder, write(tmp_path / str(i), list(p)), [encoder], purify=["none"]).shifts[0]
        for i, p in enumerate(signs)
    )
    assert 0.8 < noise.ratio.value < 1.25 and noise.ratio.low < 1 < noise.ratio.high
    assert made.ratio.value > 1.8 and made.ratio.low > 1.2


def test_what_cannot_be_compared_is_a_sentence(clean, tmp_path):
    folder = write(tmp_path / "a", clean[:2])
    other = write(tmp_path / "b", [clean[0], clean[1][:40]])
    report = compare(folder, other, [IDENTITY], purify=["none"])
    assert report.names == ("0.png",) and "64 x 64 and 64 x 40 px" in report.failed[0]
    with pytest.raises(PictureError, match="no pair of pictures can be compared"):
        compare(folder / "1.png", other / "1.png", [IDENTITY])
    with pytest.raises(UsageError, match="needs a model"):
        compare(folder, other, [IDENTITY], purify=["diffpure"])
    Image.fromarray(clean[0]).save(write(tmp_path / "c", []) / "else.png")
    with pytest.raises(UsageError, match="give the protected twins"):
        compare(folder, tmp_path / "c", [IDENTITY])


def test_the_command(clean, tmp_path):
    folder, same = write(tmp_path / "a", clean[:2]), write(tmp_path / "b", [255 - x for x in clean[:2]])
    run = CliRunner().invoke
    done = run(app, ["encoders", "check", str(folder), str(same), "--against", "sd1", "--least", "0.1"])
    assert done.exit_code == 0 and "sd1" in done.stdout and "resize:0.5+jpeg:75" in done.stdout, done.output
    done = run(app, ["encoders", "check", str(folder), str(same), "--against", "sd1", "--json", "--least", "99"])
    found = json.loads(done.stdout.splitlines()[0])
    assert done.exit_code == 1 and [s["behind"] for s in found["shifts"]] == ["none", "resize:0.5+jpeg:75"]
    assert not found["shifts"][0]["real"] and len(found["shifts"][0]["protected"]) == 2
    listed = run(app, ["encoders", "list"]).stdout
    assert "flux2" in listed and "stand-in ships" in listed and "Ideogram 4" in listed


def test_a_summary_is_one_sentence(clean, tmp_path):
    moved = [np.where(x > 127, x - 4, x + 4).astype(np.uint8) for x in clean]
    folder = write(tmp_path / "a", clean)
    shifts = compare(folder, write(tmp_path / "b", moved), [IDENTITY], purify=["none"]).shifts
    assert summary(shifts).endswith("random noise of the same size does: pixels 1.0.")
    behind = replace(shifts[0], purify="jpeg:75", ratio=Estimate(2.345), real=False)
    other = replace(shifts[0], encoder="other", real=False)
    text = summary([shifts[0], behind, other, replace(other, purify="jpeg:75")])
    assert text.endswith(": pixels 1.0, 2.3 behind jpeg:75; other (a stand-in) 1.0, 1.0 behind jpeg:75.")
    same = compare(folder, folder, [IDENTITY], purify=["none"]).shifts
    assert summary(same).endswith("pixels not at all.")
