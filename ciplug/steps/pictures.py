"""The images among the artifacts of a run, with their bytes, for a report: beside those of the baseline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ciplug.capture.content import digest_file
from ciplug.errors import Cause, CiplugError, RecordError, StoreError
from ciplug.git.credentials import redact
from ciplug.records.run import File
from ciplug.reports.report import ModelSection, Picture, Report, is_picture
from ciplug.steps.placing import members
from ciplug.steps.session import Session
from ciplug.stores.files import OWN, hex_of

MOST = 12
"""Images of a model."""
SIZE_MOST = 2 * 1024 * 1024
"""Bytes of an image; all of a report have up to eight times as many."""
_TOO_LARGE = f"it has more than {SIZE_MOST:,} bytes"
FOLDER_MOST = 64 * 1024 * 1024
"""Bytes of a folder whose images are shown."""


def with_pictures(session: Session, report: Report) -> Report:
    """Return the report with the images of its models. One that cannot be had is named, with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = ImageShelf(session, Path(folder), SIZE_MOST * 8)
        return replace(report, pictures={section.model: tuple(_of(section, shelf)) for section in report.sections})


def images_of(session: Session, artifacts: Sequence[File]) -> tuple[list[File], dict[str, str]]:
    """The images among the artifacts of a run, also those in folders; and folder → why its list is not known.

    No store but that of the runs is asked over a network: it may need credentials that a reader of runs has not.
    """
    far = {
        one.path: one.store for one in artifacts if one.kind == "folder" and one.store and _is_far(session, one.store)
    }
    with tempfile.TemporaryDirectory() as place:
        shelf = ImageShelf(session, Path(place), 0)
        images = shelf.images([one for one in artifacts if one.path not in far])
    folders = {one.path: shelf.problem(one) for one in artifacts if one.kind == "folder"}
    unknown = {path: problem.removeprefix(f"{path}: ") for path, problem in folders.items() if problem}
    unknown |= {path: f"not looked for in {store}" for path, store in far.items()}
    return [images[path] for path in sorted(images)], unknown


def _is_far(session: Session, store: str) -> bool:
    return store != OWN and not store.startswith("file:") and store != redact(session.store_uri or "")


def _of(section: ModelSection, shelf: ImageShelf) -> Iterator[Picture]:
    ours, theirs = shelf.images(section.run.artifacts), shelf.images(section.compared_artifacts)
    # What both have comes first: there is something to compare.
    names = sorted(ours.keys() | theirs.keys(), key=lambda name: (name not in ours, name not in theirs, name))
    shown = names[:MOST]
    shelf.bring([side[name] for name in shown for side in (ours, theirs) if name in side])
    for name in shown:
        one, other = ours.get(name), theirs.get(name)
        same = one is not None and other is not None and one.digest == other.digest
        now, before = shelf.bytes(one), None if same else shelf.bytes(other)
        yield Picture(path=name, now=now, before=before, same=same, problem=shelf.problem(one) or shelf.problem(other))
    if len(names) > MOST:
        yield Picture(path=f"{len(names) - MOST} more", problem=f"a report shows {MOST} images of a model")


@dataclass
class ImageShelf:
    """Images that were fetched, each once."""

    session: Session
    folder: Path
    room: int
    """Bytes that may still be shown."""
    problems: dict[str, str] = field(default_factory=dict)
    """Digest → why it cannot be had."""

    def images(self, artifacts: Sequence[File]) -> dict[str, File]:
        """Path → the image, of files and of what is in folders."""
        pictures = {one.path: one for one in artifacts if one.kind is None and is_picture(one.path)}
        folders = [one for one in artifacts if one.kind == "folder" and one.store and one.size <= FOLDER_MOST]
        self._fetch(folders, FOLDER_MOST)
        for folder in folders:
            manifest = self.folder / hex_of(folder.digest)
            if manifest.is_file():
                try:
                    listed = members(manifest.read_bytes(), folder.path)
                except RecordError as problem:
                    self.problems[folder.digest] = problem.message
                    continue
                for name, digest in listed.items():
                    if is_picture(name):
                        path = f"{folder.path}/{name}"
                        pictures.setdefault(path, File(path=path, digest=digest, size=0, store=folder.store))
        return pictures

    def bring(self, files: Sequence[File]) -> None:
        wanted = []
        for one in files:
            if one.size > SIZE_MOST:
                self.problems[one.digest] = _TOO_LARGE
            elif not self._is_here(one):
                wanted.append(one)
        # The list of a folder has no sizes: no file of it is larger than the folder.
        self._fetch([one for one in wanted if one.size], SIZE_MOST)
        self._fetch([one for one in wanted if not one.size], FOLDER_MOST)

    def _is_here(self, file: File) -> bool:
        """Whether the checkout has the very file, so that no store need be asked."""
        try:
            path = self.session.top / file.path
            if not path.is_file() or path.stat().st_size > SIZE_MOST or digest_file(path) != file.digest:
                return False
            (self.folder / hex_of(file.digest)).write_bytes(path.read_bytes())
        except (OSError, CiplugError):
            return False
        return True

    def _fetch(self, files: Iterable[File], most: int) -> None:
        by_place: dict[str, list[str]] = {}
        for one in files:
            if one.store is None:
                self.problems[one.digest] = "its bytes were not kept"
            elif not (self.folder / hex_of(one.digest)).exists():
                by_place.setdefault(one.store, []).append(one.digest)
        for place, digests in by_place.items():
            try:
                self.session.files_at(place).get(digests, self.folder, lambda count: None, most)
            except CiplugError as problem:
                self.problems |= dict.fromkeys(digests, problem.message)
                if isinstance(problem, StoreError) and problem.cause in (Cause.DAMAGED, Cause.LOST):
                    self._fetch_each(place, digests, most)

    def _fetch_each(self, place: str, digests: Iterable[str], most: int) -> None:
        """Fetch files one by one: one that is damaged or lost hides no other."""
        for digest in digests:
            try:
                self.session.files_at(place).get([digest], self.folder, lambda count: None, most)
            except CiplugError as problem:
                self.problems[digest] = problem.message
            else:
                self.problems.pop(digest, None)

    def bytes(self, file: File | None) -> bytes | None:
        path = self.folder / hex_of(file.digest) if file else None
        if file is None or path is None or not path.is_file():
            return None
        size = path.stat().st_size
        if size > SIZE_MOST:
            self.problems[file.digest] = _TOO_LARGE
            return None
        if size > self.room:
            self.problems[file.digest] = "the report has no room for it"
            return None
        self.room -= size
        return path.read_bytes()

    def problem(self, file: File | None) -> str | None:
        return self.problems.get(file.digest) if file else None
