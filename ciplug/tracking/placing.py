"""Where the files of a record may be put: the paths in it are input from others, and stay below one folder."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from ciplug.errors import RecordError
from ciplug.stores.files import hex_of

LINES_MOST = 1_000_000
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_GIT = re.compile(r"\.git|git~\d+", re.IGNORECASE)


def parts(path: str, *, windows: bool = os.name == "nt") -> tuple[str, ...]:
    """The parts of a relative path with `/`, each of which names a file or folder and nothing else.

    Raises RecordError for a path that is absolute, leads upwards or into a `.git`, or that is none here.
    """
    found = path.split("/")
    for part in found:
        # Some file systems drop what is invisible in a name, and Windows what stands at its end.
        seen = "".join(c for c in part if c.isprintable()).rstrip(". ") if part.strip(".") else part
        bad = bool(
            part in ("", ".", "..")
            or any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in part)
            or _GIT.fullmatch(seen)
            or len(part.encode(errors="replace")) > 255
        )
        if windows:
            refused = any(c in '<>:"|?*\\' for c in part) or _WINDOWS_DEVICE.fullmatch(part)
            bad = bad or part[-1] in ". " or bool(refused)
        if bad:
            raise RecordError(f"{path[:200]!r} is no path that a file of a run is written to")
    return tuple(found)


def own_place(path: str) -> str:
    """The relative path of an artifact: of one that lay outside the repository, or at an address, its name alone."""
    if "://" in path or path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
        return PurePosixPath(path.replace("\\", "/").rstrip("/")).name
    return path


def members(manifest: bytes, where: str) -> dict[str, str]:
    """Path → digest of the files of a folder, from the lines that its digest is made of. Raises RecordError."""
    try:
        lines = manifest.decode().splitlines() if b"\r" not in manifest else None
    except UnicodeDecodeError:
        lines = None
    if not lines or len(lines) > LINES_MOST:
        raise RecordError(f"{where}: the list of its files cannot be read")
    found = {}
    for line in manifest.decode().rstrip("\n").split("\n"):
        digest, space, path = line.partition(" ")
        if not space or path in found:
            raise RecordError(f"{where}: the list of its files cannot be read at {line[:100]!r}")
        hex_of(digest)
        parts(path)
        found[path] = digest
    return found


def below(folder: Path, names: tuple[str, ...]) -> Path:
    """The path below `folder`. Raises RecordError when a symbolic link or a file stands in the way to it."""
    at = folder
    for name in names[:-1]:
        at = at / name
        if at.is_symlink():
            raise RecordError(f"{at} is a symbolic link: nothing is written through it", hint="take it away")
        if at.exists() and not at.is_dir():
            raise RecordError(f"{at} is a file, and a folder is to be there", hint="take it away, or name another --to")
    return at / names[-1]
