"""What waits in the spool: which of it may be sent or handed over, and where the rest belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciplug.capture import artifacts
from ciplug.capture.sealed import Sealed
from ciplug.errors import UsageError
from ciplug.steps.send import send
from ciplug.steps.session import FORK_PREFIX, NO_ARTIFACTS, Session
from ciplug.steps.trust import need_trusted
from ciplug.stores import reached_by


@dataclass(frozen=True)
class HandedOver:
    """What was put into a bundle."""

    entries: Sequence[Sealed]
    without_files: Sequence[Sealed]
    """Of these, the entries whose artifacts were given up."""


@dataclass(frozen=True)
class Elsewhere:
    """What waits for another store than the one in use."""

    address: str
    count: int
    of_fork: bool
    """A fork's job left it: no other job sends it."""
    reached_by: str | None
    """How that store is named on the command line, as far as it is known."""


def source_of(session: Session, address: str | None) -> str | None:
    """The address whose entries are sent. Raises UsageError when a fork left them, or when there are none."""
    if address is None:
        return None
    if address.startswith(FORK_PREFIX):
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


def send_spooled(session: Session, source: str | None) -> list[Sealed]:
    """Send what waits; returns what was sent. Raises ForkJob in a fork's job, StoreError when some is refused."""
    need_trusted(session, hint="hand over what waits: --spooled --bundle FILE")
    return send(session, source=source)


def waiting_elsewhere(session: Session) -> Iterator[Elsewhere]:
    """What waits for other stores than the one in use, by address."""
    waiting = Counter(sealed.store for sealed in session.spool.sealed())
    for address, count in sorted(waiting.items()):
        if address.startswith(FORK_PREFIX):
            yield Elsewhere(address, count, True, None)
        elif address != session.store.address:
            yield Elsewhere(address, count, False, reached_by(address, session.env))


def hand_over(session: Session, source: str | None, bundle: Path) -> HandedOver | None:
    """Put what waits into a bundle, and its files beside it, unless the user wants no bytes of artifacts kept.

    None where nothing waits.
    """
    waiting = session.spool.sealed(source or session.spooled_for)
    if not waiting:
        return None
    given_up = session.artifact_store == NO_ARTIFACTS
    with_files = [sealed for sealed in waiting if artifacts.waiting(sealed.folder)]
    entries = session.spool.hand_over(waiting, bundle, session.send_command, with_files=not given_up)
    return HandedOver(entries, [sealed for sealed in entries if given_up and sealed in with_files])
