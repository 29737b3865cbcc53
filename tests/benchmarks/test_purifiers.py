"""The table of what countermeasures cost runs on a tiny model; its figures agree with closed forms."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import purifiers


def test_table_and_json(tmp_path, monkeypatch, capsys):
    tiny.build("sd1").save_pretrained(tmp_path / "model")
    (tmp_path / "data").mkdir()
    for i, x in enumerate(tiny.pictures(2, seed=3, side=48)):
        pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{i}.png")
    words = ["--data", tmp_path / "data", "--model", tmp_path / "model", "--size", 48, "--json", tmp_path / "p.json"]
    words += ["--chains", "none", "bits:4", "vae", "--sheet", tmp_path / "sheet.png"]
    monkeypatch.setattr(sys, "argv", ["purifiers", *map(str, words)])
    purifiers.main()
    rows = json.loads((tmp_path / "p.json").read_text())["rows"]
    assert list(rows) == ["none", "bits:4", "vae"] and set(rows["vae"]) == {"48", "32"}
    assert rows["none"]["48"]["psnr"] is None and rows["none"]["48"]["ssim"] == 1
    before = np.stack([np.asarray(Image.open(tmp_path / "data" / f"{i}.png")) for i in range(2)]).astype(float)
    error = np.square(np.rint(np.rint(before / 17) * 17) - before).mean((1, 2, 3))
    assert rows["bits:4"]["48"]["psnr"] == pytest.approx(np.mean(10 * np.log10(255**2 / error)), abs=1e-6)
    assert "| none | same | 1.000 |" in capsys.readouterr().out
    assert Image.open(tmp_path / "sheet.png").width == 9 * 36
