"""The loop against a ten-line textbook version, and the promises about randomness, masks, grey pictures and errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import PROMPT, adapt, build, fitted, loss_of, pictures
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.models import base
from unlearnable.models.finetune.training import FineTune
from unlearnable.protection import strengths, surrogates
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import L2Constraint, LinfConstraint, psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.methods import fsmg, udp
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.timesteps import draw, probabilities
from unlearnable.protection.transforms import EOT, fixed
from unlearnable.rng import generator, image_keys, normal

short = Protection("test", Objective(denoising), LinfConstraint(8), Pixels(0.2), steps=6)


def test_ascent_against_the_textbook():
    """AdvDM as its paper writes it: sign steps on the denoising loss, clamp to the ball, clamp to the picture."""
    model, x = fitted("sd1"), pictures(2, seed=9)
    ours = adjusted(short, start="zero")(model, x, prompt=PROMPT, seed=5)
    keys, p, y = image_keys(x), probabilities("uniform", model.schedule), x.clone()
    text = model.pipe.encode_prompt([PROMPT], "cpu", 1, False)[0].expand(2, -1, -1)
    ab = model.pipe.scheduler.alphas_cumprod
    for step in range(6):
        y = y.detach().requires_grad_(True)
        t = draw(p, keys, "time", 5, step, 0)
        noise = normal(keys, (4, 8, 8), "noise", 5, step, 0)
        z = model.vae.encode(2 * y - 1).latent_dist.mean
        z_t = ab[t].sqrt().view(-1, 1, 1, 1) * z + (1 - ab[t]).sqrt().view(-1, 1, 1, 1) * noise
        loss = ((model.denoiser(z_t, t, text)[0] - noise) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, y)
        y = torch.clamp(x + torch.clamp(y + 0.2 * 8 / 255 * gradient.sign() - x, -8 / 255, 8 / 255), 0, 1)
    same = ((ours - y).abs() < 1e-6).float().mean()
    assert same > 0.999  # a gradient of about zero may take either sign


@pytest.mark.parametrize(
    "settings", [short, adjusted(short, transforms=EOT), adjusted(short, constraint=psnr(36), eot_samples=2)]
)
def test_batch_and_order_do_not_matter(settings):
    model, x = fitted("sd1"), pictures(4, seed=8)
    together = settings(model, x, prompt=PROMPT, seed=1)
    backwards = settings(model, x.flip(0), prompt=PROMPT, seed=1).flip(0)
    alone = torch.cat([settings(model, row[None], prompt=PROMPT, seed=1) for row in x])
    for other in (backwards, alone):  # float error flips the sign of gradients near zero, in few pixels
        assert ((together - other).abs() < 1e-5).float().mean() > 0.98
    assert not torch.equal(together, settings(model, x, prompt=PROMPT, seed=2))


def test_zero_budget_gives_back_the_picture():
    model, x = fitted("sd1"), pictures(2)
    for constraint in (LinfConstraint(0), L2Constraint(0)):
        assert torch.equal(adjusted(short, constraint=constraint)(model, x), x)


def test_mask_and_grey():
    model, x = fitted("sd1"), pictures(2, seed=3)
    x[1] = x[1].mean(0, keepdim=True)
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., :16] = 1
    y = short(model, x, prompt=PROMPT, mask=mask)
    assert torch.equal(y[..., 16:], x[..., 16:]) and not torch.equal(y[..., :16], x[..., :16])
    assert (y[1] == y[1, :1]).all(), "a grey picture stays grey"
    assert not (y[0] == y[0, :1]).all()


def test_the_models_weights_are_left_alone():
    model, x = fitted("sd1"), pictures(2, seed=3)
    before = {k: v.clone() for k, v in model.denoiser.state_dict().items()}
    for name in ("aspl", "ace", "udp"):
        adjusted(strengths.protection(name), steps=1, rounds=2)(model, x, prompt=PROMPT)
    after = model.denoiser.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_surrogates_learn_what_they_say():
    """FSMG's has learned the clean pictures, UDP's the protected ones, ASPL's only after the ascent."""
    model, x = fitted("sd1"), 1 - pictures(4, seed=21)  # negatives, which the model has never seen
    noisy = (x + 0.2 * torch.randn(x.shape, generator=generator("n"))).clamp(0, 1)
    fit = FineTune(100, lr=1e-3)

    def begun(settings):
        return replace(settings, fit=fit).begin(model, PROMPT, 0)

    learned = begun(fsmg.LEARNED).before(x, noisy)[0].model
    assert loss_of(learned, x) < 0.9 * loss_of(model, x)
    assert loss_of(begun(udp.IN_TRAINING).before(x, noisy)[0].model, noisy) < 0.9 * loss_of(model, noisy)
    turn = begun(surrogates.ALTERNATING)
    aside = turn.before(x, noisy)[0].model
    assert loss_of(aside, x) < 0.9 * loss_of(model, x)
    assert loss_of(turn.trainer.model, x) == pytest.approx(loss_of(model, x)), "the clean lesson is forgotten"
    turn.after(x, noisy)
    assert loss_of(turn.trainer.model, noisy) < 0.9 * loss_of(model, noisy)


