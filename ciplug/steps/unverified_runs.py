"""The runs of a commit that nobody has verified: those of forks, and where the policy names signers, unsigned ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ciplug.records.selection import Reason
from ciplug.reports.unverified import LISTED_MOST, Unverified, unverified_run
from ciplug.steps.select import facts_on
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.reports.report import ModelSection
    from ciplug.tracking.runs import Runs


def unverified_runs(
    session: Session, runs: Runs, commit: str | None, sections: Sequence[ModelSection], model: str | None = None
) -> Unverified | None:
    """Return the runs of a commit that nobody has verified and that no section of its report is about.

    They are in the order of their models and ids: nothing that their writers claim of time orders them.
    None where there are none.
    """
    if commit is None:
        return None
    recorded = runs.of_commits([commit]).get(commit, [])
    if model is not None:
        recorded = [run for run in recorded if run.model == model]
    facts = facts_on(session, runs, recorded)
    named = set(_told(sections))
    found = [
        (run, Reason.UNSIGNED if facts[run.id].trusted else Reason.FORK)
        for run in sorted(recorded, key=lambda run: (run.model, run.id))
        if run.id not in named
        and facts[run.id].objection is None
        and not (facts[run.id].trusted and facts[run.id].signed)
    ]
    if not found:
        return None
    listed = tuple(unverified_run(run, reason) for run, reason in found[:LISTED_MOST])
    return Unverified(runs=listed, count=len(found), commit=commit)


def _told(sections: Sequence[ModelSection]) -> Iterable[str]:
    """Yield the runs that sections are about: the candidate, the runs of its seeds, and its re-runs."""
    for section in sections:
        yield section.run.id
        yield from section.comparison.candidate.runs
        if section.reruns:
            yield from (one.run for one in section.reruns.others)
