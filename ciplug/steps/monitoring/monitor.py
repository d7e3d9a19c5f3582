"""Watch a version in production: read, judge, record, and act on failures in a row."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ciplug.capture.prediction_files import Predictions, add_labels, left_out_text, read_predictions
from ciplug.capture.result_files import merged, read_results
from ciplug.comparison.failures_in_a_row import FAILED, Streak, streak, streak_text, told_before
from ciplug.console import Note
from ciplug.errors import listed
from ciplug.records.monitored import Monitored
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.steps.monitoring.alerts import tell
from ciplug.steps.monitoring.judge import Measured, judge_window
from ciplug.steps.monitoring.recorded import begun, completed, in_stage_since, keep, monitor_runs, of_stay
from ciplug.steps.monitoring.rollback import roll_back_if_due
from ciplug.steps.monitoring.watched_version import Request, Watched, find_watched
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.steps.trust import MUST_NOT_WRITE


@dataclass(frozen=True)
class MonitoredWindow:
    """The result for a window of a version in production."""

    watched: Watched
    run: Run
    verdict: Verdict
    left_out: tuple[str, ...]
    """What did not count of the files, as clauses."""
    streak: Streak | None = None
    """The failures in a row, with this window; None: it was not recorded."""

    @property
    def seen(self) -> Monitored:
        if self.run.monitor is None:
            raise ValueError("not a run of kind monitor")
        return self.run.monitor

    @property
    def failures_in_words(self) -> str | None:
        """How many windows have failed in a row, where this one has."""
        if self.streak is None or not self.streak.failures or self.verdict.outcome not in FAILED:
            return None
        return streak_text(len(self.streak.failures), self.watched.settings.consecutive)


def monitor_window(session: Session, request: Request, *, dry_run: bool = False) -> MonitoredWindow:
    """Judge the window of a version and record it.

    Raises NotFound for a version that does not exist, ConfigError where nothing is to be judged, InputError for files
    that are not there, StoreError where the record could not be sent.

    Args:
        dry_run: nothing is recorded, and nobody is told.
    """
    watched = find_watched(session, request)
    settings = watched.settings
    found = Predictions()
    files: list[Path] = []
    if settings.predictions:
        read = watched.files(settings.predictions, "predictions")
        found = read_predictions(
            read, watched.roles, watched.version.number, watched.window, watched.due, _wanted(watched)
        )
        files += read
    if settings.labels and settings.predictions:
        read = watched.files(settings.labels, "labels")
        add_labels(found, read, watched.roles)
        files += read
    read_files = {file: read_results(file) for file in watched.files(settings.results or (), "results")}
    files += read_files
    results = merged(read_files)
    stale = {
        name
        for one in read_files.values()
        if one.made is not None and one.made < watched.window.since
        for name in one.values
    }
    since = in_stage_since(session, watched.version) if watched.in_stage else None
    run = begun(watched)
    with tempfile.TemporaryDirectory(prefix="ciplug-") as scratch:
        judged = judge_window(watched, judged_runs(session), run, found, Measured(results, stale), Path(scratch))
    run = completed(watched, run, judged, found, files)
    result = MonitoredWindow(watched, run, judged.verdict, tuple(_left_out(found)))
    if dry_run:
        return result
    if not session.context.trusted or session.proposes:
        why = "a job of a pull request" if session.context.trusted else MUST_NOT_WRITE
        session.tell(Note(f"{why}: this window is not recorded, and no message is sent"))
        return result
    keep(session, run, judged.verdict)
    runs = monitor_runs(session.refreshed(), watched.model, watched.version.number, watched.stage)
    if since is not None:
        runs = [one for one in runs if of_stay(one, since)]
    counted = streak(runs, lambda seen: seen.outcome)
    action = roll_back_if_due(watched) if settings.on_fail == "rollback" and counted.failures else None
    told = told_before(runs, lambda seen: seen.outcome, settings.consecutive)
    tell(watched, run, judged.verdict, counted, told, action)
    return replace(result, streak=counted)


def _wanted(watched: Watched) -> set[str]:
    """Columns that gates need beside the label and the prediction."""
    policy = watched.policy
    slices = {column for gate in policy.gates.values() if gate.slices for column in gate.slices.by}
    metrics = {policy.metric_of(name) for name, gate in policy.gates.items() if gate.kind == "metric"}
    cluster = {policy.samples.cluster} if policy.samples and policy.samples.cluster else set()
    return {*slices, *metrics, *cluster, "score"}


def _left_out(found: Predictions) -> list[str]:
    clauses = []
    for reason, count in sorted(found.left_out.items()):
        where = f" (the first: {found.named[reason]})" if reason in found.named else ""
        if found.versions and reason == "predictions of other versions":
            where = f" ({listed(sorted(found.versions))})"
        clauses.append(f"{left_out_text(count, reason)}{where}")
    return clauses
