"""Record a run from the files that a training has left."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.run import deliver, worst_code
from ciplug.errors import FileNotKept, UsageError
from ciplug.recording import Inputs, Recorded, begin, finish, send
from ciplug.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_bundle(parser)
    parser.add_argument("--spooled", action="store_true", help="only send what earlier commands could not send")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.spooled:
        options.tell_recovered(session)
        bundle = options.bundle_of(args)
        if bundle is not None:
            put = session.spool.hand_over(session.spooled_for, bundle)
            console.say(f"handed over in {bundle}: {len(put)} from the spool" if put else "nothing waits in the spool")
            return 0
        sent = send(session)
        console.say(
            f"sent {len(sent)} from the spool" if sent else f"nothing waits in the spool for {session.store.address}"
        )
        others = {sealed.store.partition("#")[0] for sealed in session.spool.sealed()}
        for address in sorted(a for a in others if not a.startswith("fork:")):
            name = f"git+{address}" if "://" in address else address
            console.say(f"runs for another store wait: send them with --store {name}")
        return 0
    recorded = record(session, options.inputs_of(args, session))
    return worst_code(recorded, deliver(session, recorded, options.bundle_of(args)))


def record(session: Session, inputs: Inputs) -> Recorded:
    """Seal a run of what the files say. A file that cannot be taken is an error before anything is recorded."""
    if not (inputs.metrics or inputs.params or inputs.artifacts or inputs.addresses):
        raise UsageError("there is nothing to record", hint="name a file: --metrics metrics.json, or in ciplug.yaml")
    options.tell_recovered(session)
    entry = begin(session, inputs)
    recorded = finish(session, entry, inputs, status="finished")
    if wrong := [problem for problem in recorded.problems if not isinstance(problem, FileNotKept)]:
        recorded.sealed.discard()
        raise wrong[0]
    return recorded
