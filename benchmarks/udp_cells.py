"""One cell of the UDP study: protect a data set, train an attacker on it, sample it, and measure the samples."""

from __future__ import annotations

import hashlib
import math
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable import load_model
from unlearnable.metrics.distribution import fid, precision, recall
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import fixed_losses
from unlearnable.models.fresh import pixel
from unlearnable.personalization.scratch import Scratch
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.maxmin import Game
from unlearnable.protection.records import Views
from unlearnable.rng import image_keys, normal

SMALLEST = 16  # of a data set's pictures whose losses are taken, at least


@dataclass(frozen=True)
class Study:
    """A recipe: pictures, model, how both sides train, and the rows: ``method[^eps][@share][+countermeasure]``.

    A method is clean, random, advdm, udp, or eudp:LAW; ^8 is a budget other than `eps`; @0.5 protects half of the
    training set; +jpeg:75 is what the attacker does to the pictures. `scratch`: surrogate and attacker start from
    random weights, else from the model's. `game` are settings of udp and eudp, `frozen` of advdm. Samples of `grey`
    data are made grey before they are judged.
    """

    title: str
    data: str
    side: int
    rows: list[str]
    seeds: list[int]
    most: int = 100_000
    model: str = "pixel"
    widths: list[int] = field(default_factory=list)
    prompt: str = "a photo"
    scratch: bool = True
    eps: float = 8.0
    grey: bool = False
    game: dict[str, Any] = field(default_factory=dict)
    frozen: dict[str, Any] = field(default_factory=dict)
    batch: int = 256
    attack: dict[str, Any] = field(default_factory=dict)
    classifier: int = 1000
    features: str = "classifier"
    samples: int = 1000
    sampling: int = 25


def model_of(study: Study) -> Model:
    return pixel(study.side, tuple(study.widths)) if study.model == "pixel" else load_model(study.model)


def parts(row: str) -> tuple[str, str, float, float, str]:
    """Method, law, budget (0: the study's), share and countermeasure of a row."""
    text, _, chain = row.partition("+")
    text, _, share = text.partition("@")
    text, _, eps = text.partition("^")
    method, _, law = text.partition(":")
    return method, law, float(eps or 0), float(share or 1), chain


def protect(study: Study, row: str, x: Tensor, seed: int, advised: Model) -> Tensor:
    """The training pictures as their owner publishes them, on the 8-bit grid; `advised` is what AdvDM looks at."""
    method, law, eps, share, _ = parts(row)
    if method == "clean":
        return x
    if method in ("udp", "eudp"):
        settings: Any = strengths.protection(method, "paper")
        settings = adjusted(settings, constraint=LinfConstraint(eps or study.eps), **study.game)
        y = played(adjusted(settings, law=law or settings.estimator.times.law), advised, x, study, seed)
    else:
        more = study.frozen if method == "advdm" else {}
        settings = adjusted(strengths.protection(method, "paper"), constraint=LinfConstraint(eps or study.eps), **more)
        y = torch.cat([settings(advised, part, prompt=study.prompt, seed=seed) for part in x.split(study.batch)])
    y = torch.stack([a + settings.constraint.seal(a * 255, (b - a) * 255) / 255 for a, b in zip(x, y)])
    spared = torch.arange(len(x)) % 100 >= 100 * share
    return torch.where(spared.view(-1, 1, 1, 1), x, y)


def played(settings: Protection, model: Model, x: Tensor, study: Study, seed: int) -> Tensor:
    """A whole data set through the game."""
    with tempfile.TemporaryDirectory() as folder:
        views = Views(Path(folder) / "views", image_keys(x), [tuple(p.shape) for p in x])
        for i, picture in enumerate(x):
            views.put(i, picture, torch.ones_like(picture[:1]))
        options: dict[str, Any] = {"scratch": study.scratch, "seed": seed, "batch": study.batch}
        game = Game(settings, model, views, Path(folder), prompt=study.prompt, **options)
        game.play()
        y = torch.stack([picture + game.delta(i) for i, picture in enumerate(x)])
        game.close()
        views.close()
    return y


