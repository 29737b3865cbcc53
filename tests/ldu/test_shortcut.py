"""A shortcut answers as its base until it is trained, is told d as stock diffusers tells it, and knows its own base."""

import diffusers
import pytest
import torch

import tiny_dits
from tiny import FAMILIES, PROMPT, adapt, build, unet
from unlearnable.errors import UsageError
from unlearnable.ldu import teach
from unlearnable.ldu.config import ShortcutConfig
from unlearnable.ldu.consistency import finest
from unlearnable.ldu.phi import Phi, load_phi
from unlearnable.ldu.shortcut import WIDTH, Shortcut, features, fingerprint
from unlearnable.ldu.teach import ShortcutTrainer
from unlearnable.models.base import Condition
from unlearnable.rng import generator


def tiny(family="sd1", seed=0):
    return adapt((tiny_dits.build if family in tiny_dits.DITS else build)(family, seed), f"tiny-{family}")


def asked(model, count=3):
    """Latents, times and text to ask a network with."""
    rng = generator("asked", model.family)
    z = torch.randn(count, *model.latent_shape(16, 16), generator=rng)
    return z, torch.tensor([900, 400, 20][:count]), model.condition([PROMPT])


def stirred(shortcut):
    """The same shortcut with weights that do something, as if it had been trained."""
    rng = generator("stirred")
    for p in shortcut.parameters:
        p.data.copy_(0.1 * torch.randn(p.shape, generator=rng))
    return shortcut


@pytest.mark.parametrize("family", [*FAMILIES, *tiny_dits.some("chroma", "zimage")])
def test_it_starts_as_its_base_and_every_part_learns(family):
    base = tiny(family)
    z, t, c = asked(base)
    before = base.predict(z, t, c)
    shortcut = Shortcut(base, rank=2)
    h = torch.tensor([0, 3, 7])
    assert torch.allclose(shortcut.predict(z, t, h, c), before, atol=1e-5)
    for p in shortcut.parameters:
        p.requires_grad_(True)
    stirred(shortcut).predict(z, t, h, c).square().sum().backward()
    learns = [p.grad is not None and bool(p.grad.any()) for p in shortcut.parameters]
    assert learns[-1] and sum(learns) > 0.8 * len(learns)  # the last text stream of SD3 and Qwen leads nowhere
    assert torch.equal(base.predict(z, t, c), before), "the base is left as it is"


def test_it_is_told_the_jump_size_and_zero_means_ordinary():
    base = tiny("ddpm")
    z, t, c = asked(base)
    shortcut, ordinary = Shortcut(base, rank=2), finest(base.schedule) + 1
    shortcut.size.projection.weight.data.normal_(generator=generator("d"))
    answers = [shortcut.predict(z, t, torch.full_like(t, h), c) for h in (0, 1, 7, ordinary)]
    for i in range(3):
        assert (answers[i] - answers[i + 1]).abs().max() > 1e-3, "two jump sizes look alike"
    assert torch.allclose(answers[3], base.predict(z, t, c), atol=1e-5)
    assert torch.equal(answers[3], shortcut.model.predict(z, t, c)), "outside, d is zero"


def test_it_is_told_as_timestep_cond_tells_a_stock_unet():
    base = tiny("sd1")
    z, t, c = asked(base)
    shortcut, h = Shortcut(base, rank=2), torch.tensor([0, 4, 7])
    shortcut.size.projection.weight.data.normal_(generator=generator("d"))
    stock = unet(time_cond_proj_dim=WIDTH).eval()
    stock.load_state_dict(
        base.denoiser.state_dict() | {"time_embedding.cond_proj.weight": shortcut.size.projection.weight}
    )
    assert isinstance(stock, diffusers.UNet2DConditionModel)
    cond = features(h) - features(torch.full_like(h, 8))
    with torch.no_grad():
        wanted = stock(z, t, c.tensors["text"].expand(3, -1, -1), timestep_cond=cond).sample
        assert torch.allclose(shortcut.predict(z, t, h, c), wanted, atol=1e-5)


