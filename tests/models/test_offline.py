"""`offline` reaches whatever loads weights: models, upscalers, the networks of metrics, through every verb."""

import ast
from pathlib import Path

import diffusers
import pytest
import transformers

import tiny
import unlearnable
from unlearnable.auditing.settings import Settings as AuditSettings
from unlearnable.errors import SetupError
from unlearnable.images import files
from unlearnable.metrics.features import pretrained
from unlearnable.models.load import load_model
from unlearnable.models.offline import going_offline
from unlearnable.purification.upscale import load_upscaler

SOURCE = Path(unlearnable.__file__).parent
FETCH = {"from_pretrained", "load_config", "snapshot_download", "hf_hub_download", "from_single_file"}


def test_every_call_that_may_fetch_is_told_whether_it_may():
    """Those that are given an argument by two stars are given `where`, which holds it."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if called in FETCH:
                names = {k.arg or (k.value.id if isinstance(k.value, ast.Name) else "") for k in node.keywords}
                found.append((path.name, called, bool(names & {"local_files_only", "where"})))
    assert len(found) >= 5 and all(told for *_, told in found), found


@pytest.fixture
def asked(monkeypatch):
    """What each loader was told; nothing is loaded. The variable that forbids the network everywhere is not set."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    told = []

    def refuse(cls, source, **options):
        told.append(options["local_files_only"])
        raise OSError("nothing is fetched here")

    for kind in (diffusers.StableDiffusionUpscalePipeline, transformers.CLIPVisionModelWithProjection):
        monkeypatch.setattr(kind, "from_pretrained", classmethod(refuse))
    monkeypatch.setattr(diffusers.DiffusionPipeline, "load_config", classmethod(refuse))
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda source, name, **options: refuse(None, source, **options)
    )
    return told


@pytest.mark.parametrize("wish", [True, False])
def test_loaders_do_as_they_are_told(wish, asked):
    loaders = [
        lambda: load_upscaler("no/upscaler"),
        lambda: pretrained("clip", "CLIPVisionModelWithProjection", "no/clip"),
        lambda: load_model("no/model", device="cpu"),
    ]
    for load in loaders:
        with pytest.raises(SetupError), going_offline(wish):
            load()
    assert asked == [wish] * 3


@pytest.mark.parametrize("wish", [True, False])
def test_verbs_hand_the_wish_on(wish, asked, tmp_path):
    for i, x in enumerate(tiny.pictures(4)):
        pixels = (x.permute(1, 2, 0) * 255).round().byte().numpy()
        for part in ("clean", "protected"):
            files.write(files.Picture(pixels), tmp_path / part / f"{i}.png")
    folder, twin, out = (tmp_path / name for name in ("clean", "protected", "out"))
    named = {"method": "encoders", "against": "mine=no/encoder"}
    verbs = [
        lambda: list(unlearnable.protect(folder, out, unlearnable.Recipe(**named, offline=wish))),
        lambda: list(unlearnable.protect(folder, out, unlearnable.Recipe(model="no/model", offline=wish))),
        lambda: list(unlearnable.purify(folder, out, "vae", model="no/model", offline=wish)),
        lambda: unlearnable.personalize(folder, out, model="no/model", offline=wish),
        lambda: unlearnable.measure(folder, folder, metrics="fid", features="clip:no/clip", offline=wish),
        lambda: list(unlearnable.purify(folder, out, "upscale:upscaler=no/upscaler", offline=wish)),
        lambda: unlearnable.audit(folder, twin, out, AuditSettings(model="no/model", offline=wish)),
    ]
    for verb in verbs:
        with pytest.raises(SetupError):
            verb()
    assert asked == [wish] * len(verbs)
