"""Run a training command, and record the run: its parameters, metrics, environment and provenance."""

from __future__ import annotations

import argparse

from ciplug.commands import options
from ciplug.steps.train import deliver, train, worst_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_bundle(parser)
    options.add_command(parser)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    recorded, code = train(session, options.inputs_of(args, session), options.command_of(args))
    refusal = deliver(session, recorded, options.bundle_of(args))
    return code or worst_code(recorded, refusal)
