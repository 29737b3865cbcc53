"""What denoises in k steps: named by a text, refused in one sentence, and as stock diffusers where it has them."""

import pytest
import torch

from tiny import PROMPT, adapt, build
from unlearnable.errors import SetupError, UsageError
from unlearnable.ldu import phi as phis
from unlearnable.ldu.phi import Phi, load_phi
from unlearnable.ldu.shortcut import Shortcut
from unlearnable.models.schedule import CLEAN
from unlearnable.rng import generator


@pytest.fixture(scope="module")
def model():
    return adapt(build("sd1"), "tiny-sd1")


def noise(model):
    return torch.randn(2, *model.latent_shape(32, 32), generator=generator("noise"))


def test_plain_ddim_is_the_stock_schedulers(model):
    from diffusers import DDIMScheduler

    stock = DDIMScheduler.from_config(model.pipe.scheduler.config, timestep_spacing="trailing", steps_offset=0)
    stock.set_timesteps(4)
    z, c, phi = noise(model), model.condition([PROMPT]), load_phi("ddim", model)
    assert phi.times(4, 1.0) == [*stock.timesteps.tolist(), CLEAN]
    wanted = z
    with torch.no_grad():
        for t in stock.timesteps:
            out = model.denoiser(wanted, t, c.tensors["text"].expand(2, -1, -1)).sample
            wanted = stock.step(out, t, wanted).prev_sample
        assert torch.allclose(phi(z, c, phi.times(4, 1.0)), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_times_of_a_shortcut_are_on_its_grid(model, k):
    phi = Phi("shortcut", model, Shortcut(model, 2).step)
    for t_start in (1.0, 0.5, 0.125):
        times = phi.times(k, t_start)
        assert len(times) == k + 1 and times[-1] == CLEAN and abs(times[0] + 1 - 1000 * t_start) < 2
        assert times == phi.times(int(k / t_start), 1.0)[-k - 1 :]


def test_times_of_lcm_are_those_of_its_scheduler(model):
    from diffusers import LCMScheduler

    stock = LCMScheduler.from_config(model.pipe.scheduler.config)
    for k in (1, 2, 4):
        stock.set_timesteps(k)
        assert Phi("lcm", model).times(k, 1.0)[:-1] == stock.timesteps.tolist()


@pytest.mark.parametrize(
    "k, t_start, sentence",
    [
        (3, 1.0, "k 3 is not a power of two: give 1, 2, 4 or 8"),
        (0, 1.0, "k 0 is not a power of two"),
        (4, 0.0, "t_start 0 is out of range"),
        (4, 1.5, "t_start 1.5 is out of range"),
        (4, 0.001, "too few for 4 steps: give a larger one"),
        (4, 0.3, "has no 4 jumps from t_start 0.3: give 1, 0.5, 0.25 and so on down to 0.03125, or"),
        (8, 0.03125, "has no 8 jumps"),
    ],
)
def test_bad_steps_and_starts_are_one_sentence(model, k, t_start, sentence):
    with pytest.raises(UsageError, match=sentence):
        Phi("shortcut", model).times(k, t_start)


@pytest.mark.parametrize("text", ["dim", "shortcut", "ddim:x", "auto:x", "lcm", ""])
def test_bad_texts_are_one_sentence(model, text):
    with pytest.raises(UsageError, match="use one of auto, ddim, shortcut:FILE"):
        load_phi(text, model)


def test_an_lcm_lora_answers_as_in_the_stock_pipeline(model, tmp_path):
    from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model

    twin = build("sd1").unet
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["to_q", "conv1"], init_lora_weights=False), twin)
    pipe = build("sd1")
    pipe.save_lora_weights(tmp_path, unet_lora_layers=get_peft_model_state_dict(twin), weight_name="lcm.safetensors")
    phi = load_phi(f"lcm:{tmp_path / 'lcm.safetensors'}", model)
    pipe.load_lora_weights(str(tmp_path), weight_name="lcm.safetensors")
    z, t, c = noise(model), torch.tensor([759, 19]), model.condition([PROMPT])
    with torch.no_grad():
        wanted = pipe.unet(z, t, c.tensors["text"].expand(2, -1, -1)).sample
        assert torch.allclose(phi.model.predict(z, t, c), wanted, atol=1e-5)
        assert (phi.model.predict(z, t, c) - model.predict(z, t, c)).abs().max() > 1e-3
    assert not any("lora" in name for name, _ in model.denoiser.named_modules())
    assert phi.describe().startswith("the LCM-LoRA")


def test_a_broken_lora_is_one_sentence(model, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(SetupError, match=r"x\.safetensors"):
        load_phi(f"lcm:{tmp_path / 'x.safetensors'}", model)
    with pytest.raises(UsageError, match="there is no file"):
        load_phi("lcm:nowhere", model)


def test_a_few_step_checkpoint_must_have_the_same_latents(model, tmp_path):
    build("sd1", seed=1).save_pretrained(tmp_path / "turbo")
    phi = load_phi(f"turbo:{tmp_path / 'turbo'}", model)
    z, c = noise(model), phi.model.condition([PROMPT])
    assert phi(z, c, phi.times(1, 1.0)).shape == z.shape and "few-step checkpoint" in phi.describe()
    build("ddpm").save_pretrained(tmp_path / "other")
    scaled = build("sd1")
    scaled.vae.register_to_config(scaling_factor=2 * scaled.vae.config.scaling_factor)
    scaled.save_pretrained(tmp_path / "scaled")
    for name in ("other", "scaled"):
        with pytest.raises(UsageError, match="works on other latents"):
            load_phi(f"turbo:{tmp_path / name}", model)


def test_auto_takes_the_shipped_shortcut_for_its_own_base_only(model, tmp_path, monkeypatch):
    monkeypatch.setattr(phis, "SHIPPED", tmp_path / "shipped.safetensors")
    assert load_phi("auto", model).describe() == "plain DDIM (no shortcut model was named)"
    Shortcut(model, 2).save(tmp_path / "shipped.safetensors")
    assert load_phi("auto", model).describe() == "the shortcut model that ships"
    assert load_phi("auto", adapt(build("sd1", seed=1), "other")).kind == "ddim"
