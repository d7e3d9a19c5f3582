"""Write the files of a record below one folder, wherever its paths, which are input from others, would lead."""

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

    Raises RecordError for a path that is absolute, leads upwards or into a `.git`, or that this system does not allow.
    """
    names = path.split("/")
    for part in names:
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
            raise RecordError(f"{path[:200]!r} cannot be the path of a file of a run")
    return tuple(names)


def check_folder(folder: Path) -> None:
    """Raise UsageError for a folder that is, or is inside, a `.git`: git would read the files written there."""
    if any(part.casefold() == ".git" for part in folder.resolve().parts):
        raise UsageError(f"{folder} is in git's own folder: nothing is written there", hint="name another folder")


def make_folder(folder: Path, option: str = "") -> None:
    """Make the folder where it does not exist. Raises UsageError where that fails or it cannot be written into.

    Args:
        option: what named the folder, for the error.
    """
    name = f"{option} {folder}".lstrip()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{name}: a file is in its place", hint="name a folder") from None
    except PermissionError:
        raise UsageError(f"{name}: no permission to make it", hint="name another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{name}: no permission to write into it", hint="name another folder")


def own_place(path: str) -> str:
    """The relative path that an artifact is written to: its name alone, if it was outside the repository or remote."""
    if "://" in path or path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
        return PurePosixPath(path.replace("\\", "/").rstrip("/")).name
    return path


def members(manifest: bytes, where: str) -> dict[str, str]:
    """Path → digest of the files of a folder, from the lines that its digest is made of. Raises RecordError."""
    digests: dict[str, str] = {}
    try:
        *lines, end = manifest.decode().split("\n")
        for line in lines:
            digest, _, path = line.partition(" ")
            hex_of(digest)
            parts(path)
            if digests.setdefault(path, digest) != digest:
                raise RecordError(f"{path[:200]!r} is listed twice")
    except (UnicodeDecodeError, StoreError, RecordError) as problem:
        raise RecordError(f"{where}: the list of its files cannot be read: {problem}") from None
    if end or not digests:
        raise RecordError(f"{where}: the list of its files cannot be read: its end is missing")
    return digests


def clash(places: Sequence[tuple[str, ...]], *, one_case: bool = sys.platform in ("win32", "darwin")) -> str | None:
    """A path that two of these would be written to, or that would be both a file and a folder; None if there is none.

    Args:
        one_case: whether the file system ignores case, and the Unicode form of accents.
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
    """Return the path below `folder`. Raises RecordError if a symbolic link or a file is in the way."""
    at = folder
    for name in names[:-1]:
        at = at / name
        if at.is_symlink():
            raise RecordError(f"{at} is a symbolic link: nothing is written through it", hint="remove it")
        if at.exists() and not at.is_dir():
            raise RecordError(f"{at} is a file, but a folder is needed there", hint="remove it, or name another folder")
    return at / names[-1]


@contextmanager
def coming(folder: Path) -> Iterator[Path]:
    """The folder below `folder` for files that are not complete and verified yet, each under its hex digits.

    What a fetch that was cut off has received stays there for the next one. Raises UsageError while another process
    uses it.
    """
    inside = folder / COMING
    if inside.is_symlink():
        raise UsageError(f"{inside} is a symbolic link: nothing is written through it", hint="remove it")
    inside.mkdir(exist_ok=True)
    lock = acquire(inside / "lock")
    if lock is None:
        raise UsageError(f"another process is fetching files into {folder}", hint="wait for it, or name another folder")
    with lock:
        try:
            yield inside
        except UsageError:
            # A wrong request received nothing; what an earlier fetch received stays.
            if not any(inside.glob("*.part")):
                shutil.rmtree(inside, ignore_errors=True)
            raise
        shutil.rmtree(inside, ignore_errors=True)


def place(folder: Path, wanted: Mapping[tuple[str, ...], str], arrived: Path) -> None:
    """Move verified files to their names below `folder`, each in one step.

    Args:
        wanted: parts of a path → digest.
        arrived: the folder that has the files under their hex digits.

    Raises RecordError when a symbolic link or a file has come to stand in the way since the paths were chosen.
    """
    uses = Counter(wanted.values())
    for names, digest in wanted.items():
        source = arrived / hex_of(digest)
        uses[digest] -= 1
        if uses[digest]:
            copy = source.with_suffix(".copy")
            with copy.open("wb") as file:
                file.writelines(checked(source, digest))
            source = copy
        # Checked again: fetching may have taken long, and a link may be in the way now.
        target = below(folder, names)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
