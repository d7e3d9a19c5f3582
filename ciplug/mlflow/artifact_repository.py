"""MLflow's artifact repository on a ciplug store: `ciplug-artifacts:/[EXPERIMENT/]RUN/artifacts/…`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository as Base

from ciplug.mlflow import files
from ciplug.mlflow.errors import translated
from ciplug.mlflow.files import Subject
from ciplug.mlflow.place import Place, place_of
from ciplug.mlflow.view import SCHEME

ARTIFACTS = "ciplug-artifacts:"
_ARTIFACTS = "artifacts"
"""The folder of a run, or of a logged model, with its files."""


class ArtifactRepository(Base):  # type: ignore[misc, unused-ignore]
    """The artifacts below a URI."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._top = unquote(artifact_uri.removeprefix(ARTIFACTS)).strip("/")
        self._tracking = tracking_uri
        self._fetched: Path | None = None
        """A folder of `files.fetch_below` while several files are downloaded."""

    @property
    def _place(self) -> Place:
        import mlflow

        for uri in (self._tracking, os.environ.get("_MLFLOW_SERVER_FILE_STORE"), mlflow.get_tracking_uri()):
            if uri and uri.partition(":")[0] == SCHEME:
                return place_of(uri)
        return place_of(f"{SCHEME}:")

    def _subject(self, path: str | None = None) -> Subject:
        return files.parse_path("/".join(part for part in (self._top, path) if part))

    @translated
    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        source = Path(local_file)
        files.write(self._place, self._subject(artifact_path), source.name, source)

    @translated
    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        top = Path(local_dir)
        subject, place = self._subject(artifact_path), self._place
        for path in sorted(top.rglob("*")):
            if path.is_file():
                files.write(place, subject, path.relative_to(top).as_posix(), path)

    @translated
    def list_artifacts(self, path: str | None = None) -> list[Any]:
        above = f"{path.strip('/')}/" if path and path.strip("/") else ""
        if files.is_owner(f"{self._top}/{above}"):
            below = self._subject(f"{above}{_ARTIFACTS}")
            return [FileInfo(f"{above}{_ARTIFACTS}", True, None)] if files.listed(self._place, below) else []
        subject = self._subject(path)
        found: dict[str, FileInfo] = {}
        for name, kept in files.listed(self._place, subject).items():
            if not (below_it := _below(name, subject.path)):
                continue
            first, slash, _ = below_it.partition("/")
            shown = above + first
            found[shown] = FileInfo(shown, True, None) if slash else FileInfo(shown, False, kept.size)
        return sorted(found.values(), key=lambda info: info.path)

    @translated
    def download_artifacts(self, artifact_path: str, *args: Any, **options: Any) -> str:
        # MLflow asks for one file after the other, and each would be a look-up in the store.
        with tempfile.TemporaryDirectory() as folder:
            if not files.is_owner(f"{self._top}/{artifact_path}"):
                files.fetch_below(self._place, self._subject(artifact_path), Path(folder))
                self._fetched = Path(folder)
            try:
                return str(super().download_artifacts(artifact_path, *args, **options))
            finally:
                self._fetched = None

    @translated
    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        files.download(self._place, self._subject(remote_file_path), Path(local_path), self._fetched)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Nothing is deleted: what a record names stays, until `ciplug compact` drops the run."""


def _below(name: str, top: str) -> str:
    """Return the part of a path below another one; empty where it is not below it."""
    if not top:
        return name
    return name[len(top) + 1 :] if name.startswith(f"{top}/") else ""
