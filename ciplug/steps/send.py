"""From the spool to the store: everything that waits for it, in one write where that is possible."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ciplug.capture import artifacts
from ciplug.capture.sealed import Sealed, families
from ciplug.console import Note, warning
from ciplug.errors import Cause, ConfigError, Conflict, FileChanged, StoreError
from ciplug.records.canonical import new_id
from ciplug.records.keys import amended_run, is_run
from ciplug.steps.session import Session, beside_runs
from ciplug.steps.sign import signed
from ciplug.stores.files import FilesApart, TakesFiles

MOST_KEYS = 5_000
MOST_BYTES = 64 * 1024 * 1024
"""The limit for one write; a single run may be larger."""
_OF_ALL = {Cause.NETWORK, Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN, Cause.NOT_FOUND, Cause.FULL}
"""Causes that refuse every write, whatever its content."""


def store_objects(session: Session, objects: Mapping[str, bytes], bundle: Path | None = None) -> None:
    """Keep objects that belong to a run (a verdict) by the same safe way: on disk, then sent, or put into `bundle`.

    Raises StoreError when they could not be sent; they stay spooled.
    """
    entry = session.spool.create(new_id(), {})
    if bundle is None:
        objects = signed(session.env, objects, trusted=session.context.trusted, repository=session.repository)
    sealed = entry.seal(session.spooled_for, objects)
    if bundle is None:
        send(session, sealed)
    else:
        session.spool.hand_over([sealed], bundle, session.send_command)


def send(session: Session, own: Sealed | None = None, *, source: str | None = None) -> list[Sealed]:
    """Send everything of this store that waits in the spool; returns what was sent.

    All of it goes in one write. Where that is refused, each run is tried by itself, with its child runs, so that one
    which cannot be sent holds up no other.

    Args:
        own: what this command has made: of several that are refused, it is the one that is named.
        source: the address of another store: what waits for that is sent to this one.

    Raises StoreError with a refusal, after trying all: nothing that was refused is discarded.
    """
    sent: list[Sealed] = []
    refused: list[tuple[Sealed, StoreError]] = []
    for batch in _batches(session.spool.sealed(source or session.store.address)):
        try:
            sent += _send_together(session, batch, source)
        except StoreError as refusal:
            parts = families(batch)
            if len(parts) == 1 or refusal.cause in _OF_ALL:
                refused += [(sealed, refusal) for sealed in batch]
                continue
            for members in parts:
                try:
                    sent += _send_together(session, members, source)
                except StoreError as reason:
                    refused += [(sealed, reason) for sealed in members]
    if refused:
        _set_aside(refused)
        raise _refusal(session, refused, own, source)
    return sent


def _batches(entries: Sequence[Sealed]) -> Iterator[list[Sealed]]:
    """Entries that go in one write; a run and its child runs are always together."""
    batch: list[Sealed] = []
    for members in families(entries):
        together = [*batch, *members]
        keys = sum(len(sealed.objects) for sealed in together)
        size = sum(len(data) for sealed in together for data in sealed.objects.values())
        if batch and (keys > MOST_KEYS or size > MOST_BYTES):
            yield batch
            batch = list(members)
        else:
            batch = together
    if batch:
        yield batch


def _send_together(session: Session, batch: Sequence[Sealed], source: str | None) -> list[Sealed]:
    """Send these entries in one write and discard them. Raises StoreError, and keeps all, if it is refused."""
    try:
        is_sent = _sent_at_once(session, batch)
        objects = {} if is_sent else _send_files(session, batch, source)
        # What another process has sent meanwhile, it has removed, and its files with it.
        waiting = [sealed for sealed in batch if sealed.waits]
        if waiting and not is_sent:
            together = _merged(objects[sealed.folder] for sealed in waiting)
            session.store.add(together)
            _note_sent(session, together)
    except OSError as error:
        # A push takes some room on the disk.
        cause = Cause.FULL if error.errno == errno.ENOSPC else Cause.UNKNOWN
        raise StoreError(error.strerror or str(error), hint="is the disk full?", cause=cause) from None
    for sealed in waiting:
        sealed.discard()
    return waiting


def _sent_at_once(session: Session, batch: Sequence[Sealed]) -> bool:
    """Send records and their files by one write, where the store can do that. Else nothing has happened."""
    store, files = session.store, session.files
    waits = [listed for sealed in batch if (listed := artifacts.waiting(sealed.folder))]
    if not waits or files is None or not isinstance(store, TakesFiles) or {one.to for one in waits} != {files.uri}:
        return False
    objects = _merged(sealed.objects for sealed in batch)
    paths = {digest: path for one in waits for digest, path in one.files.items()}
    try:
        with session.listener.transfer("files sent", len(paths), sum(one.size for one in waits)) as tell:
            store.add_with(objects, files, paths, tell)
    except (FilesApart, FileChanged):
        return False  # Which files are lost is found out one by one.
    _note_sent(session, objects)
    return True


def _note_sent(session: Session, objects: Mapping[str, bytes]) -> None:
    """Put runs and amendments into the catalog of this machine, which answers while the store is out of reach."""
    listed = {key: data for key, data in objects.items() if is_run(key) or amended_run(key)}
    if listed and session.catalogs.is_dir():
        from ciplug.tracking.catalog_file import add_sent, path_in

        add_sent(path_in(session.catalogs, session.store.address), listed)


def _merged(parts: Iterable[Mapping[str, bytes]]) -> dict[str, bytes]:
    merged: dict[str, bytes] = {}
    for part in parts:
        for key, data in part.items():
            if merged.setdefault(key, data) != data:
                raise StoreError(f"two runs in the spool have different content under the same key: {key}")
    return merged


def _refusal(
    session: Session, refused: Sequence[tuple[Sealed, StoreError]], own: Sealed | None, source: str | None
) -> StoreError:
    ours = (one for one in refused if own and one[0].folder == own.folder)
    sealed, reason = next(ours, refused[0])
    if isinstance(reason, Conflict):
        how = f"it is set aside in {sealed.folder}, and not sent again; compare it with what the store has"
        return reason.reworded(f"not sent: {reason.message}", f"{reason.hint}; {how}" if reason.hint else how)
    how = f"it is kept in {sealed.folder}; send it with: {session.send_command}"
    if len(refused) > 1:
        how = f"it is kept in {sealed.folder}, {len(refused)} wait in all; send them with: {session.send_command}"
    if source:
        how += f" --from {shlex.quote(source)}"
    return reason.reworded(f"not sent: {reason.message}", f"{reason.hint}; {how}" if reason.hint else how)


def _set_aside(refused: Sequence[tuple[Sealed, StoreError]]) -> None:
    """Have no later command fail for what a create-only store can never take."""
    for sealed, reason in refused:
        if isinstance(reason, Conflict):
            sealed.set_aside()


def _send_files(session: Session, batch: Sequence[Sealed], source: str | None) -> dict[Path, Mapping[str, bytes]]:
    """Send the files of spool entries, so that no record names bytes that are not there.

    Returns the objects of each entry, as they may be sent now.
    """
    objects: dict[Path, Mapping[str, bytes]] = {}
    by_place: dict[str, dict[Path, Mapping[str, bytes]]] = {}
    for sealed in batch:
        objects[sealed.folder] = sealed.objects
        files = artifacts.waiting(sealed.folder)
        if files is None:
            continue
        to, changed = _destination(session, files.to, sealed.objects, source)
        if to is None:
            session.tell(Note(f"{sealed.id}: sent without the content of its artifacts"))
            objects[sealed.folder] = artifacts.without_files(sealed.folder, changed)
        else:
            by_place.setdefault(to, {})[sealed.folder] = changed
    for to, entries in by_place.items():
        objects.update(_send_to(session, to, entries, {sealed.folder: sealed for sealed in batch}))
    return objects


def _destination(
    session: Session, to: str, objects: Mapping[str, bytes], source: str | None
) -> tuple[str | None, Mapping[str, bytes]]:
    """The name of the place that an entry's files go to, and its objects, which name that; None: nowhere."""
    files = session.files
    if files is None:
        return None, objects
    if source is not None and beside_runs(to, source):
        # They were to lie beside the runs of that store, and so they do in this one.
        return files.uri, artifacts.moved(objects, to, files.uri)
    return to, objects


def _send_to(
    session: Session, to: str, entries: Mapping[Path, Mapping[str, bytes]], by_folder: Mapping[Path, Sealed]
) -> Iterator[tuple[Path, Mapping[str, bytes]]]:
    files = session.files
    if files is None or files.uri != to:
        try:
            files = session.files_at(to, chosen_here=True)
        except ConfigError as problem:
            raise StoreError(problem.message, hint=problem.hint, cause=Cause.UNSUPPORTED) from None
    waits = [listed for entry in entries if (listed := artifacts.waiting(entry))]
    count, size = sum(len(listed.files) for listed in waits), sum(listed.size for listed in waits)
    with session.listener.transfer("files sent", count, size) as tell:
        sent = artifacts.send(entries, files, tell)
    for entry, one in sent.items():
        if one.lost and by_folder[entry].waits:
            by_folder[entry].rewrite(one.objects)
            session.tell(warning(one.lost, "its digest is recorded, but its content is not kept"))
        yield entry, one.objects
