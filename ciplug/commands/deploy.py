"""Have a target serve a version, if its evidence verifies: the very bytes that were promoted."""

from __future__ import annotations

import argparse
from functools import partial

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_deployed
from ciplug.steps.deployment.deploy import deploy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version", metavar="VERSION", help="models:/MODEL@STAGE, MODEL@STAGE, MODEL@vN or models:/MODEL/VERSION"
    )
    parser.add_argument("--to", metavar="TARGET", required=True, help="a target of ciplug.yaml on the default branch")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    tell_deployed(deploy(session, args.version, args.to, progress=partial(console.transfer, "files fetched")))
    return 0
