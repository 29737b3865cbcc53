"""Build the package and use it as a stranger would: `make dist`.

The sdist and the wheel (made from the sdist) are built, checked and weighed; the wheel is installed into a fresh
environment, far from this tree, and protects a picture there.

    python tests/dist.py out/dist                     # the folder for both files
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
MOST = 100 * 10**6  # bytes
PINS = ROOT / "constraints.txt"


def build(out: Path) -> list[Path]:
    """The sdist and the wheel, of this version alone."""
    shutil.rmtree(out, ignore_errors=True)
    env = os.environ | {"PIP_CONSTRAINT": str(PINS)}
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, env=env)
    made = sorted(out.iterdir(), key=lambda path: path.suffix)
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, made)], check=True)
    for path in made:
        size = path.stat().st_size
        print(f"{path.name}: {size / 10**6:.1f} MB")
        assert size <= MOST, f"{path.name} is larger than {MOST / 10**6:g} MB"
    return made


def whole(wheel: Path) -> None:
    """Every file of the package that git knows is in the wheel, weights and templates included."""
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    missing = {name.removeprefix("src/") for name in listed.split()} - set(ZipFile(wheel).namelist())
    assert not missing, f"the wheel lacks {sorted(missing)}"


def use(wheel: Path) -> None:
    """Install the wheel into a fresh environment, and run it from a folder that holds nothing of ours."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        venv.create(place / "env", with_pip=True)
        programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
        env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        env |= {"HOME": name, "HF_HUB_OFFLINE": "1"}

        def run(*words: str) -> str:
            done = subprocess.run([str(programs / words[0]), *words[1:]], cwd=place, env=env, stdout=subprocess.PIPE)
            assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}"
            return done.stdout.decode()

        run("python", "-m", "pip", "install", "--quiet", "-c", str(PINS), str(wheel.resolve()))
        assert run("unlearnable", "--version").strip() == version
        print(run("unlearnable", "doctor"))
        run("python", "-c", "from PIL import Image; Image.effect_noise((80, 60), 60).save('photo.png')")
        print(run("unlearnable", "protect", "photo.png", "-o", "protected", "--method", "random"))
        print(run("unlearnable", "protect", "photo.png", "-o", "fast", "--method", "ldu-fast", "--resolution", "64"))
        assert (place / "protected" / "photo.png").is_file() and (place / "fast" / "photo.png").is_file()


if __name__ == "__main__":
    sdist, wheel = build(Path(sys.argv[1] if len(sys.argv) > 1 else "out/dist"))
    whole(wheel)
    use(wheel)
    print(f"done: {sdist}, {wheel}")
