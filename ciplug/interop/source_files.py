"""The files of a source, and nothing else: neither `..`, an absolute path nor a symbolic link leads out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from posixpath import isabs, normpath

from ciplug.errors import CiplugError, InputError

_LINK_HINT = "put the file itself in its place, or name the folder around both as SOURCE"


def root_of(source: Path) -> Path:
    """The folder that a source is, or that its only file is in."""
    return source if source.is_dir() else source.parent


def is_inside(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a path, and what it links to, is in one of the folders. A loop of links is in none."""
    try:
        real = path.resolve()
        return any(real.is_relative_to(root.resolve()) for root in roots)
    except (OSError, RuntimeError):
        return False


def outsider(path: Path, roots: Sequence[Path]) -> Path | None:
    """Return what of a file or folder is outside of all these folders: itself, or a link in it."""
    if not is_inside(path, roots):
        return path
    for base, folders, files in os.walk(path):
        for name in (*folders, *files):
            if (one := Path(base, name)).is_symlink() and not is_inside(one, roots):
                return one
    return None


def name_in(name: str, path: Path, root: Path) -> str:
    """The name of an artifact: as it is given, or from the top of the source where that would lead out of the run."""
    plain = normpath(name)
    if isabs(plain) or plain in (".", "..") or plain.startswith("../"):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return plain


def files_below(source: Path, is_wanted: Callable[[str], bool], *, deep: bool = True) -> Iterator[Path | InputError]:
    """Yield the files of a source whose names are wanted, in order, or why one cannot be read.

    Links to folders are not followed, so a copy by a link is no second one.

    Args:
        source: a folder, or a file, which is the only one.
        deep: look into the folders below, too.
    """
    if not source.is_dir():
        yield source
        return
    problems: list[InputError] = []

    def refuse(problem: OSError) -> None:
        problems.append(InputError(f"{problem.filename}: cannot be read: {problem.strerror}"))

    found: list[Path] = []
    for base, folders, files in os.walk(source, onerror=refuse):
        found += (Path(base, name) for name in files if is_wanted(name))
        if not deep:
            folders.clear()
    yield from problems
    for file in sorted(found):
        try:
            yield _checked(file, source)
        except OSError as problem:
            yield InputError(f"{file}: cannot be read: {problem.strerror}")


def _checked(file: Path, source: Path) -> Path | InputError:
    """A file of a source, or why it is none. Raises OSError."""
    if file.is_symlink() and not file.exists():
        return InputError(f"{file}: a symbolic link that points to nothing")
    if file.is_symlink() and not is_inside(file, (source,)):
        return InputError(f"{file}: a symbolic link that leads out of {source}", hint=_LINK_HINT)
    return file if file.is_file() else InputError(f"{file}: not a file")


def unreadable(path: Path, problem: Exception) -> CiplugError:
    """The error of a file or folder whose reader has raised anything: it is named, and the others are read."""
    if isinstance(problem, CiplugError):
        return problem
    words = problem.strerror if isinstance(problem, OSError) else f"{type(problem).__name__}: {problem}"
    return InputError(f"{path}: cannot be read: {words}")
