"""A whole audit on a tiny model: what it writes, that it goes on where it was killed, and what strangers' names do."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import torch

import tiny
from audited import PROMPT, QUICK, features, guarded, save, unfitted
from unlearnable import audit
from unlearnable.auditing.settings import Settings
from unlearnable.auditing.tasks import tasks
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.evaluation.material import Condition, collect, conditions
from unlearnable.evaluation.pairs import subject
from unlearnable.personalization.dreambooth import DreamBooth

HOSTILE = ("0.png", "1.png", "<script>alert(1)<img src=x>.png", "deep/'\" onerror='alert(1)&lt;.png", "4.png", "5.png")
EVIL = 'a photo of sks <script>alert("p")</script> disc'


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root, model = tmp_path_factory.mktemp("audit"), unfitted()
    clean = save(root / "clean", HOSTILE)
    return clean, guarded(clean, root / "protected", model), model


@pytest.fixture(scope="module")
def whole(case, tmp_path_factory):
    clean, protected, model = case
    out = tmp_path_factory.mktemp("whole")
    told: list[tuple[float, int, str]] = []
    settings = replace(QUICK, prompt=EVIL)
    options = {"model": model, "network": features(), "progress": lambda *at: told.append(at)}
    return audit(clean, protected, out, settings, **options), told


def lasting(report: dict) -> dict:
    """All but what differs from run to run."""
    return {name: value for name, value in report.items() if name not in ("run", "command")}


def test_every_condition_is_tried_and_every_figure_kept(whole):
    done, told = whole
    report = done.report
    expected = ["untouched", "clean", "protected", "protected", "protected", "control"]
    assert [row["condition"] for row in report["rows"]] == expected
    assert [row["purify"] for row in report["rows"]] == [*["none"] * 3, "jpeg:75", "diffpure:0.1:steps=2", "none"]
    assert json.loads(done.json.read_text()) == report
    assert len(report["cells"]) == 6 and all(
        (len(cell["held_out"]), len(cell["originals"])) == (2, 4) for cell in report["cells"]
    )
    assert all((done.json.parent / path).is_file() for cell in report["cells"] for path in cell["pictures"])
    assert len(report["fidelity"]) == 4 and all(row["linf"] <= 8 and row["psnr"] > 30 for row in report["fidelity"])
    seen = report["encoders"]
    assert [(row["encoder"], row["purify"]) for row in seen["shifts"][::2]] == [("flux2", "none"), ("sd1", "none")]
    assert seen["summary"] in done.page.read_text(encoding="utf-8")
    assert report["defender"]["method"] == "advdm" and report["objective"]["method"] == "advdm"
    assert {"few-pictures", "one-seed", "small-model", "defenders-model"} <= {check["id"] for check in report["checks"]}
    assert any("2 of 6 clean pictures were held out" in note for note in report["subject"]["notes"])
    assert {"arXiv 2208.12242", "arXiv 2205.07460"} <= {s["label"][-16:] for s in report["sources"]}
    assert [at[0] for at in told] == sorted(at[0] for at in told) and told[-1][:2] == (6, 6)
    assert any(at[0] % 1 > 0 for at in told), "progress moves within a training"


def test_conditions_differ_in_their_pictures_and_seeds_in_their_controls(case):
    clean, protected, _ = case
    m = collect(subject(clean, protected), 32, (0, 1), features())
    sets = [m.clean, m.protected, m.controls[0], m.controls[1]]
    assert len({pictures.contents for pictures in sets}) == 4 and all(p.images.shape == (4, 3, 32, 32) for p in sets)
    sizes = [float((pictures.images - m.clean.images).square().mean().sqrt()) for pictures in sets[1:]]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.2) == sizes[2]  # as large where the attacker sees it


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_the_page_is_one_file_that_runs_nothing_and_fetches_nothing(whole):
    page = Page(whole[0].page.read_text(encoding="utf-8"))
    assert not {"script", "iframe", "object", "link", "base", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert all(attrs["src"].startswith("data:image/") for attrs in page.all("img"))
    assert all(attrs["href"].startswith(("https://arxiv.org/abs/", "#")) for attrs in page.all("a"))
    assert "url(" not in "".join(page.text) and "@import" not in "".join(page.text)


def test_strangers_names_and_prompts_are_text(whole):
    text = whole[0].page.read_text(encoding="utf-8")
    said = "".join(Page(text).text)
    assert HOSTILE[2] in said and HOSTILE[3].removeprefix("deep/") in said and EVIL in said
    assert "<script" not in text and "<img src=x" not in text


def test_the_page_can_be_read_without_seeing_it(whole):
    page = Page(whole[0].page.read_text(encoding="utf-8"))
    images = page.all("img")
    told = 4 * 7 + 6 * 2 + 2 * 4  # pairs, what was drawn, and at a glance: the pictures, and drawings of 3 or 4 kinds
    assert len(images) in (told + 4 + 6, told + 4 + 8) and all(attrs.get("alt") for attrs in images)
    assert len({attrs["alt"] for attrs in images}) == len(images)
    assert page.all("html")[0]["lang"] == "en" and page.all("main") and page.all("title")
    assert all(attrs.get("scope") in ("col", "row", "rowgroup") for attrs in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))


def test_killed_again_and_again_it_ends_as_if_it_had_not_been(case, tmp_path):
    clean, protected, model = case
    settings = replace(QUICK, seeds=(0, 1), purify=("none", "jpeg:50"))
    total = len(tasks(settings, conditions(settings.chains())))
    straight = audit(clean, protected, tmp_path / "straight", settings, model=model, network=features())
    out, stops, kept = tmp_path / "out", [0, 1.5, 6.25, total], {}
    for stop in stops:

        def progress(done: float, _, what: str, stop: float = stop) -> None:
            if done >= stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            audit(clean, protected, out, settings, model=model, network=features(), progress=progress)
        for path in out.glob("cells/*.json"):
            assert kept.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, "done twice"
        assert bool(list(out.glob("cells/*.safetensors"))) == bool(stop % 1), "a training's state is kept while it runs"
    resumed = audit(clean, protected, out, settings, model=model, network=features())
    assert resumed.json.read_bytes() != b"" and len(resumed.report["cells"]) == total
    assert lasting(resumed.report) == lasting(straight.report)


def test_more_attackers_use_the_cells_that_are_there(case, tmp_path):
    clean, protected, model = case
    quick = replace(QUICK, purify=("none",))
    audit(clean, protected, tmp_path, quick, model=model, network=features())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*.json")}
    both = replace(quick, attacks=("dreambooth", "lora"))
    found = audit(clean, protected, tmp_path, both, model=model, network=features()).report
    assert len(before) == 4 and len(list(tmp_path.glob("cells/*.json"))) == 7  # the untouched model serves both
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert [row["attack"] for row in found["rows"]] == ["dreambooth"] * 4 + ["lora"] * 4


def test_a_training_that_diverges_is_said_and_the_others_go_on(case, tmp_path, monkeypatch):
    clean, protected, model = case
    fit, calls = DreamBooth.fit, []

    def sometimes(self, *args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise UnlearnableError("training diverged at step 1")
        return fit(self, *args, **options)

    monkeypatch.setattr(DreamBooth, "fit", sometimes)
    quick = replace(QUICK, purify=("none",))
    rows = audit(clean, protected, tmp_path, quick, model=model, network=features()).report["rows"]
    assert [row["failed"] for row in rows] == ["", "", "training diverged at step 1", ""]
    assert rows[2]["rate"]["value"] is None and "diverged" in (tmp_path / "report.html").read_text()
    again = audit(clean, protected, tmp_path, quick, model=model, network=features()).report["rows"]
    assert not any(row["failed"] for row in again) and len(calls) == 4  # only what failed is done again


def test_a_countermeasure_that_fails_is_left_out_and_said(case, tmp_path, monkeypatch):
    from unlearnable.purification.simple import Blur

    clean, protected, model = case
    monkeypatch.setattr(Blur, "__call__", lambda self, images, seed=0: images / 0)
    done = audit(clean, protected, tmp_path, replace(QUICK, purify=("blur",)), model=model, network=features())
    assert [row["purify"] for row in done.report["rows"]] == ["none"] * 4 and "blur" in done.problems[0]
    assert "failed and was left out" in done.page.read_text(encoding="utf-8")


def test_settings_that_make_no_sense_are_one_sentence(case, tmp_path):
    clean, protected, model = case
    for change, words in [
        ({"attacks": ("dreambuth",)}, "did you mean 'dreambooth'"),
        ({"attacks": ()}, "attacks is empty"),
        ({"seeds": (1, 1)}, "each once"),
        ({"generated": 0}, "generated 0 is too small"),
    ]:
        with pytest.raises(UsageError, match=words):
            replace(QUICK, **change)
    for change, words in [
        ({"purify": ("jpge",)}, "did you mean 'jpeg'"),
        ({"prompt": "a disc"}, "does not hold the token 'sks'"),
        ({"preset": "grand"}, "unknown preset 'grand'"),
    ]:
        with pytest.raises(UsageError, match=words):
            audit(clean, protected, tmp_path, replace(QUICK, **change), model=model, network=features())
    assert not list(tmp_path.iterdir())


def test_doing_nothing_is_always_tried_and_once():
    chains = Settings(purify=("jpeg", "none", "jpeg:75")).chains()
    assert [str(c) for c in conditions(chains)][2:4] == ["protected pictures", "protected pictures, after jpeg:75"]
    assert len(conditions(chains)) == 5 and Condition("protected") in conditions({})


@pytest.mark.slow
def test_on_a_fitted_model_clean_is_learned_protected_less_and_the_control_as_clean(tmp_path):
    model = tiny.fitted("sd1")
    clean = save(tmp_path / "clean", side=32)
    protected = guarded(clean, tmp_path / "protected", model, steps=40, eps=24)
    settings = Settings(prompt=PROMPT, steps=200, generated=2, sampling=5, purify=("none",), model="tiny")
    found = audit(clean, protected, tmp_path / "out", settings, model=model, network=features()).report
    untouched, learned, guarded_, control = found["rows"]
    assert learned["held_out"]["loss"]["value"] < 0.9 * untouched["held_out"]["loss"]["value"]
    assert learned["originals"]["loss"]["value"] < 0.9 * untouched["originals"]["loss"]["value"]
    assert guarded_["originals"]["rate"]["low"] > 0.3 and control["originals"]["rate"]["high"] < 0.3
    assert guarded_["rate"]["low"] > 0.5 and control["rate"]["high"] < 0.3
    assert guarded_["over_control"]["low"] > 0.3
    assert torch.tensor([row["own_after"] < row["own_before"] for row in found["rows"][1:]]).all()
    assert not {"attacker-did-not-learn", "no-better-than-random"} & {check["id"] for check in found["checks"]}
