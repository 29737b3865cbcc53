"""A benchmark's result in sentences: which method protects best at equal fidelity, what survives, what to doubt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearnable.bench.study import CONTROLS, RANDOM
from unlearnable.bench.sums import OWN, Row
from unlearnable.bench.tables import MATCHED, Line, Table, kind, level
from unlearnable.evaluation.figures import number, percent
from unlearnable.evaluation.finding import Finding
from unlearnable.evaluation.rates import Estimate

SCALE = (
    "0 % means that attackers learned as much as from clean pictures behind the same countermeasure, 100 % that they "
    "learned nothing. The worst case is behind the countermeasure that leaves least, by the other half of the subjects."
)
LEAST_SUBJECTS = 10
OFF = {
    "psnr": 0.5,
    "perceptual": 0.1,
}  # dB, and a share: fidelities that differ by less are called equal
NAMED = 4  # in a sentence, before "and others"


@dataclass(frozen=True)
class Answer:
    """The headline and the sentences below it; `table` is the table that they were read from."""

    headline: str
    sentences: tuple[str, ...]
    table: Table | None


def answer(tables: Sequence[Table]) -> Answer:
    """The answer of the tables over all attackers. The headline is that of the fullest table at equal fidelity."""
    candidates = [(t, t.best) for t in tables if t.best]
    if not candidates:
        return Answer("No answer yet: no method has all the cells that can be compared.", (SCALE,), None)
    equal = [pair for pair in candidates if kind(pair[0].budget) in MATCHED] or candidates
    chosen, best = max(equal, key=lambda pair: sum(len(line.each) for line in pair[0].ranked))
    others = [of_budget(*pair) for pair in candidates if pair[0] is not chosen]
    return Answer(headline(chosen, best), (*story(chosen, best), *others, SCALE), chosen)


def headline(table: Table, best: Line) -> str:
    noise, second = table.line(RANDOM), runner_up(table, best)
    where = f"At {'equal fidelity' if kind(table.budget) in MATCHED else 'an equal budget'} ({table.budget})"
    case = (
        f"in the worst case over {len(table.baseline.purifies)} countermeasures"
        if len(table.baseline.purifies) > 1
        else "with no countermeasure"
    )
    control = f"random noise {percent(noise.worst)}" if noise and noise.worst.defined else "there is no random control"
    if not best.over.low > 0:
        first = f"{best.method} {percent(best.worst)}"
        return f"{where} no method is shown to protect more than random noise {case}: {first}, {control}."
    tie = (
        f", not told apart from {second.method}"
        if second and not table.apart(best.method, second.method).low > 0
        else ""
    )
    return f"{where} {best.method} protects best{tie}: {percent(best.worst)} {case}, {control}."


def runner_up(table: Table, best: Line) -> Line | None:
    return next((line for line in table.rivals if line is not best), None)


def story(table: Table, best: Line) -> list[str]:
    """Sentences on one table: the best method against controls and the runner-up, and behind each countermeasure."""
    sentences, second = [], runner_up(table, best)
    if best.over.defined:
        proof = "" if best.over.low > 0 else ", so that chance could explain it"
        sentences.append(f"{best.method} is {points(best.over)} above random noise of the same budget{proof}.")
    for filtered in (
        line for line in table.ranked if line.method in CONTROLS and line.method != RANDOM and table.full(line)
    ):
        control = f"{filtered.method}, a filter that asks no model, has {percent(filtered.worst)}"
        sentences.append(f"The control {control}; {difference(table.apart(best.method, filtered.method))}.")
    if second:
        gap = difference(table.apart(best.method, second.method))
        sentences.append(f"Next is {second.method} with {percent(second.worst)}; {gap}.")
    tried = {name: e for name, e in best.cells.items() if e.defined}
    if len(tried) > 1:
        ordered = sorted(tried, key=lambda name: tried[name].value)
        most, least = ordered[-1], ordered[0]
        rates = f"{percent(tried[most])} {behind(most)} and {percent(tried[least])} {behind(least)}"
        sentences.append(f"The protection rate of {best.method} is {rates}.")
    return sentences


def difference(gap: Estimate) -> str:
    sure = gap.low > 0 or gap.high < 0
    return f"the difference, {points(gap)}, " + (
        "is more than chance between these subjects" if sure else "could be chance"
    )


def of_budget(table: Table, best: Line) -> str:
    noise = table.line(RANDOM)
    control = f"; random noise {percent(noise.worst)}" if noise and noise.worst.defined else ""
    more = "" if best.over.low > 0 else ", not shown to be more than random noise"
    return f"At {table.budget}: {best.method} {percent(best.worst)} in the worst case{more}{control}."


def behind(name: str) -> str:
    return "without a countermeasure" if name == "none" else f"behind {name}"


def points(e: Estimate) -> str:
    ends = "no interval" if math.isnan(e.low) else f"{number(e.low)} to {number(e.high)}"
    return f"{number(e.value)} points ({ends})"


def some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def checks(study: Mapping[str, Any], tables: Sequence[Table], chosen: Table | None) -> list[Finding]:
    """Reasons to doubt the result, grave ones first; `tables` are those over all attackers."""
    rows = study["rows"]
    findings = [*unlearned(tables), *by_heart(tables), *controls(tables), *(noise(chosen) if chosen else [])]
    findings += [finding for t in tables for finding in unequal(t)]
    findings += [*few(tables), *alone(rows), *missing(study["missing"])]
    return sorted(findings, key=lambda finding: not finding.grave)


def unlearned(tables: Sequence[Table]) -> list[Finding]:
    findings = []
    for table in {(table.model, table.baseline.judged): table for table in tables}.values():
        baseline = table.baseline
        if baseline.unlearned:
            tried = len(baseline.unlearned) + len(baseline.gains)
            by_attack = Counter(cell.attack for cell in baseline.unlearned)
            counts = ", ".join(f"{attack} {count}" for attack, count in by_attack.items())
            text = (
                f"On {table.model}, {len(baseline.unlearned)} of {tried} attacks on clean pictures learned nothing "
                f"({counts}). They test no protection and are left out of every rate; they are listed below."
            )
            findings.append(Finding("attacker-did-not-learn", text, grave=2 * len(baseline.unlearned) > tried))
    return findings


def by_heart(tables: Sequence[Table]) -> list[Finding]:
    text = (
        "Learned by heart: attackers on clean pictures seldom learned to know photographs that they never saw, so "
        "rates are judged by the clean originals of the pictures that they were trained on."
    )
    return [Finding("learned-by-heart", text)] if any(t.baseline.judged == OWN for t in tables) else []


def controls(tables: Sequence[Table]) -> list[Finding]:
    uncontrolled = [t.budget for t in tables if t.best and not t.line(RANDOM)]
    text = f"There is no random control at {some(uncontrolled)}: what noise alone would have done is not known."
    return [Finding("no-control", text, grave=True)] if uncontrolled else []


def noise(table: Table) -> list[Finding]:
    tried = [line for line in table.rivals if line.over.defined]
    weak = [line.method for line in tried if not line.over.low > 0]
    text = f"At {table.budget} these are not shown to protect more than random noise in the worst case: {some(weak)}."
    return [Finding("no-better-than-random", text, grave=len(weak) == len(tried))] if weak else []


def unequal(table: Table) -> list[Finding]:
    """A finding on methods whose files are further from, or nearer to, the originals than the table's budget."""
    name, target = kind(table.budget), level(table.budget)
    if name not in OFF or math.isnan(target):
        return []
    most = OFF[name] if name == "psnr" else OFF[name] * target
    off = [line for line in table.lines if abs(line.fidelity.get(name, math.nan) - target) > most]
    if not off:
        return []
    examples = some([f"{line.method} {line.fidelity[name]:.3g}" for line in off])
    return [
        Finding("fidelity-not-equal", f"Files at {table.budget} are not all equally near to the originals: {examples}.")
    ]


