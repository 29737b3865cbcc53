"""A benchmark's tables: a line for each method, a column for each countermeasure, their mean and the worst case."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from unlearnable.bench import sums
from unlearnable.bench.study import CLEAN, CONTROLS, RANDOM, SAME, UNTOUCHED
from unlearnable.bench.sums import HELD_OUT, OWN, SHARED, Baseline, Row
from unlearnable.evaluation.rates import Estimate
from unlearnable.metrics.worst import widening

FIDELITY = ("psnr", "ssim", "linf", "perceptual")
KINDS = {"psnr": "equal PSNR", "perceptual": "equal perceptual distance", "linf": "equal L-inf budget"}
MATCHED = ("psnr", "perceptual")  # kinds of budgets that compare at equal fidelity
NOTHING = Estimate()


@dataclass(frozen=True)
class Variant:
    """Conditions of a comparison: the attacker's prompt, the defender's model, the share of protected pictures."""

    prompt: str
    defender: str
    share: float


@dataclass(frozen=True)
class Line:
    """A method's rates behind each countermeasure, over all of them, and behind the worst of them.

    `over` is the worst case less the random control's; `each` the worst case of every subject that has all cells.
    `fidelity`, `seconds` (a picture) and `similarity` (of drawings, without countermeasure) are means. `learned` is the
    share by which the attacker's loss on its own training pictures fell.
    """

    method: str
    cells: Mapping[str, Estimate]
    mean: Estimate
    worst: Estimate
    over: Estimate = NOTHING
    each: Mapping[str, float] = field(default_factory=dict)
    fidelity: Mapping[str, float] = field(default_factory=dict)
    seconds: float = math.nan
    learned: float = math.nan
    similarity: float = math.nan


@dataclass(frozen=True)
class Table:
    """All methods at one budget, against one attacker or (with "") all of them together; controls first."""

    model: str
    budget: str
    attack: str
    variant: Variant
    baseline: Baseline
    lines: tuple[Line, ...]
    pairs: Mapping[str, sums.Pair] = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)

    @cached_property
    def ranked(self) -> list[Line]:
        """Protections and controls that have a worst case, best first; those that lack subjects are last."""
        tried = [line for line in self.lines if line.method not in SHARED and line.worst.defined]
        return sorted(tried, key=lambda line: (not self.full(line), -line.worst.value))

    @property
    def rivals(self) -> list[Line]:
        """Protections with as many subjects as any other, best first; only these can be compared."""
        return [line for line in self.ranked if line.method not in CONTROLS and self.full(line)]

    @property
    def best(self) -> Line | None:
        return next(iter(self.rivals), None)

    def full(self, line: Line) -> bool:
        """Whether no other line has more subjects."""
        return len(line.each) == max(len(other.each) for other in self.lines)

    @property
    def learned(self) -> tuple[str, ...]:
        """Subjects that any attacker learned from the clean pictures."""
        learned = {place[0] for place in self.baseline.gains}
        return tuple(subject for subject in self.baseline.subjects if subject in learned)

    def line(self, method: str) -> Line | None:
        return next((line for line in self.lines if line.method == method), None)

    def apart(self, method: str, other: str) -> Estimate:
        """How much higher the worst case of one method is than another's."""
        return sums.apart(self.pairs[method], self.pairs[other])


def table(
    rows: Sequence[Row], model: str, budget: str, attack: str = "", judged: str = HELD_OUT, under: Variant | None = None
) -> Table:
    """The table of one budget against one attacker; with "", their losses are summed.

    Where there is a random control, only the cells that it has are counted. So cells that a benchmark left out for
    want of time are left out for all methods, and a method that lacks one of the others shows it.
    """
    condition = under or usual(rows, model)
    baseline = sums.baseline(rows, model, condition.prompt, judged, attack)
    of_model = [r for r in rows if r["model"] == model and attack in ("", r["attack"]) and r["purify"]]
    tried = [r for r in of_model if r["method"] not in SHARED and r["budget"] == budget and within(r, condition)]
    baseline = baseline.among([r for r in tried if r["method"] == RANDOM] or tried)
    methods = {name: [r for r in tried if r["method"] == name] for name in dict.fromkeys(r["method"] for r in tried)}
    pairs = {name: sums.pairs(own_rows, baseline) for name, own_rows in methods.items()}
    lines = [line(own_rows, baseline, pairs[name], pairs.get(RANDOM)) for name, own_rows in methods.items()]
    most = max((len(entry.each) for entry in lines), default=0)
    lines.sort(key=lambda entry: -entry.worst.value if entry.worst.defined else math.inf)
    lines.sort(key=lambda entry: (entry.method not in CONTROLS, len(entry.each) < most))
    clean = [r for r in of_model if r["method"] == CLEAN and r["prompt"] in ("", condition.prompt)]
    bounds = [fixed(UNTOUCHED, 1.0, [], baseline), fixed(CLEAN, 0.0, clean, baseline)]
    return Table(model, budget, attack, condition, baseline, (*bounds, *lines), pairs, tuple(tried))


