"""The templates and examples that are installed with ciplug."""

from __future__ import annotations

from pathlib import Path

from ciplug.errors import CiplugError

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, `templates/<host>/…` or `examples/<project>`.

    It lies in the data of the wheel, or in the checkout of this package. Raises CiplugError when it is missing.
    """
    for folder in (_PACKAGE / "_data", _PACKAGE.parent):
        if (folder / name).exists():
            return folder / name
    raise CiplugError(f"{name} is missing from this installation", hint="install ciplug again")
