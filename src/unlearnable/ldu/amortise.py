"""Training of rho: one network that shifts the trajectories of all pictures, against an ensemble of attackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.ldu.config import RhoConfig
from unlearnable.ldu.lagrangian import Dual, spent
from unlearnable.ldu.pictures import Pictures
from unlearnable.ldu.shift import Rho
from unlearnable.ldu.trajectory import Course
from unlearnable.models.finetune.training import FineTune, OwnBatches, Text
from unlearnable.parallel.workers import Workers
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Batch
from unlearnable.protection.personalised import Personalised
from unlearnable.protection.surrogates import View, view
from unlearnable.protection.timesteps import draw
from unlearnable.protection.transforms import pick
from unlearnable.rng import generator, normal, plain

CHUNK = 8  # pictures whose trajectories are followed at once before the training
TAUGHT = 8  # pictures of a group that its surrogate learns


@dataclass(frozen=True)
class Target:
    """An attacker, and the rows of the pictures whose attacker it is."""

    view: View
    rows: Tensor


class RhoTrainer(OwnBatches):
    """Minimises ``-L(E(x')) + lambda (d(x, x') / b - 1)`` over rho, with lambda by dual ascent.

    x' is within its budget, and transformed as the method says; the penalty is on the change before it is cut down to
    the budget. `run` takes the pictures' levels. Several processes (`workers`) share each batch.
    """

    def __init__(
        self, method: Protection, course: Course, rho: Rho, pictures: Pictures, targets: Sequence[Target],
        settings: RhoConfig, workers: Workers, seed: int,
    ) -> None:  # fmt: skip
        s = settings
        fine = FineTune(s.steps, s.lr, s.batch, weight_decay=0.0, clip=1.0, ema=s.ema)
        parameters = list(rho.requires_grad_(True).parameters())
        super().__init__(course.model, fine, seed, [{"params": parameters}])
        self.method, self.course, self.rho, self.pictures = method, course, rho, pictures
        self.targets, self.workers, self.share = targets, workers, s.plain
        self.p, self.used = method.estimator.times.probabilities(course.model.schedule), torch.zeros(0)
        if method.objective is None:
            raise UsageError(f"{method.name} has no objective that a network could learn: use ldu")
        self.objective = method.objective
        with torch.no_grad():
            self.goal = self.objective.target(course.model, pictures.images(slice(1), self.model.device))
            self.z, self.ends = self._followed()
            parts = len(spent(method.constraint, *2 * [pictures.images(slice(1), self.model.device)]))
        self.dual = Dual(torch.zeros(parts, 1, device=self.model.device), s.rate)
        workers.average_gradients(parameters)

    def extra(self) -> dict[str, Tensor]:
        return {"multipliers": self.dual.value}

    def _followed(self) -> tuple[Tensor, Tensor]:
        """The starts of the pictures' trajectories and their unshifted ends, in main memory."""
        starts, ends = [], []
        for i in range(0, len(self.pictures), CHUNK):
            z = self.course.start(self.pictures.images(slice(i, i + CHUNK), self.model.device))
            starts.append(z.cpu())
            ends.append(self.course.arrive(z).cpu())
        return torch.cat(starts), torch.cat(ends)

    def _loss(self, name: str, z: Tensor, keys: list[str], c: Text) -> Tensor:
        rng, device = generator(self.seed, name, self.done), self.model.device
        personalised = len(self.targets) - 1
        alone = not personalised or float(torch.rand(1, generator=rng)) < self.share
        target = self.targets[0 if alone else 1 + int(torch.randint(personalised, (1,), generator=rng))]
        chosen = target.rows[torch.randint(len(target.rows), (self.settings.batch,), generator=rng)]
        names = [f"{row}:{i}" for i, row in enumerate(chosen.tolist())]
        part = self.workers.share(self.settings.batch)
        rows, names = chosen[part], names[part]

        x, start = self.pictures.images(rows, device), self.z[rows].to(device)
        with torch.no_grad():
            plain_decode = self.course.route.decode == "plain"
            origin = x if plain_decode else self.model.decode(self.ends[rows].to(device))
        raw = self.course.change(self.course.arrive(start + self.rho(start)), origin)
        self.used = spent(self.method.constraint, x, raw)
        transformed = pick(
            self.method.estimator.transforms,
            x + self.method.constraint.project(x, raw),
            plain("eot", self.seed, self.done),
        )
        t = draw(self.p, names, "time", self.seed, self.done, device=device)
        noise = normal(names, start.shape[1:], "noise", self.seed, self.done, device=device)
        goal = None if self.goal is None else self.goal.expand(len(x), -1, -1, -1)
        gain = self.objective(target.view.model, transformed, Batch(t, noise, target.view.condition, goal))
        return (self.dual.penalty(self.used) - gain).mean()

    def _step(self, loss: Tensor) -> None:
        super()._step(loss)
        self.dual.ascend(self.workers.average(self.used.detach().mean(1, keepdim=True)))


def attackers(model: Any, pictures: Pictures, prompt: str, settings: RhoConfig, seed: int) -> list[Target]:
    """The model as it is for all pictures, and personalised ones for the largest groups."""
    targets = [Target(view(model, prompt), torch.arange(len(pictures)))]
    sizes = {group: pictures.groups.count(group) for group in dict.fromkeys(pictures.groups)}
    largest = sorted((group for group in sizes if group != "."), key=lambda group: -sizes[group])
    kinds = Personalised(tuple(settings.surrogate.split("+")), settings.taught)
    for group in largest[: settings.groups]:
        rows = torch.tensor([i for i, folder in enumerate(pictures.groups) if folder == group])
        x = pictures.images(rows[:TAUGHT], model.device)
        text = pictures.captions[int(rows[0])]
        targets += [Target(each, rows) for each in kinds.begin(model, text, seed).before(x, x)]
    return targets