@pytest.mark.parametrize("family", [*FAMILIES, *tiny_dits.some("chroma", "zimage")])
def test_saved_and_loaded_it_is_the_same(family, tmp_path):
    base = tiny(family)
    z, _, c = asked(base, 2)
    shortcut = stirred(Shortcut(base, rank=2))
    shortcut.save(tmp_path / "s.safetensors", steps=3)
    phis = [Phi("shortcut", base, shortcut.step), load_phi(f"shortcut:{tmp_path / 's.safetensors'}", base)]
    with torch.no_grad():
        for k in (1, 2, 4, 8):
            one, two = (phi(z, c, phi.times(k, 1.0)) for phi in phis)
            # Halves have 11 bits, and an eps network's mistakes grow by the inverse of the signal.
            assert torch.allclose(one, two, rtol=0.02, atol=0.02 * float(one.std())), k
    assert "s.safetensors" in phis[1].describe()


def test_a_shortcut_of_another_base_is_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    Shortcut(tiny("sd1"), rank=2).save(path)
    for other in (tiny("sd1", seed=1), tiny("sd2"), tiny("sd3")):
        with pytest.raises(UsageError, match=r"was made for another model \('tiny-sd1'\).*train-shortcut"):
            Shortcut.load(path, other)


def test_the_base_is_known_by_its_content_in_any_type():
    one, other = tiny("sd1"), tiny("sd1")
    other.denoiser.bfloat16()
    assert fingerprint(one) == fingerprint(other) != fingerprint(tiny("sd1", seed=1))
    other.denoiser.float().conv_out.weight.data[0, 0] += 0.1
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_files_that_hold_no_shortcut(content, tmp_path):
    path = tmp_path / "s.safetensors"
    if content is None:
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"make (a shortcut|one) with `unlearnable train-shortcut`"):
        load_phi(f"shortcut:{path}", tiny())
    with pytest.raises(UsageError, match="there is no file"):
        load_phi("shortcut:nowhere", tiny())


def test_the_teacher_is_the_running_average_and_leaves_the_student_alone():
    base = tiny("sd1")
    shortcut = Shortcut(base, rank=2)
    teacher = ShortcutTrainer(shortcut, ShortcutConfig(steps=1, batch=4, share=1.0), captions=[0] * 4)
    stirred(shortcut)
    teacher.average.shadow_params = [p.detach().clone() * 3 for p in shortcut.parameters]
    student = [p.detach().clone() for p in shortcut.parameters]
    seen = []
    ask = shortcut.predict

    def watched(z_t, t, h, c):
        seen.append(float(shortcut.parameters[0].detach().abs().sum()))
        return ask(z_t, t, h, c)

    shortcut.predict = watched
    c = base.condition([PROMPT, ""])
    teacher._loss("train", torch.randn(4, 4, 8, 8, generator=generator("z")), [], c)
    assert seen == pytest.approx([3 * seen[2], 3 * seen[2], seen[2]])
    assert all(torch.equal(p, q) for p, q in zip(shortcut.parameters, student))


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_frozen_base_answers_for_no_jump_where_nothing_else_is_learned(share, monkeypatch):
    base, given = tiny("sd1"), []
    shortcut, most = Shortcut(base, rank=2), finest(base.schedule)
    stirred(shortcut)
    monkeypatch.setattr(teach, "shortcut_loss", lambda *args: given.append(args[2]) or torch.zeros(1))
    c = base.condition([PROMPT, PROMPT, ""])
    teacher = ShortcutTrainer(shortcut, ShortcutConfig(steps=1, batch=2, share=share, empty=0.0), captions=[0, 0])
    z, t = torch.randn(2, 4, 8, 8, generator=generator("z")), torch.tensor([500, 500])
    with torch.no_grad():
        teacher._loss("train", z, [], c)
        found, plain = given[0](z, t, torch.tensor([most + 1, most])), base.predict(z, t, base.condition([PROMPT]))
    assert torch.allclose(found[0], plain[0], atol=1e-6) == (share == 1)
    assert not torch.allclose(found[1], plain[1], atol=1e-3)


def test_texts_follow_their_pictures_and_some_are_empty():
    base = tiny("sd1")
    texts = torch.arange(4.0).view(4, 1, 1).expand(4, 77, 16)  # three captions, then the empty text
    shortcut, seen = Shortcut(base, rank=2), []
    shortcut.predict = lambda z, t, h, c: seen.append(c.tensors["text"][:, 0, 0]) or z
    z = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 4, 8, 8) * 1e3
    teacher = ShortcutTrainer(shortcut, ShortcutConfig(steps=1, batch=3, share=0.0, empty=0.3), captions=[0, 1, 2])
    for teacher.done in range(200):
        teacher._loss("train", z, [], Condition({"text": texts}))
    found = torch.cat(seen)
    assert 0.2 < float((found == 3).float().mean()) < 0.4
    assert len(found.unique()) == 4
