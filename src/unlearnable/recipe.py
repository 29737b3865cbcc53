"""Settings of a protection run: a frozen dataclass, TOML in and out, and the hash by which finished work is known."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from unlearnable import registry
from unlearnable.errors import UsageError, shown, suggestion
from unlearnable.inputs import FILES, METHOD, MODEL, STRENGTH, fits, setting, type_name

if TYPE_CHECKING:
    from unlearnable.protection.engine import Protection

DEFAULT_METHOD = "encoders"  # moves what real models see, and asks for none (docs/decisions/022)
SURROGATES = ("scratch", "checkpoint")
GROUPS = ("picture", "folder")
BUDGETS = ("eps", "psnr", "perceptual")
WHERE_ONLY = ("device", "offline", "checkpointing")  # settings that say where the work is done, not what comes out


@dataclass(frozen=True)
class Recipe:
    """What `protect` does to a picture. Every field has a flag of the same name on the command line.

    `eps` (levels of 255), `psnr` (dB) or `perceptual` (a distance in the embedded features) replace the strength's
    budget, `steps` its number of ascent steps, `options` other settings of the method (see `options`). A picture of
    more than ``resolution ** 2`` pixels is protected at that scale and its perturbation enlarged (0: the model's size,
    or twice that for models below 512 px; a large value means the picture's own scale, by tiles, and takes longer).
    `surrogate` ("scratch" or "checkpoint") plays one game over the whole data set, against a surrogate that starts from
    random or the model's weights. `against` names encoders whose latents are to move as well ("flux2,sd1").
    `batch` views are worked on at
    once (0: those of one picture, at most 8, so that each file is written as soon as it is done). A method whose
    surrogate learns the pictures learns each of them by itself, so that no result depends on the others; with
    ``group="folder"`` it learns those of a folder that are worked on at one size together, as one subject, as papers
    have it. A picture whose longer side has more than `web_size` px is scaled down to that first, so that it is
    protected at the size at which it will be shown (0: none is). `format` and `quality` choose another file format for
    the results. `checkpointing` trades time for memory.
    """

    method: str = setting(DEFAULT_METHOD, "Protection; see `unlearnable methods`.", METHOD)
    strength: str = setting("standard", "subtle, standard, strong (40, 36, 30 dB) or paper.", STRENGTH)
    eps: float | None = setting(None, "Largest change of a sample, in levels of 255.", STRENGTH)
    psnr: float | None = setting(None, "Least PSNR in dB, in place of eps.", STRENGTH)
    perceptual: float | None = setting(None, "Largest distance in embedded features.", STRENGTH)
    steps: int | None = setting(None, "Ascent steps, at least one a round of the method.", STRENGTH)
    options: str = setting("", "More settings of the method, as in k=4,t_start=0.5.", METHOD)
    surrogate: str | None = setting(None, "udp, eudp: scratch or checkpoint, for a whole set.", METHOD)
    against: str | None = setting(None, "Encoders to move too, as in flux2,sd1; see `encoders list`.", METHOD)
    model: str = setting("embedded", "embedded, a diffusers folder or a hub id.", MODEL)
    revision: str | None = setting(None, "Revision of a hub model.", MODEL)
    prompt: str = setting("a photo", "What the pictures show, as an attacker would put it.", METHOD)
    seed: int = setting(0, "Seed of all randomness.", METHOD)
    resolution: int = setting(0, "Scale in px at which larger pictures are protected.", METHOD)
    batch: int = setting(0, "Views worked on at once; 0: those of one picture.", MODEL)
    group: str = setting("picture", "What surrogates learn at once: picture or folder.", METHOD)
    web_size: int = setting(0, "Scale to this longer side in px first, as platforms do.", FILES)
    format: str | None = setting(None, "File format of the results, e.g. png, jpeg.", FILES)
    quality: int | None = setting(None, "Quality of a lossy format, 1 to 100.", FILES)
    keep_metadata: bool = setting(False, "Keep EXIF (GPS too) and XMP.", FILES)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps.", MODEL)
    dtype: str = setting("auto", "auto, float32 or bfloat16.", MODEL)
    offline: bool = setting(False, "Never touch the network.", MODEL)
    checkpointing: bool = setting(False, "Less memory, more time.", MODEL)

    def __post_init__(self) -> None:
        budgets = {name: getattr(self, name) for name in BUDGETS if getattr(self, name) is not None}
        if len(budgets) > 1:
            both = " and ".join(f"{name} {value:g}" for name, value in budgets.items())
            raise UsageError(f"{both} are {len(budgets)} budgets: give one of them")
        if self.surrogate is not None and self.surrogate not in SURROGATES:
            raise UsageError(f"unknown surrogate {self.surrogate!r}: {suggestion(self.surrogate, [*SURROGATES])}")
        if self.group not in GROUPS:
            raise UsageError(f"unknown group {self.group!r}: {suggestion(self.group, [*GROUPS])}")
        for name, least in (("steps", 0), ("batch", 0), ("resolution", 0), ("web_size", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} {value} is too small: give {least} or more")
        if self.eps is not None and not self.eps >= 1:
            raise UsageError(f"eps {self.eps:g} allows no change of 8-bit pictures: give 1 or more, in levels of 255")
        if self.quality is not None:
            self._check_quality()
        if self.format is not None:
            from unlearnable.images.formats import output_format

            output_format("PNG", self.format)
        for name, own in (("resolution", "the model's own"), ("web_size", "each picture's own")):
            if 0 < getattr(self, name) < 64:
                raise UsageError(f"{name} {getattr(self, name)} is too small: give 64 or more, or 0 for {own}")

    def _check_quality(self) -> None:
        from unlearnable.images.formats import LOSSLESS, output_format

        if not 1 <= (self.quality or 0) <= 100:
            raise UsageError(f"quality {self.quality} is out of range: give 1 to 100")
        kind = output_format("PNG", self.format)[0]
        if kind in LOSSLESS and kind != "WEBP":
            raise UsageError(
                f"quality {self.quality} has no meaning for {kind}, which loses nothing: leave it out, or add "
                "--format jpeg, webp or avif"
            )

    @property
    def pillow_format(self) -> str | None:
        """Pillow's name of the format asked for."""
        return self.format.upper() if self.format else None

    @property
    def views(self) -> int:
        """How many views are worked on at once, at most."""
        return self.batch or 8

    @property
    def hash(self) -> str:
        """Hex digest of everything that decides the result."""
        settings = {k: v for k, v in asdict(self).items() if k not in WHERE_ONLY}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def protection(self) -> Protection:
        """The method at this recipe's budget."""
        from unlearnable.options import applied
        from unlearnable.protection import strengths
        from unlearnable.protection.adjust import for_data_set
        from unlearnable.protection.against import Against
        from unlearnable.protection.constraints import LinfConstraint, psnr

        # In the strength presets what people would see is bounded everywhere, not in those named after papers.
        settings, local = strengths.protection(self.method, self.strength), self.strength != registry.PAPER
        if self.surrogate:
            settings = for_data_set(settings) if settings.game else settings
        if self.eps is not None:
            settings = replace(settings, constraint=LinfConstraint(self.eps, local))
        if self.psnr is not None:
            settings = replace(settings, constraint=psnr(self.psnr, local=local))
        if self.perceptual is not None:
            from unlearnable.protection.perceptual import PerceptualConstraint

            settings = replace(settings, constraint=PerceptualConstraint(self.perceptual, local=local))
        if self.against is not None:
            settings = replace(settings, against=replace(settings.against or Against(), encoders=self.against))
        if self.steps is not None and settings.steps:
            if settings.steps == 1 and settings.rounds > 1:  # a step a round: rounds are what can be fewer
                settings = replace(settings, rounds=self.steps)
            else:
                settings = replace(settings, steps=-(-self.steps // settings.rounds))
        return applied(settings, self.options)

    def toml(self) -> str:
        """The recipe as TOML; `None` fields are left out."""
        lines = [f"{k} = {json.dumps(v)}" for k, v in asdict(self).items() if v is not None]
        return "\n".join(lines) + "\n"


def load(path: Path) -> dict[str, Any]:
    """Fields of a recipe file; raises UsageError with the name that is wrong and what it could be."""
    values = parsed(path)
    check(values, Recipe, path)
    return values


def parsed(path: Path) -> dict[str, Any]:
    """What a TOML file holds; raises UsageError where it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot read the recipe {shown(path)!r}: give a TOML file of settings ({reason})") from error


def check(values: Mapping[str, Any], kind: type, path: Path) -> None:
    """Raise UsageError for a name that is no field of a dataclass, or a value that is not of the field's type."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    for name, value in values.items():
        if name not in names:
            raise UsageError(f"unknown setting {name!r} in {shown(path)!r}: {suggestion(name, names)}")
        if not fits(value, hints[name]):
            raise UsageError(f"setting {name!r} in {shown(path)!r} is {value!r}: give {type_name(hints[name])}")
