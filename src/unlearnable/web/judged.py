"""What the check and the audit found, in plain words; and the audit's settings from the page's."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from unlearnable.web import html, words
from unlearnable.web.files import Session

if TYPE_CHECKING:
    from unlearnable.auditing.facts import Audit
    from unlearnable.evaluation.shifts import Report, Shift

GENERATED = 4  # pictures drawn from each attacker: what fits a page
HEAD = ["Encoder", "Behind", "Protected over noise", "95 % interval", "In words"]


def settings(attack: str, prompt: str, purify: str, steps: float | None) -> dict[str, Any]:
    """Fields of the audit's settings."""
    chains = tuple(part.strip() for part in purify.split(",") if part.strip())
    return {
        "attacks": (attack,), "prompt": prompt, "purify": chains or ("none",), "generated": GENERATED,
        "steps": int(steps) if steps else None,
    }  # fmt: skip


def encoders(report: Report, session: Session) -> str:
    """The table of a check, and what it does not say."""
    rows = [row(shift) for shift in report.shifts]
    shown = html.table(HEAD, rows, f"{words.count(len(report.names))} compared with random noise of the same size")
    small = sorted({shift.encoder for shift in report.shifts if not shift.real})
    if small:
        text = (
            f"{' and '.join(small)}: small stand-ins that learned from real encoders. The real ones decide; "
            "name them as NAME=FOLDER."
        )
        shown += f"<p>{escape(text)}</p>"
    return shown + html.listed([private(text, session) for text in report.failed], "Not compared")


def row(shift: Shift) -> list[str]:
    ratio = shift.ratio
    ends = "one picture: none" if math.isnan(ratio.low) else f"{ratio.low:.2f} to {ratio.high:.2f}"
    behind = "nothing" if shift.purify == "none" else shift.purify
    return [shift.encoder, behind, f"{ratio.value:.2f} times", ends, words.moved(ratio.value)]


def audit(done: Audit, session: Session) -> str:
    """The verdict, the doubts, and what was left out; the report itself follows."""
    verdict = done.report["verdict"]
    sentences = "".join(f"<p>{escape(text)}</p>" for text in verdict["sentences"])
    doubts = [check["text"] for check in done.report["checks"]]
    left = [private(text, session) for text in done.problems]
    return (
        f"<p><strong>{escape(verdict['headline'])}</strong></p>{sentences}"
        f"{html.listed(doubts, 'Doubts')}{html.listed(left, 'Left out')}"
    )


def private(text: str, session: Session) -> str:
    """A sentence without this machine's folders."""
    for folder in (session.inside, session.shown):
        for inner in (*folder.iterdir(), folder) if folder.is_dir() else ():
            text = text.replace(f"{inner}/", "")
    return text
