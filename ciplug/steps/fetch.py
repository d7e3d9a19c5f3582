"""Fetch the artifacts of a run into a folder, each verified by its digest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ciplug.capture.content import digest_file
from ciplug.errors import NotFound, RecordError, UsageError, listed
from ciplug.records.run import File, Run
from ciplug.reports.untrusted import clean
from ciplug.steps import placing
from ciplug.steps.record_places import check_record_address
from ciplug.steps.session import Session
from ciplug.stores.files import Tell, hex_of

MANIFEST_MOST = 256 * 1024 * 1024
"""Bytes of the list of a folder's files."""
_NAMED_MOST = 20

Progress = Callable[[int, "int | None"], AbstractContextManager[Tell]]
"""Called with the number of files that are fetched, and their bytes where that is known; what it yields is called with
the number of bytes that have arrived since the last call."""


class Fetched(NamedTuple):
    """The result of a fetch."""

    files: tuple[Path, ...]
    """Every file that was asked for, below the folder."""
    written: int
    """The number of files that were missing, or differed from the record."""
    digest_only: tuple[File, ...]
    """Artifacts that were asked for, and of which only the digest was recorded."""


@dataclass(frozen=True)
class _Item:
    """One file to write."""

    artifact: File
    digest: str
    parts: tuple[str, ...]


@contextmanager
def silent(files: int, size: int | None) -> Iterator[Tell]:
    """Progress that nobody sees."""
    yield lambda _: None


def fetch(
    session: Session,
    run: Run,
    folder: Path,
    paths: Sequence[str] = (),
    *,
    force: bool = False,
    keep: bool = False,
    progress: Progress = silent,
) -> Fetched:
    """Write artifacts of a run below `folder`, each completely and verified, or not at all.

    Args:
        paths: artifacts, folders above them, or files in them; none: everything.
        force: overwrite files that differ.
        keep: keep a copy on this machine of what comes from a bucket, for later and offline.

    Raises NotFound for a path that the run does not have, and where the bytes of none were kept; UsageError for a file
    that differs, and a folder that may not be written; RecordError and StoreError for what cannot be trusted or had.
    """
    placing.check_folder(folder)
    paths = _normal(paths)
    artifacts, digest_only = _choose(run, paths)
    placing.make_folder(folder)
    with placing.coming(folder) as coming:
        items = _items(session, artifacts, paths, coming, keep)
        missing = _missing(folder, items, force=force)
        if missing:
            complete = len(missing) == len(items) and (not paths or all(a.path in paths for a in artifacts))
            size = sum(artifact.size for artifact in artifacts) if complete else None
            with progress(len({item.digest for item in missing}), size) as tell:
                _bring(
                    session, [(item.artifact, item.digest, item.artifact.size) for item in missing], coming, tell, keep
                )
            placing.place(folder, {item.parts: item.digest for item in missing}, coming)
    return Fetched(tuple(folder.joinpath(*item.parts) for item in items), len(missing), tuple(digest_only))


def _normal(paths: Sequence[str]) -> list[str]:
    normal = [path if "://" in path else os.path.normpath(path).replace(os.sep, "/") for path in paths]
    return [] if "." in normal else normal


def _choose(run: Run, paths: Sequence[str]) -> tuple[list[File], list[File]]:
    """The artifacts that are asked for and whose bytes were kept, and those of which only digests were recorded.

    Raises NotFound, naming what the run has, where a path matches no artifact, or no bytes were kept.
    """
    if not run.artifacts:
        raise NotFound(f"run {run.id} has no artifact", hint="name one when recording: --artifact model.bin")
    for path in paths:
        if not any(_matches(artifact, path) for artifact in run.artifacts):
            names = _listed(artifact.path for artifact in run.artifacts)
            raise NotFound(f"run {run.id} has no artifact '{path}'", hint=names)
    chosen = [a for a in run.artifacts if not paths or any(_matches(a, path) for path in paths)]
    kept = [a for a in chosen if a.store or "://" in a.path]
    digest_only = [a for a in chosen if a not in kept]
    if not kept:
        digests = "; ".join(f"{clean(a.path, 200)}: {a.digest}" for a in digest_only[:_NAMED_MOST])
        raise NotFound(f"run {run.id} recorded only the digests of these artifacts: {digests}",
                       hint="see: --artifact-store")  # fmt: skip
    return kept, digest_only


