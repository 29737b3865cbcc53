"""What the training scripts rely on: checkpoints that resume exactly, shared-out gradients, folded latents, export."""

import pytest
import torch

from base import build, stratified_timesteps
from common import (
    EMBEDDED,
    WEIGHTS,
    Clock,
    averaged_encoder,
    learning_rate,
    load_checkpoint,
    mean_gradients,
    save_checkpoint,
    step_rng,
)
from networks import Shape


def train_a_little(module, optimizer, steps):
    for step in steps:
        x = torch.randn((8, 4), generator=step_rng(0, step))
        mean_gradients(lambda rows: (module(rows).square().mean(), {}), list(module.parameters()), (x,), 1)
        optimizer.step()


def test_resumed_training_equals_uninterrupted_training(tmp_path):
    results = []
    for stretches in ([range(6)], [range(3), range(3, 6)]):
        for stretch in stretches:
            torch.manual_seed(0)
            module = torch.nn.Linear(4, 2)
            optimizer = torch.optim.AdamW(module.parameters(), 0.1)
            average = [torch.zeros(2)]
            file = tmp_path / f"{len(stretches)}.safetensors"
            progress = load_checkpoint(file, {"m": module}, optimizer, {"average": average})
            assert progress.get("step", 0) == stretch[0]
            assert average[0][0] == stretch[0]
            train_a_little(module, optimizer, stretch)
            average[0] += len(stretch)
            save_checkpoint(file, {"m": module}, optimizer, {"average": average}, {"step": stretch[-1] + 1})
        results.append(module.weight.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("rows", [8, 7])
def test_shards_give_the_whole_batch_its_gradient(rows):
    torch.manual_seed(0)
    module, x = torch.nn.Linear(4, 3), torch.randn(rows, 4)

    def loss(part):
        value = module(part).square().mean()
        return value, {"loss": value.item()}

    parts = mean_gradients(loss, list(module.parameters()), (x,), 2)
    shared = module.weight.grad.clone()
    loss(x)[0].backward(inputs=[module.bias])
    wanted = torch.autograd.grad(loss(x)[0], module.weight)[0]
    assert torch.allclose(shared, wanted, atol=1e-6)
    assert parts["loss"] == pytest.approx(loss(x)[1]["loss"], rel=1e-5)


def test_gradients_have_their_parameters_memory_layout():
    """Else a fused optimizer pairs the wrong numbers: it cost our first autoencoder 2 dB before we saw it."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    x = torch.randn(4, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    mean_gradients(lambda rows: (conv(rows).square().mean(), {}), list(conv.parameters()), (x,), 2)
    assert conv.weight.grad.stride() == conv.weight.stride()
    assert torch.allclose(conv.weight.grad, torch.autograd.grad(conv(x).square().mean(), conv.weight)[0], atol=1e-6)


def test_learning_rate_warms_up_holds_and_falls():
    assert learning_rate(1.0, 0.0, 0) == pytest.approx(0.01)
    assert learning_rate(1.0, 0.5, 1000) == 1.0
    assert learning_rate(1.0, 1.0, 1000) == pytest.approx(0.02)


def test_the_clock_counts_earlier_stretches():
    clock = Clock(steps=100, minutes=None, step=40, spent=3.0)
    assert clock.done == 0.4
    assert clock.elapsed >= 3.0
    assert "step 40, 40 %" in clock.line(160)


def test_timesteps_are_spread_evenly():
    t = stratified_timesteps(10, 1000, torch.Generator().manual_seed(0))
    assert sorted((t // 100).tolist()) == list(range(10))


def test_training_goes_on_from_the_model_that_ships_with_its_words():
    from unlearnable import load_model

    networks, shipped = build(["a kind nobody knows"], Shape(), EMBEDDED), load_model("embedded", device="cpu").pipe
    assert networks.tokenizer.get_vocab() == shipped.tokenizer.get_vocab()
    for name, module in networks.modules().items():
        theirs = getattr(shipped, name).state_dict()
        assert all(torch.equal(value, theirs[key].float()) for key, value in module.state_dict().items())


def test_an_encoder_in_training_goes_before_the_one_that_is_committed(tmp_path):
    assert averaged_encoder(tmp_path, "sd1") == WEIGHTS / "encoder-sd1.safetensors"
    assert averaged_encoder(tmp_path, "sd1").is_file()
    (own := tmp_path / "encoder-sd1-average.safetensors").touch()
    assert averaged_encoder(tmp_path, "sd1") == own
