"""Erase runs: remove all their objects from the store and from this machine, where a secret or a name slipped in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ciplug.errors import UsageError
from ciplug.git.cache import cache_folder
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.amend import Target
from ciplug.steps.session import Session
from ciplug.steps.trust import need_trusted
from ciplug.stores.base import NoLog


@dataclass(frozen=True)
class Erased:
    """What was removed."""

    objects: int
    notes: tuple[str, ...]
    """What the store could not remove."""


def erase(session: Session, targets: Sequence[Target], reason: str) -> Erased:
    """Remove records, series, examples, amendments and verdicts of runs, and what this machine has cached of the store.

    The history of a git store begins anew without them. The content of their artifacts stays, since other runs may
    have the same files. Raises UsageError for a run that the registry names: its versions could not be verified.
    """
    need_trusted(session, message="a fork's job must not erase runs", hint="erase them from a trusted branch")
    _check_registry(session, targets)
    store = session.store
    before = set(store.notes)
    keys = store.keys(*(prefix for target in targets for prefix in target.key.everything))
    count = store.drop(keys, f"{len(targets)} runs erased: {reason}")
    for target in targets:
        for sealed in session.spool.sealed_of(target.key.id):
            sealed.discard()
    _forget(session)
    return Erased(count, tuple(note for note in store.notes if note not in before))


def _check_registry(session: Session, targets: Sequence[Target]) -> None:
    erased = {target.key.id for target in targets}
    for model, number, run in _in_registry(session):
        if run in erased:
            raise UsageError(
                f"run {run[:12]} is named by event {number} of '{model}' in the registry, which never changes: "
                "it cannot be erased",
                hint="withdraw it without --erase; change the secret itself, which counts as known",
            )


def _in_registry(session: Session) -> Iterator[tuple[str, int, str]]:
    """Model, number of the event, and id of a run that it names. Events of a newer ciplug count as naming any run."""
    if isinstance(session.log, NoLog):
        return
    for model in ledger.models(session.log):
        for event in ledger.read(session.log, model).events:
            payload = payload_of(event)
            if payload is None:
                raise UsageError(
                    f"event {event.seq} of '{model}' has a type that this ciplug does not know, and may need the run",
                    hint="upgrade ciplug, and try again",
                )
            yield from ((model, event.seq, run) for run in payload.runs)


def _forget(session: Session) -> None:
    """Remove the caches of this machine, which may be emptied at any time; locks stay."""
    cache = cache_folder(session.workspace, session.env)
    for folder in ("git", "objects"):
        for path in (cache / folder).glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
    for path in session.catalogs.glob("*"):
        with suppress(OSError):
            path.unlink()
