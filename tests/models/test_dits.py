"""The newer transformers against stock diffusers: what its pipelines get from their networks, and their pictures."""

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import tiny
import tiny_dits
from unlearnable.errors import UsageError
from unlearnable.models.adapters import ADAPTERS, TRANSFORMERS, adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.models.load import load_model
from unlearnable.models.outline import outline
from unlearnable.models.schedule import CLEAN, from_scheduler
from unlearnable.models.watch import cross_attentions, text_projections
from unlearnable.rng import normal

PROMPTS = ["a photo of sks", "quite another picture, in oils"]
SHAPE = (32, 64)  # not square, so that rows and columns cannot change places unseen
LATENT = (8, 16)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
TIMES = [799, 399]
ONE_STREAM = ("zimage", "lumina2")

every_family = pytest.mark.parametrize("family", tiny_dits.DITS)


@cache
def both(family: str) -> tuple[Any, Model]:
    """A stock pipeline with a first-order sampler, and our model over another pipeline of the same weights."""
    stock, other = (tiny_dits.build(family, seed=3) for _ in range(2))
    if family == "sana":  # as its training scripts load its multistep sampler
        stock.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    if family == "pixart":
        own = {"timestep_spacing": "leading", "clip_sample": False}
        stock.scheduler = diffusers.DDIMScheduler.from_config(stock.scheduler.config, **own)
    stock.set_progress_bar_config(disable=True)
    return stock, adapt(other, family)


def maps(family: str, pipe: Any, tokens: Tensor) -> Tensor:
    """What a pipeline's sampler sees, as maps of latents."""
    if family in ("chroma", "qwen"):
        return pipe._unpack_latents(tokens, *SHAPE, pipe.vae_scale_factor).reshape(len(tokens), 4, *LATENT)
    if family == "flux2":
        places = pipe._prepare_latent_ids(torch.zeros(len(tokens), 1, *LATENT))
        return pipe._unpack_latents_with_ids(tokens, places, *LATENT)
    return tokens


@every_family
@torch.no_grad()
def test_each_step_and_the_picture_are_the_stock_pipelines(family, monkeypatch):
    stock, model = both(family)
    start = normal(["one", "two"], model.latent_shape(*SHAPE), "sample")
    steps, times, given = [], TIMES, {"sigmas": [(t + 1) / 1000 for t in TIMES]}
    if family == "pixart":
        stock.scheduler.set_timesteps(2)
        times, given = stock.scheduler.timesteps.tolist(), {}
    step = stock.scheduler.step

    def watched(out: Tensor, t: Any, sample: Tensor, **more: Any) -> Any:
        steps.append((maps(family, stock, sample), maps(family, stock, out)))
        return step(out, t, sample, **more)

    monkeypatch.setattr(stock.scheduler, "step", watched)
    latents = stock._pack_latents(start, *start.shape) if family in ("chroma", "qwen") else start
    options = model.call(PROMPTS, guidance=1.0, side=32) | {"height": SHAPE[0], "width": SHAPE[1]}
    picture = stock(**options, **given, latents=latents.clone(), num_inference_steps=2, output_type="pt").images

    c, z = model.condition(PROMPTS), start
    assert len(steps) == len(times) == 2
    for t, s, (sample, out) in zip(times, [times[1], CLEAN], steps):
        before, after = torch.full([2], t), torch.full([2], s)
        assert_close(model.predict(sample, before, c), out, **TOLERANCE)
        z = model.jump(z, before, after, model.predict(z, before, c))
    assert_close(model.decode(z).clamp(0, 1), picture, rtol=1e-3, atol=1e-4)
    assert picture.std() > 0.01


