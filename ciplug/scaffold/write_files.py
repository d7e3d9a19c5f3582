"""Write generated files into the project, all or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from ciplug.errors import UsageError


def write(top: Path, files: Mapping[str, str]) -> None:
    """Write all files or none: all are completely on disk before the first is moved into place.

    Args:
        files: path below `top` → text.

    Raises UsageError if something else is in a file's place, or the path leads out of `top`.
    """
    staged: list[tuple[Path, Path]] = []
    created: list[Path] = []
    try:
        for name, text in files.items():
            path = top / name
            _make_folder(path.parent, top, created)
            if path.is_dir():
                raise UsageError(f"{name}: there is a folder of that name", hint="move it away")
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            staged.append((part, path))
            part.write_text(text, encoding="utf-8", newline="\n")
        for part, path in staged:
            part.replace(path)
    except BaseException:
        for part, _ in staged:
            part.unlink(missing_ok=True)
        for folder in reversed(created):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _make_folder(folder: Path, top: Path, created: list[Path]) -> None:
    for one in reversed([folder, *folder.parents]):
        if not one.is_relative_to(top) or one.is_dir():
            continue
        try:
            one.mkdir()
        except (FileExistsError, NotADirectoryError):
            raise UsageError(
                f"{one.relative_to(top)}: a file is in the place of a folder", hint="move it away"
            ) from None
        created.append(one)
    if not folder.resolve().is_relative_to(top.resolve()):
        raise UsageError(f"{folder.relative_to(top)} leads out of the repository", hint="name another with --ci")
