"""Notebooks that are run in place: code and output in one file. Pure."""

from __future__ import annotations

import json
from typing import Any

SUFFIX = ".ipynb"
_INJECTED = "injected-parameters"
"""The tag of the cell that papermill adds for the parameters of one run."""


def has_other_code(committed: bytes, now: bytes) -> bool:
    """Whether a notebook has other code than the committed one, whatever its outputs are.

    One that papermill has made from another notebook is output alone. What cannot be read as a notebook is other code.
    """
    try:
        after = json.loads(now)
        if _is_made_from_another(after):
            return False
        return _code(json.loads(committed)) != _code(after)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return committed != now


def _is_made_from_another(notebook: dict[str, Any]) -> bool:
    made = notebook.get("metadata", {}).get("papermill", {})
    return bool(made.get("input_path") != made.get("output_path"))


def _code(notebook: dict[str, Any]) -> list[str]:
    """The sources of the code cells; blank ones and those that papermill adds are no code of the author."""
    cells = [one for one in notebook["cells"] if one.get("cell_type") == "code"]
    own = [one for one in cells if _INJECTED not in one.get("metadata", {}).get("tags", ())]
    sources = ("".join(one.get("source", "")).strip() for one in own)
    return [source for source in sources if source]
