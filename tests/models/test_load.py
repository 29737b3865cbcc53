"""Loading by folder: what comes back is what was saved; what cannot be had is one sentence that says what to do."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

import tiny
from unlearnable.errors import SetupError, UsageError
from unlearnable.models import load
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.models.load import load_model
from unlearnable.models.outline import outline
from unlearnable.rng import normal


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for family in tiny.FAMILIES:
        tiny.build(family).save_pretrained(root / family)
    return {family: root / family for family in tiny.FAMILIES}


@pytest.fixture
def folder(folders, tmp_path) -> Path:
    """A Stable Diffusion folder of one's own, to break."""
    copy = tmp_path / "model"
    for file in folders["sd1"].rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(folders["sd1"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return copy


@cache
def inputs(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return normal(["z"], shape, "load"), normal(["noise"], shape, "load"), torch.tensor([420])


def answer(model: Model) -> torch.Tensor:
    z, _, t = inputs(model.latent_shape(32, 32))
    with torch.no_grad():
        return model.predict(z, t, model.condition(["a photo of sks"]))


def refuse(kind: type[Exception], name: object, *words: str, **options: object) -> str:
    """Assert one sentence with these words; the error's exact class counts."""
    with pytest.raises(kind) as caught:
        load_model(str(name), **{"device": "cpu", **options})
    sentence = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in sentence and len(sentence) < 600
    for word in words:
        assert word in sentence
    return sentence


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_saved_pipeline_comes_back_as_the_same_model(folders, family):
    loaded = load_model(str(folders[family]), device="cpu", dtype="float32")
    built = adapt(tiny.build(family), family)
    assert loaded.family == family and loaded.name == str(folders[family])
    assert (loaded.size, loaded.multiple, len(loaded.schedule)) == (built.size, built.multiple, len(built.schedule))
    assert_close(answer(loaded), answer(built))
    assert not any(p.requires_grad for module in loaded.modules() for p in module.parameters())
    assert not any(module.training for module in loaded.modules())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_outline_has_the_sizes_of_the_loaded_model(folders, family):
    known, loaded = outline(str(folders[family]), "cpu"), load_model(str(folders[family]), device="cpu")
    assert known is not None
    assert (known.name, known.size, known.multiple) == (loaded.name, loaded.size, loaded.multiple)
    assert known.device == loaded.device


def test_a_folder_of_another_layout_has_no_outline(folder, tmp_path):
    (folder / "unet" / "config.json").write_text("[]")
    assert outline(str(folder)) is None and outline("nobody/nothing") is None and outline(str(tmp_path)) is None


def test_offline_mode_loads_folders(folders):
    assert load_model(str(folders["sd1"]), device="cpu", offline=True).family == "sd1"


def test_parts_no_method_asks_are_neither_needed_nor_loaded(folder):
    """Real Stable Diffusion folders name a safety checker and a feature extractor; both may be missing."""
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "requires_safety_checker": True}
    index |= {"feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    model = load_model(str(folder), device="cpu")
    assert model.pipe.safety_checker is None and model.pipe.feature_extractor is None


def test_loading_prints_nothing_and_gives_the_libraries_their_voice_back(folders):
    script = (
        "import sys; from unlearnable.models.load import load_model; load_model(sys.argv[1], device='cpu');"
        "import transformers.utils.logging as a, diffusers.utils.logging as b;"
        "assert a.get_verbosity() == b.get_verbosity() == 30, 'verbosity';"
        "assert a.is_progress_bar_enabled() and b.is_progress_bar_enabled(), 'bars'"
    )
    noisy = {k: v for k, v in os.environ.items() if not k.endswith(("_VERBOSITY", "_PROGRESS_BARS"))}
    noisy["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", script, folders["sd1"]], env=noisy, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_model_says_what_to_do_offline():
    refuse(
        SetupError, "nobody/nothing", "'nobody/nothing'", "offline mode is on", "run once with network", "local folder"
    )


def test_a_missing_model_says_what_to_do_without_a_network(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the hub's retries
    words = ("'nobody/nothing'", "check the name and the network", "hf download nobody/nothing", "--model embedded")
    refuse(SetupError, "nobody/nothing", *words)


def test_names_that_are_no_names_are_refused():
    refuse(UsageError, "", "the model is an empty text")
    for name in ("a/b/c/d", "no\nsuch\x1b[31m", "~/nowhere"):
        assert "\x1b" not in refuse(SetupError, name, "model")


def test_the_embedded_model_missing_from_an_installation(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "EMBEDDED_FOLDER", tmp_path / "gone")
    refuse(SetupError, "embedded", "embedded model is missing", "reinstall the package", "name another model")


def test_a_folder_without_an_index_is_refused(tmp_path):
    refuse(SetupError, tmp_path, str(tmp_path), "model_index.json")


def test_a_pickle_is_refused_and_never_opened(folder, tmp_path):
    marker = tmp_path / "ran"
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.with_suffix(".bin").write_bytes(b"cos\nsystem\n(S'touch " + os.fsencode(marker) + b"'\ntR.")
    weights.unlink()
    refuse(SetupError, folder, "safetensors weights")
    assert not marker.exists()


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_a_pickle_with_good_weights_is_refused_too(folder, part):
    weights = folder / f"{part}.safetensors"
    named_as_pickles_are = part.replace("/model", "/pytorch_model") + ".bin"
    torch.save(load_file(weights), folder / named_as_pickles_are)
    weights.unlink()
    refuse(SetupError, folder, "safetensors weights")


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_damaged_weights_are_one_sentence(folder, part, damage):
    whole = (folder / part).read_bytes()
    (folder / part).write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"\xff" * 4096, "empty": b""}[damage])
    refuse(SetupError, folder, str(folder), "whole safetensors weights")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"_class_name": ["StableDiffusionPipeline"]}'])
def test_a_damaged_index_is_one_sentence(folder, text):
    (folder / "model_index.json").write_text(text)
    refuse(SetupError, folder, str(folder), "model_index.json")


def test_code_of_a_models_own_is_not_run(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["evil", "UNet2DConditionModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet" / "evil.py").write_text("raise SystemExit('ran')")
    refuse(SetupError, folder, str(folder))


@pytest.mark.parametrize("kind", ["StableVideoDiffusionPipeline", "StableDiffusionInpaintPipeline", "os.system", None])
def test_an_unsupported_pipeline_is_refused_by_name(folder, kind):
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    refuse(UsageError, folder, str(kind), "not supported", "use one of StableDiffusionPipeline", "DDPMPipeline")


def test_a_pixel_model_must_work_on_colours(tmp_path):
    pipe = tiny.build("ddpm")
    grey = type(pipe.unet).from_config({**pipe.unet.config, "in_channels": 1, "out_channels": 1})
    type(pipe)(unet=grey, scheduler=pipe.scheduler).save_pretrained(tmp_path)
    refuse(UsageError, tmp_path, "works on 1 channels", "must take and give 3")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "meta", "xpu"])
