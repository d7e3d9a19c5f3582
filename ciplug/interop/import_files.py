"""The files of imported runs: found by their content, and sent before the records that name them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ciplug.capture import artifacts
from ciplug.capture.content import Content, examine
from ciplug.errors import InputError
from ciplug.records.canonical import digest
from ciplug.records.left_out import LeftOut
from ciplug.records.run import File
from ciplug.steps.lost_files import lost_file
from ciplug.steps.session import Session
from ciplug.stores.files import hex_of

_NAME_MOST = 200


class ImportedFiles:
    """The files of a run after another; they wait until they are sent.

    Args:
        folder: takes what is fetched; it is emptied when all is sent.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self.folder = session, folder
        self._waiting: dict[str, Path] = {}
        self.fetched = 0
        """Bytes in the folder."""

    def take(
        self, found: Mapping[str, Path], within: Path | None = None
    ) -> tuple[tuple[File, ...], tuple[LeftOut, ...]]:
        """Return the artifacts of a run, and those of them whose content cannot be kept.

        Args:
            found: name → file or folder.
            within: a folder that they may not be outside of.
        """
        files: list[File] = []
        lost: list[LeftOut] = []
        for name, path in found.items():
            if within is not None and not path.resolve().is_relative_to(within.resolve()):
                lost.append(LeftOut(name=name[:_NAME_MOST], why="output", found=f"it is outside of {within.name}"))
                continue
            try:
                files.append(self._kept(name, examine(path, path.parent), lost))
            except InputError as problem:
                lost.append(lost_file(name, problem))
        return tuple(files), tuple(lost)

    def _kept(self, name: str, content: Content, lost: list[LeftOut]) -> File:
        file = replace(content.file, path=name)
        to = self._session.destination
        if to is None:
            return file
        if excess := artifacts.too_large(content, to.limit):
            lost.append(lost_file(name, excess))
            return file
        self._waiting.update({member.digest: member.path for member in content.members.values()})
        if content.manifest is not None:
            path = self.folder / hex_of(digest(content.manifest))
            path.write_bytes(content.manifest)
            self._waiting[file.digest] = path
        return replace(file, store=to.uri)

    def send(self) -> int:
        """Send the files that wait; returns how many the store has got by that or had already."""
        count, files = len(self._waiting), self._session.files
        if self._waiting and files is not None:
            files.put(self._waiting, lambda sent: None)
        self._waiting = {}
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.fetched = 0
        return count
