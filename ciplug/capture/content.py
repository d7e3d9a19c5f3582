"""Files and folders by their content, as a run read and wrote them: path, digest and size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from ciplug.capture.written_files import without
from ciplug.errors import InputError
from ciplug.git.lfs import FETCH_HINT, ONLY_POINTER, read_pointer
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
    pointers: tuple[Path, ...] = ()
    """The files of which only a Git LFS pointer is here: they count as what it names."""


def examine(
    path: Path,
    top: Path,
    left_out: Collection[Path] = (),
    *,
    by_pointer: bool = False,
    tell: Callable[[int], None] = lambda count: None,
) -> Content:
    """Read a file or folder once and return its digest and size; the path is relative to `top` if it is below it.

    A relative `path` is taken from `top`. A folder's digest is that of its sorted `digest path` lines.
    The path that is named may be a symbolic link; a link inside a folder counts as the file that it points
    to, and may point neither out of both the folder and `top`, nor to a folder, nor to nothing.

    Args:
        left_out: absolute paths of files of a folder that do not count.
        by_pointer: a Git LFS pointer is known by the digest and size of its content, so that these are the same with
            and without the content.
        tell: is called with numbers of bytes that were read.

    Raises InputError on a missing, unreadable or special file, an empty folder, a link that is refused, and a pointer
    where its content is needed.
    """
    path = top / path
    name = name_of(path, top)
    if path.is_dir():
        return _examine_folder(path, top, name, left_out, by_pointer=by_pointer, tell=tell)
    member, is_pointer = _member(path, tell, by_pointer=by_pointer)
    file = File(path=name, digest=member.digest, size=member.size)
    return Content(file, {member.digest: member}, None, (path,) if is_pointer else ())


def shown_path(path: Path, top: Path) -> str:
    """The path as people read it: from the top, with `/`; a path elsewhere stays as it was given."""
    absolute, root = Path(os.path.abspath(path)), Path(os.path.abspath(top))  # noqa: PTH100 (links stay links)
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else path).as_posix()


def _member(path: Path, tell: Callable[[int], None], *, by_pointer: bool) -> tuple[Member, bool]:
    """A file by its content, and whether that is what its pointer says."""
    pointer = read_pointer(path)
    if pointer is None:
        digest, size = _digest_and_size(path, tell)
        return Member(digest, path, size), False
    if not by_pointer:
        raise InputError(f"{path}: {ONLY_POINTER}", what=ONLY_POINTER, hint=FETCH_HINT)
    return Member(pointer.digest, path, pointer.size), True


def _examine_folder(
    folder: Path,
    top: Path,
    name: str,
    left_out: Collection[Path],
    *,
    by_pointer: bool,
    tell: Callable[[int], None],
) -> Content:
    roots = (folder.resolve(), top.resolve())
    lines = []
    total = 0
    members = {}
    pointers = []
    for file in without(_walk(folder), left_out):
        if file.is_symlink():
            _check_link(file, roots)
        member, is_pointer = _member(file, tell, by_pointer=by_pointer)
        lines.append(f"{member.digest} {_text(file.relative_to(folder))}\n")
        members[member.digest] = member
        total += member.size
        pointers += [file] if is_pointer else []
    if not lines:
        raise InputError(
            f"{folder}: the folder holds no file",
            what="the folder holds no file",
            hint="does the training write it elsewhere?",
        )
    manifest = "".join(sorted(lines)).encode()
    digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
    return Content(File(path=name, digest=digest, size=total, kind="folder"), members, manifest, tuple(pointers))


def _walk(folder: Path) -> list[Path]:
    """Every file under a folder; links to folders are listed, not entered."""

    def refuse(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: cannot be read: {error.strerror}",
            what=f"{Path(error.filename).name} cannot be read: {error.strerror}",
        ) from None

    paths = []
    for base, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        paths += [Path(base) / name for name in [*files, *links]]
    return paths


def _check_link(link: Path, roots: tuple[Path, ...]) -> None:
    hint = "put the file itself in its place, or name the target on its own"
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputError(
            f"{link}: a symbolic link that points to nothing",
            what=f"{link.name} is a symbolic link that points to nothing",
            hint=hint,
        ) from None
    if target.is_dir():
        raise InputError(
            f"{link}: a symbolic link to a folder is not followed",
            what=f"{link.name} is a symbolic link to a folder, which is not followed",
            hint=hint,
        )
    if not any(target.is_relative_to(root) for root in roots):
        raise InputError(
            f"{link}: a symbolic link that leads out of the folder and the repository",
            what=f"{link.name} is a symbolic link that leads out of the folder and the repository",
            hint=hint,
        )


def _digest_and_size(path: Path, tell: Callable[[int], None] = lambda count: None) -> tuple[str, int]:
    try:
        # A pipe or a device would never end.
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: neither a file nor a folder", what="neither a file nor a folder")
        content = hashlib.sha256()
        size = 0
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                size += len(chunk)
                tell(len(chunk))
    except FileNotFoundError:
        in_dvc = path.with_name(f"{path.name}.dvc").exists()
        hint = "DVC keeps it: dvc pull" if in_dvc else "is the path right, seen from the repository?"
        raise InputError(f"{path}: there is no such file", what="there is no such file", hint=hint) from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}", what=f"cannot be read: {error.strerror}"
        ) from None
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
