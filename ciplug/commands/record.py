"""Record a run from the files that a training has left."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ciplug import console
from ciplug.capture.sealed import Sealed
from ciplug.commands import options
from ciplug.errors import StoreError, UsageError
from ciplug.steps.recover import report_recovered
from ciplug.steps.send import send
from ciplug.steps.session import FORK, NO_ARTIFACTS, Session
from ciplug.steps.train import deliver, record_files, worst_code
from ciplug.stores import reached_by


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_bundle(parser)
    parser.add_argument("--spooled", action="store_true", help="only send what earlier commands could not send")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="ADDRESS",
        help="with --spooled: send runs queued for ADDRESS to the current store instead",
    )


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args, for_recording=True)
    if args.spooled:
        report_recovered(session)
        bundle = options.bundle_of(args)
        source = _source(args.source, session)
        if bundle is not None:
            hand_over(session, session.spool.sealed(source or session.spooled_for), bundle)
            return 0
        if not session.context.trusted:
            raise UsageError(
                "a fork's job must not write the store", hint="hand over what waits: --spooled --bundle FILE"
            )
        sent = send(session, source=source)
        console.say(
            f"sent {len(sent)} from the spool" if sent else f"nothing waits in the spool for {session.store.address}"
        )
        _tell_others(session)
        return 0
    if args.source:
        raise UsageError("--from needs --spooled", hint="ciplug record --spooled --from ADDRESS")
    recorded = record_files(session, options.inputs_of(args, session))
    code = worst_code(recorded, deliver(session, recorded, options.bundle_of(args)))
    # The training is over: its run is recorded first, and the mistakes are an error all the same.
    if session.policy_error:
        console.complain(session.policy_error.message, session.policy_error.hint)
        code = code or session.policy_error.exit_code
    return code


def _source(address: str | None, session: Session) -> str | None:
    """The address whose entries are sent. Raises UsageError when a fork left them, or when there are none."""
    if address is None:
        return None
    if address.startswith(FORK):
        raise UsageError(
            f"--from {address}: runs that a fork's job left are not sent by other jobs",
            hint="that job hands it over: ciplug record --spooled --bundle FILE; see `ciplug collect`",
        )
    waiting = {sealed.store for sealed in session.spool.sealed()}
    if address not in waiting:
        raise UsageError(
            f"--from: nothing waits in the spool for {address}",
            hint=f"it waits for: {', '.join(sorted(waiting))}" if waiting else "nothing waits in the spool at all",
        )
    return address


def _tell_others(session: Session) -> None:
    """Say what waits for other stores than the one in use, and how it is sent."""
    import shlex
    from collections import Counter

    waiting = Counter(sealed.store for sealed in session.spool.sealed())
    for address, count in sorted(waiting.items()):
        what = f"{count} {'waits' if count == 1 else 'wait'} in the spool for {address}"
        if address.startswith(FORK):
            console.say(f"{what}: runs that a fork's job left are not sent by other jobs")
        elif address != session.store.address:
            there = reached_by(address, session.env)
            here = f"to {session.store.address} by {session.send_command} --from {shlex.quote(address)}"
            console.say(f"{what}: to be sent " + (f"there by {there}, or {here}" if there else here))


def hand_over(session: Session, waiting: Sequence[Sealed], bundle: Path) -> None:
    """Put what waits into a bundle, except runs whose artifacts wait with them: their bytes would be lost.

    Those are given up where the user wants no bytes of artifacts kept. Raises StoreError when a run stays.
    """
    import shlex

    from ciplug.capture import artifacts

    if not waiting:
        console.say("nothing waits in the spool")
        return
    with_files = [sealed for sealed in waiting if artifacts.waiting(sealed.folder)]
    stay = [] if session.artifact_store == NO_ARTIFACTS else with_files
    if put := session.spool.hand_over(
        [sealed for sealed in waiting if sealed not in stay], bundle, session.send_command
    ):
        console.say(f"handed over in {bundle}: {len(put)} from the spool")
        for sealed in put:
            if sealed in with_files:
                console.say(f"{sealed.folder.name}: handed over without the content of its artifacts")
    if stay:
        raise StoreError(
            f"not handed over: {len(stay)} with the content of artifacts, which a bundle cannot hold; "
            f"kept in {stay[0].folder.parent}",
            hint=f"send them: {session.send_command}; or give up their content: "
            f"{session.send_command} --bundle {shlex.quote(str(bundle))} --artifact-store none",
        )
