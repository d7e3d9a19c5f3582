"""Files and folders by their content, as a run read and wrote them: path, digest and size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ciplug.capture.written import without
from ciplug.errors import InputError
from ciplug.records.run import File

_CHUNK = 1024 * 1024


def digest_file(path: Path) -> str:
    """`sha256:<hex>` of a file, read in pieces. Raises InputError when it cannot be read."""
    return _digest_and_size(path)[0]


class Member(NamedTuple):
    """A file of this disk, by its content."""

    digest: str
    path: Path
    size: int


class Content(NamedTuple):
    """A file or folder: as a record has it, and the files that it consists of, by digest."""

    file: File
    members: dict[str, Member]
    manifest: bytes | None
    """For a folder: the lines whose digest is the folder's digest."""


def examine(path: Path, top: Path, left_out: Collection[Path] = ()) -> Content:
    """Read a file or folder once and return its digest and size; the path is relative to `top` if it is below it.

    A relative `path` is taken from `top`. A folder's digest is that of its sorted `digest path` lines.
    The path that is named may be a symbolic link; a link inside a folder counts as the file that it points
    to, and may point neither out of both the folder and `top`, nor to a folder, nor to nothing.

    Args:
        left_out: absolute paths of files of a folder that do not count.

    Raises InputError on a missing, unreadable or special file, an empty folder and a link that is refused.
    """
    path = top / path
    name = name_of(path, top)
    if path.is_dir():
        return _examine_folder(path, top, name, left_out)
    digest, size = _digest_and_size(path)
    return Content(File(path=name, digest=digest, size=size), {digest: Member(digest, path, size)}, None)


def _examine_folder(folder: Path, top: Path, name: str, left_out: Collection[Path]) -> Content:
    roots = (folder.resolve(), top.resolve())
    lines = []
    total = 0
    members = {}
    for file in without(_walk(folder), left_out):
        if file.is_symlink():
            _check_link(file, roots)
        digest, size = _digest_and_size(file)
        lines.append(f"{digest} {_text(file.relative_to(folder))}\n")
        members[digest] = Member(digest, file, size)
        total += size
    if not lines:
        raise InputError(f"{folder}: the folder holds no file", hint="does the training write it elsewhere?")
    manifest = "".join(sorted(lines)).encode()
    digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
    return Content(File(path=name, digest=digest, size=total, kind="folder"), members, manifest)


def _walk(folder: Path) -> list[Path]:
    """Every file under a folder; links to folders are listed, not entered."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from None

    found = []
    for base, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        found += [Path(base) / name for name in [*files, *links]]
    return found


def _check_link(link: Path, roots: tuple[Path, ...]) -> None:
    hint = "put the file itself in its place, or name the target on its own"
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputError(f"{link}: a symbolic link that points to nothing", hint=hint) from None
    if target.is_dir():
        raise InputError(f"{link}: a symbolic link to a folder is not followed", hint=hint)
    if not any(target.is_relative_to(root) for root in roots):
        raise InputError(f"{link}: a symbolic link that leads out of the folder and the repository", hint=hint)


def _digest_and_size(path: Path) -> tuple[str, int]:
    try:
        # A pipe or a device would never end.
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: neither a file nor a folder")
        content = hashlib.sha256()
        size = 0
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file", hint="is the path right, seen from the repository?"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return "sha256:" + content.hexdigest(), size


def name_of(path: Path, top: Path) -> str:
    """The path as records hold it: from the top, with `/`; a path elsewhere stays as it was given."""
    absolute, root = Path(os.path.abspath(path)), Path(os.path.abspath(top))  # noqa: PTH100 (links stay links)
    return _text(absolute.relative_to(root) if absolute.is_relative_to(root) else path)


def _text(path: Path) -> str:
    name = path.as_posix()
    if any(c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise InputError(f"{name!r}: a file name with control characters, or one that is not UTF-8")
    return name
