"""Rates as the formula says them, found by looking for every single cell."""

from unlearnable.bench.sums import HELD_OUT


def textbook(rows, method, purify, attack=None, judged=HELD_OUT):
    """Sums of (what is left, gain) of each subject."""

    def losses(**wanted):
        return [sum(r[judged]) for r in rows if all(r[key] == value for key, value in wanted.items())]

    found = {}
    for r in rows:
        if r["method"] != method or r["purify"] != purify or attack not in (None, r["attack"]):
            continue
        same = {"subject": r["subject"], "attack": r["attack"], "purify": r["purify"], "seed": r["seed"]}
        (clean,), (untouched,) = losses(method="clean", **same), losses(method="untouched", subject=r["subject"])
        if (untouched - clean) / untouched < 0.01:
            continue
        part, whole = found.get(r["subject"], (0, 0))
        found[r["subject"]] = (part + sum(r[judged]) - clean, whole + untouched - clean)
    return found


def quotient(found):
    return sum(part for part, _ in found.values()) / sum(whole for _, whole in found.values())
