"""Artifacts on their way to a place for files: they wait in the spool, beside the record that names them.

<spool>/<run id>/files.json   where to, and digest → the file's own path and size
<spool>/<run id>/files/<hex>  its bytes: a copy, which shares its blocks with the file where the file system can do that
                              (Btrfs, XFS, APFS), so that the next training may write over the file
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ciplug.capture.content import Content
from ciplug.capture.frozen import freeze
from ciplug.errors import CiplugError, FileChanged, FileNotKept, InputError, StoreError
from ciplug.git.credentials import redact
from ciplug.locking import write_atomically
from ciplug.records.bundle import FILES as HANDED_OVER
from ciplug.records.canonical import dumps
from ciplug.records.keys import is_run
from ciplug.records.run import File
from ciplug.stores.files import Files, Tell, checked, hex_of

LIST, FOLDER = "files.json", "files"


@dataclass(frozen=True)
class Destination:
    """The place for the content of a job's artifacts."""

    uri: str
    """The name of the place in records."""
    limit: int | None = None
    """Bytes of the largest file that it takes."""


@dataclass(frozen=True)
class Waiting:
    """The files of a spool entry that are to be sent before its record."""

    to: str
    """The name of the place in records."""
    files: Mapping[str, Path]
    """Digest → the bytes in the spool, or the file itself where the disk had no room for a copy."""
    size: int
    """Bytes of all."""


def is_address(artifact: str) -> bool:
    """Whether an artifact is named by a URI, not a path."""
    return "://" in artifact


def elsewhere(address: str, env: Mapping[str, str]) -> File:
    """Return an artifact that is at an external address. Raises InputError if it cannot be read there."""
    from ciplug.stores.bucket.files import ADDRESSES, measure

    if not address.startswith(ADDRESSES):
        raise InputError(
            f"{address}: unsupported address", hint=f"{', '.join(ADDRESSES)}, or a path", what="unsupported address"
        )
    if "@" in address or "?" in address or "#" in address:
        raise InputError(
            f"{redact(address).partition('?')[0]}: an address with a query or credentials would be recorded",
            hint="name it without them; credentials come from the environment",
            what="an address with a query or credentials would be recorded",
        )
    try:
        digest, size = measure(address, env)
    except CiplugError as problem:
        raise InputError(problem.message, hint=problem.hint) from None
    return File(path=address, digest=digest, size=size)


def not_staged(entry: Path, problem: OSError) -> FileNotKept:
    """Return a warning for files that could not be put into the spool: the run itself is kept."""
    why = problem.strerror or str(problem)
    return FileNotKept(
        f"{entry}: the artifacts cannot wait there: {why}; their digests are recorded",
        hint="is the disk full?",
        what=f"its digest is recorded, but its content is not kept: {why}",
    )


def too_large(content: Content, limit: int | None) -> FileNotKept | None:
    """Return a warning for an artifact that has a file of more than `limit` bytes."""
    for member in content.members.values():
        if limit is not None and member.size > limit:
            return FileNotKept(
                f"{member.path}: {member.size:,} bytes, and the git store takes up to {limit:,} a file: "
                "its digest is recorded, but its content is not kept",
                what=f"its digest is recorded, but its content is not kept: {member.size:,} bytes, and the git "
                f"store takes up to {limit:,} a file",
                hint="--artifact-store s3://… keeps files in an object store, --artifact-limit raises the limit, and "
                "--artifact-store none keeps digests only",
            )
    return None


def stage(entry: Path, to: str, contents: Iterable[Content]) -> tuple[File, ...]:
    """Have the files of artifacts wait in a spool entry; returns the artifacts, naming the place that they go to."""
    staged: dict[str, dict[str, object]] = {}
    artifacts = []
    folder = entry / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for content in contents:
        artifacts.append(replace(content.file, store=to))
        for member in content.members.values():
            staged[member.digest] = {"path": str(member.path.absolute()), "size": member.size}
            # On a full disk the file itself is sent, if it is still the same by then.
            with contextlib.suppress(OSError):
                freeze(member.path, folder / hex_of(member.digest))
        if content.manifest is not None:
            staged[content.file.digest] = {"path": "", "size": len(content.manifest)}
            write_atomically(folder / hex_of(content.file.digest), content.manifest, private=True)
    write_atomically(entry / LIST, json.dumps({"to": to, "files": staged}).encode(), private=True)
    return tuple(artifacts)


