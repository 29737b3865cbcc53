"""Settings of UDP's game over a whole data set; `protection.maxmin` plays it."""

from __future__ import annotations

from dataclasses import dataclass

from unlearnable.errors import UsageError
from unlearnable.models.finetune.training import FineTune

AUTO = -1
FRESH_LR, FRESH_WARMUP = 1e-3, 10  # from random weights: the rate, and rounds of training before any ascent
CLIP = 1.0


@dataclass(frozen=True)
class GameSettings:
    """Training of a game's surrogate (`--surrogate`); groups of pictures have `Protection.surrogate` instead.

    `train` steps on `learn` pictures each, before every round's ascent, at the rate `lr` (0: the model's own, or 1e-3
    from random weights); `warmup` steps before the first (-1: none on loaded weights, ten rounds' worth from random
    ones). `cool` lets that rate fall to zero over the game, in a straight line.
    """

    train: int = 50
    learn: int = 32
    lr: float = 0.0
    warmup: int = AUTO
    cool: bool = False

    def __post_init__(self) -> None:
        for name, least in (("train", 0), ("learn", 1), ("lr", 0), ("warmup", AUTO)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} {getattr(self, name)} is too small: give {least} or more")

    def fit(self, rounds: int, scratch: bool) -> FineTune:
        """The training of a game of `rounds`."""
        rate, steps = self.lr or (FRESH_LR if scratch else None), self.steps_until(rounds - 1, scratch)
        return FineTune(steps, rate, self.learn, weight_decay=0.0 if scratch else 1e-2, clip=CLIP, cool=self.cool)

    def steps_until(self, turn: int, scratch: bool) -> int:
        """Training steps that are done before the ascent of a turn."""
        warmup = self.warmup if self.warmup != AUTO else FRESH_WARMUP * self.train if scratch else 0
        return warmup + (turn + 1) * self.train
