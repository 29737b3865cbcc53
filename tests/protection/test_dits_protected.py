"""AdvDM, and LDU, on the newer transformers: better than random noise of the same budget on fitted models."""

import pytest
from test_methods import shortened

import tiny_dits
from tiny import PROMPT, pictures
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted

MARGINS = {"advdm": 0.15, "ldu": 0.05}  # seeds move advdm by 0.03 and ldu by 0.01


@pytest.mark.slow
@pytest.mark.parametrize("family", tiny_dits.DITS)
@pytest.mark.parametrize("name", MARGINS)
def test_it_beats_random_noise(name, family):
    model, protection, x = tiny_dits.fitted(family), shortened(name, family), pictures(2, seed=9)
    y = protection(model, x, prompt=PROMPT, seed=3)
    control = adjusted(strengths.protection("random", "paper"), constraint=protection.constraint)(model, x, seed=3)
    ours, random = (float(protection.evaluate(model, z, prompt=PROMPT).mean()) for z in (y, control))
    assert ours - random > MARGINS[name] * abs(random), f"{ours:.4f} against {random:.4f} for random noise"
