"""Bring back the version before, after failures on labels in a row: only where the policy of the default branch asks.

It is the transition of `ciplug rollback`, with the same evidence and the same log.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import NamedTuple

from ciplug.comparison.failures_in_a_row import streak
from ciplug.config.monitor import seconds
from ciplug.console import Note
from ciplug.errors import CiplugError
from ciplug.gates.digest import digest_of
from ciplug.records import moment
from ciplug.records.run import Run
from ciplug.reports.untrusted import clean
from ciplug.steps.deployment.redeploy import finished_by_deployments, redeploy
from ciplug.steps.monitoring.recorded import in_stage_since, monitor_runs, of_stay
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.rollback import change_of, roll_back
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session, now


class Decision(NamedTuple):
    """Whether a version is to be rolled back, and why not."""

    failures: tuple[Run, ...] = ()
    """The runs that failed on labels, the last first; empty: it is not."""
    why_not: str | None = None
    """A sentence, where a person would expect a rollback."""
    redeploy: bool = False
    """Whether the version is deployed as well, by the policy of the default branch."""


def roll_back_if_due(watched: Watched) -> str | None:
    """Roll back where everything asks for it; returns what was done, as a sentence. The session hears why not."""
    session = watched.session.refreshed()
    try:
        decision = decide(session, watched)
        if not decision.failures:
            if decision.why_not:
                session.tell(Note(f"not rolled back: {decision.why_not}", is_urgent=True))
            return None
        return _roll_back(session, watched, decision)
    except CiplugError as problem:
        session.tell(Note(f"not rolled back: {problem.message}", problem.hint, is_urgent=True))
        return None


def decide(session: Session, watched: Watched) -> Decision:
    """Whether the watched version is to be rolled back now, by the policy of the default branch."""
    protected = by_protected_policy(session)
    section = read_policies(protected).own.section_of(watched.model)
    settings = section.policy.monitor if section else None
    if section is None or settings is None or settings.on_fail != "rollback":
        return Decision(why_not="the policy of the default branch does not say 'on_fail: rollback'")
    if not watched.in_stage:
        return Decision(why_not=f"no stage is named '{clean(watched.stage, 80)}'")
    model = read_model(protected, watched.model)
    holder = model.holder(watched.stage)
    if holder is None or holder.number != watched.version.number:
        return Decision(why_not=f"version {watched.version.number} does not hold {watched.stage} any more")
    moved = in_stage_since(protected, holder)
    digest = digest_of(section.policy)
    runs = [
        run
        for run in monitor_runs(protected, watched.model, holder.number, watched.stage)
        if run.monitor and run.monitor.policy == digest and moment.parse(run.started) >= moved and of_stay(run, moved)
    ]
    failures = streak(runs, lambda seen: seen.performance).failures
    if len(failures) < settings.consecutive:
        return Decision()
    waits = moved + timedelta(seconds=seconds(settings.cool_down)) - now()
    if waits > timedelta():
        end = (moved + timedelta(seconds=seconds(settings.cool_down))).isoformat()[:16]
        why = f"the stage changed at {moved.isoformat()[:16]} UTC, and cool_down asks to wait until {end} UTC"
        return Decision(why_not=why)
    return Decision(tuple(failures[: max(settings.consecutive, 1)]), redeploy=settings.redeploy)


def _roll_back(session: Session, watched: Watched, decision: Decision) -> str | None:
    failures = decision.failures
    gates = dict.fromkeys(gate for run in failures if run.monitor for gate in run.monitor.failed_on_labels)
    runs = ", ".join(run.id[:12] for run in failures)
    reason = (
        f"ciplug monitor: version {watched.version.number} failed on labels in {len(failures)} windows in a row "
        f"({', '.join(gates)}); runs {runs}"
    )
    followers = followers_of(session)
    done = roll_back(session, watched.model, watched.stage, reason, expected=watched.version.number)
    payload = done.written.payload
    if payload is None:
        return None
    for note in done.notes:
        session.tell(Note(f"warning: {note}", is_urgent=True))
    words = f"Version {payload.version} was brought back to {payload.stage}: {reason}."
    try:
        with finished_by_deployments(done.written.model, payload.stage) if decision.redeploy else nullcontext():
            if change := change_of(watched.model, done):
                follow_up(session, change, followers)
            session.tell(Note(words, is_urgent=True))
            return words + (_redeploy(session, watched.model, payload.stage) if decision.redeploy else "")
    except CiplugError as problem:
        # The rollback stands.
        session.tell(Note(problem.message, problem.hint, is_urgent=True))
        return f"{words} The targets were not asked to serve it: {problem.message}."


def _redeploy(session: Session, model: str, stage: str) -> str:
    words = ""
    for done in redeploy(session.refreshed(), model, stage):
        if isinstance(done, CiplugError):
            session.tell(Note(done.message, done.hint, is_urgent=True))
            words += f" A deployment failed: {done.message}."
        else:
            words += f" The target {done.target} serves version {done.version}."
    return words
