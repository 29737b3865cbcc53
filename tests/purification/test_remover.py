"""The remover takes off a pattern that it has seen on other pictures, and says what is wrong with what it is given."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tiny import pictures
from unlearnable import cli
from unlearnable.errors import UsageError
from unlearnable.purification import remover
from unlearnable.purification.chain import parse


def stripes(x):
    """A faint weave, the same on every picture."""
    rows, cols = torch.arange(x.shape[-2]).view(-1, 1), torch.arange(x.shape[-1]).view(1, -1)
    return (x + 6 / 255 * (((rows + cols) % 4 < 2).float() * 2 - 1)).clamp(0, 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    clean = pictures(12, seed=50, side=64)
    network = remover.train(list(zip(clean, stripes(clean))), steps=60, seed=1, width=8)
    file = tmp_path_factory.mktemp("remover") / "r.safetensors"
    remover.save(network, file, steps=60)
    return file


def test_it_takes_off_other_pictures_what_it_has_seen(trained):
    x = pictures(3, seed=90, side=96)[..., :90, :77]
    shown = (stripes(x) * 255).round() / 255
    whole, half = (parse(f"remover:{strength}:file={trained}")(shown) for strength in (1, 0.5))
    before, after, between = (float((y - x).square().mean()) for y in (shown, whole, half))
    assert after < 0.3 * before and after < between < before
    untouched = parse(f"remover:1:file={trained}")(x)
    assert float((untouched - x).square().mean()) < 0.6 * before, "and is gentler to pictures that have none"


def test_training_is_repeatable_and_batches_are_aligned():
    clean = pictures(3, seed=50, side=48)
    pairs = list(zip(clean, stripes(clean)))
    one, other = (remover.train(pairs, steps=2, seed=4, width=8).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    x, y = remover.batch(pairs, 5, 0)
    assert x.shape == y.shape == (8, 3, 64, 64) and ((y - x).abs().amax((1, 2, 3)) < 7 / 255).all()


def test_interrupted_and_given_again_it_learns_the_same(tmp_path):
    clean = pictures(3, seed=50, side=48)
    pairs = list(zip(clean, stripes(clean)))

    def train(state=None, progress=None, pairs=pairs):
        return remover.train(pairs, steps=5, seed=4, width=8, state=state, progress=progress).state_dict()

    def stop(done, steps, loss):
        told.append(done)
        if told == [1, 2]:
            raise KeyboardInterrupt

    told, file = [], tmp_path / "r.training.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(file, stop)
    with pytest.raises(UsageError, match=r"r\.training\.safetensors.* belongs to a training run with other settings"):
        train(file, pairs=pairs[:2])
    resumed, whole = train(file, stop), train()
    assert told == [1, 2, 3, 4, 5] and all(torch.equal(resumed[name], whole[name]) for name in whole)
    again = train(file, stop)
    assert told == [1, 2, 3, 4, 5] and all(torch.equal(again[name], whole[name]) for name in whole)


def test_the_command_writes_a_file_that_the_chain_reads(tmp_path):
    for name, x in {"clean": pictures(2, seed=1), "protected": stripes(pictures(2, seed=1))}.items():
        (tmp_path / name).mkdir()
        for i, one in enumerate(x):
            Image.fromarray((one * 255).permute(1, 2, 0).byte().numpy()).save(tmp_path / name / f"{i}.png")
    file = str(tmp_path / "r.safetensors")
    words = ["train-remover", str(tmp_path / "clean"), str(tmp_path / "protected"), "-o", file]
    done = CliRunner().invoke(cli.app, [*words, "--steps", "2", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["pictures"] == 2
    assert (tmp_path / "r.training.safetensors").is_file()
    assert parse(f"remover:1:file={tmp_path / 'r.safetensors'}")(pictures(1)).shape == (1, 3, 32, 32)


def test_what_it_refuses(tmp_path):
    with pytest.raises(UsageError, match="train one by `unlearnable train-remover`"):
        parse("remover")(pictures(1))
    with pytest.raises(UsageError, match="is not there"):
        parse(f"remover:1:file={tmp_path / 'no'}")(pictures(1))
    with pytest.raises(UsageError, match="give pairs of one size"):
        remover.train([(torch.zeros(3, 8, 8), torch.zeros(3, 8, 9))])
    with pytest.raises(UsageError, match="no pairs"):
        remover.train([])
