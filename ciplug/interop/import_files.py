"""The files of imported runs: found by their content, and sent before the records that name them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ciplug.capture import artifacts
from ciplug.capture.content import Content, examine
from ciplug.errors import InputError
from ciplug.interop.source_files import name_in, outsider
from ciplug.records.canonical import digest
from ciplug.records.left_out import LeftOut
from ciplug.records.run import File
from ciplug.steps.lost_files import lost_file
from ciplug.steps.session import Session
from ciplug.stores.files import hex_of

_OUTSIDE_HINT = "name the folder around both as SOURCE; or import without files: --no-artifacts"


class ImportedFiles:
    """The files of a run after another; they wait until they are sent.

    Args:
        folder: takes what is fetched; it is emptied when all is sent.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self.folder = session, folder
        self._of_run: dict[str, Path] = {}
        """Digest → file, of the run that is read."""
        self._waiting: dict[str, Path] = {}
        self._owners: dict[str, set[str]] = {}
        """Run → the digests of its files that wait."""
        self.fetched = 0
        """Bytes in the folder."""

    def take(
        self, found: Mapping[str, Path], within: Sequence[Path] = ()
    ) -> tuple[tuple[File, ...], tuple[LeftOut, ...]]:
        """Return the artifacts of a run, and those of them whose content cannot be kept.

        Args:
            found: name → file or folder.
            within: folders that they must be in; the first is the source. None: the client of the system has them.

        Raises InputError for a file outside of these folders.
        """
        files: dict[str, File] = {}
        lost: list[LeftOut] = []
        for name, path in found.items():
            if within and (path.exists() or path.is_symlink()) and (other := outsider(path, within)):
                if other.exists():
                    raise InputError(f"its file '{name}' is outside of {within[0]}", hint=_OUTSIDE_HINT)
                lost.append(lost_file(name, InputError("a symbolic link that points to nothing")))
                continue
            own = name_in(name, path, within[0]) if within and path.exists() else name
            if own in files:
                lost.append(lost_file(name, InputError(f"another file of the run is called '{own}'")))
                continue
            try:
                files[own] = self._kept(own, examine(path, within[0] if within else path.parent), lost)
            except InputError as problem:
                lost.append(lost_file(name, problem))
        return tuple(files.values()), tuple(lost)

    def _kept(self, name: str, content: Content, lost: list[LeftOut]) -> File:
        file = replace(content.file, path=name)
        to = self._session.destination
        if to is None:
            return file
        if excess := artifacts.too_large(content, to.limit):
            lost.append(lost_file(name, excess))
            return file
        self._of_run.update({member.digest: member.path for member in content.members.values()})
        if content.manifest is not None:
            path = self.folder / hex_of(digest(content.manifest))
            path.write_bytes(content.manifest)
            self._of_run[file.digest] = path
        return replace(file, store=to.uri)

    def keep_for(self, run_id: str) -> None:
        """Have the files that were taken since the last run wait, as those of this run."""
        self._waiting |= self._of_run
        self._owners[run_id], self._of_run = set(self._of_run), {}

    def forget(self) -> None:
        """Forget the files that were taken since the last run: it could not be read."""
        self._of_run = {}

    def lose(self, digest: str) -> set[str]:
        """Return the runs that have a file. They, and their files that no other run has, wait no longer."""
        lost = {run for run, digests in self._owners.items() if digest in digests}
        self._owners = {run: digests for run, digests in self._owners.items() if run not in lost}
        needed = set().union(*self._owners.values())
        self._waiting = {one: path for one, path in self._waiting.items() if one in needed}
        return lost

    def send(self) -> int:
        """Send the files that wait; returns how many the store has got by that or had already.

        Raises FileChanged for a file that is not what was taken.
        """
        count, files = len(self._waiting), self._session.files
        if self._waiting and files is not None:
            files.put(self._waiting, lambda sent: None)
        self._waiting, self._owners = {}, {}
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.fetched = 0
        return count
