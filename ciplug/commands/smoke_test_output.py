"""Say what came out of a smoke test, and restore the previous version where that is asked for."""

from __future__ import annotations

from functools import partial

from ciplug import console
from ciplug.commands.output import tell_deployed, tell_ended
from ciplug.errors import CiplugError, counted
from ciplug.records.canonical import dumps
from ciplug.records.registry_deployment import Outcome
from ciplug.reports.untrusted import clean
from ciplug.steps.deployment.bring_back import bring_back
from ciplug.steps.deployment.smoke_test import SmokeResult
from ciplug.steps.deployment.targets import deploy_command
from ciplug.steps.deployment.undeploy import Ended
from ciplug.steps.session import Session


def finish(session: Session, tested: SmokeResult, *, roll_back: bool, as_json: bool = False) -> int:
    """Tell the outcome, do what follows, and return the exit code."""
    if as_json:
        console.out(dumps({**tested._asdict(), "outcome": tested.outcome.value}))
    name = f"{clean(tested.model, 120)} version {tested.version}"
    head = f"smoke test of {name} at '{tested.target}': {tested.outcome.words}"
    if tested.passed:
        console.say(f"{head}: {counted(tested.rows, 'answer')} as recorded (event {tested.event})")
        return 0
    bring = f"restore the previous version: ciplug rollback '{tested.model}' --to {tested.stage.lower()} --redeploy"
    hint = None if roll_back else f"{bring} --reason TEXT"
    if hint and tested.outcome is Outcome.NO_ANSWER:
        hint = f"start it again: {deploy_command(tested.model, tested.stage, tested.target)}; or {hint}"
    if not tested.outcome.is_of_the_version:
        hint = "nothing is known of the version, so it stays; see docs/deploy.md on the sample"
    console.complain(f"{head}: {clean(tested.reason or '', 400)} (event {tested.event})", hint)
    if roll_back and tested.outcome.is_of_the_version:
        _bring_back(session, tested)
    return tested.exit_code


def _bring_back(session: Session, tested: SmokeResult) -> None:
    for done in bring_back(session, tested, progress=partial(console.transfer, "files fetched")):
        if isinstance(done, CiplugError):
            console.complain(done.message, done.hint)
        elif isinstance(done, Ended):
            tell_ended(done)
        else:
            tell_deployed(done)
