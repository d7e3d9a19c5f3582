"""Notices on several runs of one commit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

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
    return _before(Kind.FAILED_BEFORE, verdict, {one.run: one.failed for one in reruns.others if one.weighs})


def failed_withdrawn(verdict: Verdict, reruns: Reruns) -> Notice | None:
    """Return the same of runs that somebody withdrew."""
    return _before(Kind.FAILED_WITHDRAWN, verdict, {one.run: one.failed for one in reruns.withdrawn})


def no_number_before(verdict: Verdict, reruns: Reruns) -> Notice | None:
    """Return the notice on gates that another run of the same command has no number for, and the judged one has."""
    lacking = {one.run: one.without_number for one in reruns.others if one.weighs and one.same_command}
    return _before(Kind.NO_NUMBER_BEFORE, verdict, lacking)


def not_all_judged(reruns: Reruns) -> Notice | None:
    """Return the notice on runs that would take part in the verdict, and that nobody has judged."""
    return Notice(kind=Kind.NOT_ALL_JUDGED, count=reruns.unjudged) if reruns.unjudged else None


def _before(kind: Kind, verdict: Verdict, bad_of: Mapping[str, Sequence[str]]) -> Notice | None:
    """Return the notice on gates that the judged run does not fail.

    Args:
        bad_of: run → the gates that are bad for it.
    """
    by_gate = {
        gate: tuple(run for run, bad in bad_of.items() if gate in bad)
        for gate, outcome in outcomes_of(verdict).items()
        if outcome not in ("FAIL", "ERROR")
    }
    gates = {gate: runs for gate, runs in by_gate.items() if runs}
    if not gates:
        return None
    runs = tuple(dict.fromkeys(run for of_gate in gates.values() for run in of_gate))
    return Notice(kind=kind, run=verdict.run, metrics=tuple(gates), runs=runs)


def notices(
    run: str, reruns: Reruns | None, verdict: Verdict | None, *, shown: Collection[Notice] = (), counts: bool = True
) -> Iterator[Notice]:
    """Yield what a report says of the other runs of a commit.

    Args:
        run: the one that the report shows.
        shown: what gates of the verdict state.
        counts: whether that run counts for the commit.
    """
    if reruns is None:
        return
    if verdict:
        of_gates = (
            failed_before(verdict, reruns),
            failed_withdrawn(verdict, reruns),
            no_number_before(verdict, reruns),
            not_all_judged(reruns),
        )
        yield from (_marked(notice, shown) for notice in of_gates if notice)
    yield from (_marked(of_spread(spread), shown) for spread in reruns.spreads)
    if not reruns.others:
        return
    yield Notice(
        kind=Kind.RERUNS,
        run=run,
        runs=tuple(one.run for one in reruns.others if one.behind),
        reasons=tuple(one.behind for one in reruns.others if one.behind),
        commits=tuple(dict.fromkeys(one.commit for one in reruns.others if one.commit)),
        count=reruns.total,
        outcomes=tuple(one.outcome or "not judged" for one in reruns.others if not one.behind),
        behind=reruns.behind or None,
        settled=None if counts else True,
        more=reruns.more or None,
    )


def _marked(notice: Notice, shown: Collection[Notice]) -> Notice:
    return replace(notice, elsewhere=True) if notice in shown else notice
