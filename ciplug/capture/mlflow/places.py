"""Where a training's runs are: the store that its MLflow is given, and those that it may have chosen itself."""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ciplug.capture.mlflow.artifacts import local_path
from ciplug.capture.mlflow.marks import HEADER, TAG, is_experiment
from ciplug.git.credentials import redact

if TYPE_CHECKING:
    from ciplug.capture.mlflow.run import TrackingStore

URI, CONTEXT = "MLFLOW_TRACKING_URI", "MLFLOW_RUN_CONTEXT"
FOLDER = "mlflow"
"""Of the entry of a run in the spool: the store that its training is given."""
_DEFAULTS = ("mlruns", "mlflow.db")
"""What MLflow takes by itself, depending on its version and on what is there."""
_LOOKED_AT = 1_000
"""Names of a folder that are looked at."""
_SCRIPT_MOST = 1_000_000
"""Bytes."""


def names_store(env: Mapping[str, str], cwd: Path) -> bool:
    """Whether MLflow would find a store by itself: by a variable, or in the folder that it is started in."""
    # On Databricks, MLflow logs to the workspace.
    return bool(env.get(URI) or env.get("DATABRICKS_RUNTIME_VERSION")) or any(
        is_store(cwd / name) for name in _DEFAULTS
    )


def environment(env: Mapping[str, str], run: str, given: Path | None) -> dict[str, str]:
    """Return the variables by which MLflow marks the runs of a training, and logs to the store that it is given.

    Args:
        run: the id of ciplug's run.
        given: a folder, which MLflow makes when it needs it.
    """
    variables = {}
    with suppress(ValueError, TypeError):
        variables[CONTEXT] = json.dumps({**json.loads(env.get(CONTEXT) or "{}"), TAG: run})
    if given is not None:
        # A file store opens in milliseconds, where SQLite takes over a second, and mlflow-skinny has no SQLite.
        # Since 3.13, MLflow asks for this permission: the store is in maintenance mode.
        variables |= {URI: given.absolute().as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    return variables


def open_store(uri: str, cwd: Path, env: Mapping[str, str]) -> TrackingStore:
    """Return the store at an address, as MLflow understands it. Raises StoreUnreadable for one of another kind."""
    if uri.startswith(("http://", "https://")):
        from ciplug.capture.mlflow.rest_store import RestStore

        return RestStore(uri, env)
    if (path := path_of(uri, cwd)) is not None:
        if path.is_dir():
            from ciplug.capture.mlflow.file_store import FileStore

            return FileStore(path)
        from ciplug.capture.mlflow.sqlite_store import SqliteStore

        return SqliteStore(path, cwd)
    from ciplug.capture.mlflow.run import StoreUnreadable

    raise StoreUnreadable(
        f"{redact(uri)}: ciplug reads file stores, SQLite and MLflow servers",
        hint="have the training write its metrics to a file, too: --metrics FILE",
    )


def may_exist(uri: str, cwd: Path) -> bool:
    """Whether there can be runs to read at an address: a path of this disk that nobody has made holds none.

    What MLflow logs to a ciplug store is in the run already.
    """
    if uri.partition(":")[0] == "ciplug":
        return False
    path = path_of(uri, cwd)
    return path is None or path.exists()


def path_of(uri: str, cwd: Path) -> Path | None:
    """The path that an address names; None if it is not on this disk."""
    if uri.startswith("sqlite:///"):
        return cwd / unquote(uri.partition("?")[0].removeprefix("sqlite:///"))
    # MLflow knows these words for Databricks.
    return None if uri in ("databricks", "databricks-uc") else local_path(uri, cwd)


def stores_below(folder: Path) -> list[Path]:
    """Return the file stores and SQLite files of MLflow in a folder, and those with the usual names one level below."""
    stores = []
    for path in _names(folder):
        if is_store(path):
            stores.append(path)
        elif path.is_dir() and not path.name.startswith("."):
            stores += [path / name for name in _DEFAULTS if is_store(path / name)]
    return stores


def is_store(path: Path) -> bool:
    """Whether MLflow has made this folder or file to keep runs in."""
    try:
        if path.is_dir():
            return any(map(is_experiment, _names(path)))
        if path.suffix not in (".db", ".sqlite", ".sqlite3"):
            return False
        with path.open("rb") as file:
            return file.read(len(HEADER)) == HEADER
    except OSError:
        return False


def _names(folder: Path) -> list[Path]:
    try:
        return sorted(itertools.islice(folder.iterdir(), _LOOKED_AT))
    except OSError:
        return []


def uris_in(command: Sequence[str], cwd: Path) -> list[str]:
    """Return the addresses that the script of a command gives to `set_tracking_uri` or `MlflowClient` as plain text."""
    uris = []
    for script in _scripts(command, cwd):
        with suppress(OSError, ValueError, SyntaxError, RecursionError):
            if script.stat().st_size <= _SCRIPT_MOST:
                uris += list(_uris(ast.parse(script.read_bytes())))
    return list(dict.fromkeys(uris))


def _scripts(command: Sequence[str], cwd: Path) -> Iterator[Path]:
    yield from (cwd / word for word in command if word.endswith(".py") and (cwd / word).is_file())
    for option, module in itertools.pairwise(command):
        path = cwd.joinpath(*module.split("."))
        if option == "-m":
            yield from (file for file in (path.with_suffix(".py"), path / "__main__.py") if file.is_file())


def _uris(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in ("set_tracking_uri", "MlflowClient", "MLFlowLogger"):
            continue
        given = [*node.args[:1], *(word.value for word in node.keywords if word.arg in ("uri", "tracking_uri"))]
        yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
