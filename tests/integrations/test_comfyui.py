"""The nodes, loaded and called as ComfyUI does, with a stand-in for the parts of it that they ask.

ComfyUI loads a folder with an `__init__.py`, reads NODE_CLASS_MAPPINGS, gives each input as INPUT_TYPES says, and calls
FUNCTION by keywords, without gradients.
"""

import importlib.util
import io
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unlearnable
from unlearnable.errors import UnlearnableError
from unlearnable.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
SIDE = 64


class Interrupted(Exception):
    """ComfyUI's InterruptProcessingException."""


@pytest.fixture
def comfy(monkeypatch, tmp_path):
    """What the nodes ask of ComfyUI: a progress bar, and whether to stop. Temporary files go to one place."""
    told = types.SimpleNamespace(bars=[], stop=False)

    class ProgressBar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value, total=None, preview=None):
            told.bars.append(value / (total or self.total))

    def throw():
        if told.stop:
            raise Interrupted

    utils, management = types.ModuleType("comfy.utils"), types.ModuleType("comfy.model_management")
    utils.ProgressBar, management.throw_exception_if_processing_interrupted = ProgressBar, throw
    modules = {"comfy": types.ModuleType("comfy"), "comfy.utils": utils, "comfy.model_management": management}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    told.temp = tmp_path / "temp"
    return told


@pytest.fixture(scope="module")
def nodes():
    spec = importlib.util.spec_from_file_location("comfyui_unlearnable", FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS
    for name in [name for name in sys.modules if name.startswith(spec.name)]:
        del sys.modules[name]


def call(node, **given):
    """One node with its defaults, as ComfyUI's executor calls it; its outputs."""
    inputs = {}
    for group in node.INPUT_TYPES().values():
        inputs |= {name: kind[1]["default"] for name, kind in group.items() if len(kind) > 1}
    with torch.inference_mode():
        found = getattr(node(), node.FUNCTION)(**(inputs | given))
    found = found["result"] if isinstance(found, dict) else found
    assert isinstance(found, tuple) and len(found) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return found


def pictures(count=2, height=SIDE, width=SIDE, channels=3, seed=0):
    """Smooth shapes with some grain, ``[b h w c]`` on the 8-bit grid."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = np.stack([np.sin(4 * x + i) * np.cos(3 * y - c) for i in range(count) for c in range(channels)])
    soft = waves.reshape(count, channels, height, width).transpose(0, 2, 3, 1) * 80 + 128
    grain = rng.normal(0, 6, soft.shape)
    return torch.from_numpy(np.clip(soft + grain, 0, 255).round().astype(np.uint8)).float() / 255


def test_every_node_says_what_it_takes_and_gives(nodes):
    assert len(nodes) == 3
    for node in nodes.values():
        inputs = node.INPUT_TYPES()
        assert {"required"} <= set(inputs) <= {"required", "optional"}
        for name, kind in (inputs["required"] | inputs.get("optional", {})).items():
            assert isinstance(kind, tuple) and name.isidentifier()
            choices = kind[0] if isinstance(kind[0], list) else None
            assert choices is None or kind[1]["default"] in choices
        assert callable(getattr(node, node.FUNCTION)) and node.CATEGORY == "unlearnable"


def test_protect_gives_what_the_files_of_the_verb_hold(nodes, comfy, tmp_path):
    x = pictures(2, 48, 80)
    options = {"method": "advdm", "strength": "paper", "steps": 2}
    protected, said = call(nodes["UnlearnableProtect"], images=x, **options)
    assert protected.shape == x.shape and protected.dtype == torch.float32 and not protected.is_inference()
    change = (protected - x).abs() * 255
    assert 0 < change.max() <= 16 + 1e-3 and said.count("PSNR") == 2
    assert comfy.bars == sorted(comfy.bars) and comfy.bars[-1] == 1
    for i, one in enumerate(x):
        path = tmp_path / f"{i}.png"
        Image.fromarray((one.numpy() * 255).round().astype(np.uint8)).save(path)
        (result,) = unlearnable.protect(path, tmp_path / "out", Recipe(**options))
        saved = np.clip(255.0 * protected[i].numpy(), 0, 255).astype(np.uint8)  # as ComfyUI saves
        with Image.open(result.output) as image:
            assert (saved == np.asarray(image)).all()
    assert not list(comfy.temp.glob("unlearnable-*"))


@pytest.mark.parametrize("count", [1, 2])
def test_a_mask_says_what_may_change(nodes, comfy, count):
    x, mask = pictures(2), torch.zeros(count, SIDE, SIDE)
    mask[:, :, : SIDE // 2] = 1
    protected, _ = call(nodes["UnlearnableProtect"], images=x, mask=mask, method="random")
    assert (protected[:, :, SIDE // 2 :] == x[:, :, SIDE // 2 :]).all()
    assert (protected[:, :, : SIDE // 2] != x[:, :, : SIDE // 2]).any((1, 2, 3)).all()


def test_opacity_is_carried(nodes, comfy):
    x = pictures(1, channels=4)
    protected, _ = call(nodes["UnlearnableProtect"], images=x, method="random")
    assert protected.shape == x.shape and (protected[..., 3] == x[..., 3]).all()


def test_purify_is_pillows_jpeg(nodes, comfy):
    x = pictures(1)
    (purified,) = call(nodes["UnlearnablePurify"], images=x, how="jpeg:40")
    data = io.BytesIO()
    Image.fromarray((x[0].numpy() * 255).round().astype(np.uint8)).save(data, "JPEG", quality=40, subsampling="4:2:0")
    assert (np.asarray(Image.open(data)) == (purified[0].numpy() * 255).round()).all()


def test_random_noise_moves_encoders_as_far_as_random_noise(nodes, comfy):
    x = pictures(2)
    signs = torch.from_numpy(np.random.default_rng(1).choice([-8.0, 8.0], x.shape)).float() / 255
    ratio, report = call(nodes["UnlearnableEncodersCheck"], clean=x, protected=(x + signs).clamp(0, 1))
    assert 0.5 < ratio < 2 and report.count("times noise") == 4  # two encoders, two countermeasures


def test_a_user_can_stop_and_a_failure_is_one_sentence(nodes, comfy):
    comfy.stop = True
    with pytest.raises(Interrupted):
        call(nodes["UnlearnableProtect"], images=pictures(), method="random")
    comfy.stop = False
    with pytest.raises(RuntimeError, match="mask"):
        call(nodes["UnlearnableProtect"], images=pictures(), method="random", mask=torch.ones(1, 32, 32))
    with pytest.raises(ValueError, match="3 masks for 2 pictures"):
        call(nodes["UnlearnableProtect"], images=pictures(), method="random", mask=torch.ones(3, SIDE, SIDE))
    with pytest.raises(UnlearnableError, match="jpeg"):
        call(nodes["UnlearnablePurify"], images=pictures(), how="jpg:75")
    assert not list(comfy.temp.glob("unlearnable-*"))
