"""The archived artifacts of earlier Jenkins builds as a store, for a team that pushes nothing.

A build cannot upload to itself: what it adds goes into a bundle in a folder of its workspace, which the pipeline
archives. What earlier builds have archived is read back by Jenkins' API: of a job the last few builds, and in a
multibranch project those of this branch's job and of the target branch's.

It is no Log, so there is no registry. Of what `base.Store` promises, it does not keep `drop`, since Jenkins deletes
builds by itself, and with them what they hold; and not every run is seen, since only the last few builds are read.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import Cause, Conflict, RecordError, StoreError
from ciplug.locking import write_atomically
from ciplug.records import bundle
from ciplug.records.canonical import digest
from ciplug.stores.base import Problem, Trial, Visit
from ciplug.stores.jenkins.build import Check
from ciplug.stores.jenkins.place import Place
from ciplug.stores.jenkins.view import Jobs, View

if TYPE_CHECKING:
    from ciplug.records.columns import Columns


class JenkinsStore:
    """A Store in what builds archive: runs and verdicts."""

    def __init__(self, place: Place, *, env: Mapping[str, str], cache: Path, folder: Path, check: Check, trusted: bool):
        """
        Args:
            cache: where the bundles of builds that have ended are kept: they never change.
            folder: where this build puts what it adds, for the pipeline to archive.
            check: what may be taken from a bundle.
            trusted: whether the running build's own job may write a store; False for a fork's.
        """
        self.uri, self.address = place.uri, place.address
        self.notes: list[str] = []
        self._place = place
        self._folder = folder
        self._jobs = Jobs(place, env, cache, check, trusted)

    def refresh(self) -> None:
        self.notes = []
        vars(self).pop("_view", None)

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """Put objects into a bundle of this build. It is in the store once the pipeline has archived it.

        A bundle is named by what it holds and takes the place of those that it includes, so many may add at once, and
        none archives over another's.
        """
        if not self._place.writes:
            raise StoreError(
                self._no_uploads(),
                hint="record it in that job; or in git: or a bucket, which any job may write: see docs/store.md",
                cause=Cause.UNSUPPORTED,
            )
        before, known = self._here()
        if "_view" in vars(self):  # The runs that verdicts are of, if another workspace has archived them.
            known = {**{key: data for key, data in self._view.objects.items() if key not in self._view.closed}, **known}
        if wrong := [key for key, data in objects.items() if known.get(key, data) != data]:
            raise Conflict(f"this build has other content under the same key: {min(wrong)}")
        if all(key in known for key in objects) and before:
            return
        try:
            data = bundle.pack({**known, **objects})
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"bundle-{self._place.own_build}-{digest(data)[7:19]}.ndjson"
            write_atomically(path, data)
            for old in before:
                if old != path:
                    old.unlink(missing_ok=True)
        except (OSError, RecordError) as problem:
            why = problem.message if isinstance(problem, RecordError) else f"{problem.strerror}: {problem.filename}"
            raise StoreError(f"no bundle can be written into {self._folder}: {why}", cause=_cause_of(problem)) from None

    def _here(self) -> tuple[list[Path], dict[str, bytes]]:
        """The bundles of this build in this workspace, and all that they hold."""
        if not self._place.writes or not self._folder.is_dir():
            return [], {}
        while True:
            paths = sorted(self._folder.glob(f"bundle-{self._place.own_build}-*.ndjson"))
            try:
                objects = {k: data for path in paths for k, data in bundle.unpack(path.read_bytes(), str(path)).items()}
            except FileNotFoundError:
                continue  # Another process has just put what it held into a larger one.
            except (OSError, RecordError) as problem:
                why = problem.message if isinstance(problem, RecordError) else f"{problem.filename}: {problem.strerror}"
                raise StoreError(
                    why, hint="it is not a bundle of this build: move it away", cause=Cause.DAMAGED
                ) from None
            return paths, objects

    def compact(self) -> int:
        return 0

    def drop(self, keys: Collection[str], reason: str) -> int:
        if not any(key in self._objects for key in keys):
            return 0
        raise StoreError(
            f"{self.uri} drops nothing: its runs are what builds have archived",
            hint="Jenkins deletes builds, and so their runs, by the job's own rule (Discard old builds)",
            cause=Cause.UNSUPPORTED,
        )

    # Reading

    @property
    def _objects(self) -> dict[str, bytes]:
        return {**self._here()[1], **self._view.objects}

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        objects = self._objects
        return {key: objects[key] for key in keys if key in objects}

    def keys(self, *prefixes: str) -> list[str]:
        keys = sorted(key for key in self._objects if key.startswith(prefixes)) if prefixes else []
        if prefixes and not keys and self._view.cut:
            self._note(
                f"of {' and '.join(self._view.cut)} the last {self._place.builds} builds are read: "
                "what is older is not seen; read more by ?builds=N"
            )
        return keys

    def segments(self) -> list[str]:
        return list(self._view.segments)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        from ciplug.records import columns

        view = self._view
        keys_of = {name: view.segments[name] for name in segments if name in view.segments}
        return {name: columns.of((key, view.objects[key]) for key in keys) for name, keys in keys_of.items()}

    def loose(self) -> list[str]:
        return sorted(self._objects.keys() - self._view.closed)

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        if visit:
            visit(self._objects)
        return list(self._view.problems)

    def try_writes(self) -> list[Trial]:
        """Try the folder, which is all that ciplug itself writes; whether the pipeline archives it, it cannot see."""
        if not self._place.writes:
            return [Trial("write", Cause.RULE, self._no_uploads())]
        folder = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):
                return [Trial("write", None, str(self._folder))]
        except OSError as problem:
            return [Trial("write", Cause.RULE, f"{folder}: {problem.strerror}")]

    def _no_uploads(self) -> str:
        return f"only a build of {self._place.url} adds to {self.uri}: Jenkins accepts no uploads"

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    @cached_property
    def _view(self) -> View:
        view = self._jobs.read()
        for sentence in view.notes:
            self._note(sentence)
        return view


def _cause_of(problem: Exception) -> Cause:
    if isinstance(problem, RecordError):
        return Cause.TOO_LARGE
    return Cause.FULL if isinstance(problem, OSError) and problem.errno == errno.ENOSPC else Cause.FORBIDDEN
