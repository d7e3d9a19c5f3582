"""Deliver a recorded run: to the store, or into a bundle for a job that may write the store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from ciplug import ci
from ciplug.capture.sealed import Sealed, families
from ciplug.errors import Cause, InputError, RemoteError, StoreError
from ciplug.steps.record import Recorded
from ciplug.steps.send import send
from ciplug.steps.session import Session

_RIGHTS = {Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN, Cause.PROTECTED, Cause.RULE}
"""Causes that a right to push, or a token that has it, removes."""


class RunLocation(Enum):
    """Where a run is now."""

    SPOOL = auto()
    STORE = auto()
    BUNDLE = auto()
    ARCHIVE = auto()
    """In the folder of results that the pipeline archives."""


@dataclass(frozen=True)
class Delivered:
    """The result of delivering a run with its child runs."""

    recorded: Recorded
    location: RunLocation
    children: int = 0
    incomplete_children: int = 0
    """Child runs that files are left out of: the processes that ended them have named these."""
    bundle: Path | None = None
    """The file that was asked for, whether it could be written or not."""
    refusal: StoreError | None = None
    """The reason why it was not delivered; its hint has the remedy."""

    @property
    def exit_code(self) -> int:
        """0 when all went well, 3 when the store refused, 2 when an input could not be taken."""
        if self.refusal:
            return self.refusal.exit_code
        if self.recorded.problems:
            return self.recorded.problems[0].exit_code
        return InputError.exit_code if self.incomplete_children else 0

    @property
    def names_files(self) -> bool:
        """Whether the run has artifacts on this machine's disk."""
        return any("://" not in artifact.path for artifact in self.recorded.run.artifacts)

    @property
    def keeps_files(self) -> bool:
        """Whether the content of artifacts goes with the run."""
        return any(artifact.store for artifact in self.recorded.run.artifacts)


def deliver(session: Session, recorded: Recorded, bundle: Path | None = None) -> Delivered:
    """Send a record and its child runs, or put them into `bundle`. What is refused stays in the spool."""
    members = _with_children(session, recorded)
    refusal: StoreError | None = None
    location = RunLocation.BUNDLE if bundle else RunLocation.SPOOL
    try:
        if bundle is not None:
            session.spool.hand_over(members, bundle, session.send_command)
        elif session.context.trusted:
            location = RunLocation.ARCHIVE if session.to_archive else RunLocation.STORE
            send(session, recorded.sealed)
    except StoreError as problem:
        refusal = _with_advice(session, problem)
        # Where another run was refused, this one has arrived.
        location = RunLocation.SPOOL if recorded.sealed.waits else location
    incomplete = sum(one.incomplete for one in members if one.id != recorded.run.id)
    return Delivered(recorded, location, len(members) - 1, incomplete, bundle, refusal)


def _with_children(session: Session, recorded: Recorded) -> list[Sealed]:
    groups = families(session.spool.sealed(recorded.sealed.store))
    return next((group for group in groups if any(one.id == recorded.run.id for one in group)), [recorded.sealed])


def _with_advice(session: Session, refusal: StoreError) -> StoreError:
    """The refusal, with the host's way to a right to push where one is missing."""
    if not isinstance(refusal, RemoteError) or refusal.cause not in _RIGHTS or _is_on_disk(session.store.address):
        return refusal
    hints = (refusal.hint, ci.host_module(session.context.host).push_hint)
    return refusal.reworded(refusal.message, "\n  -> ".join(filter(None, hints)))


def _is_on_disk(address: str) -> bool:
    """Whether a repository is on this machine's disk, where no token is needed."""
    return address.startswith("file:") or Path(address).is_absolute()
