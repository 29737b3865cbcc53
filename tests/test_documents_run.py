"""What documents tell people to type works: each command of ours is run as it stands, in a folder with what it names.

Shortened by the environment alone: defaults of the command line (`SHORT`) take the place of its own, small pictures
that of photographs, a tiny model that of Stable Diffusion. A document's commands run in their order, in one folder.
`ELSEWHERE` names those that are not run here, and why.
"""

import os
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

import tiny
from test_documents import BLOCKS, CASES, ROOT, STANDS_FOR
from unlearnable import cli

SHORT = {
    "protect": {"steps": 1, "options": "rounds=1"},
    "audit": {"steps": 1, "generated": 1},
    "personalize": {"steps": 1, "samples": 1},
    "edit": {"steps": 2},
    "train-shortcut": {"steps": 2},
    "train-ldu": {"steps": 2},
    "bench": {"run": {"minutes": 1e-4, "data": "eval"}},
}
ELSEWHERE = {
    r"\.{3}|^unlearnable\.|^unlearnable( audit| purify| protect| bench report| bench compare| encoders check)?$": (
        "no whole command"
    ),
    r"^make\b": "continuous integration runs `make lint` and `make test`; the others are made of these commands",
    r"^python (training|tests|benchmarks)/": "hours; tests/training and tests/benchmarks run their parts",
    r"^python examples/": "tests/test_examples.py",
    r"--(install|show)-completion$": "typer's own; it asks which shell runs, and writes to its settings",
    r" /in ": "in a container; without the folders' names it is the first command of how-to/folders.md",
    r" --ray ": "tests/test_spread.py, on a cluster of one machine",
    r"rounds=10,train=100|--steps \d\d\d": "minutes, which the command asks for",
    r"^unlearnable ui\b": "it serves until it is interrupted; tests/web/test_browser.py starts it",
    r"--surrogate scratch": "minutes, whatever the steps; tests/test_dataset.py plays the game",
}
PICTURES = {
    "folder": 2,
    "my-photos": 3,
    "photos": 3,
    "clean": 4,
    "held": 4,
    "others": 4,
    "pictures": 4,
    "out/pictures": 4,
    "out/originals": 2,
}


def elsewhere(line):
    return next((reason for pattern, reason in ELSEWHERE.items() if re.search(pattern, line)), None)


def plain(line):
    return re.sub(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/(?:bin|Scripts)/)?", "", line)


RUN = {}
for path, line in CASES:
    if not elsewhere(plain(line)):
        RUN.setdefault(path, []).append(plain(line))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with pictures, models, recipes and results of the names that documents use; the current one."""
    monkeypatch.chdir(tmp_path)
    for name, count in PICTURES.items():
        Path(name).mkdir(parents=True)
        for i, x in enumerate(tiny.pictures(count, seed=len(name), side=64)):
            Image.fromarray((x.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(f"{name}/{i}.png")
    Image.open("photos/0.png").save("photo.jpg")
    Path("out/small").mkdir()
    shutil.copy("photos/0.png", "out/small/cat.png")
    Path("protect.toml").write_text('method = "advdm"\n')
    for mask in ("mask.png", *(f"masks/{i}.png" for i in range(PICTURES["my-photos"]))):
        Path(mask).parent.mkdir(exist_ok=True)
        Image.new("L", (64, 64), 255).save(mask)
    for name in ("MODEL", "stable-diffusion-v1-5/stable-diffusion-v1-5"):
        tiny.build("sd1").save_pretrained(name)
    for recipe in (ROOT / "benchmarks/recipes/bench").glob("*.toml"):
        for subject in tomllib.loads(recipe.read_text(encoding="utf-8")).get("subjects", []):
            shutil.copytree("clean", "eval/" + subject.replace("*", "any"), dirs_exist_ok=True)
    for name in ("benchmarks", "src"):
        os.symlink(ROOT / name, name)
    shutil.copy(ROOT / "benchmarks/recipes/bench/embedded.toml", "recipe.toml")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("path", RUN, ids=[str(path.relative_to(ROOT)) for path in RUN])
def test_a_documents_commands_run(path, folder, capsys):
    command = typer.main.get_command(cli.app)
    for line in RUN[path]:
        words = [STANDS_FOR.get(word, word) for word in shlex.split(line)][1:]
        shutil.copytree(ROOT / "benchmarks/results/v2/embedded", "out/bench", dirs_exist_ok=True)  # a finished run
        code = command.main(words, "unlearnable", standalone_mode=False, default_map=SHORT)
        said = capsys.readouterr()
        judged = words[0] == "audit" or words[:2] == ["encoders", "check"]
        verdict = 1 if judged else 0  # which a step of training or ascent may well be: not protected
        assert code in (None, 0, verdict), f"{line}: {code}\n{said.out}\n{said.err}"


@pytest.mark.slow
@pytest.mark.parametrize("path, block", BLOCKS, ids=[str(path.relative_to(ROOT)) for path, _ in BLOCKS])
def test_python_blocks_run(path, block, folder):
    exec(compile(block, path.name, "exec"), {})


def test_nothing_is_left_out_unseen():
    """A pattern that fits nothing any more goes; most of our commands are run."""
    lines = [plain(line) for _, line in CASES]
    assert all(any(re.search(pattern, line) for line in lines) for pattern in ELSEWHERE)
    assert sum(map(len, RUN.values())) > 40
