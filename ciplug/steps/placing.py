"""Putting the files of a record somewhere: its paths are input from others, and stay below one folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ciplug.errors import RecordError, StoreError, UsageError
from ciplug.locking import acquire
from ciplug.stores.files import checked, hex_of

COMING = ".ciplug-pull"

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


def check_folder(folder: Path) -> None:
    """Raises UsageError for a folder that is a `.git` or lies in one: git would read what is put there."""
    if any(part.casefold() == ".git" for part in folder.resolve().parts):
        raise UsageError(f"{folder} is in git's own folder: nothing is written there", hint="name another --to")


def own_place(path: str) -> str:
    """The relative path of an artifact: of one that lay outside the repository, or at an address, its name alone."""
    if "://" in path or path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
        return PurePosixPath(path.replace("\\", "/").rstrip("/")).name
    return path


def members(manifest: bytes, where: str) -> dict[str, str]:
    """Path → digest of the files of a folder, from the lines that its digest is made of. Raises RecordError."""
    found: dict[str, str] = {}
    try:
        *lines, end = manifest.decode().split("\n")
        for line in lines:
            digest, _, path = line.partition(" ")
            hex_of(digest)
            parts(path)
            if found.setdefault(path, digest) != digest:
                raise RecordError(f"{path[:200]!r} stands there twice")
    except (UnicodeDecodeError, StoreError, RecordError) as problem:
        raise RecordError(f"{where}: the list of its files cannot be read: {problem}") from None
    if end or not found:
        raise RecordError(f"{where}: the list of its files cannot be read: its end is missing")
    return found


def clash(places: Sequence[tuple[str, ...]], *, one_case: bool = sys.platform in ("win32", "darwin")) -> str | None:
    """A path that two of these would be written to, or that would have to be a file and a folder.

    Args:
        one_case: whether the file system takes names for the same that differ in case, or in the form of an accent.
    """

    def seen(place: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unicodedata.normalize("NFC", part).casefold() for part in place) if one_case else place

    files: set[tuple[str, ...]] = set()
    folders: set[tuple[str, ...]] = set()
    for place in places:
        path = seen(place)
        above = {path[:depth] for depth in range(1, len(path))}
        if path in files or path in folders or above & files:
            return "/".join(place)
        files.add(path)
        folders |= above
    return None


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


@contextmanager
def coming(folder: Path) -> Iterator[Path]:
    """The folder below `folder` where files are until they are whole and verified, each under its hex digits.

    What is cut off stays there for the next time. Raises UsageError while another process uses it.
    """
    inside = folder / COMING
    if inside.is_symlink():
        raise UsageError(f"{inside} is a symbolic link: nothing is written through it", hint="take it away")
    inside.mkdir(exist_ok=True)
    lock = acquire(inside / "lock")
    if lock is None:
        raise UsageError(f"another process is fetching files into {folder}", hint="wait for it, or name another folder")
    with lock:
        try:
            yield inside
        except UsageError:
            # Of what was asked for wrongly nothing need stay; of what was cut off before, all.
            if not any(inside.glob("*.part")):
                shutil.rmtree(inside, ignore_errors=True)
            raise
        shutil.rmtree(inside, ignore_errors=True)


def place(folder: Path, wanted: Mapping[tuple[str, ...], str], arrived: Path) -> None:
    """Give verified files their names below `folder`, each in one step: parts of a path → digest."""
    uses = Counter(wanted.values())
    for names, digest in wanted.items():
        source = arrived / hex_of(digest)
        uses[digest] -= 1
        if uses[digest]:
            copy = source.with_suffix(".copy")
            with copy.open("wb") as file:
                file.writelines(checked(source, digest))
            source = copy
        # Looked at again: much time may have passed.
        target = below(folder, names)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
