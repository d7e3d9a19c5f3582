"""Notices on several runs of one commit."""

from __future__ import annotations

from collections.abc import Iterator

from ciplug.records.notice import Kind, Notice
from ciplug.records.verdict import Reruns, Spread, Verdict, outcomes_of


def of_spread(spread: Spread) -> Notice:
    """Return the notice on runs with the same seed whose numbers differ."""
    return Notice(
        kind=Kind.FLAKY if spread.flaky else Kind.VARIES,
        runs=spread.runs,
        seed=spread.seed,
        metrics=tuple(one.metric for one in spread.metrics),
        values=tuple((one.least, one.most) for one in spread.metrics),
        differs=tuple(f"{one.what} ({', '.join(one.values)})" for one in spread.differs),
    )


def failed_before(verdict: Verdict, reruns: Reruns) -> Notice | None:
    """Return the notice on gates that the judged run does not fail, and another run of the commit failed."""
    failed = {
        gate: tuple(one.run for one in reruns.others if one.weighs and gate in one.failed)
        for gate, outcome in outcomes_of(verdict).items()
        if outcome not in ("FAIL", "ERROR")
    }
    bad = {gate: runs for gate, runs in failed.items() if runs}
    if not bad:
        return None
    runs = tuple(dict.fromkeys(run for of_gate in bad.values() for run in of_gate))
    return Notice(kind=Kind.FAILED_BEFORE, run=verdict.run, metrics=tuple(bad), runs=runs)


def notices(run: str, reruns: Reruns | None, verdict: Verdict | None) -> Iterator[Notice]:
    """Yield what a report says of the other runs of a commit; `run` is the one that it shows."""
    if reruns is None:
        return
    if verdict and (failed := failed_before(verdict, reruns)):
        yield failed
    yield from map(of_spread, reruns.spreads)
    outcomes = tuple(one.outcome or "not judged" for one in reruns.others)
    yield Notice(kind=Kind.RERUNS, run=run, count=reruns.total, outcomes=outcomes, more=reruns.more or None)
