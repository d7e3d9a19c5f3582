"""Have a target serve a version, if its evidence verifies: the very bytes that were promoted."""

from __future__ import annotations

import argparse
import shlex
from functools import partial

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_deployed
from ciplug.commands.smoke_test_output import finish
from ciplug.errors import UsageError
from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.smoke_test import prepare, smoke_test
from ciplug.steps.interruption import resumed_by


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version", metavar="VERSION", help="models:/MODEL@STAGE, MODEL@STAGE, MODEL@vN or models:/MODEL/VERSION"
    )
    parser.add_argument("--to", metavar="TARGET", required=True, help="a target of ciplug.yaml on the default branch")

    parser.add_argument(
        "--smoke-test", action="store_true", help="then compare its answers with recorded predictions, by smoke_test:"
    )
    options.add_roll_back(parser)


def run(args: argparse.Namespace) -> int:
    if args.roll_back and not args.smoke_test:
        raise UsageError("--roll-back is for a smoke test that does not pass", hint="add --smoke-test")
    flags = [flag for flag in ("--smoke-test", "--roll-back") if getattr(args, flag[2:].replace("-", "_"))]
    again = shlex.join(["ciplug", "deploy", args.version, "--to", args.to, *flags])
    with resumed_by(again):
        session = options.session_of(args)
        prepared = prepare(session, args.version, args.to) if args.smoke_test else None
        progress = partial(console.transfer, "files fetched")
        tell_deployed(deploy(session, args.version, args.to, again=again, progress=progress))
        if prepared is None:
            return 0
        session = session.refreshed()
        return finish(session, smoke_test(session, args.version, args.to, prepared), roll_back=args.roll_back)
