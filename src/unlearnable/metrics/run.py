"""One pass over two folders: pictures in, figures of pairs and rows for metrics of sets out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.images import files
from unlearnable.metrics.base import FACES, FEATURES, MAPS, PAIRS, PATCHES, PICTURES, Score, facts, mean, score
from unlearnable.metrics.features import Features
from unlearnable.metrics.features import features as load_features
from unlearnable.metrics.pairing import Pairing

PROTECTED, CLEAN = 0, 1  # sides, in the order that metrics take them
FEW = 50  # pictures a side below which figures of whole sets say little
Progress = Callable[[float, int], None]


def of_sets(function: Any) -> bool:
    """Whether a metric takes each folder as a whole, so that pictures need no partner."""
    return facts(function).takes not in (PAIRS, MAPS)


def tools(
    functions: dict[str, Any], features: str | Features, device: str, prompt: str = ""
) -> dict[str, Callable[[Tensor], Any]]:
    """The functions that make a row of one picture ``[1 3 h w]``, by `_source`."""
    makers: dict[str, Any] = {_source(name, f): f for name, f in functions.items() if facts(f).takes == PICTURES}
    for name, function in makers.items():
        if "prompt" in signature(function).parameters:
            if not prompt.strip():
                raise UsageError(f"{name} compares pictures with a text: give it by --prompt")
            makers[name] = partial(function, prompt=prompt)
    takes = {facts(function).takes for function in functions.values()}
    if takes & {FEATURES, MAPS}:
        makers[FEATURES] = load_features(features, device) if isinstance(features, str) else features
    if PATCHES in takes:
        from unlearnable.metrics.quality import patches

        makers[PATCHES] = patches
    if FACES in takes:
        from unlearnable.metrics.face import OpenCV

        reader = OpenCV()
        makers[FACES] = lambda image: reader(image[0])
    return makers


def _source(name: str, function: Any) -> str:
    """The name of a set metric's rows: metrics that take the same rows share them."""
    details = facts(function)
    return name if details.takes == PICTURES else details.takes


class Run:
    """The measurements so far. Pictures are read one by one; only their figures and rows of features are kept."""

    def __init__(self, functions: dict[str, Any], tools: dict[str, Any]) -> None:
        self.tools = tools
        self.sets = {name: function for name, function in functions.items() if of_sets(function)}
        self.paired = {name: function for name, function in functions.items() if name not in self.sets}
        self.values: dict[str, dict[str, float]] = {name: {} for name in self.paired}  # by metric, by picture
        self.rows: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            _source(name, function): ({}, {}) for name, function in self.sets.items()
        }  # by source and side, by picture
        self.few: list[str] = []
        self.failed: list[str] = []
        self.notes: list[str] = []

    def read(self, folders: Pairing, progress: Progress) -> None:
        """Every file once; those without a partner only where a metric of sets asks for them."""
        todo: list[tuple[str, Path | None, Path | None]] = [(name, *both) for name, both in folders.pairs.items()]
        if self.sets:
            todo += [(name, path, None) for name, path in folders.only_clean.items()]
            todo += [(name, None, path) for name, path in folders.only_protected.items()]
        for done, (name, clean, protected) in enumerate(todo):
            progress(done, len(todo))
            first, second = self.take(name, clean, CLEAN), self.take(name, protected, PROTECTED)
            if first is not None and second is not None and self.paired:
                self.compare(name, second, first)
        progress(len(todo), len(todo))

    def take(self, name: str, path: Path | None, side: int) -> Tensor | None:
        """The picture ``[1 3 h w]``, its rows for metrics of sets noted."""
        if path is None:
            return None
        try:
            picture = files.read(path)
        except PictureError as error:
            self.failed.append(str(error))
            return None
        x = torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)[None].float() / 255
        for source, rows in self.rows.items():
            try:
                rows[side][name] = self.tools[source](x)
            except UsageError as error:
                self.failed.append(f"{shown(path)}: {error}")
        return x

    def compare(self, name: str, protected: Tensor, clean: Tensor) -> None:
        if protected.shape != clean.shape:
            (h, w), (h2, w2) = clean.shape[-2:], protected.shape[-2:]
            self.failed.append(f"{name} has {w} x {h} px, its protected twin {w2} x {h2} px: only equal sizes compare")
            return
        for metric, function in self.paired.items():
            more = (self.tools[FEATURES],) if facts(function).takes == MAPS else ()
            try:
                value = float(function(protected, clean, *more))
            except UsageError as error:
                value = math.nan
                self.failed.append(f"{name}: {error}")
            self.values[metric][name] = value

    def score(self, name: str, function: Any, seed: int) -> Score:
        """One metric's result, under the name that says which network it comes from."""
        details = facts(function)
        title = _title(name, details.takes, self.tools)
        if name in self.paired:
            measured = self.values[name]
            values = torch.tensor([*measured.values()], dtype=torch.float64)
            return Score(title, values, details.higher_is_better, details.unit, seed=seed, names=tuple(measured))
        sides, usual = self.rows[_source(name, function)], None
        protected, clean = (list(side.values()) for side in sides)
        try:
            if not protected or not clean:
                side = "protected" if clean else "clean"
                raise UsageError(f"{name} has no {side} picture to measure: see the other messages")
            if details.takes == PICTURES:
                values, usual = torch.cat(protected), mean(torch.cat(clean))
                result = Score(title, values, details.higher_is_better, details.unit, seed=seed)
            elif details.takes == FEATURES:
                result = score(name, torch.cat(protected), torch.cat(clean), seed=seed)
            else:
                result, usual = score(name, protected, clean, seed=seed), score(name, clean, clean).mean
        except UsageError as error:
            self.failed.append(str(error))
            return Score(title, torch.tensor([math.nan]), details.higher_is_better, details.unit, note=str(error))
        if usual is not None:
            self.notes.append(f"{title}: the clean pictures score {usual:.4g} themselves")
        if result.bounds is not None and min(map(len, sides)) < FEW:
            self.few.append(name)
        return replace(
            result, name=title, names=tuple(sides[PROTECTED]) if len(result.values) == len(protected) else ()
        )

    def remarks(self) -> list[str]:
        """Remarks on what the figures mean."""
        remarks = list(self.notes)
        ratios = self.values.get("psnr", {}).values()
        if same := sum(map(math.isinf, ratios)):
            remarks.append(f"{same} of {len(ratios)} pictures are unchanged: their PSNR is infinite")
        if self.few:
            least = min(map(len, self.rows[FEATURES]))
            remarks.append(
                f"{', '.join(self.few)}: {least} pictures a side are few; compare only runs of equal numbers"
            )
        return remarks


def _title(name: str, takes: str, tools: dict[str, Any]) -> str:
    """A figure over features carries the network's name: over another network it is another figure."""
    if takes == MAPS:
        return f"{tools[FEATURES].name}-distance"
    return f"{name} ({tools[FEATURES].name})" if takes == FEATURES else name
