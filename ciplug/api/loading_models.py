"""Load a model version into Python by MLflow's flavours, once each of its files is verified."""

from __future__ import annotations

import atexit
import importlib
import shutil
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

from ciplug.api.pulling import pull
from ciplug.errors import NotFound, UsageError, listed

_DESCRIPTION = "MLmodel"
"""The file by which MLflow knows the folder of a model."""


def load_model(
    name: str,
    *,
    flavor: str = "pyfunc",
    path: str | None = None,
    to: str | PathLike[str] | None = None,
    store: str | None = None,
    **options: Any,
) -> Any:
    """Fetch a version, verify each file, and load it: `ciplug.load_model("models:/wine@production")`.

    Args:
        name: MODEL@STAGE, MODEL@ALIAS, MODEL@vN, or a models:/ URI.
        flavor: `pyfunc`, or the flavour that saved it: `sklearn`, `xgboost`, `pytorch`, …
        path: the folder of the model, where the version has several.
        to: where its files are kept; default: a folder that goes when the program ends.
        options: for `mlflow.<flavor>.load_model`.

    Raises UsageError where MLflow is not installed or has no such flavour, NotFound where the version holds no model of
    MLflow, and what `ciplug.pull` raises.
    """
    try:
        importlib.import_module("mlflow")
    except ImportError:
        raise UsageError("MLflow is not installed, and loads the model", hint="pip install 'ciplug[mlflow]'") from None
    try:
        loader = importlib.import_module(f"mlflow.{flavor}")
    except ImportError as problem:
        raise UsageError(f"MLflow cannot load the flavour '{flavor}': {problem}") from None
    if not hasattr(loader, "load_model"):
        raise UsageError(f"MLflow has no flavour '{flavor}'", hint="like pyfunc, sklearn, xgboost or pytorch")
    folder = Path(to) if to is not None else _own_folder()
    pulled = pull(name, folder / "model", lock=folder / "ciplug.lock", store=store)
    return loader.load_model(str(_model_in(pulled.folder, name, path)), **options)


def _own_folder() -> Path:
    # A model may read its files when it is used.
    folder = Path(tempfile.mkdtemp(prefix="ciplug-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _model_in(folder: Path, name: str, path: str | None) -> Path:
    """The folder that MLflow loads."""
    found = sorted(one.parent.relative_to(folder).as_posix() for one in folder.rglob(_DESCRIPTION))
    if path is not None and path not in found:
        raise NotFound(f"'{name}' holds no model in '{path}'", hint=f"it holds: {listed(found)}" if found else None)
    if not found:
        raise NotFound(
            f"'{name}' holds no model that MLflow has saved: there is no file {_DESCRIPTION}",
            hint="fetch its files by ciplug.pull, and load them with the library that wrote them",
        )
    if path is None and len(found) > 1:
        raise UsageError(f"'{name}' holds {len(found)} models: {listed(found)}", hint="name one: path='…'")
    return folder / (path or found[0])
