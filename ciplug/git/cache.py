"""Choose the folder for files that can be fetched or built again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ciplug.git.workspace import Workspace


def cache_folder(workspace: Workspace | None, env: Mapping[str, str]) -> Path:
    """Return a folder for ciplug alone: in the repository's .git if it is writable, else in the user's cache."""
    if workspace is not None and os.access(workspace.common_dir, os.W_OK):
        return workspace.common_dir / "ciplug"
    home = Path(env.get("HOME") or env.get("USERPROFILE") or Path.home())
    if sys.platform == "win32":
        base = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "ciplug"
