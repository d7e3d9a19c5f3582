"""The checkout of a CI job that belongs to another user, as in every job in a container: git refuses it at first.

We name it as safe to our own git calls, in files that only they read. The user's configuration is not touched, and a
checkout that is not the one that the host names stays refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tempfile

_named: list[Path] = []
"""The folders that this process has named."""


def enclosing(folder: Path) -> Path | None:
    """The nearest folder with a `.git`, which git would take for the top of the checkout."""
    resolved = folder.resolve()
    return next((top for top in (resolved, *resolved.parents) if (top / ".git").exists()), None)


def is_of_job(top: Path, workspace: str | None) -> bool:
    """Whether a checkout is the one that the host names as the job's, or lies in it and is of the same owner."""
    if not workspace:
        return False
    named = Path(workspace).resolve()
    try:
        same_owner = top.stat().st_uid == named.stat().st_uid
    except OSError:
        return False
    return same_owner and (top == named or named in top.parents)


def name_safe(top: Path) -> None:
    """Have all git calls of this process take a checkout, whoever owns it."""
    if top not in _named:
        _named.append(top)


def is_named(top: Path) -> bool:
    """Whether this process has named a checkout as safe."""
    return top in _named


def safe_settings(env: Mapping[str, str], *, alone: bool) -> dict[str, str]:
    """The variables for git that name the folders; none where there is none.

    git takes `safe.directory` from a file of the user or of the system only: what is given beside a command is
    ignored by versions before 2.38, and not handed on to the git that serves a repository on this disk. So it is a
    file of ours in the place of the user's, which it includes.

    Args:
        alone: the user's configuration is not included.
    """
    if not _named:
        return {}
    included = () if alone else _of_user(env)
    return {"GIT_CONFIG_GLOBAL": str(_file(tuple(map(str, included)), tuple(map(str, _named))))}


def _of_user(env: Mapping[str, str]) -> list[Path]:
    """The files of the user's own configuration, in git's order; those that do not exist are skipped by git."""
    if "GIT_CONFIG_GLOBAL" in env:
        return [Path(env["GIT_CONFIG_GLOBAL"]).absolute()] if env["GIT_CONFIG_GLOBAL"] else []
    home = env.get("HOME") or env.get("USERPROFILE")
    xdg = env.get("XDG_CONFIG_HOME")
    config = Path(xdg) if xdg else Path(home, ".config") if home else None
    return [*([config / "git" / "config"] if config else []), *([Path(home, ".gitconfig")] if home else [])]


@lru_cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Gone at the end of the process."""
    import tempfile

    return tempfile.TemporaryDirectory(prefix="ciplug-git-", ignore_cleanup_errors=True)


@lru_cache
def _file(included: tuple[str, ...], safe: tuple[str, ...]) -> Path:
    import tempfile

    lines = [f"[include]\n\tpath = {_quoted(path)}\n" for path in included]
    lines += [f"[safe]\n\tdirectory = {_quoted(path)}\n" for top in safe for path in (top, f"{top}/.git")]
    descriptor, name = tempfile.mkstemp(dir=_folder().name)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(lines))
    return Path(name)


def _quoted(path: str) -> str:
    """A value as git's configuration writes it."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
