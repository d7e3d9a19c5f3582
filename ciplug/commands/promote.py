"""Move a model version to a stage, if the verdict of its run allows it."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_promotion
from ciplug.steps.promotion.deployment import record_deployment
from ciplug.steps.promotion.promote import Promotion, PromotionRequest, promote
from ciplug.steps.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model to promote")
    parser.add_argument(
        "--to", metavar="STAGE", required=True, help="a stage of the policy, by default staging or production"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="the run to promote (default: the model's run of this commit)")
    which.add_argument("--version", metavar="N", type=int, help="promote this registered version instead of a run")
    parser.add_argument(
        "--deployment",
        metavar="ENVIRONMENT",
        nargs="?",
        const="",
        help="record a deployment of the version's commit with the forge (default: the stage's name)",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    request = PromotionRequest(args.model, args.to, run=args.run, version=args.version, reason=args.reason)
    promotion = promote(session, request)
    tell_promotion(promotion)
    if args.deployment is not None:
        _record_deployment(session, promotion, args.deployment)
    return 0


def _record_deployment(session: Session, promotion: Promotion, environment: str) -> None:
    deployment = record_deployment(session, promotion, environment)
    if deployment.unrecorded:
        console.complain(f"no deployment recorded: {deployment.words}", deployment.hint)
    else:
        console.say(f"deployment of {(deployment.commit or '')[:8]} to {deployment.environment} recorded")
