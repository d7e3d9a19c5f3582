"""Bring back the version that held a stage before: no gate is asked, only its bytes must verify."""

from __future__ import annotations

import argparse
import shlex
from contextlib import nullcontext
from functools import partial

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_deployed, tell_move
from ciplug.errors import CiplugError, counted
from ciplug.steps.deployment.redeploy import finished_by_deployments, redeploy
from ciplug.steps.interruption import resumed_by
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.rollback import change_of, roll_back
from ciplug.steps.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model to roll back")
    parser.add_argument("--to", metavar="STAGE", required=True, help="the stage that gets an earlier version back")
    parser.add_argument(
        "--version",
        metavar="N",
        type=options.version_number,
        help="a version that was promoted to the stage before (default: the one that held it before)",
    )
    options.add_deployment(parser)
    parser.add_argument(
        "--redeploy", action="store_true", help="then deploy the version to each target that serves the stage"
    )
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    # Where the last request was cut off, nobody but the log knows whether the rollback is written.
    see = shlex.join(["ciplug", "registry", "history", args.model])
    with resumed_by(f"{see} says whether it is rolled back; if it is not, the same again"):
        session = options.session_of(args)
        followers = followers_of(session, deployment=args.deployment)
        done = roll_back(session, args.model, args.to, args.reason, args.version)
        payload = done.written.payload
        if payload is None:
            return 0
        with finished_by_deployments(done.written.model, payload.stage) if args.redeploy else nullcontext():
            for note in done.notes:
                console.complain(f"warning: {note}")
            console.say(f"{counted(payload.files, 'file')} of version {payload.version} verified")
            tell_move(args.model, payload.version, payload.stage, done.written.event, payload.replaces)
            if change := change_of(args.model, done):
                follow_up(session, change, followers)
            return _redeploy(session, args.model, payload.stage) if args.redeploy else 0


def _redeploy(session: Session, model: str, stage: str) -> int:
    """Deploy to every target, and return the exit code of the first that failed."""
    failed = 0
    for done in redeploy(session.refreshed(), model, stage, progress=partial(console.transfer, "files fetched")):
        if isinstance(done, CiplugError):
            console.complain(done.message, done.hint)
            failed = failed or done.exit_code
        else:
            tell_deployed(done)
    return failed
