"""Each adapter against stock diffusers, all six families: same loss, same latents, same text, same samples."""

from functools import cache
from typing import Any

import pytest
import torch
from diffusers import DDIMPipeline
from torch import Tensor
from torch.testing import assert_close

import by_hand
import tiny
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.models.schedule import CLEAN
from unlearnable.rng import normal

LATENT = tuple(family for family in tiny.FAMILIES if family != "ddpm")
PROMPTS = ["a photo of sks", "quite another picture, in oils"]
SHAPE = (32, 48)  # not square, so that rows and columns cannot change places unseen
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}

every_family = pytest.mark.parametrize("family", tiny.FAMILIES)
every_latent = pytest.mark.parametrize("family", LATENT)


@cache
def both(family: str) -> tuple[Any, Model]:
    """A stock pipeline, and our model over another pipeline of the same weights; scale and shift that matter."""
    pipes = [tiny.build(family, seed=3) for _ in range(2)]
    for pipe in pipes:
        if family != "ddpm":
            pipe.vae.register_to_config(scaling_factor=0.7)
        pipe.set_progress_bar_config(disable=True)
    return pipes[0], adapt(pipes[1], family)


def pictures(count: int = 2) -> Tensor:
    return tiny.pictures(count, side=48)[:, :, : SHAPE[0]].contiguous()


def draw(model: Model, *times: int) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        z = model.encode(pictures(len(times)))
    return z, normal([str(t) for t in times], z.shape[1:], "adapter"), torch.tensor(times)


@every_family
@torch.no_grad()
def test_the_denoising_loss_is_the_one_written_by_hand(family):
    stock, model = both(family)
    for times in [(0, 999), (400, 17), (731, 732)]:
        z, noise, t = draw(model, *times)
        z_t = by_hand.noised(family, stock, z, noise, t)
        out = by_hand.answered(family, stock, z_t, t, PROMPTS)
        expected = (out - by_hand.target(family, stock, z, noise, t)).square().mean((1, 2, 3))
        assert_close(model.noised(z, noise, t), z_t, **TOLERANCE)
        assert_close(denoising_loss(model, z, noise, t, model.condition(PROMPTS)), expected, **TOLERANCE)


@every_family
@torch.no_grad()
def test_the_answer_depends_on_all_it_is_given(family):
    """Otherwise the comparison above would prove little."""
    _, model = both(family)
    z, noise, t = draw(model, 300, 300)
    c = model.condition(PROMPTS)
    answer = model.predict(z, t, c)
    others = [model.predict(noise, t, c), model.predict(z, t + 200, c)]
    if family != "ddpm":
        others.append(model.predict(z, t, model.condition(PROMPTS[::-1])))
        for name, value in c.tensors.items():
            swapped = type(c)({**c.tensors, name: value.flip(0)})
            others.append(model.predict(z, t, swapped))
    for other in others:
        assert (other - answer).abs().max() > 10 * (TOLERANCE["atol"] + TOLERANCE["rtol"] * float(answer.abs().max()))


@torch.no_grad()
def test_a_guidance_distilled_flux_is_asked_at_guidance_one():
    stock, model = both("flux")
    z, _, t = draw(model, 500, 200)
    answer = model.predict(z, t, model.condition(PROMPTS))
    strong = by_hand.answered("flux", stock, z, t, PROMPTS, guidance=3.5)
    assert_close(answer, by_hand.answered("flux", stock, z, t, PROMPTS, guidance=1.0), **TOLERANCE)
    assert (answer - strong).abs().max() > 1e-3


@every_latent
@torch.no_grad()
def test_encode_and_decode_are_the_pipelines(family):
    stock, model = both(family)
    x = pictures()
    z = model.encode(x)
    assert_close(z, by_hand.encoded(stock, x), **TOLERANCE)
    assert z.shape[1:] == model.latent_shape(*SHAPE)
    assert_close(model.decode(z).clamp(0, 1), by_hand.decoded(stock, z), **TOLERANCE)


@torch.no_grad()
def test_a_pixel_models_latents_are_the_picture_from_minus_one_to_one():
    _, model = both("ddpm")
    x = pictures()
    assert_close(model.encode(x), 2 * x - 1)
    assert_close(model.decode(model.encode(x)), x)
    assert model.latent_shape(*SHAPE) == (3, *SHAPE)


@every_family
@torch.no_grad()
def test_the_text_is_encoded_as_the_pipeline_does(family):
    stock, model = both(family)
    expected = by_hand.conditioned(family, stock, PROMPTS)
    expected.pop("ids", None)
    got = model.condition(PROMPTS).tensors
    assert got.keys() == expected.keys()
    for name, value in got.items():
        assert_close(value, expected[name])


@every_family
@torch.no_grad()
def test_a_single_prompt_serves_the_whole_batch(family):
    _, model = both(family)
    z, _, t = draw(model, 100, 600, 900)
    one, many = model.condition(PROMPTS[:1]), model.condition(PROMPTS[:1] * 3)
    assert_close(model.predict(z, t, one), model.predict(z, t, many), **TOLERANCE)
    for name, value in one.expand(3).tensors.items():
        assert_close(value, many.tensors[name], **TOLERANCE)
    assert_close(model.predict(z[1:2], t[1:2], one), model.predict(z, t, one)[1:2], **TOLERANCE)


