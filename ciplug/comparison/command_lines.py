"""Which command lines are the same experiment. Pure.

A training that is run again writes elsewhere, or is started from another folder: that makes no other experiment.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

PLACE_OR_TIME = re.compile(r"[/\\]|\b\d{4}-?\d\d-?\d\d|\b\d\d:\d\d")
"""In the value of a parameter: what says where and when, and not what was trained."""
_TIME = re.compile(r"\b\d{4}-?\d\d-?\d\d|\b\d\d:\d\d")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]|[a-z][a-z0-9+.-]*://")
_FOR_OUTPUT = re.compile(
    r"-o|--?(?:.*[-_.])?(?:out|outputs?|logs?|logging|save|saves|tmp|temp|cache)(?:[-_.].*|dir|path)?"
)
"""Options whose value says where to write."""
_PART = re.compile(r".*\.(?:py|ipynb|sh|r|jl|m|ya?ml|toml|ini|cfg)", re.IGNORECASE)
"""Names of programs and of their settings: they count wherever they lie."""
_PLACE = "…"


def experiment(command: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without what says where it is started, where it writes, and when."""
    return tuple(_words(command))


def _words(command: Sequence[str]) -> Iterator[str]:
    is_place = False
    for number, word in enumerate(command):
        name, assigned, value = word.partition("=")
        if number == 0:
            yield _last_part(word)
        elif is_place and not word.startswith("-"):
            yield _PLACE
        elif assigned and word.startswith("-"):
            yield f"{name}={_PLACE if _FOR_OUTPUT.fullmatch(name) else _plain(value)}"
        else:
            yield _plain(word)
        is_place = number > 0 and not assigned and _FOR_OUTPUT.fullmatch(word) is not None


def _plain(word: str) -> str:
    if _ABSOLUTE.match(word):
        last = _last_part(word)
        return last if _PART.fullmatch(last) else _PLACE
    if _TIME.search(word):
        return _PLACE
    return posixpath.normpath(word) if word.startswith("./") else word


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]
