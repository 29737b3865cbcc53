"""The two tables and the one jump against diffusers' own schedulers."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from torch.testing import assert_close

from unlearnable.errors import UsageError
from unlearnable.models.schedule import CLEAN, Schedule, from_scheduler
from unlearnable.rng import normal

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
T = 1000


def ddim(prediction: str = "epsilon", to_one: bool = False) -> DDIMScheduler:
    return DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=to_one, prediction_type=prediction)


def latents(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    keys = [str(i) for i in range(count)]
    return normal(keys, (4, 6, 8), "z"), normal(keys, (4, 6, 8), "noise")


def schedules() -> dict[str, Schedule]:
    return {
        "eps": from_scheduler(ddim("epsilon", True)),
        "v": from_scheduler(ddim("v_prediction", True)),
        "flow": from_scheduler(FlowMatchEulerDiscreteScheduler(shift=3.0)),
    }


def at(*times: int) -> torch.Tensor:
    return torch.tensor(times)


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler, PNDMScheduler, EulerDiscreteScheduler])
def test_every_ddpm_type_scheduler_gives_the_same_tables(kind):
    stock = kind(**BETAS)
    ours = from_scheduler(stock)
    assert_close(ours.alpha_bar, stock.alphas_cumprod, rtol=1e-5, atol=1e-7)
    assert_close(ours.timestep, torch.arange(T))
    assert (len(ours), ours.prediction) == (T, "eps")


@pytest.mark.parametrize("settings", [{"shift": 1.0}, {"shift": 3.0}, {"shift": 3.0, "use_dynamic_shifting": True}])
def test_the_flow_tables_are_the_schedulers_own(settings):
    stock = FlowMatchEulerDiscreteScheduler(**settings)
    ours = from_scheduler(stock)
    assert_close(ours.noise, stock.sigmas.flip(0))
    assert_close(ours.signal, 1 - stock.sigmas.flip(0))
    assert_close(ours.timestep, stock.timesteps.flip(0))


def test_a_flow_schedulers_tables_do_not_depend_on_an_earlier_sampling():
    stock = FlowMatchEulerDiscreteScheduler(shift=3.0)
    before = from_scheduler(stock)
    stock.set_timesteps(4)
    assert_close(from_scheduler(stock).noise, before.noise)


def test_other_predictions_are_refused_with_the_remedy():
    with pytest.raises(UsageError, match="'sample' is not supported: use a model with epsilon or v_prediction"):
        from_scheduler(ddim("sample"))


@pytest.mark.parametrize("to_one", [False, True])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("t", "steps"), [(999, 2), (981, 50), (751, 4), (500, 1000), (250, 4), (1, 4), (0, 1000)])
def test_a_jump_is_a_step_of_ddim(prediction, to_one, t, steps):
    stock = ddim(prediction, to_one)
    stock.set_timesteps(steps)
    z_t, out = latents()
    s = t - T // steps
    expected = stock.step(out, t, z_t, eta=0.0).prev_sample
    got = from_scheduler(stock).jump(z_t, at(t, t), at(s, s) if s >= 0 else at(CLEAN, CLEAN), out)
    assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_jumps_are_the_euler_steps_of_a_flow_down_to_the_clean_picture(shift):
    times = [999, 700, 333, 20, 0]
    stock = FlowMatchEulerDiscreteScheduler(shift=shift)
    ours = from_scheduler(stock)
    stock.set_timesteps(sigmas=[(t + 1) / T for t in times])
    mine, _ = latents(1)
    theirs = mine
    for step, (t, s) in enumerate(zip(times, [*times[1:], CLEAN])):
        out = normal(["out"], (4, 6, 8), step)
        theirs = stock.step(out, stock.timesteps[step], theirs).prev_sample
        mine = ours.jump(mine, at(t), at(s), out)
        assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "v", "flow"])
def test_with_the_right_answer_a_jump_lands_on_the_path_and_comes_back(prediction):
    schedule = schedules()[prediction]
    z, noise = latents(3)
    for t, s in [(900, 100), (100, 900), (999, 0), (500, CLEAN)]:
        start, end = at(t, t, t - 1), at(s, s, s)
        z_t = schedule.noised(z, noise, start)
        z_s = schedule.jump(z_t, start, end, schedule.target(z, noise, start))
        assert_close(z_s, z if s == CLEAN else schedule.noised(z, noise, end), rtol=1e-3, atol=1e-4)
        if s != CLEAN:
            assert_close(schedule.jump(z_s, end, start, schedule.target(z, noise, end)), z_t, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("prediction", ["eps", "v", "flow"])
def test_a_jump_up_from_the_clean_picture_noises_it(prediction):
    schedule = schedules()[prediction]
    z, noise = latents()
    clean, top = at(CLEAN, CLEAN), at(999, 999)
    out = {"eps": noise, "v": noise, "flow": noise - z}[prediction]
    assert_close(schedule.jump(z, clean, top, out), schedule.noised(z, noise, top), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "v", "flow"])
def test_the_answer_splits_into_picture_and_noise(prediction):
    schedule = schedules()[prediction]
    z, noise = latents()
    t = at(10, 800)
    parts = schedule.split(schedule.noised(z, noise, t), t, schedule.target(z, noise, t))
    for got, expected in zip(parts, (z, noise)):
        assert_close(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("steps", "top"), [(1, None), (4, None), (50, None), (1000, None), (7, 100), (3, 2)])
def test_spaced_times_go_down_from_the_top_once_each(steps, top):
    times = schedules()["eps"].spaced(steps, top)
    assert (len(times), times[0]) == (steps, T - 1 if top is None else top)
    assert times == sorted(set(times), reverse=True) and times[-1] >= 0


@pytest.mark.parametrize(("steps", "top"), [(0, None), (-1, None), (1001, None), (5, 3)])
def test_impossible_spacing_is_refused(steps, top):
    with pytest.raises(UsageError, match="choose between 1 and"):
        schedules()["eps"].spaced(steps, top)
