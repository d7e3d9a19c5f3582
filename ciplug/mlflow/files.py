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

_OWNER = r"(?:[^/]+/)?(?:models/(?P<model>m-[0-9a-f]{32})|(?P<run>[0-9a-f]{32}))"
_PATH = re.compile(_OWNER + r"/artifacts(?:/(?P<path>.*))?")
MODELS = "models"
"""The folder of the files of logged models among the artifacts of their run."""
_MANIFEST_MOST = 256 * 1024 * 1024
_MANIFESTS_MOST = 100
"""Lists of the files of a folder that are kept in memory."""


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


def is_owner(path: str) -> bool:
    """Whether a path names a run or a logged model itself: the folder above its artifacts."""
    return re.fullmatch(_OWNER, path.strip("/")) is not None


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
    """Keep a copy of a file. Raises CiplugError where it cannot be kept.

    The files of a logged model go into the record of its run, as long as that is open: the registry takes them there.
    """
    full = _checked(f"{subject.path}/{name}")
    with place.lock:
        for again in (True, False):
            writer, path = _kept_in(place, subject, full)
            try:
                writer.keep_file(path, source)
                break
            except OSError as problem:
                raise StoreError(f"{source}: cannot be kept: {problem.strerror}", hint="is the disk full?") from None
            except UsageError:
                if writer.is_open or not again:
                    raise
        place.sessions.touched(subject.id)


def _kept_in(place: Place, subject: Subject, path: str) -> tuple[RunWriter, str]:
    if subject.model is None:
        return place.sessions.writer_of_run(subject.id), path
    model = place.logged_model(subject.model)
    if model is None:
        raise NotFound(f"no logged model {subject.model}")
    writer = place.sessions.open_run(model.source_run) if model.source_run else None
    if writer is not None:
        return writer, f"{MODELS}/{subject.model}/{path}"
    return place.sessions.writer_of(state.model_key(subject.model)), path


def listed(place: Place, subject: Subject) -> dict[str, Kept]:
    """Return path → file, of all files of a run or a logged model."""
    with place.lock:
        if subject.model is None:
            run = place.run(subject.id)
            files = _files_of(place, subject.id, run.artifacts if run else ())
            return {name: kept for name, kept in files.items() if not name.startswith(f"{MODELS}/m-")}
        model = place.logged_model(subject.model)
        if model is None:
            return {}
        top = f"{MODELS}/{subject.model}/"
        source = place.run(model.source_run) if model.source_run else None
        of_run = _files_of(place, source.id, source.artifacts) if source else {}
        own = {name.removeprefix(top): kept for name, kept in of_run.items() if name.startswith(top)}
        return {**own, **_files_of(place, subject.id, model.artifacts)}


def _files_of(place: Place, id_: str, recorded: tuple[File, ...]) -> dict[str, Kept]:
    found: dict[str, Kept] = {}
    for file in recorded:
        found.update(_from_store(place, file))
    local = place.local().get(id_)
    folders = local.folders if local else ()
    for folder in folders:
        waits = artifacts.waiting(folder)
        for name, kept in list(found.items()):
            if waits and kept.digest is not None and kept.digest in waits.files:
                found[name] = Kept(kept.size, waits.files[kept.digest])
    for folder in folders:
        top = folder / KEPT
        for path in top.rglob("*") if top.is_dir() else ():
            if path.is_file() and not path.name.startswith(".") and (name := path.relative_to(top).as_posix()):
                found[name] = Kept(path.stat().st_size, path)
    return found


def _from_store(place: Place, file: File) -> Mapping[str, Kept]:
    if file.kind != "folder":
        return {file.path: Kept(file.size, None, file.digest, file.store)}
    if file.store is None:
        return {}
    if file.digest not in place.manifests:
        with tempfile.TemporaryDirectory() as folder:
            place.session.files_at(file.store).get([file.digest], Path(folder), _silent, _MANIFEST_MOST)
            text = (Path(folder) / hex_of(file.digest)).read_text()
        if len(place.manifests) >= _MANIFESTS_MOST:
            place.manifests.clear()
        place.manifests[file.digest] = text
    members = (line.split(" ", 1) for line in place.manifests[file.digest].splitlines())
    return {f"{file.path}/{name}": Kept(file.size, None, digest, file.store) for digest, name in members}


def fetch_below(place: Place, subject: Subject, folder: Path) -> None:
    """Bring the files below a path that only the store has into a folder, each by the hex digits of its digest.

    All files of one place come by one look-up. What was not kept is left out: `download` says so.
    """
    top = f"{subject.path}/" if subject.path else ""
    wanted: dict[str, dict[str, int]] = {}
    for name, kept in listed(place, subject).items():
        if kept.here is None and kept.store and kept.digest and (name == subject.path or name.startswith(top)):
            wanted.setdefault(kept.store, {})[kept.digest] = kept.size
    for store, sizes in wanted.items():
        place.session.files_at(store).get(list(sizes), folder, _silent, max(sizes.values()))


def download(place: Place, subject: Subject, target: Path, fetched: Path | None = None) -> None:
    """Write one file to `target`. Raises NotFound, and StoreError where its bytes were not kept or are damaged.

    Args:
        fetched: a folder of `fetch_below`.
    """
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
    if fetched is not None and (fetched / hex_of(kept.digest)).exists():
        freeze(fetched / hex_of(kept.digest), target)
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        place.session.files_at(kept.store).get([kept.digest], Path(folder), _silent, kept.size)
        shutil.move(Path(folder) / hex_of(kept.digest), target)


def _silent(count: int) -> None:
    pass
