"""Read the objects of a repository by name, many by one process."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ciplug.errors import GitError, GitKind
from ciplug.git import cat_file
from ciplug.git.run import run_git

_PIPE_HOLDS = 4096
"""Bytes that every system's pipe takes at once."""
_KINDS = ("blob", "tree", "commit", "tag")
_HEX = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")


def is_commit_id(text: str) -> bool:
    """Whether the text is a full object id, SHA-1 or SHA-256."""
    return bool(_HEX.match(text))


def read_objects(repository: Path, names: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Return name → (type, content) of those objects among `names` that exist, with one `cat-file --batch`."""
    ordered = list(dict.fromkeys(names))
    if not ordered:
        return {}
    objects: dict[str, tuple[str, bytes]] = {}

    def exchange(asked: IO[bytes], answers: IO[bytes]) -> None:
        for some in _askable(ordered):
            objects.update(_answers(asked, answers, some))

    try:
        cat_file.ask(repository, cat_file.CONTENT, exchange)
    except (EOFError, OSError):
        # Asked again, it tells why.
        run_git("cat-file", cat_file.CONTENT, cwd=repository, input=os.fsencode("\n".join(ordered) + "\n"))
        raise GitError("git cat-file failed") from None
    return objects


def object_id(kind: str, data: bytes, object_format: str) -> str:
    """The id that git gives to an object of this content."""
    whole = f"{kind} {len(data)}".encode() + b"\0" + data
    return hashlib.new(object_format, whole, usedforsecurity=False).hexdigest()


def is_sound(oid: str, kind: str, data: bytes) -> bool:
    """Whether an object has the content that its id stands for: git believes the name of the file that it is in."""
    return object_id(kind, data, "sha256" if len(oid) == 64 else "sha1") == oid


def read_sound(repository: Path, oids: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Like `read_objects`, of whole ids. Raises GitError for an object with other content than its id stands for."""
    objects = read_objects(repository, oids)
    for oid, (kind, data) in objects.items():
        if not is_sound(oid, kind, data):
            raise GitError(
                f"the {kind} {oid} has other content in {repository} than its id stands for: it is damaged, or forged",
                hint="make a new clone of the repository",
                kind=GitKind.DAMAGED,
            )
    return objects


class ObjectReader:
    """Reads objects one by one."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def read(self, name: str) -> tuple[str, bytes] | None:
        """Return type and content; None for an object that does not exist. Raises GitError."""
        return None if "\n" in name else read_objects(self._repository, [name]).get(name)

    def close(self) -> None:
        """End the process that has answered."""
        cat_file.close(self._repository)


def _answers(asked: IO[bytes], answers: IO[bytes], names: list[str]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Read each object as git gives it: by `run_git`, it takes four times as long. Raises EOFError or OSError."""
    asked.write(os.fsencode("".join(f"{name}\n" for name in names)))
    asked.flush()
    for name in names:
        header = answers.readline().split()
        if not header:
            raise EOFError
        if header[-1] == b"missing":
            continue
        size = int(header[2])
        content = answers.read(size)
        if not answers.read(1):
            raise EOFError
        yield name, (header[1].decode(), content)


def _askable(names: list[str]) -> Iterator[list[str]]:
    """Parts that a pipe takes whole, so that none waits for the other: git answers while it is asked."""
    part: list[str] = []
    size = 0
    for name in names:
        size += len(os.fsencode(name)) + 1
        if part and size > _PIPE_HOLDS:
            yield part
            part, size = [], len(os.fsencode(name)) + 1
        part.append(name)
    yield part


def sizes(repository: Path, names: Iterable[str]) -> dict[str, int]:
    """Return name → bytes of those of the objects that exist."""
    return {name: one.size for name, one in find_objects(repository, names).items()}


def present(repository: Path, names: Iterable[str]) -> set[str]:
    """Return those of the objects that exist."""
    return set(find_objects(repository, names))


class Named(NamedTuple):
    """What a name refers to in a repository."""

    kind: str
    """blob, tree, commit or tag."""
    oid: str
    size: int
    """Bytes."""


def find_objects(repository: Path, names: Iterable[str]) -> dict[str, Named]:
    """Return name → what it refers to, of those that exist; a name is like `<commit>:<path>`, without a line break."""
    ordered = list(dict.fromkeys(names))
    if not ordered:
        return {}

    def exchange(asked: IO[bytes], answers: IO[bytes]) -> list[bytes]:
        lines = []
        for some in _askable(ordered):
            asked.write(os.fsencode("".join(f"{name}\n" for name in some)))
            asked.flush()
            lines += [answers.readline() for _ in some]
        if not lines[-1].endswith(b"\n"):
            raise EOFError
        return lines

    try:
        lines = cat_file.ask(repository, cat_file.ABOUT, exchange)
    except (EOFError, OSError):
        stdin = os.fsencode("\n".join(ordered) + "\n")
        lines = run_git("cat-file", cat_file.ABOUT, cwd=repository, input=stdin).stdout.splitlines()
    found: dict[str, Named] = {}
    for name, line in zip(ordered, lines, strict=True):
        oid, _, rest = line.decode(errors="replace").rstrip("\n").partition(" ")
        kind, _, size = rest.partition(" ")
        if is_commit_id(oid) and kind in _KINDS and size.isdigit():
            found[name] = Named(kind, oid, int(size))
    return found


def parse_tree(data: bytes, object_format: str) -> dict[str, tuple[str, str]]:
    """Return name → (mode, object id) of a raw tree object."""
    width = 20 if object_format == "sha1" else 32
    entries, at = {}, 0
    while at < len(data):
        space = data.index(b" ", at)
        null = data.index(b"\0", space)
        name = data[space + 1 : null].decode(errors="surrogateescape")
        entries[name] = (data[at:space].decode(), data[null + 1 : null + 1 + width].hex())
        at = null + 1 + width
    return entries
