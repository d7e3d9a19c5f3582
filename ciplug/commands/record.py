"""Record a run from the files that a training has left."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.commands.run import deliver, worst_code
from ciplug.errors import FileNotKept, StoreError, UsageError
from ciplug.recording import Inputs, Recorded, begin, finish, send
from ciplug.session import NO_ARTIFACTS, Session
from ciplug.tracking.spool import Sealed


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
            hand_over(session, session.spool.sealed(session.spooled_for), bundle)
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


def hand_over(session: Session, waiting: Sequence[Sealed], bundle: Path) -> None:
    """Put what waits into a bundle. Raises StoreError when something stays, lest bytes that lie nowhere else are lost.

    Those are given up where the user wants no bytes of artifacts kept.
    """
    from ciplug.tracking import artifacts

    if not waiting:
        console.say("nothing waits in the spool")
        return
    with_files = [sealed for sealed in waiting if artifacts.waiting(sealed.folder)]
    stay = [] if session.artifact_store == NO_ARTIFACTS else with_files
    if put := session.spool.hand_over([sealed for sealed in waiting if sealed not in stay], bundle):
        console.say(f"handed over in {bundle}: {len(put)} from the spool")
        for sealed in put:
            if sealed in with_files:
                console.say(f"{sealed.folder.name}: handed over without the bytes of its artifacts")
    if stay:
        raise StoreError(
            f"not handed over: {len(stay)} with the bytes of artifacts, which a bundle does not hold; "
            f"kept in {stay[0].folder.parent}",
            hint="send them: ciplug record --spooled; or give the bytes up: "
            f"ciplug record --spooled --bundle {bundle} --artifact-store none",
        )


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
