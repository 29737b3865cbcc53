"""DiffPure, GrIDPure and noisy upscaling against hand-written loops, stock diffusers and closed forms."""

from itertools import pairwise

import diffusers
import pytest
import torch
from gaussian import MEAN, SPREAD, exact_model

from tiny import adapt, build, clip, clip_tokenizer, ddim, fitted, pictures, unet, vae
from unlearnable.models import load
from unlearnable.models.schedule import CLEAN
from unlearnable.purification import redraw
from unlearnable.purification.chain import parse
from unlearnable.purification.diffpure import DiffPure, descent
from unlearnable.purification.gridpure import GridPure, grid
from unlearnable.purification.simple import Noise
from unlearnable.purification.upscale import Upscale
from unlearnable.purification.views import Tiling, by_views, usual
from unlearnable.rng import generator, image_keys, normal

X = pictures(2, seed=7)
T, STEPS, STRIDE = 0.2, 5, 40  # 200 of 1000 times in 5 steps: 199, 159, ..., 39 and the picture


def names(x):
    return [f"{key}:0" for key in image_keys(x)]


def draw(model, x, *name):
    return normal(names(x), model.latent_shape(*x.shape[-2:]), *name)


@torch.no_grad()
def diffusers_loop(model, x, eta, *name):
    """The same purification, written over diffusers' own DDIM step."""
    scheduler = diffusers.DDIMScheduler.from_config(model.pipe.scheduler.config, clip_sample=False)
    scheduler.set_timesteps(1000 // STRIDE)
    z, c = model.encode(x), model.condition([""])
    times = range(199, 0, -STRIDE)
    z = scheduler.add_noise(z, draw(model, x, *name, 199), torch.full([len(z)], 199))
    for t in times:
        out = model.predict(z, torch.full([len(z)], t), c)
        fresh = draw(model, x, *name, t - STRIDE)
        z = scheduler.step(out, t, z, eta=eta, variance_noise=fresh if eta else None).prev_sample
    return model.decode(z).clamp(0, 1)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "ddpm"])
def test_diffpure_is_a_loop_over_diffusers_ddim(family, eta):
    model = adapt(build(family), family)
    x = X[..., :16, :16] if family == "ddpm" else X
    y = DiffPure(T, STEPS, eta, model=model)(x, seed=3)
    assert (y - diffusers_loop(model, x, eta, 3, "diffpure")).abs().max() < 2e-5


def test_img2img_is_that_loop_by_the_model_that_it_names(monkeypatch):
    model, asked = adapt(build("sd2"), "tiny"), []
    monkeypatch.setattr(load, "load_model", lambda name: asked.append(name) or model)
    redraw.other.cache_clear()
    y = parse(f"img2img:{T}:{STEPS}:by=some/model")
    expected = (diffusers_loop(model, X, 0, 3, "redraw") * 255).round() / 255
    assert (y(X, seed=3) - expected).abs().max() < 1.01 / 255 and asked == ["some/model"]
    redraw.other.cache_clear()
    assert not y.needs_model


def test_deterministic_diffpure_is_stock_img2img():
    """Stable Diffusion's own img2img with an empty prompt, the same latents, noise and times."""
    model = adapt(build("sd1"), "tiny")
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**model.pipe.components, requires_safety_checker=False)
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.set_progress_bar_config(disable=True)
    x = X[:1]
    stock = pipe(
        prompt="", image=model.encode(x), strength=T, num_inference_steps=25, guidance_scale=1.0, output_type="pt",
        generator=generator(names(x)[0], 3, "diffpure", 199),
    ).images  # fmt: skip
    assert (DiffPure(T, STEPS, 0, model=model)(x, seed=3) - stock).abs().max() < 2e-5


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_deterministic_diffpure_of_flows_is_an_euler_loop(family):
    model = adapt(build(family), family)
    sigma = model.schedule.noise
    with torch.no_grad():
        z, c, times = model.encode(X), model.condition([""]), [*range(199, 0, -STRIDE), CLEAN]
        z = (1 - sigma[199]) * z + sigma[199] * draw(model, X, 3, "diffpure", 199)
        for t, s in pairwise(times):
            below = sigma[s] if s >= 0 else 0
            z = z + (below - sigma[t]) * model.predict(z, torch.full([2], t), c)
        expected = model.decode(z).clamp(0, 1)
    assert (DiffPure(T, STEPS, 0, model=model)(X, seed=3) - expected).abs().max() < 2e-5


