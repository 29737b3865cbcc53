"""Training settings of Latent Diffusion Unlearning's networks, from which the command line's flags are made."""

from __future__ import annotations

from dataclasses import dataclass

from unlearnable.errors import UsageError
from unlearnable.inputs import TRAINING, setting


@dataclass(frozen=True)
class ShortcutConfig:
    """A shortcut takes `steps` of AdamW at `lr` on `batch` pictures, of which a `share` learns self-consistency.

    The paper's `share` is 1/8, for a network that starts from nothing and learns the pictures' own noise with the rest
    of its batch; its running average's decay `ema` is 0.999 (section 4.1, table 4). At a `share` of 1 the frozen base
    itself answers for d -> 0, so that all of a batch teaches jumps and many steps stay the base's. `empty` is the share
    of pictures shown without their caption. `rank` is that of the LoRA.
    """

    steps: int = setting(4000, "Training steps.", TRAINING)
    lr: float = setting(1e-3, "Learning rate.", TRAINING)
    batch: int = setting(16, "Pictures a step.", TRAINING)
    share: float = setting(1.0, "Share of a batch that learns self-consistency.", TRAINING)
    ema: float = setting(0.999, "Decay of the running average that teaches.", TRAINING)
    empty: float = 0.1
    rank: int = setting(32, "Rank of the LoRA.", TRAINING)
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "lr", "batch", "rank"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} {getattr(self, name):g} is too small: give more than 0")
        for name in ("share", "empty", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} {getattr(self, name):g} is out of range: give a share from 0 to 1")


@dataclass(frozen=True)
class RhoConfig:
    """`steps` of AdamW at `lr` on `batch` pictures; `rate` is that of the dual ascent; `width` that of the network.

    `groups` folders of pictures (subjects, the largest first) get `surrogate` attackers that have learnt some of their
    pictures in `taught` steps; a `plain` share of the steps sees the model as it is, and so do all other pictures.
    """

    steps: int = setting(1500, "Training steps.", TRAINING)
    lr: float = setting(5e-4, "Learning rate.", TRAINING)
    batch: int = setting(8, "Pictures a step, over all processes.", TRAINING)
    rate: float = 0.02
    width: int = setting(32, "Channels of the network.", TRAINING)
    groups: int = setting(8, "Subjects that get attackers of their own.", TRAINING)
    surrogate: str = setting("lora", "Attackers of a subject: lora, token or lora+token.", TRAINING)
    taught: int = setting(100, "Training steps of each of these attackers.", TRAINING)
    plain: float = 0.25
    ema: float = 0.99

    def __post_init__(self) -> None:
        for name in ("steps", "lr", "batch", "rate", "width", "taught"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} {getattr(self, name):g} is too small: give more than 0")
        if self.width % 8:
            raise UsageError(f"width {self.width} is not a multiple of 8: give 16, 32, 48 or so")
