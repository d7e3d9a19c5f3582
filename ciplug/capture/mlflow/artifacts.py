"""The artifacts and models of a run in MLflow, as far as they are on this disk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""One letter would be a drive of Windows."""


def local_path(uri: str, folder: Path) -> Path | None:
    """Return the path that a URI or a path names; None if it is not on this disk.

    Args:
        folder: where a relative path is from.
    """
    if uri.startswith("file:"):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            return None
        from urllib.request import url2pathname

        # `file:./mlruns` is relative, and MLflow takes it.
        return folder / (url2pathname(parts.path) if parts.path.startswith("/") else unquote(parts.path))
    if _SCHEME.match(uri):
        return None
    return folder / uri


def named(folder: Path | None, models: Sequence[tuple[str, str, Path]]) -> dict[str, Path]:
    """Return the artifacts of a run by their names in MLflow: what is in its folder, and the models that it logged.

    Args:
        models: id, name and folder of each model. One whose name is taken is named by its id, too.
    """
    folders: dict[str, Path] = {}
    if folder is not None and is_folder(folder):
        folders = {path.name: path for path in sorted(folder.iterdir()) if _has_files(path)}
    counts: Mapping[str, int] = {name: sum(1 for one in models if one[1] == name) for _, name, _ in models}
    for model, name, path in models:
        if is_folder(path) and _has_files(path):
            is_taken = counts[name] > 1 or name in folders
            folders[model if not _is_plain(name) else f"{name}-{model}" if is_taken else name] = path
    return folders


def is_folder(path: Path) -> bool:
    """Whether there is such a folder. The path is that of a store, and may be none that a file system knows."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_plain(name: str) -> bool:
    """Whether MLflow allows the name: it could be a path elsewhere, or change what a line shows."""
    return name.isprintable() and not set(name) & set("/\\") and name not in (".", "..")


def _has_files(path: Path) -> bool:
    return path.is_file() or any(one.is_file() for one in path.rglob("*"))
