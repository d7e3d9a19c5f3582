"""Erase runs: remove all their objects from the store and from this machine, where a secret or a name slipped in."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from ciplug.errors import UsageError
from ciplug.git.cache import cache_folder
from ciplug.records.keys import RunKey
from ciplug.records.registry_event import Register
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.drop_old_files import drop_files, files_to_drop
from ciplug.steps.session import Session
from ciplug.steps.trust import need_trusted
from ciplug.stores.base import Erases, NoLog


@dataclass(frozen=True)
class Erased:
    """What was removed."""

    objects: int
    notes: tuple[str, ...]
    """What the store could not remove."""


def erase(session: Session, runs: Sequence[RunKey], reason: str) -> Erased:
    """Remove records, series, examples, amendments and verdicts of runs, and what this machine has cached of the store.

    The history of a git store begins anew without them. The content of their artifacts stays, since other runs may
    have the same files. Raises UsageError for a run that the registry names: its versions could not be verified.
    """
    need_trusted(session, message="a fork's job must not erase runs", hint="erase them from a trusted branch")
    for held in names_in_registry(session, {run.id for run in runs}):
        raise UsageError(
            f"run {held.id[:12]} is named by event {held.event} of '{held.model}' in the registry, which never "
            "changes: it cannot be erased",
            hint="withdraw it without --erase; change the secret itself: treat it as leaked",
        )
    before = set(session.store.notes)
    count = _remove(session, runs, f"{len(runs)} runs erased: {reason}", for_good=True)
    _forget(session)
    return Erased(count, tuple(note for note in session.store.notes if note not in before))


def remove_deleted(session: Session, runs: Sequence[RunKey], models: Collection[str] = ()) -> int:
    """Remove what was deleted for good: runs, and what amendments alone describe, such as experiments.

    Files that only these runs name are set aside, as `ciplug compact` does, which drops them later. Returns the number
    of objects that were removed. Raises UsageError for a run that the registry names.

    Args:
        models: ids of logged models, which a version may have been made of.
    """
    need_trusted(session, message="a fork's job must not remove runs", hint="remove them from a trusted branch")
    check_unregistered(session, runs, models)
    if files := files_to_drop(session, runs):
        drop_files(files)
    return _remove(session, runs, f"{len(runs)} deleted runs, experiments or models")


def check_unregistered(session: Session, runs: Sequence[RunKey], models: Collection[str] = ()) -> None:
    """Raise UsageError for a run or a logged model that the registry names."""
    for held in names_in_registry(session, {run.id for run in runs}, models):
        raise UsageError(held.words, hint=f"see: ciplug registry history '{held.model}'")


def _remove(session: Session, runs: Sequence[RunKey], reason: str, *, for_good: bool = False) -> int:
    store = session.store
    keys = store.keys(*(prefix for run in runs for prefix in run.everything))
    count = store.erase(keys, reason) if for_good and isinstance(store, Erases) else store.drop(keys, reason)
    for run in runs:
        for sealed in session.spool.sealed_of(run.id):
            sealed.discard()
    return count


class Held(NamedTuple):
    """A run or a logged model that an event of the registry names."""

    id: str
    model: str
    event: int
    version: int | None

    @property
    def words(self) -> str:
        what = "logged model" if self.id.startswith("m-") else "run"
        where = f"version {self.version}" if self.version else f"event {self.event}"
        return (
            f"{what} {self.id[:12]} is kept: {where} of '{self.model}' in the registry, which never changes, "
            "was made of it"
        )


def names_in_registry(session: Session, runs: Collection[str], models: Collection[str] = ()) -> Iterator[Held]:
    """Yield those of these runs and logged models that the registry names, once for each event.

    Events of a newer ciplug may name any: they raise UsageError.
    """
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
            named = [run for run in payload.runs if run in runs]
            if isinstance(payload, Register) and payload.model_id in models:
                named.append(str(payload.model_id))
            version = getattr(payload, "version", None)
            yield from (Held(one, model, event.seq, version) for one in named)


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