@pytest.mark.parametrize(("family", "tokens"), [("sd3", 256 + 77), ("flux", 512)])
@torch.no_grad()
def test_long_prompts_get_the_pipelines_own_number_of_tokens(family, tokens):
    pipe = tiny.build(family)
    name = "tokenizer_3" if family == "sd3" else "tokenizer_2"
    getattr(pipe, name).model_max_length = 512  # as real T5 tokenizers of these models have it
    assert adapt(pipe, family).condition(["a"]).tensors["text"].shape[1] == tokens


@torch.no_grad()
def test_sd3_works_without_its_t5():
    pipe = tiny.build("sd3")
    pipe.text_encoder_3, pipe.tokenizer_3 = None, None
    model = adapt(pipe, "sd3")
    z, _, t = draw(model, 100)
    expected, _, _, _ = pipe.encode_prompt(["a"], ["a"], ["a"], device="cpu", do_classifier_free_guidance=False)
    assert_close(model.condition(["a"]).tensors["text"], expected)
    assert model.predict(z, t, model.condition(["a"])).isfinite().all()


@torch.no_grad()
def test_sd3_is_told_exact_times_in_half_precision():
    """bfloat16 knows 996 and 1000 but nothing between them; the stock pipeline passes float32 times."""
    pipe = tiny.build("sd3").to(dtype=torch.bfloat16)
    model, told = adapt(pipe, "sd3"), []
    pipe.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["timestep"]), with_kwargs=True
    )
    z, _, t = draw(model, 990, 995)
    model.predict(z, t, model.condition(["a"]))
    assert_close(told[0], by_hand.scheduler_of(pipe).timesteps.flip(0)[t])


@torch.no_grad()
def sampled(model: Model, z: Tensor, times: list[int]) -> Tensor:
    c = model.condition(PROMPTS[:1])
    for t, s in zip(times, [*times[1:], CLEAN]):
        t_now, t_next = torch.tensor([t]), torch.tensor([s])
        z = model.jump(z, t_now, t_next, model.predict(z, t_now, c))
    return model.decode(z).clamp(0, 1)


@every_latent
def test_sampling_with_jumps_gives_the_stock_pipelines_picture(family):
    stock, model = both(family)
    start = normal(["start"], model.latent_shape(*SHAPE), "sample")
    common = {"prompt": PROMPTS[0], "height": SHAPE[0], "width": SHAPE[1], "guidance_scale": 1.0, "output_type": "pt"}
    if family in by_hand.FLOWS:
        times = model.schedule.spaced(4)
        given = {"sigmas": [(t + 1) / 1000 for t in times]}
        latents = stock._pack_latents(start, *start.shape) if family == "flux" else start
    else:
        stock.scheduler.set_timesteps(4)
        times = stock.scheduler.timesteps.tolist()
        given, latents = {}, start
    if family in ("sd3", "flux"):
        given["max_sequence_length"] = by_hand.TEXT_TOKENS
    picture = stock(**common, **given, latents=latents.clone(), num_inference_steps=4).images
    got = sampled(model, start, times)
    assert_close(got, picture, rtol=1e-3, atol=1e-4)
    assert got.std() > 0.01


def test_sampling_a_pixel_model_gives_the_stock_ddim_pipelines_picture():
    stock, model = both("ddpm")
    pipe = DDIMPipeline(stock.unet, stock.scheduler)
    pipe.scheduler.register_to_config(clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    rng = torch.Generator().manual_seed(5)
    picture = pipe(generator=rng, num_inference_steps=5, output_type="pt").images
    start = torch.randn(1, 3, 16, 16, generator=rng.manual_seed(5))
    assert_close(
        sampled(model, start, pipe.scheduler.timesteps.tolist()), torch.as_tensor(picture), rtol=1e-3, atol=1e-4
    )


@every_family
def test_the_gradient_of_the_loss_reaches_the_pixels(family):
    """Central differences along the gradient and along random directions, with the networks in double precision."""
    pipe = tiny.build(family, seed=3).to(dtype=torch.float64)
    model = adapt(pipe, family)
    x = pictures()
    _, noise, t = draw(model, 250, 600)
    with torch.no_grad():
        c = model.condition(PROMPTS)

    def loss(at: Tensor) -> Tensor:
        return denoising_loss(model, model.encode(at), noise, t, c).double().sum()

    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert (gradient != 0).float().mean() > 0.99
    for way in [gradient.sign(), *normal(["0", "1", "2"], x.shape, "way")]:
        with torch.no_grad():
            near, far = (float(loss(x + h * way) - loss(x - h * way)) / (2 * h) for h in (1e-3, 2e-3))
        slope = (4 * near - far) / 3  # Richardson: the third-order error of central differences cancels
        assert slope == pytest.approx(float((gradient * way).sum()), rel=5e-3, abs=2e-4)
