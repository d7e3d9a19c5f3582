"""The report on a commit, and the state of the store that it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.records import keys
from ciplug.reports.report import Report
from ciplug.steps.reporting.report import judged_for_report, report_of
from ciplug.steps.select import candidates
from ciplug.steps.session import Session
from ciplug.steps.unrun_models import unrun_models
from ciplug.steps.unverified_runs import unverified_runs

if TYPE_CHECKING:
    from ciplug.records.run import Run
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class Snapshot:
    """A report, and the keys of the runs and verdicts of its commit that the store held when it was made."""

    report: Report
    commit: str
    keys: frozenset[str]

    @classmethod
    def of(cls, session: Session, commit: str, report: Report) -> Snapshot:
        return cls(report, commit, _recorded(session, commit))

    def with_keys(self, keys: frozenset[str]) -> Snapshot:
        """The same report, where the store holds more keys that change nothing in it."""
        return replace(self, keys=self.keys | keys)

    def is_current(self, session: Session) -> bool:
        """Whether the store, seen by a session that has read nothing yet, holds nothing more of the commit."""
        return _recorded(session, self.commit) <= self.keys


def take(session: Session, runs: Runs, commit: str, model: str | None = None, *, run: Run | None = None) -> Snapshot:
    """The report of a commit as the store holds it now.

    Args:
        model: report on one model only.
        run: report on this run of the commit only, whether or not it counts for it.

    Raises UsageError where nothing is recorded, ConfigError for a policy that is wrong.
    """
    chosen = [run] if run else candidates(session, runs, commit, model)
    judged = judged_for_report(session, runs, chosen, named=run is not None)
    if run is not None:
        return Snapshot.of(session, commit, report_of(session, judged))
    unrun = unrun_models(session, runs, commit) if model is None else ()
    unverified = unverified_runs(session, runs, commit, [each.section for each in judged], model)
    return Snapshot.of(session, commit, report_of(session, judged, unrun=unrun, unverified=unverified))


def _recorded(session: Session, commit: str) -> frozenset[str]:
    return frozenset(session.store.keys(keys.runs_on(commit), keys.amendments_on(commit), keys.verdicts_on(commit)))
