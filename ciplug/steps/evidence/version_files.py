"""The bytes of a version: its files, one by one, and whether they are what was registered."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ciplug.capture.content import digest_file
from ciplug.errors import Cause, CiplugError, InputError, RecordError, StoreError
from ciplug.records.run import File, Run
from ciplug.registry.evidence_chain import Fault
from ciplug.steps import placing
from ciplug.steps.fetch import MANIFEST_MOST
from ciplug.steps.session import Session
from ciplug.stores.files import hex_of


class WrongFile(NamedTuple):
    """A file that is not as it was registered."""

    fault: Fault
    path: str
    expected: str
    found: str | None = None


def single_files(session: Session, files: Mapping[str, str], artifacts: Mapping[str, File]) -> dict[str, str]:
    """Path → sha256 of each file of a version: of a folder, of the files in it, whose list is fetched.

    Raises StoreError where the list cannot be had.
    """
    single: dict[str, str] = {}
    for path, digest in files.items():
        artifact = artifacts.get(path)
        if artifact is None or artifact.kind != "folder":
            single[path] = digest
            continue
        if not artifact.store:
            raise StoreError(f"only the digest of the folder {path} was recorded, and not what is in it")
        with tempfile.TemporaryDirectory(prefix="ciplug-") as place:
            session.files_at(artifact.store).get([digest], Path(place), lambda _: None, MANIFEST_MOST)
            listed = placing.members((Path(place) / hex_of(digest)).read_bytes(), path)
        single.update({f"{path}/{name}": one for name, one in listed.items()})
    return single


def files_of(session: Session, run: Run) -> dict[str, str]:
    """Path → sha256 of each file that a run made, as `single_files` finds them."""
    return single_files(session, {file.path: file.digest for file in run.artifacts}, {f.path: f for f in run.artifacts})


def wrong_in_folder(folder: Path, files: Mapping[str, str]) -> Iterator[WrongFile]:
    """Yield the files of a version that a folder lacks, or has with other bytes."""
    for path, expected in sorted(files.items()):
        try:
            target = placing.below(folder, placing.parts(placing.own_place(path)))
            actual = digest_file(target) if target.is_file() else None
        except (InputError, RecordError):
            actual = None
        if actual is None:
            yield WrongFile(Fault.FILE_MISSING, path, expected)
        elif actual != expected:
            yield WrongFile(Fault.OTHER_BYTES, path, expected, actual)


def extra_files(folder: Path, files: Mapping[str, str], *, but: Path | None = None) -> list[str]:
    """The files of a folder that are not of a version, by their paths in it.

    Args:
        but: a file that may lie there, such as the signature.
    """
    own = {folder.resolve().joinpath(*placing.parts(placing.own_place(path))) for path in files}
    allowed = {but.resolve()} if but else set()
    found = (Path(top) / name for top, _, names in os.walk(folder.resolve()) for name in names)
    return sorted(str(one.relative_to(folder.resolve())) for one in found if one not in own | allowed)


def wrong_in_store(session: Session, files: Mapping[str, str], artifacts: Mapping[str, File]) -> Iterator[WrongFile]:
    """Read every file of a version from its place, and yield those that are not there, or have other bytes."""
    by_place: dict[str, dict[str, str]] = {}
    for path, digest in sorted(files.items()):
        place = _place_of(path, artifacts)
        if place is None:
            yield WrongFile(Fault.NO_BYTES, path, digest)
        else:
            by_place.setdefault(place, {})[path] = digest
    most = max((file.size for file in artifacts.values()), default=0)
    for place, wanted in by_place.items():
        if _read(session, place, set(wanted.values()), most) is not None:
            # Which of them it is, only one after the other shows.
            for path, digest in wanted.items():
                if fault := _read(session, place, {digest}, most):
                    yield WrongFile(fault, path, digest)


def _place_of(path: str, artifacts: Mapping[str, File]) -> str | None:
    """The place of a file, or of the folder that it is in."""
    places = (file.store for top, file in artifacts.items() if path == top or path.startswith(f"{top}/"))
    return next(filter(None, places), None)


def _read(session: Session, place: str, digests: set[str], most: int) -> Fault | None:
    with tempfile.TemporaryDirectory(prefix="ciplug-") as folder:
        try:
            session.files_at(place).get(digests, Path(folder), lambda _: None, most)
        except StoreError as problem:
            return Fault.OTHER_BYTES if problem.cause is Cause.DAMAGED else Fault.NO_BYTES
        except CiplugError:
            return Fault.NO_BYTES
    return None
