"""Checks of an audit's own result: each looks at the facts, and returns a doubt or None.

`docs/explanation/limits.md` explains every check under its id.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from unlearnable.auditing.facts import Facts
from unlearnable.auditing.verdict import plain
from unlearnable.evaluation.figures import number
from unlearnable.evaluation.finding import Finding
from unlearnable.evaluation.material import CLEAN, CONTROL
from unlearnable.evaluation.rates import ORIGINALS
from unlearnable.personalization.prompts import mentions

LEAST_TRAIN, LEAST_HELD_OUT = 4, 4


Check = Callable[[Facts], Finding | None]


def not_learned(facts: Facts) -> Finding | None:
    sentences, tried = [], [row for row in facts.rows if row.condition.kind == CLEAN]
    for row in tried:
        if row.failed:
            sentences.append(f"{row.attack} failed on the clean pictures ({row.failed})")
            continue
        if row.rate.defined:
            continue
        losses = f"their loss went from {row.own_before:.3g} to {row.own_after:.3g}"
        sentences.append(
            f"{row.attack} did not learn the clean pictures ({losses}): try more --steps, or another --preset"
        )
    if not sentences:
        return None
    text = f"{'; '.join(sentences)}. An attacker that does not learn clean pictures tests no protection."
    return Finding("attacker-did-not-learn", text, grave=len(sentences) == len(tried))


def by_heart(facts: Facts) -> Finding | None:
    notes = [
        f"{row.attack} ({row.held_out.rate.note.removeprefix('undefined: ')})"
        for row in facts.rows
        if row.condition.kind == CLEAN and row.judged == ORIGINALS
    ]
    if not notes:
        return None
    text = (
        "Learned by heart: from the clean pictures the attacker learned those pictures, and nothing that helps it with "
        f"photographs that it never saw: {'; '.join(notes)}. It is judged by your own pictures instead, which says "
        "whether it can draw these again, not whether it knows the subject. More pictures, other held-out photographs "
        "or fewer --steps may help."
    )
    return Finding("learned-by-heart", text)


def no_better_than_random(facts: Facts) -> Finding | None:
    differences = []
    for row in facts.rows:
        over = row.over_control
        if plain(row) and over.defined and not over.low > 0:
            interval = "no interval" if math.isnan(over.low) else f"{number(over.low)} to {number(over.high)}"
            differences.append(f"against {row.attack} the two rates differ by {number(over.value)} points ({interval})")
    if not differences:
        return None
    text = f"The protection is not shown to do more than random noise of the same size: {'; '.join(differences)}."
    return Finding("no-better-than-random", text, grave=True)


def gradient_vanished(facts: Facts) -> Finding | None:
    objective = facts.objective
    if objective is None or objective.protected - objective.clean > max(0.0, objective.control - objective.clean):
        return None
    gains = (
        f"by {objective.protected - objective.clean:.3g}, "
        f"random noise of the same size by {objective.control - objective.clean:.3g}"
    )
    text = (
        f"The protected pictures raise what {objective.method} was to raise {gains}: the ascent found no direction (a "
        "vanished gradient, too few steps), or its effect is lost where the attacker sees the picture."
    )
    return Finding("gradient-vanished", text, grave=True)


def budget_broken(facts: Facts) -> Finding | None:
    if not facts.broken:
        return None
    more = f" (and {len(facts.broken) - 3} more)" if len(facts.broken) > 3 else ""
    text = f"Saved files break the budget that their journal declares: {'; '.join(facts.broken[:3])}{more}."
    return Finding("budget-broken", f"{text} Saving as JPEG or editing a file afterwards does that.", grave=True)


def unchanged(facts: Facts) -> Finding | None:
    if not facts.unchanged:
        return None
    names = ", ".join(facts.unchanged[:3]) + (" and others" if len(facts.unchanged) > 3 else "")
    text = f"{len(facts.unchanged)} of {facts.train} protected files equal their clean twins ({names})."
    return Finding("unchanged", text, grave=True)


def few_pictures(facts: Facts) -> Finding | None:
    if facts.train >= LEAST_TRAIN and facts.held_out >= LEAST_HELD_OUT:
        return None
    text = (
        f"Too few pictures: attackers trained on {facts.train} and were tested on {facts.held_out}, where "
        f"{LEAST_TRAIN} and {LEAST_HELD_OUT} are the least for an interval that means something. Add pictures, or "
        "photographs of the subject with --held-out."
    )
    return Finding("few-pictures", text)


def one_prompt(facts: Facts) -> Finding | None:
    defended = facts.defended_prompt
    if defended is None:
        return None
    same = " ".join(defended.split()).casefold() == " ".join(facts.prompt.split()).casefold()
    tokens = [token for token in facts.tokens if token and mentions(defended, token)]
    if not same and not tokens:
        return None
    what = f"the prompt {facts.prompt!r}" if same else f"the token {tokens[0]!r}"
    text = f"The attackers use {what}, which the defender used too; a stranger will use another. Try another --prompt."
    return Finding("defenders-prompt", text)


def one_seed(facts: Facts) -> Finding | None:
    if len(facts.seeds) > 1:
        return None
    return Finding(
        "one-seed", f"One seed ({facts.seeds[0]}): training again may give another result. Try --seeds 0,1,2."
    )


def small_model(facts: Facts) -> Finding | None:
    if facts.large:
        return None
    text = (
        f"{facts.model!r} is a small model: this verdict is not one about Stable Diffusion, or about any model that an "
        "attacker is likely to use. Name such a checkpoint with --model."
    )
    return Finding("small-model", text)


def defenders_model(facts: Facts) -> Finding | None:
    if facts.defended_model is None or facts.defended_model != facts.model:
        return None
    text = f"The attackers use {facts.model!r}, the very model that the pictures were protected against: the best case."
    return Finding("defenders-model", text)


CHECKS: tuple[Check, ...] = (
    not_learned, by_heart, no_better_than_random, gradient_vanished, budget_broken, unchanged, few_pictures, one_prompt,
    one_seed, small_model, defenders_model,
)  # fmt: skip


def findings(facts: Facts) -> list[Finding]:
    """The findings of all checks, grave ones first."""
    raised = [finding for check in CHECKS if (finding := check(facts))]
    return sorted(raised, key=lambda finding: not finding.grave)


def unmade(facts: Facts) -> list[str]:
    """A sentence for each check that was not possible."""
    sentences = []
    for row in facts.rows:
        if plain(row) and row.rate.defined and not row.over_control.defined:
            why = next((c.failed for c in facts.rows if (c.attack, c.condition.kind) == (row.attack, CONTROL)), "")
            sentences.append(
                f"Against {row.attack} the protection was not compared with random noise{why and f' ({why})'}."
            )
    if facts.method is None:
        text = "how the pictures were protected is unknown, as no journal of `unlearnable protect` lies beside them"
        sentences.append(f"Budget, gradient and the defender's prompt and model were not checked: {text}.")
    elif facts.objective is None:
        text = f"the pictures were protected against {facts.defended_model!r}, the audit uses {facts.model!r}"
        sentences.append(f"The gradient was not checked: {text}.")
    return sentences
