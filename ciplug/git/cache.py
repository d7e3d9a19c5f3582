"""Where what can be fetched or made again is kept on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ciplug.git.workspace import Workspace


def cache_folder(workspace: Workspace | None, env: Mapping[str, str]) -> Path:
    """A folder of ours, beside nothing of the user's: in the repository's .git if we may, else in the user's cache."""
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
