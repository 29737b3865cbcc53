"""Files in, protected files out: mirrored, resumed, bad ones survived, budgets held on what was written."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny import PROMPT, fitted, pictures
from unlearnable.errors import DiskError, UsageError
from unlearnable.images import files
from unlearnable.jobs import protect as batch
from unlearnable.recipe import Recipe
from unlearnable.storage import atomic

RECIPE = Recipe(method="advdm", strength="paper", eps=8, steps=2, prompt=PROMPT, batch=4, resolution=64)


def save(path: Path, side: int = 32, seed: int = 0, height: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (pictures(1, seed, max(side, height or 0))[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels[: height or side, :side]).save(path)


def run(inputs, out, recipe=RECIPE, **options):
    return list(batch.protect(inputs, out, recipe, model=fitted("sd1"), **options))


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(("a.png", "b.jpg", "deep/c.webp", "deep/er/d.bmp", "e.tiff")):
        save(tmp_path / "in" / name, 40 + 7 * i, seed=i)
    return tmp_path / "in"


def test_folder_is_mirrored_and_budgets_hold(folder, tmp_path):
    results = run([folder], tmp_path / "out", recursive=True)
    assert [r.status for r in results] == ["protected"] * 5
    assert {r.output.relative_to(tmp_path / "out").as_posix() for r in results} == {
        "a.png", "b.png", "deep/c.webp", "deep/er/d.bmp", "e.tiff",
    }  # fmt: skip
    for r in results:
        before, after = files.read(r.source), files.read(r.output)
        change = np.abs(after.pixels.astype(int) - before.pixels)
        assert after.pixels.shape == before.pixels.shape
        assert 0 < change.max() == r.measured["linf"] <= 8


def test_sizes_from_16_px_and_strips_come_out_at_their_own(tmp_path):
    for name, width, height in (("s.png", 16, 16), ("w.png", 300, 20), ("t.png", 17, 333), ("l.png", 260, 190)):
        save(tmp_path / "in" / name, width, height=height)
    results = run([tmp_path / "in"], tmp_path / "out")
    for r in results:
        assert r.status == "protected", r.message
        assert Image.open(r.output).size == Image.open(r.source).size
        assert 0 < r.measured["linf"] <= 8


def test_finished_files_are_skipped_by_content_and_recipe(folder, tmp_path):
    out = tmp_path / "out"
    run([folder], out, recursive=True)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("[!.]*.*") if p.suffix != ".jsonl"}
    assert {r.status for r in run([folder], out, recursive=True)} == {"skipped"}
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}
    assert {r.status for r in run([folder], out, recursive=True, overwrite=True)} == {"protected"}
    assert {r.status for r in run([folder], out, replace(RECIPE, seed=1), recursive=True)} == {"protected"}
    save(folder / "a.png", 40, seed=99)
    again = run([folder], out, replace(RECIPE, seed=1), recursive=True)
    assert [r.status for r in again].count("protected") == 1
    (out / "e.tiff").unlink()
    assert [r.status for r in run([folder], out, replace(RECIPE, seed=1), recursive=True)].count("protected") == 1


def test_part_of_a_group_done_gives_the_same_bits(tmp_path):
    for i in range(6):
        save(tmp_path / "in" / f"{i}.png", 32, seed=i)
    run([tmp_path / "in"], tmp_path / "one")
    run([tmp_path / "in"], tmp_path / "two")
    lines = (tmp_path / "two" / "unlearnable.jsonl").read_text().splitlines()
    (tmp_path / "two" / "unlearnable.jsonl").write_text("\n".join(lines[:3]) + '\n{"name": "2.pn')  # cut by a crash
    (tmp_path / "two" / "2.png").unlink()
    again = run([tmp_path / "in"], tmp_path / "two")
    assert [r.status for r in again].count("skipped") == 2
    for i in range(6):
        assert (tmp_path / "one" / f"{i}.png").read_bytes() == (tmp_path / "two" / f"{i}.png").read_bytes()


@pytest.mark.parametrize("eps", [0, 0.5, -3, float("nan")])
def test_a_budget_that_allows_no_change_is_refused(eps):
    with pytest.raises(UsageError, match=r"allows no change of 8-bit pictures: give 1 or more"):
        replace(RECIPE, eps=eps)


def test_psnr_target_on_the_file(tmp_path):
    save(tmp_path / "x.png", 64)
    (result,) = run([tmp_path / "x.png"], tmp_path / "out", replace(RECIPE, eps=None, psnr=36.1, steps=5))
    assert 36.1 <= result.measured["psnr"] < 37.5


def test_lossy_output_is_measured_again(tmp_path):
    save(tmp_path / "x.png", 64)
    (result,) = run([tmp_path / "x.png"], tmp_path / "out", replace(RECIPE, format="jpeg", quality=80))
    assert result.output.suffix == ".jpg" and "lossy: saving changed" in result.notes[-1]
    written = np.abs(files.read(result.output).pixels.astype(int) - files.read(tmp_path / "x.png").pixels)
    assert result.measured["linf"] == written.max()


def test_masks_by_file_and_by_folder(tmp_path):
    save(tmp_path / "in" / "x.png", 48)
    light = np.zeros((48, 48), np.uint8)
    light[:24] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(light).save(tmp_path / "masks" / "x.png")
    for mask in (tmp_path / "masks", tmp_path / "masks" / "x.png"):
        (r,) = run([tmp_path / "in"], tmp_path / "out", mask=mask, overwrite=True)
        change = files.read(r.output).pixels != files.read(r.source).pixels
        assert change[:24].any() and not change[24:].any()
    Image.fromarray(light[:40]).save(tmp_path / "masks" / "x.png")
    (r,) = run([tmp_path / "in"], tmp_path / "out", mask=tmp_path / "masks")
    assert r.status == "failed" and "make it the picture's size" in r.message
    (tmp_path / "masks" / "x.png").unlink()
    (r,) = run([tmp_path / "in"], tmp_path / "out", mask=tmp_path / "masks")
    assert r.status == "failed" and "0 masks" in r.message


def test_grey_alpha_and_profile_pass_through(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 200, (40, 40)).astype(np.uint8)).save(tmp_path / "grey.png")
    rgba = rng.integers(60, 200, (40, 40, 4)).astype(np.uint8)
    rgba[:10, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "alpha.webp", lossless=True, exact=True)
    results = run([tmp_path / "grey.png", tmp_path / "alpha.webp"], tmp_path / "out")
    grey, alpha = (Image.open(r.output) for r in results)
    assert grey.mode == "L" and np.ptp(np.asarray(grey).astype(int) - np.asarray(Image.open(tmp_path / "grey.png"))) > 0
    after = np.asarray(alpha)
    assert (after[..., 3] == rgba[..., 3]).all() and (after[:10] == rgba[:10]).all()
    assert (after[10:] != rgba[10:]).any()


def test_bad_pictures_do_not_stop_the_batch(folder, tmp_path):
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "empty.jpg").write_bytes(b"")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    results = run([folder], tmp_path / "out", recursive=True)
    assert sorted(r.status for r in results) == ["failed"] * 2 + ["protected"] * 5
    for r in results:
        if r.status == "failed":
            assert r.source.name in r.message and "\n" not in r.message
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}, "inputs were touched"


def test_a_full_disk_stops_the_run_which_is_resumed(folder, tmp_path, monkeypatch):
    real, full = os.replace, {"c.webp", "e.tiff"}

    def replace_(a, b):
        if Path(b).name in full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(a, b)

    monkeypatch.setattr(atomic.os, "replace", replace_)
    results = []
    with pytest.raises(DiskError, match=r"(c\.webp|e\.tiff) was not written as the disk is full"):
        results.extend(batch.protect([folder], tmp_path / "out", RECIPE, model=fitted("sd1"), recursive=True))
    written = sorted(p.name for p in (tmp_path / "out").rglob("[!.]*") if p.is_file() and p.suffix != ".jsonl")
    assert "c.webp" not in written and "e.tiff" not in written  # and nothing that came after was tried
    assert not list((tmp_path / "out").rglob(".*.part"))
    full.clear()
    again = sorted(r.status for r in run([folder], tmp_path / "out", recursive=True))
    assert again == ["protected"] * (5 - len(written)) + ["skipped"] * len(written)


def test_output_folder_that_is_the_input_is_refused(folder):
    with pytest.raises(UsageError, match="choose another output folder"):
        run([folder], folder)


def test_a_wrong_method_is_said_before_anything_is_written(folder, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'advdm'"):
        run([folder], tmp_path / "out", replace(RECIPE, method="advmd"))
    assert not (tmp_path / "out").exists()


def test_journal_says_what_was_done(folder, tmp_path):
    run([folder], tmp_path / "out")
    head, *lines = [json.loads(line) for line in (tmp_path / "out" / "unlearnable.jsonl").read_text().splitlines()]
    assert head["run"]["method"] == "advdm" and head["versions"]["torch"] and head["budget"] == "L-inf 8/255"
    assert {line["name"] for line in lines} == {"a.png", "b.jpg", "e.tiff"}
    assert all(line["seed"] == 0 and line["measured"]["linf"] <= 8 for line in lines)


def test_progress_ends_at_the_number_of_pictures(folder, tmp_path):
    told: list[tuple[float, int]] = []
    run([folder], tmp_path / "out", recursive=True, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5) and [d for d, _ in told] == sorted(d for d, _ in told) and len(told) > 5