def line(rows: Sequence[Row], baseline: Baseline, pair: sums.Pair, control: sums.Pair | None) -> Line:
    """One method's line at one budget, compared with the control unless it is the control itself."""
    part, whole = pair
    cells = {}
    for i, name in enumerate(baseline.purifies):
        present = ~part[:, i].isnan()
        cells[name] = sums.ratio(part[present, i], whole[present, i])
    full = sums.complete(part, whole)
    worst = sums.least(part[full], whole[full])
    named = [subject for subject, has_all in zip(baseline.subjects, full.tolist()) if has_all]
    protections = list({(r["subject"], r["seed"]): r for r in reversed(rows)}.values())
    over_all = sums.ratio(*sums.summed(part[full], whole[full]))
    return Line(
        rows[0]["method"], cells, over_all, sums.ratio(*worst, widen=widening(part.shape[1])),
        sums.apart(pair, control) if control and control is not pair else NOTHING,
        each=dict(zip(named, (worst[0] / worst[1]).tolist())),
        fidelity={name: mean((r["fidelity"] or {}).get(name) for r in protections) for name in FIDELITY},
        seconds=mean(r["seconds"]["protect"] for r in protections), learned=mean(fits(rows)),
        similarity=mean(alike(rows)),
    )  # fmt: skip


def fixed(name: str, rate: float, rows: Sequence[Row], baseline: Baseline) -> Line:
    """The line of an end of the scale, whose rate holds by definition."""
    estimate = Estimate(rate, note="by definition")
    cells = dict.fromkeys(baseline.purifies, estimate)
    return Line(name, cells, estimate, estimate, learned=mean(fits(rows)), similarity=mean(alike(rows)))


def variant(row: Row) -> Variant:
    return Variant(row["prompt"], row["defender"], row["share"])


def within(row: Row, condition: Variant) -> bool:
    """Whether a row was tried under `condition`; the defender's model is ignored for controls, which use no model."""
    own = variant(row)
    return own == condition or (row["method"] in CONTROLS and replace(own, defender=condition.defender) == condition)


def variants(rows: Sequence[Row], model: str) -> list[Variant]:
    """All conditions under which a model was attacked, except for the usual one."""
    tried = dict.fromkeys(variant(r) for r in protections(rows, model))
    return [v for v in tried if v != usual(rows, model)]


def protections(rows: Sequence[Row], model: str) -> list[Row]:
    """The rows of methods that use a model."""
    return [r for r in rows if r["model"] == model and r["method"] not in (*SHARED, *CONTROLS)]


def usual(rows: Sequence[Row], model: str) -> Variant:
    """The usual condition, as far as it was tried: defender and attacker share prompt and model, all is protected."""
    prompts = [r["prompt"] for r in rows if r["model"] == model and r["method"] not in SHARED]
    defenders = [r["defender"] for r in protections(rows, model)]
    prompt = SAME if SAME in prompts or not prompts else prompts[0]
    return Variant(prompt, model if model in defenders or not defenders else defenders[0], 1.0)


def judge(rows: Sequence[Row], model: str) -> str:
    """HELD_OUT, or OWN where attackers learned held-out photographs from clean ones in under half of the cells."""
    baseline = sums.baseline(rows, model, usual(rows, model).prompt, HELD_OUT)
    return HELD_OUT if len(baseline.gains) >= len(baseline.unlearned) else OWN


def budgets(rows: Sequence[Row], model: str) -> list[str]:
    """The budgets at which anything was protected: equal fidelity first, then in the order of the grid."""
    names = dict.fromkeys(r["budget"] for r in rows if r["model"] == model and r["budget"])
    return sorted(names, key=lambda budget: kind(budget) not in MATCHED)


def attacks(rows: Sequence[Row], model: str) -> list[str]:
    return list(dict.fromkeys(r["attack"] for r in rows if r["model"] == model and r["budget"]))


def kind(budget: str) -> str:
    return budget.partition(":")[0]


def level(budget: str) -> float:
    """The number of a budget; NaN where it has none."""
    try:
        return float(budget.partition(":")[2])
    except ValueError:
        return math.nan


def fits(rows: Iterable[Row]) -> list[float]:
    """The shares by which each attacker's loss on its own training pictures fell."""
    both = [((r["trained"] or {}).get("before"), (r["trained"] or {}).get("after")) for r in rows]
    return [1 - after / before for before, after in both if before and after is not None]


def alike(rows: Iterable[Row]) -> list[float]:
    """How similar to the subject attackers drew, after training on pictures without a countermeasure."""
    return [x for r in rows if r["purify"] == "none" for x in r["similarity"] or [] if x is not None]


def mean(values: Iterable[float | None]) -> float:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else math.nan