def attack(study: Study, model: Model, x: Tensor, seed: int, keys: list[str]) -> Model:
    """A model that has learned the published pictures; noise is named by the clean ones, the same for every row."""
    settings = replace(Scratch(fresh=study.scratch, clip=1.0), **study.attack)
    return settings.fit(model, x, study.prompt, seed=seed, keys=keys).model


@torch.no_grad()
def sampled(model: Model, study: Study, seed: int) -> Tensor:
    """Samples by DDIM with the estimate of the picture kept in range, ``[n 3 s s]``; start noise is named by seed."""
    c, schedule, made = model.condition([study.prompt]), model.schedule, []
    times = [*schedule.spaced(study.sampling), -1]
    shape = model.latent_shape(study.side, study.side)
    for part in torch.arange(study.samples).split(study.batch):
        z = normal([str(i) for i in part.tolist()], shape, "udp study", seed, device=model.device)
        for now, then in pairwise(times):
            t = torch.full([len(z)], now, device=model.device)
            clean, noise = schedule.split(z, t, model.predict(z, t, c))
            if model.family == "ddpm":
                a, s = schedule.signal[now], schedule.noise[now]
                clean = clean.clamp(-1, 1)
                noise = (z - a * clean) / s
            z = schedule.noised(clean, noise, t.new_full(t.shape, then)) if then >= 0 else clean
        made.append(torch.cat([model.decode(part) for part in z.split(32)]).clamp(0, 1).cpu())
    x = torch.cat(made)
    return x.mean(1, keepdim=True).expand_as(x) if study.grey else x


@dataclass
class Lab:
    """What all cells of a study share: pictures, the network of features, the untrained model."""

    study: Study
    x: Tensor
    held: Tensor
    features: Any
    model: Model
    accuracy: float = math.nan  # of the network of features, held out

    @cached_property
    def adviser(self) -> Model:
        """AdvDM's model: one that has learned the clean pictures, as an owner would have it, with a seed of its own.

        A pretrained model is asked as it is.
        """
        if not self.study.scratch:
            return self.model
        return attack(self.study, self.model, self.x, 1000, image_keys(self.x))

    def cell(self, row: str, seed: int) -> tuple[dict[str, Any], Tensor]:
        started, worked = time.monotonic(), time.process_time()
        advised = self.adviser if row.startswith("advdm") else self.model
        y = protect(self.study, row, self.x, seed, advised)
        protecting = time.monotonic() - started
        mse = float((y - self.x).square().mean())
        shown = y
        if chain := parts(row)[4]:
            from unlearnable.purification.chain import parse

            shown = parse(chain, self.model)(y, seed=seed)
        taught = attack(self.study, self.model, shown, seed, image_keys(self.x))
        made = sampled(taught, self.study, seed)
        ours, real = self.features(made), self.features(self.x)
        held = fixed_losses(taught, self.held[:256], self.study.prompt, draws=16).mean()
        fit = fixed_losses(taught, shown[:256], self.study.prompt, draws=16).mean()
        return {
            "row": row, "seed": seed, "eps": parts(row)[2] or self.study.eps,
            "fid": fid(ours, real), "precision": precision(ours, real), "recall": recall(ours, real),
            "held_out_loss": float(held), "own_loss": float(fit),
            "psnr": round(-10 * torch.log10(torch.tensor(mse)).item(), 2) if mse else None,
            "linf": round(float((y - self.x).abs().max() * 255), 2),
            "accuracy": self.accuracy, "features_apart": fid(self.features(y), real) if mse else 0.0,
            "protect_s": round(protecting, 1), "all_s": round(time.monotonic() - started, 1),
            "cpu_s": round(time.process_time() - worked, 1),
        }, made  # fmt: skip


def name_of(study: Study, row: str, seed: int) -> str:
    """Of a cell: its row, its seed and all that decides it; rows and seeds of a recipe may be added to later."""
    facts = {k: v for k, v in asdict(study).items() if k not in ("title", "rows", "seeds")}
    digest = hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()[:8]
    return f"{row.replace(':', '_')}-{seed}-{digest}"
