"""What can be known to be wrong is refused before anything is computed, by a dry run as by a real one."""

import pytest
from PIL import Image
from typer.testing import CliRunner

from unlearnable import cli
from unlearnable.cli import root
from unlearnable.errors import SetupError, UsageError, WriteError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    for folder in ("photos", "protected"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            Image.new("RGB", (64, 64), (40 * i, 90, 120)).save(tmp_path / folder / f"{i}.png")
    Image.new("L", (20, 20), 255).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    # inside `load_model`: a module that is first imported here would keep a replaced function for the tests after it
    monkeypatch.setattr("unlearnable.models.load.guarded", lambda *a, **k: pytest.fail("a model was loaded"))
    return tmp_path


REFUSED = {
    "protect photos -o out --quality 0": "quality 0 is out of range",
    "protect photos -o out --quality 80": "has no meaning for PNG",
    "protect photos -o out --method fastprotect --options patterns=none.safetensors": "none.safetensors is not there",
    "protect photos -o out --format png --quality 80": "has no meaning for PNG",
    "protect photos -o out --eps 0": "eps 0 allows no change",
    "protect photos -o out --eps nan": "eps nan allows no change",
    "protect photos -o out --format gif": "cannot write the format",
    "protect photos -o out --revision main": "has no meaning for the embedded model",
    "protect photos -o out --mask none.png": "does not exist",
    "protect photos -o out --mask small.png": "fits no picture",
    "protect photos -o out --mask text.png": "the mask cannot be used",
    "protect photos -o out --dtype half": "unknown dtype",
    "protect photos -o out --group team": "unknown group",
    "protect photos -o out --method mits": "did you mean 'mist'",
    "audit photos protected -o out --preset foo": "unknown preset 'foo'",
    "audit photos protected -o out --features nope": "unknown features 'nope'",
    "audit photos protected -o out --prompt dog": "does not hold the token 'sks'",
    "audit photos protected -o out --attack lorra": "did you mean 'lora'",
    "audit photos protected -o out --purify jpg:75": "did you mean 'jpeg'",
    "audit photos protected -o out --dtype half": "unknown dtype",
    "audit photos protected -o out --seeds 0,one": "--seeds '0,one' is not a list of whole numbers",
    "audit photos protected -o out --seeds 1,1": "give one or more, each once",
    "personalize photos -o out --preset foo": "unknown preset 'foo'",
    "personalize photos -o out --prompt dog": "does not hold the token 'sks'",
    "personalize photos -o out --set rnak=3": "has no setting 'rnak'",
    "personalize photos -o out --steps 0": "steps 0 is too small",
    "personalize photos -o out --revision main": "has no meaning for the embedded model",
    "purify photos -o out --how jpg:75": "did you mean 'jpeg'",
    "train-fastprotect photos -o out.bin": "name a file that ends with .safetensors",
    "train-fastprotect photos -o small.png/out.safetensors": "a file or folder of that name is in the way",
    "train-remover photos protected -o small.png/out.safetensors": "a file or folder of that name is in the way",
    "train-remover photos protected -o photos": "name a file that ends with .safetensors",
    "train-shortcut photos -o small.png/out.safetensors": "a file or folder of that name is in the way",
    "measure photos protected --metrics nope": "unknown metric 'nope'",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_before_a_model_is_loaded_or_anything_written(line, photos):
    words = line.split()
    for dry in ([], ["--dry-run"]) if words[0] in ("protect", "audit") else ([],):
        found = CliRunner().invoke(cli.app, [*words, *dry])
        assert isinstance(found.exception, UsageError | SetupError | WriteError), (dry, found.output, found.exception)
        assert REFUSED[line] in str(found.exception)
        assert not (photos / "out").exists()


@pytest.mark.parametrize("verb", ["protect", "purify", "personalize"])
def test_an_empty_path_is_refused(verb, photos):
    found = CliRunner().invoke(cli.app, [verb, "", "-o", "out"])
    assert isinstance(found.exception, UsageError) and "is an empty text" in str(found.exception)
    assert not (photos / "out").exists()


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--against", "flux3"], "unknown encoder 'flux3'"),
        (["--method", "encoders", "--options", "against=sdx"], "unknown encoder 'sdx'"),
        (["--method", "eudp", "--surrogate", "scratch", "--against", "sd1"], "no part in a game over a data set"),
        (["--method", "ldu", "--against", "sd1", "--options", "objective=denoising,residual=0,latent=true"], ""),
    ],
)
def test_encoders_are_checked_before_anything_is_loaded(photos, words, sentence):
    done = CliRunner().invoke(cli.app, ["protect", "photos", "-o", "out", "--dry-run", *words])
    assert isinstance(done.exception, UsageError) and sentence in str(done.exception)


def test_a_budget_beside_a_strength_is_said(photos):
    words = ["protect", "photos", "-o", "out", "--eps", "6", "--strength", "subtle", "--dry-run"]
    assert "--eps replaces the budget of --strength subtle" in CliRunner().invoke(cli.app, words).stderr


@pytest.mark.parametrize("word", ["-lead.png", "-x.JPG"])
def test_a_name_that_starts_with_a_dash(word):
    with pytest.raises(UsageError, match=r"write .*, or -- before it"):
        root.dashes(["protect", word, "-o", "out"])
    root.dashes(["protect", "-o", "out", "--", word])


def test_audit_lists_its_choices():
    found = CliRunner().invoke(cli.app, ["audit", "--list"])
    assert found.exit_code == 0 and "dreambooth" in found.output and "jpeg" in found.output
