"""The artifacts of MLflow's runs by their content, and the sending of their bytes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ciplug.capture import artifacts
from ciplug.capture.content import Content, examine
from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.artifacts import local_path, named
from ciplug.errors import InputError
from ciplug.interop.mlflow_client import download
from ciplug.mlflow.files import MODELS
from ciplug.records.canonical import digest
from ciplug.records.left_out import LeftOut
from ciplug.records.run import File
from ciplug.steps.lost_files import lost_file
from ciplug.steps.session import Session
from ciplug.stores.files import hex_of


class Artifacts:
    """The files of a run after another; they wait until they are sent.

    Args:
        address: of the store of MLflow.
        folder: takes what is fetched; it is emptied when all is sent.
    """

    def __init__(self, session: Session, client: Any, address: str, folder: Path) -> None:
        self._session, self._client, self._address, self._folder = session, client, address, folder
        root = places.path_of(address, session.cwd)
        self._root = root if root is not None and root.is_dir() else None
        self._waiting: dict[str, Path] = {}
        self.fetched = 0
        """Bytes in the folder."""

    def take(self, run: Any, models: Mapping[str, Any]) -> tuple[tuple[File, ...], tuple[LeftOut, ...]]:
        """Return the artifacts of a run, and those of them whose content cannot be kept.

        Args:
            models: id → the logged models that the run made.
        """
        info = run.info
        own = self._fetched(info.artifact_uri, (info.experiment_id, info.run_id))
        found = named(own, ())
        for id_, one in models.items():
            path = self._fetched(one.artifact_location, (one.experiment_id, "models", id_))
            if path is not None and path.is_dir() and any(path.iterdir()):
                found[f"{MODELS}/{id_}"] = path
        files: list[File] = []
        lost: list[LeftOut] = []
        for name, path in found.items():
            try:
                files.append(self._kept(name, examine(path, path.parent), lost))
            except InputError as problem:
                lost.append(lost_file(name, problem))
        return tuple(files), tuple(lost)

    def _fetched(self, uri: str | None, parts: tuple[str, ...]) -> Path | None:
        """The folder with the files at an address: where they are, if that is on this disk, or where they were fetched.

        Args:
            parts: where they are in a file store, which may have been moved since.
        """
        if not uri:
            return None
        path = local_path(uri, self._session.cwd)
        if path is not None:
            moved = self._root.joinpath(*map(str, parts), "artifacts") if self._root else path
            return path if path.is_dir() else moved
        target = self._folder / "-".join(map(str, parts[1:]))
        target.mkdir()
        self.fetched += download(uri, self._address, target)
        return target

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
            path = self._folder / hex_of(digest(content.manifest))
            path.write_bytes(content.manifest)
            self._waiting[file.digest] = path
        return replace(file, store=to.uri)

    def send(self) -> int:
        """Send the files that wait; returns how many the store has got by that or had already."""
        count, files = len(self._waiting), self._session.files
        if self._waiting and files is not None:
            files.put(self._waiting, lambda sent: None)
        self._waiting = {}
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.fetched = 0
        return count
