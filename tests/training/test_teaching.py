"""What the encoders' training rests on: crops, corruptions, ascent against the student, and the joined autoencoder."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from autoencoder import joined, untrained
from decoder import build_decoder
from encoder import Settings, agreement, ascended, build, errors, latents, pairs, perturbed
from hearing import figures, halved, jpeg, on_grid, shift, to_budget
from photographs import Photographs, batch, corrupted, held_squares, resized
from replay import Replay
from teachers import LightEncoder, Normalised, normalised, taef2_decoder, taef2_encoder


@pytest.fixture
def pictures():
    rng = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (3, 3, 128, 128), generator=rng, dtype=torch.uint8)
    return Photographs(small, [torch.randint(0, 256, (3, 150, 210), generator=rng, dtype=torch.uint8)])


def test_batches_are_repeatable_squares(pictures):
    made = [batch(pictures, size, 3, torch.Generator().manual_seed(5)) for size in (64, 64, 192)]
    assert torch.equal(made[0], made[1])
    assert made[2].shape == (3, 3, 192, 192)
    assert made[0].min() >= 0 and made[0].max() <= 1
    assert torch.equal((made[0] * 255).round() / 255, made[0])
    assert held_squares(pictures, 96, 4).shape == (1, 3, 96, 96)


def test_half_of_the_pictures_are_left_as_they_are():
    rng, picture = torch.Generator().manual_seed(0), torch.randint(0, 256, (3, 32, 32)) / 255
    changed = [not torch.equal(corrupted(picture, rng), picture) for _ in range(600)]
    assert 0.4 < sum(changed) / 600 < 0.6


def test_resizing_keeps_the_shorter_side():
    assert resized(torch.zeros(3, 40, 100, dtype=torch.uint8), 64).shape == (3, 64, 160)


def test_ascent_moves_latents_further_than_noise_of_the_same_bound():
    torch.manual_seed(0)
    encoder = build("sd1").requires_grad_(False)
    x, eps = torch.rand(2, 3, 32, 32), torch.full((2, 1, 1, 1), 4 / 255)
    noise = torch.randn(x.shape)
    moved = ascended(lambda y: latents(encoder, y), x, noise, eps, 2)
    assert (moved - x).abs().max() <= 4 / 255 + 1e-6
    assert moved.min() >= 0 and moved.max() <= 1
    by_noise = (x + 4 / 255 * noise.sign()).clamp(0, 1)
    distances = [(latents(encoder, y) - latents(encoder, x)).square().mean() for y in (moved, by_noise)]
    assert distances[0] > 2 * distances[1]


@pytest.mark.parametrize("coin, who", [(0.1, "noise"), (0.4, "student"), (0.8, "teacher")])
def test_twins_are_moved_by_noise_by_the_student_and_by_the_teacher(coin, who):
    asked, x = [], torch.rand(2, 3, 32, 32)

    def encode(name):
        network = build("sd1").requires_grad_(False)
        return lambda y: asked.append(name) or latents(network, y)

    moved = perturbed(
        encode("student"), encode("teacher"), Settings(), x, torch.randn(x.shape), torch.tensor([coin, 0, 1])
    )
    assert set(asked) == ({who} - {"noise"})
    far = (moved - x).abs().amax((1, 2, 3))
    assert far[0] > 0 and (who == "noise" or (far <= torch.tensor([1.0, 8.0]) / 255 + 1e-6).all())


def test_batches_are_used_no_more_often_than_wished():
    replay = Replay(lambda number: (torch.tensor(number),), uses=2.0, size=5, least=3).start(7)
    drawn = [int(replay.draw(seed)[0]) for seed in range(40)]
    replay.stop()
    assert min(drawn) >= 7 and replay.made >= 20 and len(replay.memory) <= 5


def test_what_fails_in_the_thread_fails_here():
    def make(number):
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        Replay(make).start().draw(0)


def test_normalised_latents_have_unit_variance():
    torch.manual_seed(0)
    network, parts = LightEncoder().requires_grad_(False), [torch.rand(2, 3, 32, 32) for _ in range(4)]
    z = normalised(network, parts)(torch.cat(parts)).transpose(0, 1).flatten(1)
    assert torch.allclose(z.mean(1), torch.zeros(4), atol=1e-4)
    assert torch.allclose(z.std(1), torch.ones(4), atol=1e-3)


def test_errors_are_in_units_of_the_teachers_spread():
    encoder, x = build("sd1"), torch.rand(2, 3, 32, 32)

    class Off(torch.nn.Module):
        def forward(self, x):
            return latents(encoder, x) + 3

    z = torch.tensor
    assert torch.allclose(errors(encoder, Normalised(Off(), z([0.0] * 4), z([1.0] * 4)), x), torch.tensor(9.0))


def test_agreement_of_an_encoder_with_itself(pictures):
    encoder = build("sd1").requires_grad_(False)

    class Same(torch.nn.Module):
        def forward(self, x):
            return latents(encoder, x)

    found = agreement(encoder, Normalised(Same(), torch.zeros(4), torch.ones(4)), pictures, {64: 2, 96: 1})
    assert found["clean 64"] == found["moved 96"] == 0
    assert found["heard"] > 0


def test_joined_halves_answer_as_they_did_alone(tmp_path):
    torch.manual_seed(0)
    encoder, decoder = build("flux2").eval(), build_decoder().eval()
    extra = {"mean": torch.zeros(32), "std": torch.ones(32)}
    save_file(encoder.state_dict() | extra, tmp_path / "e.safetensors")
    save_file(decoder.state_dict(), tmp_path / "d.safetensors")
    vae, x = joined(tmp_path / "e.safetensors", tmp_path / "d.safetensors"), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        posterior = vae.encode(2 * x - 1).latent_dist
        assert torch.equal(posterior.mean, latents(encoder, x))
        assert torch.allclose(posterior.std, torch.full_like(posterior.std, np.exp(-6.0)))
        assert torch.equal(vae.decode(posterior.mean).sample, decoder(posterior.mean))
    assert untrained().config == vae.config


@pytest.mark.parametrize("make", [taef2_encoder, taef2_decoder])
def test_teachers_refuse_weights_of_another_shape(tmp_path, make):
    save_file({"0.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        make(tmp_path / "w.safetensors")


def test_distances_and_budgets():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    delta = to_budget(torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))
    psnr = -10 * torch.log10(delta.square().mean((1, 2, 3)))
    assert torch.allclose(psnr, torch.full((2,), 36.1), atol=1e-3)
    y = on_grid(x, delta)
    assert torch.equal((y * 255).round() / 255, y)
    assert shift(lambda v: 5 * v, x, x + 0.5 * x.std()) == pytest.approx(0.5, abs=0.05)
    assert halved(x).shape == (2, 3, 8, 8)
    pixels = (x[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert jpeg(x).shape == x.shape and Image.fromarray(pixels).size == (16, 16)


def test_a_student_that_is_its_teacher_hears_what_was_made_on_it():
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.avg_pool2d(x, 9, 1, 4)
    torch.manual_seed(0)
    encoder = build("sd1").requires_grad_(False)

    def encode(v):
        return latents(encoder, v)

    rows = figures({"sd1": (encode, encode)}, x)
    assert rows["sd1, as it is"]["sd1"] == rows["sd1, as it is"]["sd1's teacher"]
    assert rows["sd1, as it is"]["sd1"] > 1.5 * rows["random noise, as it is"]["sd1"]
    assert rows["error of sd1"] == {"clean": 0, "random noise": 0, "sd1": 0}


def test_what_is_split_among_threads_stays_a_pair():
    clean = torch.arange(6.0).view(6, 1)
    both = pairs(torch.cat([clean, clean + 0.5]))
    for part in both.chunk(4):  # as `mean_gradients` splits a batch
        before, after = part.unbind(1)
        assert torch.equal(after - before, torch.full_like(before, 0.5))


@pytest.mark.parametrize("steps, most", [(0.05, 1), (0.95, 10)])
def test_ascent_is_as_long_as_wished(steps, most):
    asked, network = [], build("sd1").requires_grad_(False)

    def student(y):
        return asked.append(1) or latents(network, y)

    x, settings = torch.rand(1, 3, 32, 32), Settings(ascent=10)
    moved = perturbed(student, student, settings, x, torch.randn(x.shape), torch.tensor([0.4 + steps / 10, 1.0]))
    assert len(asked) == most + 1 and (moved - x).abs().max() <= 8 / 255 + 1e-6
