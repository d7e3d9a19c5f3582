"""Move a model version to a stage, if the verdict of its run allows it."""

from __future__ import annotations

import argparse

from ciplug.commands import options
from ciplug.commands.output import tell_promotion
from ciplug.steps.named_run import HELP
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.promote import PromotionRequest, promote
from ciplug.steps.promotion.stage_change import StageChange


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model to promote")
    parser.add_argument(
        "--to", metavar="STAGE", required=True, help="a stage of the policy, by default staging or production"
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
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    followers = followers_of(
        session, deployment=args.deployment, release=args.release, linked_artifacts=args.linked_artifacts
    )
    request = PromotionRequest(args.model, args.to, run=args.run, version=args.version, reason=args.reason)
    promotion = promote(session, request)
    tell_promotion(promotion)
    follow_up(session, StageChange.of(promotion), followers, promotion.run)
    return 0
