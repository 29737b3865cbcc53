"""The settings of an audit (attackers, countermeasures, seeds), and the command line that repeats them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnable import registry
from unlearnable.errors import UsageError, suggestion
from unlearnable.inputs import MODEL, flag_of, joined, setting

if TYPE_CHECKING:
    from unlearnable.models.base import Model
    from unlearnable.personalization.base import Personalizer
    from unlearnable.purification.chain import Chain

NONE = "none"


@dataclass(frozen=True)
class Settings:
    """Every field but `sampling` and `draws` has a flag on the command line.

    `attacks` and `purify` are names as the commands `personalize` and `purify` know them; `steps` replaces the presets'
    training steps. `generated` pictures are drawn from each attacker's model in `sampling` steps. `features` is the
    network that judges whether they show the subject. Losses are means over `draws` of time and noise. `against` names
    encoders whose latents are compared before and after protection (`evaluation.shifts`).
    """

    attacks: tuple[str, ...] = setting(("dreambooth",), "Attackers, see `personalize --list`.", flag="attack")
    purify: tuple[str, ...] = setting((NONE, "jpeg:75", "diffpure"), "Countermeasures, see `purify --list`.")
    prompt: str = setting("a photo of sks", "What the pictures show, the subject as sks.")
    seeds: tuple[int, ...] = setting((0,), "Seeds of the trainings, e.g. 0,1,2.")
    preset: str = setting("auto", "auto (by the model's size), paper or embedded.")
    steps: int | None = setting(None, "Training steps, in place of the preset's.")
    generated: int = setting(8, "Pictures to draw from each attacker's model.")
    sampling: int = 30
    draws: int = 32
    features: str = setting("embedded-features", "Network that judges similarity.")
    against: str = setting("flux2,sd1", "Encoders that are asked what models see; see `encoders list`.")
    model: str = setting("embedded", "embedded, a diffusers folder or a hub id.", MODEL)
    revision: str | None = setting(None, "Revision of a hub model.", MODEL)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps.", MODEL)
    dtype: str = setting("auto", "auto, float32 or bfloat16.", MODEL)
    offline: bool = setting(False, "Never touch the network.", MODEL)

    def __post_init__(self) -> None:
        for name in ("attacks", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{name} {', '.join(map(str, values)) or 'is empty'}: give one or more, each once")
        for attack in self.attacks:
            registry.address(attack, "attacker")
        for name, least in (("steps", 1), ("generated", 1), ("sampling", 1), ("draws", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} {value} is too small: give {least} or more")

    def check(self) -> None:
        """Raise UsageError or SetupError for what is wrong, as far as that is known before a model is loaded."""
        from unlearnable.metrics.features import named
        from unlearnable.models.encoders import families
        from unlearnable.models.load import checked, has_text
        from unlearnable.personalization.presets import presets
        from unlearnable.personalization.prompts import holding

        checked(self.model, self.device, self.dtype, self.revision)
        named(self.features)
        families.check(self.against)
        for attack in self.attacks:
            available = presets(attack)
            if self.preset != "auto" and self.preset not in available:
                remedy = suggestion(self.preset, ["auto", *available])
                raise UsageError(f"unknown preset {self.preset!r} of {attack}: {remedy}")
            token = next(iter(available.values())).token
            if token and has_text(self.model):
                holding(self.prompt, token)

    def chains(self) -> dict[str, Chain]:
        """The countermeasures by their canonical names, without "none", which is always tried."""
        from unlearnable.purification.chain import parse

        by_name = {chain.name: chain for chain in map(parse, self.purify)}
        return {name: chain for name, chain in by_name.items() if name != NONE}

    def attacker(self, name: str, model: Model) -> Personalizer:
        """An attacker of this audit. Raises UsageError where it does not fit the model or the prompt."""
        from dataclasses import replace

        from unlearnable.personalization import presets

        attacker = presets.attacker(name, model, self.preset)
        attacker.check(model, self.prompt)
        return attacker if self.steps is None else replace(attacker, steps=self.steps)

    def command(self, clean: Path, protected: Path, out: Path, held_out: Path | None) -> str:
        """The command line that repeats an audit with these settings."""
        words = ["unlearnable", "audit", str(clean), str(protected), "-o", str(out)]
        words += ["--held-out", str(held_out)] if held_out else []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default and "help" in field.metadata:
                words += [flag_of(field)] if value is True else [flag_of(field), joined(value)]
        return shlex.join(words)
