"""The files of a run or a logged model: those that wait on this machine, then those of the store, by their digest."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ciplug.capture import artifacts
from ciplug.capture.frozen import freeze
from ciplug.capture.writer import KEPT, RunWriter
from ciplug.errors import NotFound, StoreError, UsageError
from ciplug.mlflow import state
from ciplug.records.run import File
from ciplug.stores.files import hex_of

if TYPE_CHECKING:
    from ciplug.mlflow.place import Place

_PATH = re.compile(r"(?:[^/]+/)?(?:models/(?P<model>m-[0-9a-f]{32})|(?P<run>[0-9a-f]{32}))/artifacts(?:/(?P<path>.*))?")
_MANIFEST_MOST = 256 * 1024 * 1024


class Subject(NamedTuple):
    """Whose files a path names, and which of them."""

    id: str
    """Of the run, or of what describes the logged model."""
    model: str | None
    """The id of the logged model."""
    path: str


def parse_path(path: str) -> Subject:
    """Return what `[<experiment>/]<run>/artifacts/…` or `…/models/<model>/artifacts/…` names. Raises UsageError."""
    match = _PATH.fullmatch(path.strip("/"))
    if match is None:
        raise UsageError(
            f"'{path}' does not name the artifacts of a run", hint="ciplug-artifacts:/EXPERIMENT/RUN/artifacts/…"
        )
    below = _checked(match["path"] or "")
    if match["model"]:
        return Subject(state.model_key(match["model"]).id, match["model"], below)
    return Subject(match["run"], None, below)


def _checked(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or any("\\" in part or "\0" in part for part in parts):
        raise UsageError(f"'{path}' is not a path below the artifacts of a run")
    return "/".join(parts)


@dataclass(frozen=True)
class Kept:
    """A file that can be read: here, or from the store."""

    size: int
    here: Path | None = None
    digest: str | None = None
    store: str | None = None


def write(place: Place, subject: Subject, name: str, source: Path) -> None:
    """Keep a copy of a file. Raises CiplugError where it cannot be kept."""
    full = _checked(f"{subject.path}/{name}")
    with place.lock:
        writer: RunWriter
        for again in (True, False):
            if subject.model:
                if place.logged_model(subject.model) is None:
                    raise NotFound(f"no logged model {subject.model}")
                writer = place.sessions.writer_of(state.model_key(subject.model))
            else:
                writer = place.sessions.writer_of_run(subject.id)
            try:
                writer.keep_file(full, source)
                break
            except OSError as problem:
                raise StoreError(f"{source}: cannot be kept: {problem.strerror}", hint="is the disk full?") from None
            except UsageError:
                if writer.is_open or not again:
                    raise
        place.sessions.touched(subject.id)


def listed(place: Place, subject: Subject) -> dict[str, Kept]:
    """Return path → file, of all files of a run or a logged model."""
    with place.lock:
        found: dict[str, Kept] = {}
        local = place.local().get(subject.id)
        for file in _recorded(place, subject):
            found.update(_from_store(place, file))
        for folder in local.folders if local else ():
            waits = artifacts.waiting(folder)
            for name, kept in list(found.items()):
                if waits and kept.digest is not None and kept.digest in waits.files:
                    found[name] = Kept(kept.size, waits.files[kept.digest])
        for folder in local.folders if local else ():
            top = folder / KEPT
            for path in top.rglob("*") if top.is_dir() else ():
                if path.is_file() and not path.name.startswith(".") and (name := path.relative_to(top).as_posix()):
                    found[name] = Kept(path.stat().st_size, path)
        return found


def _recorded(place: Place, subject: Subject) -> tuple[File, ...]:
    if subject.model:
        model = place.logged_model(subject.model)
        return model.artifacts if model else ()
    run = place.run(subject.id)
    return run.artifacts if run else ()


def _from_store(place: Place, file: File) -> Mapping[str, Kept]:
    if file.kind != "folder":
        return {file.path: Kept(file.size, None, file.digest, file.store)}
    if file.store is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        place.session.files_at(file.store).get([file.digest], Path(folder), _silent, _MANIFEST_MOST)
        lines = (Path(folder) / hex_of(file.digest)).read_text().splitlines()
    members = (line.split(" ", 1) for line in lines)
    return {f"{file.path}/{name}": Kept(file.size, None, digest, file.store) for digest, name in members}


def download(place: Place, subject: Subject, target: Path) -> None:
    """Write one file to `target`. Raises NotFound, and StoreError where its bytes were not kept or are damaged."""
    files = listed(place, subject)
    kept = files.get(subject.path)
    if kept is None:
        raise NotFound(f"no artifact '{subject.path}' of {subject.model or subject.id}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if kept.here is not None:
        freeze(kept.here, target)
        return
    if kept.store is None or kept.digest is None:
        raise StoreError(
            f"'{subject.path}': only its digest was recorded, {kept.digest}", hint="see `artifact_limit` in ciplug.yaml"
        )
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        place.session.files_at(kept.store).get([kept.digest], Path(folder), _silent, kept.size)
        shutil.move(Path(folder) / hex_of(kept.digest), target)


def _silent(count: int) -> None:
    pass
