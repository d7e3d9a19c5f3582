"""Record a run from the files that a training has left."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.commands.record_output import tell_recorded, tell_recovered
from ciplug.errors import UsageError
from ciplug.steps.deliver import deliver
from ciplug.steps.record_files import record_files
from ciplug.steps.session import Session
from ciplug.steps.spooled_runs import Elsewhere, hand_over, send_spooled, source_of, waiting_elsewhere


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
        _spooled(args, session)
        return 0
    if args.source:
        raise UsageError("--from needs --spooled", hint="ciplug record --spooled --from ADDRESS")
    bundle = options.bundle_for_run(args, session)
    tell_recovered(session)
    recorded = record_files(session, options.inputs_of(args, session))
    delivered = deliver(session, recorded, bundle)
    tell_recorded(session, delivered)
    code = delivered.exit_code
    # The training is over: its run is recorded first, and the mistakes are an error all the same.
    if session.policy_error:
        console.complain(session.policy_error.message, session.policy_error.hint)
        code = code or session.policy_error.exit_code
    return code


def _spooled(args: argparse.Namespace, session: Session) -> None:
    """Send what waits, or put it into a bundle."""
    tell_recovered(session)
    bundle = options.bundle_of(args)
    source = source_of(session, args.source)
    if bundle is not None:
        _hand_over(session, source, bundle)
        return
    sent = send_spooled(session, source)
    console.say(
        f"sent {len(sent)} from the spool" if sent else f"nothing waits in the spool for {session.store.address}"
    )
    for waiting in waiting_elsewhere(session):
        console.say(_words(waiting, session))


def _words(waiting: Elsewhere, session: Session) -> str:
    """What waits for another store, and how it is sent."""
    import shlex

    what = (
        f"{waiting.count} {'entry waits' if waiting.count == 1 else 'entries wait'} in the spool for {waiting.address}"
    )
    if waiting.of_fork:
        return f"{what}: runs that a fork's job left are not sent by other jobs"
    here = f"to {session.store.address} with {session.send_command} --from {shlex.quote(waiting.address)}"
    them = "it" if waiting.count == 1 else "them"
    return f"{what}: send {them} " + (f"there with {waiting.reached_by}, or {here}" if waiting.reached_by else here)


def _hand_over(session: Session, source: str | None, bundle: Path) -> None:
    done = hand_over(session, source, bundle)
    if done is None:
        console.say("nothing waits in the spool")
        return
    if done.entries:
        console.say(f"handed over in {bundle}: {len(done.entries)} from the spool")
    for sealed in done.without_files:
        console.say(f"{sealed.folder.name}: handed over without the content of its artifacts")