@pytest.mark.parametrize("family", ["sd1", "sd3"])
@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_ancestral_moves_keep_the_forward_process(family, eta):
    """With the true answer, z_s must be distributed as noising would have it, whatever the share of fresh noise.

    At eta = 1 its covariance with z_t is that of the forward chain: ``Var(noise part) * signal_t / signal_s``.
    """
    schedule = adapt(build(family), family).schedule
    count, t, s = 400_000, torch.tensor([600]), torch.tensor([250])
    z = torch.full([1, count], 0.5)
    eps, fresh = (torch.randn(1, count, generator=generator(name)) for name in ("eps", "fresh"))
    z_t = schedule.noised(z, eps, t)
    z_s = schedule.ancestral(z_t, t, s, schedule.target(z, eps, t), fresh, eta)
    a, b = schedule.signal, schedule.noise
    assert abs(float(z_s.mean() - a[250] * 0.5)) < 0.005
    assert abs(float(z_s.std() / b[250]) - 1) < 0.005
    covariance = float(((z_s - z_s.mean()) * (z_t - z_t.mean())).mean())
    forward = float(a[600] / a[250] * b[250] ** 2)
    if eta == 1:
        assert abs(covariance / forward - 1) < 0.02
    else:
        assert covariance > 1.02 * forward


def test_deterministic_diffpure_by_closed_form():
    """Gaussian data: the ODE keeps every sample on its quantile, ``z_0 = m + (z_t - a m) r / sqrt(a^2 r^2 + s^2)``."""
    model = exact_model()
    x = pictures(1, seed=2, side=16)
    y = DiffPure(0.3, 300, 0, model=model)(x, seed=1)
    a, s = model.schedule.signal[299], model.schedule.noise[299]
    z_t = a * (2 * x - 1) + s * draw(model, x, 1, "diffpure", 299)
    z = MEAN + (z_t - a * MEAN) * SPREAD / (a**2 * SPREAD**2 + s**2).sqrt()
    assert (((z + 1) / 2).clamp(0, 1) - y).abs().max() < 5e-3  # what 300 steps leave of the discretisation


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_diffpure_gives_samples_of_the_data_back(eta):
    """A picture far from the data comes back as a sample of it: the right mean and spread."""
    model = exact_model()
    y = 2 * DiffPure(1.0, 200, eta, model=model)(torch.ones(3, 3, 16, 16), seed=1) - 1
    assert abs(float(y.mean()) - MEAN) < 0.03 and abs(float(y.std()) / SPREAD - 1) < 0.04


@pytest.mark.slow
def test_diffpure_takes_noise_away_from_what_the_model_knows():
    model, x = fitted("ddpm"), pictures(16, seed=40, side=16)
    noisy = Noise(24)(x, seed=1)
    for eta in (0.0, 1.0):
        pure = DiffPure(0.1, 20, eta, model=model)(noisy, seed=2)
        assert (pure - x).square().mean() < 0.8 * (noisy - x).square().mean()


@pytest.mark.parametrize("family", ["ddpm", "sd1"])
def test_gridpure_is_rounds_of_a_hand_written_loop(family):
    """One tile: z <- (1 - gamma) DiffPure(z) + gamma z in the model's own space, with fresh noise in every round."""
    model = adapt(build(family), family)
    x = X[..., :16, :16]
    tiles, times = [f"{name}:0" for name in names(x)], [*range(9, -1, -1), CLEAN]

    def fresh(number, time):
        return normal(tiles, model.latent_shape(16, 16), 5, "gridpure", number, time)

    with torch.no_grad():
        before = model.encode(x)
        for number in range(3):
            z = model.noised(before, fresh(number, 9), torch.full([2], 9))
            for t, s in pairwise(times):
                out = model.predict(z, torch.full([2], t), model.condition([""]))
                z = model.schedule.ancestral(z, torch.full([2], t), torch.full([2], s), out, fresh(number, s))
            before = 0.9 * z + 0.1 * before
        expected = model.decode(before).clamp(0, 1)
    assert (GridPure(rounds=3, model=model)(x, seed=5) - expected).abs().max() < 2e-5


def test_the_grid_covers_a_picture_of_twice_the_models_size_with_nine_tiles(monkeypatch):
    """As in the paper: 256 px tiles at a stride of 128 on 512 px."""
    from unlearnable.purification import gridpure

    seen = []
    monkeypatch.setattr(gridpure, "there_and_back", lambda model, z, *_: seen.append(tuple(z.shape)) or z)
    x = pictures(1, side=64)
    GridPure(rounds=1, model=adapt(build("sd1"), "sd1"))(x)
    assert sum(shape[0] for shape in seen) == 9 and {shape[1:] for shape in seen} == {(4, 8, 8)}


def test_gridpure_with_all_gamma_changes_nothing():
    assert torch.allclose(GridPure(0.1, 2, 1.0, model=exact_model())(X), X, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (24, 24), (25, 40), (7, 90), (3, 3)])
