"""Run a training command, and record the run: its parameters, metrics, environment and provenance."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.record_output import tell_recorded, tell_recovered
from ciplug.steps.deliver import deliver
from ciplug.steps.recover import recovery_notes
from ciplug.steps.train import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_allow_unchanged(parser)
    options.add_bundle(parser)
    options.add_command(parser)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    bundle = options.bundle_for_run(args, session)
    tell_recovered(session)
    trained = train(session, options.inputs_of(args, session), options.command_of(args))
    console.tell(recovery_notes(trained.recovered))
    delivered = deliver(session, trained.recorded, bundle)
    tell_recorded(session, delivered)
    return trained.exit_code or delivered.exit_code
