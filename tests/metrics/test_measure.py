"""Two folders compared: in code and as a command, with the inputs that bite."""

import inspect
import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import commands
import unlearnable
from tiny import pictures
from unlearnable.cli import measure as cli_measure
from unlearnable.errors import SetupError, UsageError
from unlearnable.metrics import distribution, face, folders, run
from unlearnable.metrics.features import own_network
from unlearnable.metrics.pairing import pair
from unlearnable.metrics.subject import similarity
from unlearnable.models.features import FeatureNetwork

COUNT = 6


def save(x, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((x.permute(1, 2, 0) * 255).round().byte().numpy()).save(path, **options)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def images(folder):
    return [torch.from_numpy(read(path).copy()).permute(2, 0, 1)[None] / 255 for path in sorted(folder.iterdir())]


@pytest.fixture
def twins(tmp_path):
    """Originals, and twins with a change of 0, 1 ... 5 levels; the second is of another format."""
    for i, x in enumerate(pictures(COUNT, side=48)):
        save(x, tmp_path / "clean" / f"{i}.png")
        signs = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(i)) * 2 - 1
        save((x + signs * i / 255).clamp(0, 1), tmp_path / "protected" / f"{i}.{'bmp' if i == 1 else 'png'}")
    return tmp_path / "clean", tmp_path / "protected"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return own_network(FeatureNetwork(["a"], (8, 8, 16)))


def test_pairs_are_measured_by_name_whatever_the_format(twins, network):
    report = unlearnable.measure(*twins, metrics=("psnr", "linf", "features-distance"), features=network)
    scores = report.scores
    assert scores["psnr"].names == tuple(f"{i}.png" for i in range(COUNT)) and not report.failed
    assert scores["linf"].values.tolist() == list(range(COUNT))
    both = zip(*(sorted(folder.iterdir())[1:] for folder in twins))
    expected = [peak_signal_noise_ratio(read(a), read(b)) for a, b in both]
    assert scores["psnr"].values[1:].tolist() == pytest.approx(expected, rel=1e-5)
    assert scores["psnr"].values[0] == math.inf and "1 of 6 pictures are unchanged" in report.notes[0]
    assert scores["features-distance"].name == "embedded-features-distance"
    assert scores["linf"].worst == 5 and scores["linf"].worst_name == "5.png"


def test_sets_are_measured_over_the_named_network_and_need_no_partners(twins, network):
    clean, protected = twins
    for path in [*protected.iterdir()][:2]:
        path.rename(path.with_stem("generated" + path.stem))
    report = unlearnable.measure(*twins, metrics=("fid", "recall", "similarity"), features=network)
    a, b = (network(torch.cat(images(folder))) for folder in (protected, clean))
    assert report.scores["fid"].name == "fid (embedded-features)"
    assert report.scores["fid"].mean == pytest.approx(distribution.fid(a, b), rel=1e-4)
    assert report.scores["recall"].mean == distribution.recall(a, b)
    found = dict(zip(report.scores["similarity"].names, report.scores["similarity"].values.tolist()))
    assert len(found) == COUNT and len(report.only_clean) == len(report.only_protected) == 2
    for name, value in zip(sorted(path.name for path in protected.iterdir()), similarity(a, b)):
        assert found.get(name, found.get(name.replace("bmp", "png"))) == pytest.approx(float(value), rel=1e-4)
    assert any("fid, recall: 6 pictures a side are few" in note for note in report.notes)


def test_other_sizes_and_unreadable_files_are_named_and_the_rest_goes_on(twins):
    clean, protected = twins
    save(pictures(1, side=40)[0], protected / "2.png")
    (protected / "3.png").write_bytes(b"not a picture")
    (protected / "4.png").unlink()
    save(pictures(1, side=40)[0], protected / "more.png")
    report = unlearnable.measure(clean, protected, metrics=("linf", "ssim"))
    assert report.scores["linf"].names == ("0.png", "1.png", "5.png")
    assert report.only_clean == ("4.png",) and report.only_protected == ("more.png",)
    assert len(report.failed) == 2 and "3.png" in report.failed[1]
    assert report.failed[0] == "2.png has 48 x 48 px, its protected twin 40 x 40 px: only equal sizes compare"


