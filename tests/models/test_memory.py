"""The estimate of memory against the networks themselves, and against trained parameters."""

import json
from dataclasses import replace

import pytest

import tiny
import tiny_dits
from unlearnable import doctor
from unlearnable.errors import SetupError, UsageError
from unlearnable.models.adapters import adapt
from unlearnable.models.memory import memory
from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.personalization.lora import LoRA


@pytest.mark.parametrize("family", ["sd1", "flux", "zimage", "flux2"])
def test_parameters_are_those_of_the_networks(family, tmp_path):
    pipe = (tiny_dits if family in tiny_dits.DITS else tiny).build(family)
    pipe.save_pretrained(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()  # only configurations are read
    counted, model = memory(str(tmp_path)), adapt(pipe, family)
    sizes = [sum(p.numel() for p in network.parameters()) for network in model.modules()]
    assert list(counted.parameters.values()) == sizes
    lora, whole = (a.begin(model, "a photo of sks", 0).groups[0]["params"] for a in (LoRA(), dreambooth(family)))
    assert counted.lora == sum(p.numel() for p in lora)
    assert counted.loaded("float32") == 4 * sum(sizes) == 2 * counted.loaded("bfloat16")
    more = counted.training("float32", lora=False) - counted.loaded("float32")
    assert more == 16 * sum(p.numel() for p in whole)


def dreambooth(family):
    return replace(DreamBooth(), text_lr=None, token_lr=None)


def test_what_has_no_estimate_is_one_sentence(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is a WanPipeline, which is not supported: use one of Stable"):
        memory(str(tmp_path))
    with pytest.raises(SetupError, match="nobody/nothing"):
        memory("nobody/nothing", offline=True)


def test_the_doctor_warns_of_a_model_that_does_not_fit(tmp_path, monkeypatch):
    tiny.build("sd1").save_pretrained(tmp_path)
    assert all(finding.ok for finding in doctor.needed(str(tmp_path)))
    monkeypatch.setattr(doctor, "main_memory", lambda: 0.002)
    found = {finding.name: finding for finding in doctor.needed(str(tmp_path))}
    assert found["to protect"].ok and not found["to train all of it"].ok
    assert "more than the 0.0 GiB" in found["to train all of it"].value