def few(tables: Sequence[Table]) -> list[Finding]:
    least = min((len(line.each) for t in tables for line in t.ranked), default=0)
    text = (
        f"Few subjects: some rates rest on {least}, where {LEAST_SUBJECTS} are the least for an interval over subjects "
        "that means something."
    )
    return [Finding("few-subjects", text)] if tables and least < LEAST_SUBJECTS else []


def alone(rows: Sequence[Row]) -> list[Finding]:
    """Findings on what was not varied: seeds, models, prompts."""
    tried = [r for r in rows if r["budget"]]
    findings = []
    if len({r["seed"] for r in tried}) == 1:
        findings.append(Finding("one-seed", f"One seed ({tried[0]['seed']}): training again may give another order."))
    if tried and {r["model"] for r in tried} == {"embedded"}:
        text = "Only the small embedded model was attacked: this ranking is not one on Stable Diffusion."
        findings.append(Finding("small-model", text))
    if tried and all(r["defender"] == r["model"] for r in tried):
        text = "Attackers use the very model that the pictures were protected against: the best case for a defender."
        findings.append(Finding("defenders-model", text))
    if len({r["prompt"] for r in tried}) == 1:
        findings.append(Finding("defenders-prompt", "One prompt: strangers will use others than the defender's."))
    return findings


def missing(cells: Sequence[Mapping[str, Any]]) -> list[Finding]:
    if not cells:
        return []
    counts = ", ".join(f"{count} {status}" for status, count in Counter(c["status"] for c in cells).items())
    return [
        Finding("cells-missing", f"{len(cells)} cells of the recipe have no result ({counts}); they are listed below.")
    ]
