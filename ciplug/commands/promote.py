"""Move a model version to a stage, if the verdict of its run allows it."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_promotion
from ciplug.errors import PromotionRefused, UsageError, listed
from ciplug.steps.named_run import HELP
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.promote import PromotionRequest, promote
from ciplug.steps.promotion.proposals import proposals
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="the model to promote")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", metavar="STAGE", help="a stage of the policy, by default staging or production")
    what.add_argument(
        "--proposed",
        action="store_true",
        help="everything that the file of `approvals: {pull_request: FILE}` proposes, and that has not happened yet",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--run", metavar="RUN", help=f"the run to promote: {HELP} (default: the model's run of this commit)"
    )
    which.add_argument(
        "--version", metavar="N", type=options.version_number, help="promote this registered version instead of a run"
    )
    options.add_deployment(parser)
    parser.add_argument("--release", action="store_true", help="publish a release MODEL@vN on the forge")
    parser.add_argument(
        "--linked-artifacts", action="store_true", help="list the files of the version as linked artifacts on GitHub"
    )
    parser.add_argument(
        "--pull-request", metavar="N", type=options.version_number,
        help="the merged pull request that approved it (default: the one that this commit merged)",
    )  # fmt: skip
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    followers = followers_of(
        session, deployment=args.deployment, release=args.release, linked_artifacts=args.linked_artifacts
    )
    code = 0
    for request in _requests(session, args):
        try:
            promotion = promote(session, request)
        except PromotionRefused as refused:
            if not args.proposed:
                raise
            # One that is refused, as after a rollback, stops none of the others.
            console.complain(f"{request.model} to {request.stage}: {refused.message}", refused.hint)
            code = refused.exit_code
            continue
        tell_promotion(promotion)
        follow_up(session, StageChange.of(promotion), followers, promotion.run)
        session = session.refreshed()
    return code


def _requests(session: Session, args: argparse.Namespace) -> tuple[PromotionRequest, ...]:
    if not args.proposed:
        if args.model is None:
            raise UsageError("which model?", hint="ciplug promote MODEL --to STAGE; or ciplug promote --proposed")
        request = PromotionRequest(
            args.model, args.to, run=args.run, version=args.version, reason=args.reason, pull_request=args.pull_request
        )
        return (request,)
    if args.model or args.run or args.version:
        raise UsageError("--proposed takes models, runs and versions from the file", hint="leave them out")
    found = proposals(session, args.reason, args.pull_request)
    if not found.open:
        console.say(f"nothing to promote: {listed(found.files)} proposes what is in the stages already")
    return found.open
