"""The pictures of each condition as an attacker's model sees them, and how much they were changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.evaluation.attack import Pictures
from unlearnable.evaluation.control import control
from unlearnable.evaluation.pairs import Pair, Subject
from unlearnable.evaluation.store import Cell, Store, code
from unlearnable.images import files
from unlearnable.images.captions import caption
from unlearnable.images.square import square
from unlearnable.images.tensors import tensor
from unlearnable.metrics import fidelity
from unlearnable.metrics.features import Features
from unlearnable.purification.chain import NONE
from unlearnable.rng import image_keys

if TYPE_CHECKING:
    from unlearnable.models.base import Model
    from unlearnable.purification.chain import Chain

UNTOUCHED, CLEAN, PROTECTED, CONTROL = "untouched", "clean", "protected", "control"
CODE = ("models", "purification", "images/square.py", "images/views.py", "rng.py")
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "psnr": fidelity.psnr, "ssim": fidelity.ssim, "linf": fidelity.linf, "changed": fidelity.changed
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A condition of an attack: the pictures' `kind` (see above), and the chain that purifies them."""

    kind: str
    purify: str = NONE

    def __str__(self) -> str:
        return {
            UNTOUCHED: "untouched model", CLEAN: "clean pictures", CONTROL: "random control",
            PROTECTED: "protected pictures",
        }[self.kind] + (f", after {self.purify}" if self.purify != NONE else "")  # fmt: skip


def conditions(chains: dict[str, Chain]) -> list[Condition]:
    """All conditions of an audit, in the order of the report.

    Purified *clean* pictures are not among them. An owner asks what the best attacker gets from the protected pictures,
    and what it would have got without protection; that attacker would not purify unprotected pictures. What a
    countermeasure costs the attacker is therefore counted as part of the protection.
    """
    purified = [Condition(PROTECTED, name) for name in chains]
    return [Condition(UNTOUCHED), Condition(CLEAN), Condition(PROTECTED), *purified, Condition(CONTROL)]


@dataclass
class Material:
    """Pictures at the model's size. `fidelity` has a row for each training pair, measured at the pair's own size."""

    clean: Pictures
    protected: Pictures
    controls: dict[int, Pictures]
    held_out: Pictures
    fidelity: list[dict[str, Any]] = field(default_factory=list)


def collect(subject: Subject, size: int, seeds: tuple[int, ...], network: Features) -> Material:
    """Read every file once, and captions beside clean ones; PictureError for an empty caption.

    Pictures are scaled and cropped to `size` px, as attackers' tools do first.
    """
    texts = tuple(caption(pair.clean) for pair in subject.train)
    kinds: dict[object, tuple[list[Tensor], list[str]]] = {name: ([], []) for name in (CLEAN, PROTECTED, *seeds)}
    rows: list[dict[str, Any]] = []

    def see(kind: object, picture: files.Picture) -> None:
        images, contents = kinds[kind]
        images.append(small(picture, size))
        contents.append(files.content_hash(picture))

    for pair in subject.train:
        before, after = files.read(pair.clean), files.read(pair.protected)
        see(CLEAN, before)
        see(PROTECTED, after)
        for seed in seeds:
            see(seed, files.Picture(control(before.pixels, after.pixels, size, seed, pair.content)))
        rows.append(measured(pair, before.pixels, after.pixels, network))
    unseen = torch.stack([small(files.read(photo.path), size) for photo in subject.held_out])
    names = tuple(pair.content for pair in subject.train)
    pictures = {
        kind: Pictures(torch.stack(images), tuple(contents), names, texts) for kind, (images, contents) in kinds.items()
    }
    controls = {seed: pictures[seed] for seed in seeds}
    out = Pictures(unseen, tuple(photo.content for photo in subject.held_out))
    return Material(pictures[CLEAN], pictures[PROTECTED], controls, out, rows)


def small(picture: files.Picture, size: int) -> Tensor:
    return square(tensor(picture.pixels)[None] / 255, size)[0]


def measured(pair: Pair, before: np.ndarray, after: np.ndarray, network: Features) -> dict[str, Any]:
    """Metrics of a protected picture against its clean twin."""
    x, y = tensor(before)[None] / 255, tensor(after)[None] / 255
    row: dict[str, Any] = {"name": pair.name}
    for name, metric in METRICS.items():
        try:
            row[name] = float(metric(y, x))
        except UsageError:  # a picture too small for this metric
            row[name] = None
    return row | {f"{network.name}-distance": float(fidelity.features_distance(y, x, network))}


def purified(chain: Chain, pictures: Pictures, seed: int, model: Model, store: Store) -> Pictures:
    """Pictures behind a countermeasure, read from the store where it has them.

    The countermeasure works at the model's size: only changes that survive scaling disturb the attacker, and there a
    countermeasure costs least and does most.
    """
    fingerprint = model.fingerprint() if chain.needs_model else None
    cell = purified_cell(chain, pictures, seed, model.size, fingerprint)
    result = store.get(cell)
    if result is None:
        result = store.put(cell, {}, chain(pictures.images, seed=seed))
    images = store.load(cell, result)
    return Pictures(images, tuple(image_keys(images)), pictures.names, pictures.captions)


def purified_cell(chain: Chain, pictures: Pictures, seed: int, size: int, fingerprint: str | None) -> Cell:
    """The store's cell of purified pictures, which it knows by their `contents` only.

    `size` in px; `fingerprint` is of the model that the chain needs, or None.
    """
    return Cell(
        {"kind": "purified", "code": code(*CODE), "chain": chain.name, "seed": seed, "size": size,
         "model": fingerprint, "pictures": list(pictures.contents)}
    )  # fmt: skip
