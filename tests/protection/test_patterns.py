"""FastProtect's patterns: what is chosen, what is learned, and that it does more to encoders than random noise."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tiny import build, pictures
from unlearnable import cli
from unlearnable.errors import UsageError
from unlearnable.models.encoders.load import Encoder
from unlearnable.protection import patterns, strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.rng import generator


@pytest.fixture(scope="module")
def encoder():
    vae = build("sd1").vae.eval().requires_grad_(False)
    return Encoder("tiny", "a test", True, vae, lambda network, x: network.encode(2 * x - 1).latent_dist.mean, 8)


def some(count=2, k=3, size=16):
    rng = generator("patterns")
    shared, own = 0.4 * torch.randn(3, size, size, generator=rng), 0.4 * torch.randn(k, 3, size, size, generator=rng)
    return patterns.Patterns(shared, own, torch.rand(k, 3, 8, 8, generator=rng)), pictures(count, seed=3, side=40)


def test_a_picture_gets_the_pattern_of_the_nearest_thumbnail_repeated():
    learned, x = some(count=4)
    for picture, pattern in zip(x, learned.of(x)):
        small = np.array(
            [[c[5 * i : 5 * i + 5, 5 * j : 5 * j + 5].mean() for i in range(8) for j in range(8)] for c in picture]
        )
        far = [((small.reshape(3, 8, 8) - centre.numpy()) ** 2).sum() for centre in learned.centres]
        tile = (learned.shared + learned.own[int(np.argmin(far))]).clamp(-1, 1)
        for i in range(0, 40, 7):
            for j in range(0, 40, 7):
                assert torch.equal(pattern[:, i, j], tile[:, i % 16, j % 16])


def test_clusters_are_those_of_scipy():
    from scipy.cluster.vq import kmeans2

    thumbs = torch.cat([torch.full((5, 3, 8, 8), level) for level in (0.1, 0.5, 0.9)])
    thumbs += 0.01 * torch.randn(thumbs.shape, generator=generator("thumbs"))
    start = patterns.clusters(thumbs, 3, seed=2)
    theirs, _ = kmeans2(thumbs.flatten(1).double().numpy(), start.flatten(1).double().numpy(), minit="matrix", iter=50)
    assert np.allclose(start.flatten(1), theirs, atol=1e-5), "Lloyd's steps move them no further"


def test_features_are_those_of_every_block(encoder):
    x = pictures(2, seed=3)
    latents, *blocks = patterns.features(encoder, x)
    h = encoder.network.encoder.conv_in(2 * x - 1)
    for block, features in zip(encoder.network.encoder.down_blocks, blocks, strict=True):
        h = block(h)
        assert torch.allclose(h, features, atol=1e-5)
    assert torch.equal(latents, encoder(x)) and len(patterns.features(encoder, x)) == 1 + len(blocks)


def test_what_is_learned_moves_other_pictures_further_than_noise(encoder):
    learned = patterns.train(list(pictures(8, seed=1)), [encoder], count=2, steps=12, size=32, seed=1)
    again = patterns.train(list(pictures(8, seed=1)), [encoder], count=2, steps=12, size=32, seed=1)
    assert torch.equal(learned.own, again.own) and learned.shared.abs().max() <= 1
    x = pictures(6, seed=70)
    change = 8 / 255 * learned.of(x).sign()
    noise = 8 / 255 * torch.randn(x.shape, generator=generator("noise")).sign()
    moved, random = (
        float((encoder((x + delta).clamp(0, 1)) - encoder(x)).square().mean().sqrt()) for delta in (change, noise)
    )
    assert moved > 1.5 * random, (moved, random)


def test_interrupted_and_given_again_it_learns_the_same(encoder, tmp_path):
    def train(state=None, progress=None, **changes):
        given = {"count": 2, "steps": 6, "size": 16, "seed": 1} | changes
        return patterns.train(list(pictures(4, seed=1)), [encoder], **given, state=state, progress=progress)

    def stop(done, steps, score):
        told.append(done)
        if told == [1, 2, 3]:
            raise KeyboardInterrupt

    told, file = [], tmp_path / "p.training.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(file, stop)
    with pytest.raises(UsageError, match=r"p\.training\.safetensors.* belongs to a training run with other settings"):
        train(file, eps=4)
    resumed, whole = train(file, stop), train()
    assert told == [1, 2, 3, 4, 5, 6]
    assert torch.equal(resumed.shared, whole.shared) and torch.equal(resumed.own, whole.own)
    again = train(file, stop)
    assert told == [1, 2, 3, 4, 5, 6] and torch.equal(again.own, whole.own), "a finished run is not trained again"


def test_the_method_adds_them_within_its_budget_and_asks_no_model(tmp_path):
    learned, x = some()
    file = str(tmp_path / "p.safetensors")
    learned.save(tmp_path / "p.safetensors", steps=0)
    method = adjusted(strengths.protection("fastprotect", "paper"), patterns=file)
    assert not method.asks_model and not method.learns
    model = type("NoModel", (), {"multiple": 8, "device": "cpu"})()
    mask = torch.ones(2, 1, 40, 40)
    mask[..., :20] = 0
    x = x.clamp(0.1, 0.9)
    y = method(model, x, mask=mask)
    assert torch.equal(y[..., :20], x[..., :20])
    assert torch.allclose((y - x)[..., 20:] * 255, 8 * patterns.load(file).of(x).sign()[..., 20:], atol=1e-3)


def test_the_command_writes_what_protect_reads(tmp_path):
    (tmp_path / "in").mkdir()
    for i, x in enumerate(pictures(3, seed=1)):
        Image.fromarray((x * 255).permute(1, 2, 0).byte().numpy()).save(tmp_path / "in" / f"{i}.png")
    file, folder = str(tmp_path / "p.safetensors"), str(tmp_path / "in")
    words = ["train-fastprotect", folder, "-o", file, "--steps", "1", "--kinds", "2", "--against", "sd1", "--offline"]
    done = CliRunner().invoke(cli.app, [*words, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["pictures"] == 3, done.output
    assert (tmp_path / "p.training.safetensors").is_file()
    words = ["protect", folder, "-o", str(tmp_path / "out"), "--method", "fastprotect", "--options", f"patterns={file}"]
    done = CliRunner().invoke(cli.app, [*words, "--strength", "paper", "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 3 and all(0 < line["measured"]["linf"] <= 8 for line in lines), done.output


def test_what_it_refuses(tmp_path):
    with pytest.raises(UsageError, match=r"is not there: make patterns by `unlearnable train-fastprotect`"):
        patterns.load(str(tmp_path / "no"))
    with pytest.raises(UsageError, match="1 pictures for 4 kinds"):
        patterns.train([torch.zeros(3, 8, 8)], [])