def test_an_unknown_device_is_a_usage_error(folders, device):
    refuse(UsageError, folders["sd1"], repr(device), "use auto, cpu, cuda", device=device)


@pytest.mark.parametrize("device", ["cuda:99", "mps"])
def test_a_device_that_is_not_here_is_a_setup_error(monkeypatch, folders, device):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    refuse(SetupError, folders["sd1"], repr(device), "not here", "use --device cpu", device=device)


def test_cuda_where_there_is_none(monkeypatch, folders):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    refuse(SetupError, folders["sd1"], "'cuda'", "0 CUDA devices found", "--device cpu", device="cuda")


def test_a_model_too_large_for_the_device(monkeypatch, folders):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("diffusers.DiffusionPipeline.to", full)
    refuse(SetupError, folders["sd1"], "does not fit", "'cpu'", "smaller model")


@pytest.mark.parametrize("dtype", ["float16", "half", ""])
def test_an_unknown_dtype_is_a_usage_error(folders, dtype):
    refuse(UsageError, folders["sd1"], repr(dtype), "use auto, float32 or bfloat16", dtype=dtype)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bfloat16_stays_near_float32(folders, family):
    full, half = (load_model(str(folders[family]), device="cpu", dtype=d) for d in ("float32", "bfloat16"))
    assert (full.amp, half.amp) == (None, torch.bfloat16)
    x, exact, rough = tiny.pictures(2), answer(full), answer(half)
    assert rough.dtype == half.encode(x).dtype == half.decode(half.encode(x)).dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()
    assert (half.encode(x) - full.encode(x)).abs().max() < 0.05 * full.encode(x).abs().max()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_checkpointing_gives_the_same_gradient(folders, family):
    gradients = []
    for checkpointing in (False, True):
        model = load_model(str(folders[family]), device="cpu", dtype="float32", checkpointing=checkpointing)
        assert bool(model.denoiser.is_gradient_checkpointing) is checkpointing
        assert bool(model.copy(scratch=True).denoiser.is_gradient_checkpointing) is checkpointing
        x = tiny.pictures(1).requires_grad_(True)
        _, noise, t = inputs(model.latent_shape(32, 32))
        loss = denoising_loss(model, model.encode(x), noise, t, model.condition(["a"]))
        gradients += torch.autograd.grad(loss.sum(), x)
    assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 0