def test_views_fit_the_model_and_join_without_a_trace(size):
    model, x = exact_model(), pictures(2, seed=1, side=96)[..., : size[0], : size[1]]
    seen, called = [], []

    def darker(views, keys):
        seen.append(views.shape)
        called.extend(keys)
        return views / 2

    for tiling in (usual(model), grid(model)):
        seen.clear(), called.clear()
        y = by_views(x.device, tiling, x, ["a", "b"], darker)
        assert (y - x / 2).abs().max() < 1e-6
        assert all(side % model.multiple == 0 and side <= tiling.tile for shape in seen for side in shape[-2:])
        assert len(set(called)) == len(called) == sum(shape[0] for shape in seen)
        assert torch.equal(by_views(x.device, tiling, x, ["a", "b"], lambda views, keys: views), x)


def test_a_full_memory_is_one_sentence():
    def greedy(views, keys):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(Exception, match="views of 16x16 do not fit into memory: use a smaller model"):
        by_views(X.device, Tiling(16, 2, 4), X[..., :16, :16], ["a", "b"], greedy)


def test_upscaling_by_the_model_itself_is_noise_then_img2img_on_the_enlarged_picture():
    model, x = adapt(build("ddpm"), "ddpm"), X[:1, :, :12, :12]
    noisy = (x + 20 / 255 * normal(image_keys(x), x.shape[1:], 3, "purify", "noise")).clamp(0, 1)
    large = torch.nn.functional.interpolate(noisy, scale_factor=2, mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        noise = normal(names(x), (3, 24, 24), 3, "upscale", 199)
        z = model.noised(2 * large - 1, noise, torch.tensor([199]))
        for t, s in pairwise([*range(199, 0, -STRIDE), CLEAN]):
            t, s = torch.tensor([t]), torch.tensor([s])
            z = model.jump(z, t, s, model.predict(z, t, model.condition([""])))
    pure = ((z + 1) / 2).clamp(0, 1)
    expected = torch.nn.functional.interpolate(pure, size=[12, 12], mode="bicubic", antialias=True).clamp(0, 1)
    y = Upscale(20, T, 2, STEPS, model=model)(x, seed=3)
    assert (y - expected).abs().max() < 2e-5


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    """A tiny x4 upscaler in a folder."""
    torch.manual_seed(0)
    pipe = diffusers.StableDiffusionUpscalePipeline(
        vae=vae(4), text_encoder=clip(), tokenizer=clip_tokenizer(), scheduler=ddim("v_prediction"),
        unet=unet(in_channels=7, out_channels=4, num_class_embeds=1000), low_res_scheduler=diffusers.DDPMScheduler(),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("upscaler")
    pipe.save_pretrained(folder)
    return folder


def test_upscaling_by_a_pipeline_is_that_pipeline_scaled_back(upscaler):
    purifier = Upscale(20, steps=3, upscaler=str(upscaler))
    y = purifier(X, seed=4)
    assert y.shape == X.shape and y.min() >= 0 and y.max() <= 1
    assert (y[1:] - purifier(X[1:], seed=4)).abs().max() < 1e-5 and not torch.equal(y, purifier(X, seed=5))
    pipe = diffusers.StableDiffusionUpscalePipeline.from_pretrained(upscaler)
    pipe.set_progress_bar_config(disable=True)
    noisy = (X[:1] + 20 / 255 * normal(image_keys(X[:1]), X.shape[1:], 4, "purify", "noise")).clamp(0, 1)
    key = f"{image_keys(X)[0]}:0"
    stock = pipe(
        prompt="", image=noisy, num_inference_steps=3, guidance_scale=1.0, noise_level=320, output_type="pt",
        generator=generator(key, 4, "upscaler"),
    ).images  # fmt: skip
    expected = torch.nn.functional.interpolate(stock, size=[32, 32], mode="bicubic", antialias=True).clamp(0, 1)
    assert stock.shape[-1] == 4 * 32 and (y[:1] - expected).abs().max() < 1e-5


def test_a_missing_upscaler_is_one_sentence(tmp_path):
    with pytest.raises(Exception, match=r"cannot load a model from .*: it must be a diffusers folder"):
        Upscale(upscaler=str(tmp_path))(X)


def test_times_go_from_t_star_to_the_picture():
    model = exact_model()
    assert descent(model, 0, 5) == [] and descent(model, 0.0004, 5) == []
    assert descent(model, 0.001, 5) == [0, CLEAN]
    assert descent(model, 0.2, 5) == [199, 159, 119, 79, 39, CLEAN]
    assert descent(model, 1, 1) == [999, CLEAN] and len(descent(model, 0.01, 50)) == 11