def test_a_set_of_other_pictures_may_teach_the_surrogate(tmp_path):
    """Anti-DreamBooth's set A: the clean lesson is that of the folder, whatever is being protected."""
    model, others = fitted("sd1"), 1 - pictures(4, seed=21)
    for i, x in enumerate(others):
        pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    settings = replace(surrogates.ALTERNATING, fit=FineTune(100, lr=1e-3), clean=str(tmp_path))
    first, second = (settings.begin(model, PROMPT, 0).before(x, x)[0] for x in (pictures(2), pictures(2, seed=9)))
    assert loss_of(first.model, others) < 0.9 * loss_of(model, others)
    assert all(torch.equal(a, b) for a, b in zip(first.model.denoiser.parameters(), second.model.denoiser.parameters()))


def test_surrogates_may_train_the_text_encoder_too():
    model, x = fitted("sd1"), 1 - pictures(4, seed=21)
    before = [p.clone() for p in model.pipe.text_encoder.parameters()]
    settings = replace(surrogates.ALTERNATING, fit=FineTune(20, lr=1e-3), text=True)
    turn = settings.begin(model, PROMPT, 0)
    aside = turn.before(x, x)[0]
    own = aside.model.pipe.text_encoder
    assert own is not turn.trainer.model.pipe.text_encoder is not model.pipe.text_encoder
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(own.parameters(), before)), "it has learned"
    with torch.no_grad():
        text, untrained = (m.condition([PROMPT]).tensors["text"] for m in (aside.model, model))
    assert torch.equal(aside.condition.tensors["text"], text) and not torch.equal(text, untrained)
    assert all(torch.equal(a, b) for a, b in zip(model.pipe.text_encoder.parameters(), before)), "the given one has not"
    with pytest.raises(UsageError, match="ddpm model has no CLIP text encoder"):
        settings.begin(fitted("ddpm"), PROMPT, 0)


def test_large_models_may_have_another_surrogate(monkeypatch):
    settings = surrogates.BySize(surrogates.ALTERNATING, surrogates.Frozen())
    model, x = fitted("sd1"), pictures(1)
    taught = settings.begin(model, PROMPT, 0).before(x, x)[0].model
    monkeypatch.setattr(base, "LARGE", 1)
    assert settings.begin(model, PROMPT, 0).before(x, x)[0].model is model and taught is not model


def test_transforms_in_the_loop_help_against_them():
    """What EOT is for: with blur in the loop, half as much again of the effect survives a blur."""
    model, x, soften = fitted("ddpm"), pictures(4, seed=30, side=16), fixed("blur", 0.7)
    plain = adjusted(short, constraint=LinfConstraint(16), steps=25, step=0.15, span=(0.0, 0.3), eot_samples=2)

    def effect(settings: Protection) -> float:
        survived = soften(settings(model, x))
        return float((plain.evaluate(model, survived) - plain.evaluate(model, soften(x))).mean())

    assert effect(adjusted(plain, transforms=(lambda x, rng: soften(x),))) > 1.5 * effect(plain) > 0


def test_bad_input_is_one_sentence():
    model = adapt(build("sd1"), "tiny")
    for images, remedy in ((torch.zeros(3, 32, 32), "give \\[batch"), (torch.zeros(1, 3, 30, 32), "multiples of 4")):
        with pytest.raises(UsageError, match=remedy):
            short(model, images)
    with pytest.raises(UsageError, match="scale it first"):
        strengths.protection("mist")(model, torch.zeros(1, 3, 32, 32), target=torch.zeros(1, 3, 16, 16))
    with pytest.raises(UnlearnableError, match=r"not finite at step 0.*--dtype float32"):
        adjusted(short, objective=Objective(lambda model, x, batch: x.flatten(1).sum(1) * float("nan")))(
            model, pictures(1)
        )
    with pytest.raises(UsageError, match=r"wrap the function, as in Objective\(denoising\)"):
        Protection("bare", denoising)
    with pytest.raises(UsageError, match="holds no time"):
        adjusted(short, span=(0.5, 0.5))(model, pictures(1))
