"""After a smoke test that did not pass: restore the previous version, or end the service where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from ciplug.console import Note
from ciplug.errors import CiplugError, PromotionRefused, Refusal
from ciplug.steps.deployment.deploy import Done
from ciplug.steps.deployment.redeploy import finished_by_deployments, redeploy
from ciplug.steps.deployment.smoke_test import SmokeResult
from ciplug.steps.deployment.undeploy import Ended, undeploy
from ciplug.steps.fetch import Progress, silent
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.rollback import change_of, roll_back
from ciplug.steps.session import Session


def bring_back(
    session: Session, tested: SmokeResult, *, progress: Progress = silent
) -> Iterator[Done | Ended | CiplugError]:
    """Roll the stage of a target back, and yield what became of each target that serves it.

    Where no version was in the stage before, the service ends. Where another one holds the stage by now, nothing is
    done. Raises PromotionRefused where the version before must not come back.
    """
    reason = f"the smoke test of version {tested.version} at '{tested.target}' did not pass: {tested.outcome.words}"
    session = session.refreshed()
    followers = followers_of(session)
    try:
        done = roll_back(session, tested.model, tested.stage, reason, expected=tested.version)
    except PromotionRefused as refused:
        if refused.reason is not Refusal.NOBODY_BEFORE:
            raise
        yield undeploy(session.refreshed(), tested.model, tested.target, reason=reason, expected=tested.deployed)
        return
    if done.written.payload is None:
        words = f"not rolled back: version {tested.version} does not hold {tested.stage} any more"
        session.tell(Note(words, is_urgent=True))
        return
    with finished_by_deployments(done.written.model, tested.stage):
        if change := change_of(tested.model, done):
            follow_up(session, change, followers)
        words = f"version {done.written.payload.version} was brought back to {tested.stage}: {reason}"
        session.tell(Note(words, is_urgent=True))
        yield from redeploy(session.refreshed(), tested.model, tested.stage, progress=progress)