def waiting(entry: Path) -> Waiting | None:
    """Return the files waiting in a spool entry, or None. Raises StoreError if their list cannot be read."""
    try:
        listed = json.loads((entry / LIST).read_bytes())
        names = {}
        for digest, about in listed["files"].items():
            kept = entry / FOLDER / hex_of(digest)
            names[digest] = kept if kept.exists() else Path(about["path"])
        return Waiting(listed["to"], names, sum(int(about["size"]) for about in listed["files"].values()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StoreError(f"{entry / LIST} is damaged: {problem}", hint="move the folder away to go on") from None


def without_files(entry: Path, objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """The objects of a spool entry with the digests of its artifacts alone."""
    files_waiting = waiting(entry)
    return _without_bytes(objects, files_waiting, files_waiting.files) if files_waiting else dict(objects)


def put_beside(entry: Path, objects: Mapping[str, bytes], bundle: Path) -> dict[str, bytes]:
    """Copy the files of a spool entry into the folder beside a bundle; returns the objects for the bundle.

    A file that was changed or removed since then stays in its record by its digest alone. Raises OSError.
    """
    files_waiting = waiting(entry)
    if files_waiting is None:
        return dict(objects)
    folder = bundle.parent / HANDED_OVER
    folder.mkdir(exist_ok=True)
    gone = set()
    for digest, path in files_waiting.files.items():
        target = folder / hex_of(digest)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                file.writelines(checked(path, digest))
            part.replace(target)
        except FileChanged:
            gone.add(digest)
        finally:
            part.unlink(missing_ok=True)
    return _without_bytes(objects, files_waiting, gone) if gone else dict(objects)


def moved(objects: Mapping[str, bytes], old: str, new: str) -> dict[str, bytes]:
    """The objects of a spool entry whose files go to the place `new`, and not to `old`."""
    changed = dict(objects)
    for key, record in _run_records(objects):
        for artifact in record.get("artifacts", []):
            if artifact.get("store") == old:
                artifact["store"] = new
        changed[key] = dumps(record)
    return changed


def send(entries: Mapping[Path, Mapping[str, bytes]], files: Files, tell: Tell) -> dict[Path, Sent]:
    """Send the files of spool entries, all at once.

    An artifact whose bytes are gone, here and there, stays in its record by its digest alone.

    Args:
        entries: folder of the entry → its objects.

    Raises StoreError when the files could not be sent: they wait.
    """
    waits = {entry: files_there for entry in entries if (files_there := waiting(entry))}
    left = {digest: path for one in waits.values() for digest, path in one.files.items()}
    lost: dict[str, FileChanged] = {}
    try:
        while left:
            try:
                files.put(left, tell)
                break
            except FileChanged as problem:
                del left[problem.digest]
                # An earlier attempt may have sent it, and only its answer was lost.
                if files.missing([problem.digest]):
                    lost[problem.digest] = problem
    except StoreError:
        for one in waits:
            _keep(one, {digest: path for digest, path in waits[one].files.items() if digest in left})
        raise
    return {entry: _sent(objects, waits.get(entry), lost) for entry, objects in entries.items()}


@dataclass(frozen=True)
class Sent:
    """An entry whose files were sent."""

    objects: dict[str, bytes]
    """Its objects, as they may be sent now."""
    lost: str = ""
    """The reason why some files were not sent, for people."""


def _sent(objects: Mapping[str, bytes], files: Waiting | None, lost: Mapping[str, FileChanged]) -> Sent:
    own = {digest: problem for digest, problem in lost.items() if files and digest in files.files}
    if files is None or not own:
        return Sent(dict(objects))
    return Sent(_without_bytes(objects, files, own.keys()), "; ".join(problem.message for problem in own.values()))


def _keep(entry: Path, files: Mapping[str, Path]) -> None:
    """Copy the files that are not in the spool entry yet. A file that is gone is reported on send."""
    for digest, path in files.items():
        kept = entry / FOLDER / hex_of(digest)
        if kept != path:
            # The disk may still be full.
            with contextlib.suppress(OSError):
                freeze(path, kept)


def _without_bytes(objects: Mapping[str, bytes], files_waiting: Waiting, gone: Collection[str]) -> dict[str, bytes]:
    """The record's artifacts that have lost a file say no longer where their bytes are."""
    changed = dict(objects)
    for key, record in _run_records(objects):
        for artifact in record.get("artifacts", []):
            digests = {artifact["digest"]}
            if artifact.get("kind") == "folder" and artifact["digest"] in files_waiting.files:
                with contextlib.suppress(OSError):
                    lines = files_waiting.files[artifact["digest"]].read_bytes().decode().split("\n")
                    digests |= {line.partition(" ")[0] for line in lines}
            if digests & set(gone):
                artifact.pop("store", None)
        changed[key] = dumps(record)
    return changed


def _run_records(objects: Mapping[str, bytes]) -> Iterator[tuple[str, Any]]:
    for key, data in objects.items():
        if is_run(key):
            yield key, json.loads(data)
