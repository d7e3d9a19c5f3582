"""Why a file of a run gave nothing or is not kept, as the record says it."""

from __future__ import annotations

from pathlib import Path

from ciplug.errors import CiplugError, InputError
from ciplug.git.credentials import redact
from ciplug.records.left_out import LeftOut

_WORDS_MOST = 200
"""Characters of a path, or of a sentence about a file, that the record keeps."""


def lost_file(name: str, problem: CiplugError) -> LeftOut:
    """The fact that an artifact is not recorded, or that no store has its content, for the record."""
    what = problem.what if isinstance(problem, InputError) else problem.message
    advice = problem.hint[:_WORDS_MOST] if problem.hint else None
    return LeftOut(name=redact(name)[:_WORDS_MOST], why="output", found=what[:_WORDS_MOST], advice=advice)


def refused_file(path: Path | str, problem: CiplugError) -> LeftOut:
    """The fact that a file of metrics or examples gave nothing, for the record."""
    what, line = (problem.what, problem.line) if isinstance(problem, InputError) else (problem.message, None)
    advice = problem.hint[:_WORDS_MOST] if problem.hint else None
    name = Path(path).as_posix()[:_WORDS_MOST]
    return LeftOut(name=name, why="file", file=name, found=what[:_WORDS_MOST], line=line, advice=advice)
