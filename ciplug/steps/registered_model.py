"""The state of a model, as the policy in force counts its events."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING

from ciplug._version import __version__
from ciplug.errors import NotFound, closest
from ciplug.git.cache import cache_folder
from ciplug.records.canonical import dumps
from ciplug.registry import ledger, reading, resolve, stored_checkpoints
from ciplug.registry.ladder import Ladder
from ciplug.registry.local_checkpoints import Snapshots
from ciplug.registry.model import Model, Version
from ciplug.registry.model_values import FORMAT
from ciplug.registry.reading import Reading
from ciplug.registry.resolve import NAMED_MOST, find_version
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of
from ciplug.stores.base import Head

if TYPE_CHECKING:
    from ciplug.registry.replay import IsSigned


def is_signed(session: Session) -> IsSigned | None:
    """What tells whether an event counts; None where the policy names no signers, and all of them do."""
    signers = signers_of(session)
    return (lambda event: signers.of_event(event) is not None) if signers else None


def snapshots_of(session: Session) -> Snapshots:
    """The states that this clone keeps, folded with the signers of the policy in force."""
    store = session.store.address
    key = hashlib.sha256(dumps([FORMAT, __version__, store, signers_key(session)])).hexdigest()
    folder = cache_folder(session.workspace, session.env) / "registry"
    return Snapshots(folder / hashlib.sha256(store.encode()).hexdigest()[:16], key)


def signers_key(session: Session) -> str:
    """A text that changes with the signers of the policy in force."""
    signers = signers_of(session)
    return stored_checkpoints.key_of(signers.keys, signers.repository)


def read_registry(session: Session, name: str, *, with_times: bool = False) -> Reading:
    """The state of a model and the head of its log. Raises BrokenLog for a log whose chain is broken.

    Args:
        with_times: when each event was made is asked for, too.
    """
    return reading.read(
        session.log,
        name,
        is_signed(session),
        snapshots_of(session),
        signers=signers_key(session),
        with_times=with_times,
    )


def read_past(session: Session, name: str, seq: int, head: Head) -> Model:
    """The state of a model after one of its events, in the log with this head."""
    return reading.read_at(session.log, name, seq, head, is_signed(session), snapshots_of(session))


def read_model(session: Session, name: str) -> Model:
    """The state of a model. Raises BrokenLog for a log whose chain is broken."""
    return read_registry(session, name).model


def read_if_whole(session: Session, name: str) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    return reading.read_if_whole(session.log, name, is_signed(session), snapshots_of(session), signers_key(session))


def need_model(session: Session, model: Model) -> None:
    """Raise NotFound where there is no such model now."""
    if not model.exists:
        raise no_model(session, model)


def no_model(session: Session, model: Model) -> NotFound:
    """The error of a name of no model, with what was probably meant."""
    return resolve.no_model(model, _others(session, model.name))


def _others(session: Session, wanted: str) -> list[str]:
    """The model that was probably meant, else some of those that there are. Few logs are read: there may be many."""
    names = ledger.models(session.log)
    near = closest(wanted, names)
    if near is not None and _is_there(session, near):
        return [near]
    return list(islice((name for name in names if _is_there(session, name)), NAMED_MOST))


def _is_there(session: Session, name: str) -> bool:
    model = read_if_whole(session, name)
    return model.exists or model.problem is not None


def version_of(session: Session, model: Model, selector: str, ladder: Ladder) -> Version:
    """The version for the second part of a name. Raises NotFound where there is no such model, or no such version."""
    if not model.versions:
        need_model(session, model)
    return find_version(model, selector, ladder)