@every_family
@torch.no_grad()
def test_the_answer_depends_on_all_it_is_given(family):
    """Otherwise the comparison above would prove little."""
    _, model = both(family)
    z, noise = model.encode(pictures()), normal(["1", "2"], model.latent_shape(*SHAPE), "adapter")
    assert z.shape == noise.shape
    t, c = torch.tensor([300, 300]), model.condition(PROMPTS)
    answer = model.predict(z, t, c)
    others = [model.predict(noise, t, c), model.predict(z, t + 200, c)]
    others += [model.predict(z, t, type(c)({**c.tensors, k: v.flip(0)})) for k, v in c.tensors.items()]
    for other in others:
        assert (other - answer).abs().max() > 10 * (TOLERANCE["atol"] + TOLERANCE["rtol"] * float(answer.abs().max()))
    one = model.condition(PROMPTS[:1])
    assert_close(model.predict(z, t, one)[:1], answer[:1], **TOLERANCE)
    for name, value in one.tensors.items():  # prompts that were encoded apart can be joined
        assert_close(torch.cat([value, model.condition(PROMPTS[1:]).tensors[name]]), c.tensors[name], **TOLERANCE)


@every_family
def test_the_gradient_of_the_loss_reaches_the_pixels(family):
    """Central differences along the gradient, with the networks in double precision."""
    model = adapt(tiny_dits.build(family, seed=3).to(dtype=torch.float64), family)
    x, t = pictures(), torch.tensor([250, 600])
    noise = normal(["1", "2"], model.latent_shape(*SHAPE), "adapter")
    with torch.no_grad():
        c = model.condition(PROMPTS)

    def loss(at: Tensor) -> Tensor:
        return denoising_loss(model, model.encode(at), noise, t, c).double().sum()

    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert (gradient != 0).float().mean() > 0.99
    way = gradient.sign()
    with torch.no_grad():
        near, far = (float(loss(x + h * way) - loss(x - h * way)) / (2 * h) for h in (5e-4, 1e-3))
    assert (4 * near - far) / 3 == pytest.approx(float((gradient * way).sum()), rel=5e-3, abs=2e-4)


@every_family
def test_a_folder_names_its_family_and_its_sizes(family, tmp_path):
    tiny_dits.build(family).save_pretrained(tmp_path)
    loaded, half = (load_model(str(tmp_path), device="cpu", dtype=kind) for kind in ("float32", "bfloat16"))
    built, known = adapt(tiny_dits.build(family), family), outline(str(tmp_path), "cpu")
    assert loaded.family == tiny_dits.DITS[family] and loaded.family in TRANSFORMERS
    assert (loaded.size, loaded.multiple) == (built.size, built.multiple) == (known.size, known.multiple)
    # shifted, these times are 500 and 1000: some networks take them in bfloat16, which has few others
    z, t = normal(["1", "2"], loaded.latent_shape(32, 32), "adapter"), torch.tensor([249, 999])
    with torch.no_grad():
        exact, again, rough = (m.predict(z, t, m.condition(PROMPTS)) for m in (built, loaded, half))
    assert_close(again, exact)
    assert rough.dtype == torch.float32 and 0 < (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_sanas_multistep_sampler_has_the_tables_of_its_flow():
    own = diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    schedule, flow = from_scheduler(own), from_scheduler(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    assert schedule.prediction == "flow"
    assert_close(schedule.noise, flow.noise)
    own.set_timesteps(3)  # of three steps each begins on a whole time
    assert_close(own.sigmas[:3], schedule.noise[[998, 665, 332]], **TOLERANCE)


def test_the_document_lists_every_pipeline_and_no_other():
    lines = (Path(__file__).parents[2] / "docs/how-to/gpu.md").read_text(encoding="utf-8").splitlines()
    listed = [line.split("|")[1] for line in lines if "Pipeline" in line and line.startswith("|")]
    assert sorted(name.strip() for names in listed for name in names.split(",")) == sorted(ADAPTERS)


def test_only_text_counts_as_text():
    """SD 3.5's second attention is to the picture; a single stream has no keys of the text alone."""
    layers = {family: len(text_projections(both(family)[1])) for family in tiny_dits.DITS if family not in ONE_STREAM}
    assert layers == {"qwen": 4, "flux2": 4, "chroma": 4, "sd35": 4, "sana": 4, "pixart": 4}
    for family in ONE_STREAM:
        with pytest.raises(UsageError, match=f"a {family} model has no cross-attention"):
            text_projections(both(family)[1])
    with pytest.raises(UsageError, match="use Stable Diffusion 1, 2 or XL"):
        cross_attentions(both("sana")[1])


def pictures() -> Tensor:
    return tiny.pictures(2, side=SHAPE[1])[:, :, : SHAPE[0]].contiguous()
