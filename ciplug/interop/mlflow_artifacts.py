"""The artifacts of MLflow's runs: where they are on this disk, or fetched by MLflow's client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.artifacts import local_path, named
from ciplug.interop.import_files import ImportedFiles
from ciplug.interop.mlflow_client import download
from ciplug.mlflow.files import MODELS
from ciplug.records.left_out import LeftOut
from ciplug.records.run import File


class Artifacts:
    """The artifacts of a run after another.

    Args:
        address: of the store of MLflow.
        cwd: the folder that paths are relative to.
    """

    def __init__(self, files: ImportedFiles, client: Any, address: str, cwd: Path) -> None:
        self._files, self._client, self._address, self._cwd = files, client, address, cwd
        root = places.path_of(address, cwd)
        self._root = root if root is not None and root.is_dir() else None

    def take(self, run: Any, models: Mapping[str, Any]) -> tuple[tuple[File, ...], tuple[LeftOut, ...]]:
        """Return the artifacts of a run, and those of them whose content cannot be kept.

        Args:
            models: id → the logged models that the run made.
        """
        info = run.info
        own = self._fetched(info.artifact_uri, (info.experiment_id, info.run_id))
        found = dict(named(own, ()))
        for id_, one in models.items():
            path = self._fetched(one.artifact_location, (one.experiment_id, "models", id_))
            if path is not None and path.is_dir() and any(path.iterdir()):
                found[f"{MODELS}/{id_}"] = path
        return self._files.take(found)

    def _fetched(self, uri: str | None, parts: tuple[str, ...]) -> Path | None:
        """The folder with the files at an address: where they are, if that is on this disk, or where they were fetched.

        Args:
            parts: where they are in a file store, which may have been moved since.
        """
        if not uri:
            return None
        path = local_path(uri, self._cwd)
        if path is not None:
            moved = self._root.joinpath(*map(str, parts), "artifacts") if self._root else path
            return path if path.is_dir() else moved
        target = self._files.folder / "-".join(map(str, parts[1:]))
        target.mkdir()
        self._files.fetched += download(uri, self._address, target)
        return target