def _matches(artifact: File, path: str) -> bool:
    """Whether a path names the artifact, a folder above it, or, of a folder, something in it."""
    if path in (artifact.path, placing.own_place(artifact.path)) or artifact.path.startswith(f"{path}/"):
        return True
    return artifact.kind == "folder" and path.startswith(f"{artifact.path}/")


def _listed(names: Iterable[str]) -> str:
    return f"it has: {listed([clean(name, 200) for name in names], most=_NAMED_MOST)}"


def _items(session: Session, artifacts: Sequence[File], paths: Sequence[str], coming: Path, keep: bool) -> list[_Item]:
    """The files to write. Of each folder, the list of its files is fetched first."""
    folders = [artifact for artifact in artifacts if artifact.kind == "folder"]
    _bring(session, [(a, a.digest, MANIFEST_MOST) for a in folders], coming, lambda _: None, keep)
    items: list[_Item] = []
    for artifact in artifacts:
        if artifact.kind == "folder":
            items += _members(artifact, paths, coming)
        else:
            items.append(_Item(artifact, artifact.digest, placing.parts(placing.own_place(artifact.path))))
    if place := placing.clash([item.parts for item in items]):
        raise RecordError(f"two files of the run would be written to {place}", hint="name one of them")
    return items


def _members(folder: File, paths: Sequence[str], coming: Path) -> Iterator[_Item]:
    """The files of a folder that are asked for. Raises NotFound for a path that the folder does not have."""
    place = placing.own_place(folder.path)
    members = placing.members((coming / hex_of(folder.digest)).read_bytes(), folder.path)
    below = [path.removeprefix(f"{folder.path}/") for path in paths if path.startswith(f"{folder.path}/")]
    for path in below:
        if not any(_is_in(name, path) for name in members):
            raise NotFound(f"{folder.path} has no file '{path}'", hint=_listed(members))
    everything = not below or folder.path in paths
    for name, digest in members.items():
        if everything or any(_is_in(name, path) for path in below):
            yield _Item(folder, digest, placing.parts(name if place == "." else f"{place}/{name}"))


def _is_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}/")


def _missing(folder: Path, items: Sequence[_Item], *, force: bool) -> list[_Item]:
    """The items to write: all but those that are in the folder as they were recorded.

    Raises UsageError for a folder in the place of a file, and, without `force`, for files that differ.
    """
    missing = []
    differing = []
    for item in items:
        target = placing.below(folder, item.parts)
        if target.is_file() and not target.is_symlink() and digest_file(target) == item.digest:
            continue
        if target.is_dir() and not target.is_symlink():
            raise UsageError(f"{target} is a folder, and a file must be written there", hint="name another folder")
        if target.exists() or target.is_symlink():
            differing.append(str(target))
        missing.append(item)
    if differing and not force:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UsageError(
            f"{differing[0]}{more}: exists, and differs from what the run recorded",
            hint="--force overwrites, --to writes elsewhere",
        )
    return missing


def _bring(session: Session, files: Iterable[tuple[File, str, int]], coming: Path, tell: Tell, keep: bool) -> None:
    """Fetch files of (artifact, digest, most bytes) into `coming`; those of one place in one request."""
    by_place: dict[str, dict[str, int]] = {}
    for artifact, digest, most in files:
        if artifact.store:
            sizes = by_place.setdefault(artifact.store, {})
            sizes[digest] = max(most, sizes.get(digest, 0))
        else:
            from ciplug.stores.bucket.files import get_address

            check_record_address(artifact.path, session.env, session.named_addresses)
            get_address(artifact.path, session.env, digest, coming, tell, most)
    for place, sizes in by_place.items():
        session.files_at(place, keep=keep).get(sizes, coming, tell, max(sizes.values()))
