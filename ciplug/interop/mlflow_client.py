"""MLflow's own client of a store: a folder such as ./mlruns, SQLite, or a server. The one place that opens it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ciplug.capture.mlflow import places
from ciplug.errors import StoreError, UsageError
from ciplug.git.credentials import redact
from ciplug.steps.session import Session

_SETTINGS = {
    # Since 3.13, MLflow asks for this permission: the file store is in maintenance mode.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def open_client(uri: str, cwd: Path, *, for_reading: bool) -> Any:
    """Return the client of a store.

    Args:
        for_reading: what is not there is an error; MLflow would make it.

    Raises UsageError where MLflow is not installed, or the address names no store.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed here", hint="pip install 'ciplug[mlflow]'")
    if uri.partition(":")[0] == "ciplug":
        raise UsageError(f"{uri} is a store of ciplug", hint="git copies it: docs/store.md")
    path = places.path_of(uri, cwd)
    if for_reading and path is not None:
        _check_store(path)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    logging.getLogger().addFilter(without_traceback)
    with translated(uri):
        client = MlflowClient(path.absolute().as_uri() if path is not None and path.is_dir() else uri)
        if path is None and uri.startswith(("http://", "https://")):
            _check_server(client, uri)
        return client


def _check_server(client: Any, uri: str) -> None:
    """Raise StoreError at once for a server that cannot be reached: MLflow repeats a request for minutes."""
    from mlflow.exceptions import MlflowException
    from requests import ConnectionError as NotConnected

    before = os.environ.get(_RETRIES)
    os.environ[_RETRIES] = "1"
    try:
        client.search_experiments(max_results=1)
    except MlflowException as problem:
        if not isinstance(problem.__context__, NotConnected):
            raise
        raise StoreError(
            f"{redact(uri)} cannot be reached", hint="is the server running, and can this machine reach it?"
        ) from problem
    finally:
        if before is None:
            del os.environ[_RETRIES]
        else:
            os.environ[_RETRIES] = before


def without_traceback(record: logging.LogRecord) -> bool:
    """Let a message of MLflow pass in one line: it shows a traceback for each folder that is not an experiment."""
    if str(record.msg).startswith("Malformed experiment"):
        record.exc_info = None
    return True


def _check_store(path: Path) -> None:
    if not path.exists():
        raise UsageError(f"there is no {path}", hint="name the folder or file that MLflow has logged to")
    if not places.is_store(path):
        raise UsageError(f"{path} is not a store of MLflow", hint="like ./mlruns, sqlite:///mlflow.db, or https://…")


def place_uri(session: Session) -> str:
    """The address by which MLflow finds the store of a session."""
    store = session.options.store
    query = f"?store={quote(store, safe='')}" if store else ""
    return f"ciplug:{quote(str(session.cwd.absolute()))}{query}"


def download(address: str, tracking_uri: str, folder: Path) -> int:
    """Bring all files at an address of artifacts into a folder; returns their bytes. There may be none."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(address, tracking_uri=tracking_uri)
    if repository.list_artifacts():
        repository.download_artifacts("", str(folder))
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield what all pages of an answer hold, each asked for by the token of the one before it."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def versions_of(client: Any, name: str) -> Iterator[Any]:
    """Yield the versions of a registered model."""
    # MLflow's filters have no way to escape a quote.
    mark = "'" if "'" not in name else '"'
    filter_string = None if mark in name else f"name={mark}{name}{mark}"
    for one in pages(lambda token: client.search_model_versions(filter_string, 1_000, None, token)):
        if one.name == name:
            yield one


@contextlib.contextmanager
def translated(uri: str) -> Iterator[None]:
    """Raise what MLflow raises as an error of the store at this address."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as problem:
        words = str(problem.message).strip().splitlines() or [type(problem).__name__]
        hint = None
        if "out-of-date database schema" in str(problem.message):
            hint = f"copy the file, and on the copy: mlflow db upgrade {redact(uri)}"
        # MLflow names the address that it has asked, with the password in it.
        raise StoreError(f"{redact(uri)}: {redact(words[0])[:400]}", hint=hint) from problem
    except OSError as problem:
        raise StoreError(f"{redact(uri)}: {redact(str(problem.strerror or problem))}") from problem