def test_pictures_too_small_for_one_metric_keep_the_others(twins, monkeypatch):
    from unlearnable.metrics import fidelity

    monkeypatch.setattr(fidelity, "WINDOW", 49)
    report = unlearnable.measure(*twins, metrics=("ssim", "linf"))
    assert report.scores["ssim"].values.isnan().all() and math.isnan(report.scores["ssim"].mean)
    assert report.scores["linf"].mean == 2.5 and "0.png: ssim needs 49 px" in report.failed[0]


def test_one_picture(tmp_path, network):
    x = pictures(1, side=48)[0]
    save(x, tmp_path / "a" / "x.png")
    save((x * 0.9), tmp_path / "b" / "x.png")
    report = unlearnable.measure(tmp_path / "a", tmp_path / "b", metrics=("linf", "fid", "precision"), features=network)
    assert report.scores["linf"].mean > 0 and all(map(math.isnan, report.scores["linf"].interval()))
    assert math.isnan(report.scores["fid"].mean) and "needs 2 and 2 pictures" in report.scores["fid"].note
    assert [sentence.split()[0] for sentence in report.failed] == ["fid", "precision"]
    assert unlearnable.measure(tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", metrics=("linf",)).scores


def test_two_files_need_no_common_name(twins):
    clean, protected = twins
    report = unlearnable.measure(clean / "0.png", protected / "5.png", metrics=("linf",))
    assert len(report.scores["linf"].values) == 1 and not report.only_clean


def test_intervals_of_means_need_no_seed(twins):
    first, other = (unlearnable.measure(*twins, metrics="ssim", seed=seed).scores["ssim"] for seed in (1, 2))
    assert first.interval() == other.interval() and first.interval()[0] < first.mean < first.interval()[1]


def test_subfolders_mirror(twins):
    for folder in twins:
        shutil.copytree(folder, folder / "sub")
    report = unlearnable.measure(*twins, metrics=("linf",), recursive=True)
    assert len(report.scores["linf"].values) == 2 * COUNT and "sub/3.png" in report.scores["linf"].names


def test_pairing_prefers_equal_names_and_never_guesses(tmp_path):
    x = pictures(1)[0]
    for name in ("a/x.png", "a/x.jpg", "a/y.png", "a/y.jpg", "a/z.png", "b/x.jpg", "b/x.png", "b/y.webp", "b/z.jpg"):
        save(x, tmp_path / name)
    found = pair(tmp_path / "a", tmp_path / "b")
    assert {name: other.name for name, (_, other) in found.pairs.items()} == {
        "x.jpg": "x.jpg", "x.png": "x.png", "z.png": "z.jpg"
    }  # fmt: skip
    assert list(found.only_clean) == ["y.jpg", "y.png"] and list(found.only_protected) == ["y.webp"]


def test_accents_pair_however_they_are_written(tmp_path):
    save(pictures(1)[0], tmp_path / "a" / "caf\u00e9.png")
    save(pictures(1)[0], tmp_path / "b" / "cafe\u0301.png")
    assert list(pair(tmp_path / "a", tmp_path / "b").pairs) == ["caf\u00e9.png"]


@pytest.mark.parametrize(
    ("words", "kind", "sentence"),
    [
        ({"metrics": ("pnsr",)}, UsageError, "unknown metric 'pnsr': did you mean 'psnr'"),
        ({"metrics": ()}, UsageError, "no metric named"),
        ({"metrics": ("protection-rate",)}, UsageError, "needs an attacker's models, not only pictures"),
        ({"metrics": ("fid",), "features": "clip:no/such"}, SetupError, "clip needs no/such"),
        ({"metrics": ("lpips",)}, SetupError, "without them use features-distance"),
        ({"metrics": ("fid",), "features": "vgg"}, UsageError, "unknown features 'vgg'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_any_work(words, kind, sentence, twins):
    with pytest.raises(kind, match=sentence):
        unlearnable.measure(*twins, **words)


def test_empty_missing_and_unrelated_folders(twins, tmp_path):
    clean, _ = twins
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="found no pictures in"):
        unlearnable.measure(clean, tmp_path / "empty")
    with pytest.raises(UsageError, match="missing does not exist"):
        unlearnable.measure(tmp_path / "missing", clean)
    save(pictures(1)[0], tmp_path / "other" / "else.png")
    with pytest.raises(UsageError, match="has its name in"):
        unlearnable.measure(clean, tmp_path / "other", metrics=("psnr",))


def test_faces_and_their_clean_baseline(twins, monkeypatch):
    """A reader that sees faces where a picture's mean is above a threshold, with its colours as embedding."""
    clean, protected = twins
    levels = [float(x.mean()) for x in images(protected)]
    threshold = sorted(levels)[1]

    class Reader:
        def __call__(self, image):
            return image.mean((1, 2)) if image.mean() > threshold else None

    monkeypatch.setattr(face, "OpenCV", Reader)
    report = unlearnable.measure(clean, protected, metrics=("fdfr", "ism"))
    assert report.scores["fdfr"].mean == sum(level <= threshold for level in levels) / COUNT > 0
    assert len(report.scores["ism"].defined) == COUNT - report.scores["fdfr"].values.sum()
    assert any(note.startswith("fdfr: the clean pictures score") for note in report.notes)


def test_metrics_of_single_pictures_name_the_clean_level(twins, monkeypatch):
    from unlearnable.metrics.base import metric

    @metric("pictures", higher_is_better=True)
    def brightness(pictures):
        return pictures.flatten(1).mean(1)

    monkeypatch.setitem(unlearnable.registry.METRICS, "brightness", "not used")
    monkeypatch.setattr(folders.registry, "load", lambda name, kind: brightness)
    report = unlearnable.measure(*twins, metrics=("brightness",))
    levels = [float(x.mean()) for x in images(twins[1])]
    assert report.scores["brightness"].values.tolist() == pytest.approx(levels)
    assert f"{np.mean([float(x.mean()) for x in images(twins[0])]):.4g} themselves" in report.notes[0]


def test_progress_counts_files(twins):
    told = []
    unlearnable.measure(*twins, metrics=("linf",), progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, COUNT) and told[-1] == (COUNT, COUNT) and told == sorted(told)


def test_pictures_are_not_kept(twins, monkeypatch):
    made = []
    monkeypatch.setattr(run.Run, "compare", lambda self, name, a, b: made.extend([a, b]))
    kept = run.Run({"linf": folders.registry.load("linf", "metric")}, {})
    kept.read(pair(*twins), lambda done, total: None)
    assert len(made) == 2 * COUNT and not kept.rows


def test_the_command_measures_what_the_verb_does():
    given = inspect.signature(cli_measure.measure).parameters["metrics"].default
    assert tuple(given.split(",")) == folders.DEFAULT


def test_lonely_pictures_are_named_up_to_a_few():
    report = folders.Report({}, only_clean=tuple("abcdefg"), only_protected=("x",))
    assert cli_measure.alone(report) == [
        "only among the clean pictures: a, b, c, d, e and 2 more", "only among the protected pictures: x"
    ]  # fmt: skip


def command(*words):
    return commands.command("measure", *words)


def test_the_command_prints_a_table_and_says_what_is_wrong(twins, tmp_path):
    torch.manual_seed(0)
    FeatureNetwork(["a"], (8, 8, 16)).save(tmp_path / "network")
    (twins[1] / "3.png").write_bytes(b"")
    done = command(*twins, "--features", f"embedded-features:{tmp_path / 'network'}")
    assert done.returncode == 1 and "failed: " in done.stderr and "3.png" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["metric", "better", "mean"] and len(lines) == 8
    row = next(line for line in lines if line.startswith("linf"))
    assert row.split()[:4] == ["linf", "[1/255]", "lower", "2.4"] and row.endswith("5.png")
    assert any(line.startswith("embedded-features-distance") for line in lines)


def test_the_command_in_json(twins):
    done = command(*twins, "--metrics", "psnr, linf", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["metrics"]["linf"] | {"low": 0, "high": 0} == {
        "name": "linf", "unit": "1/255", "higher_is_better": False, "mean": 2.5, "worst": 5.0, "count": 6, "note": "",
        "low": 0, "high": 0,
    }  # fmt: skip
    assert found["pictures"][0] == {"name": "0.png", "psnr": None, "linf": 0.0}
    assert found["metrics"]["psnr"]["mean"] is None and "infinite" in found["notes"][0]


def test_the_list_explains_each_metric_without_torch():
    script = (
        "import sys, unlearnable.cli as c\ntry: c.app(['measure', '--list'])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "torch" not in done.stderr.split()
    for words in ("psnr\n  Peak signal-to-noise ratio.", "Better: lower", "arXiv 1801.03924", "protection-rate\n"):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [(["--metrics", "fdi"], 2, "did you mean 'fid'"), (["--metrics", "ism"], 3, "faces need")],
)
def test_mistakes_are_one_sentence(words, code, sentence, twins):
    done = command(*twins, *words)
    assert done.returncode == code and sentence in done.stderr and "Traceback" not in done.stderr
