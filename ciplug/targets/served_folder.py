"""The folder among the files of a version that a server gets as its model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from ciplug.errors import DeploymentRefused, NotDeployed


def served_folder(files: Iterable[str], setting: str | None) -> str:
    """The folder, such as `model`; empty: all files.

    Args:
        files: the paths of the version.
        setting: what ciplug.yaml names. Without it, it is the folder of the only MLflow model, or else all files.

    Raises DeploymentRefused where the version has no file in the folder that was named.
    """
    if setting is None:
        models = [path for path in files if PurePosixPath(path).name == "MLmodel"]
        folder = str(PurePosixPath(models[0]).parent) if len(models) == 1 else ""
    else:
        folder = str(PurePosixPath(setting))
        if folder != "." and not any(path.startswith(f"{folder}/") for path in files):
            raise DeploymentRefused(
                NotDeployed.NO_MODEL,
                f"the version has no file in the folder '{folder}'",
                hint="change folder: of the target in ciplug.yaml on the default branch",
            )
    return "" if folder == "." else folder
