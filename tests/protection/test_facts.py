"""What methods say of themselves in one line is what they do: budget, denoiser passes by counting, paper and year."""

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from passes import passes
from unlearnable import cli, registry
from unlearnable.protection import strengths

# They train, search or sample for long; `udp` stands for them by default.
LONG = {
    "fsmg", "metacloak", "simac", "ldu-paper", "photoguard-diffusion", "dia", "ldu", "ace", "hf-adb", "aspl",
    "disdiff", "styleguard", "anti-diffusion", "eudp",
}  # fmt: skip
KNOWN = [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in registry.METHODS]


@pytest.mark.parametrize("name", KNOWN)
def test_the_cost_is_what_is_counted(name):
    said = registry.entry(name).facts.passes
    assert said == pytest.approx(passes(strengths.protection(name, "paper")), rel=0.03)


@pytest.mark.parametrize("name", registry.METHODS)
def test_the_budget_is_the_settings_own(name):
    facts, own = registry.entry(name).facts, strengths.protection(name, "paper").constraint.describe()
    numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", facts.budget)]
    truly = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", own)]
    assert numbers and all(any(n == pytest.approx(t, rel=2e-3) for t in truly) for n in numbers), (facts.budget, own)
    assert ("dB" in facts.budget) == ("PSNR" in own) and facts.use


def test_papers_and_years():
    facts = {name: registry.entry(name).facts for name in registry.METHODS}
    assert {name for name, f in facts.items() if not f.paper} == {"random", "desaturate", "encoders"}
    assert facts["simac"].paper == "arXiv 2312.07865" and facts["simac"].year == 2024
    assert facts["ace"].year == 2023 and facts["udp"].year == 2023 and facts["aspl"].year == 2023
    assert all(2022 < f.year < 2027 for f in facts.values() if f.paper)


def test_the_table_fits_100_columns_and_needs_no_torch():
    shown = CliRunner().invoke(cli.app, ["methods"])
    lines = shown.stdout.splitlines()
    assert shown.exit_code == 0 and max(map(len, lines)) <= 100
    rows = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert set(registry.METHODS) <= set(rows)
    assert re.fullmatch(r"aspl +2023 +L-inf 6\.375/255 +600 +fine-tuning +arXiv 2303\.15433", rows["aspl"])
    listed = json.loads(CliRunner().invoke(cli.app, ["methods", "--json"]).stdout)
    assert {"name", "summary", "text", "paper", "year", "budget", "passes", "use"} == set(listed[0])
    code = "import sys; from unlearnable import registry; [registry.entry(n).facts for n in registry.METHODS]"
    assert subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"]).returncode == 0
