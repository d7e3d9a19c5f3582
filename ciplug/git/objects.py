"""Read the objects of a repository by name, many by one process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ciplug.errors import GitError
from ciplug.git.run import run_git, start_git

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
    try:
        with start_git("cat-file", "--batch", cwd=repository) as process:
            if process.stdin and process.stdout:
                for some in _askable(ordered):
                    objects.update(_answers(process.stdin, process.stdout, some))
        is_whole = process.returncode == 0
    except (EOFError, OSError):
        is_whole = False
    if not is_whole:
        # Asked again, it tells why.
        run_git("cat-file", "--batch", cwd=repository, input=("\n".join(ordered) + "\n").encode())
        raise GitError("git cat-file failed")
    return objects


class ObjectReader:
    """Reads objects one by one, by one process of git that stays until `close`."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._process = start_git("cat-file", "--batch", cwd=repository)

    def read(self, name: str) -> tuple[str, bytes] | None:
        """Return type and content; None for an object that does not exist. Raises GitError."""
        process = self._process
        if "\n" in name or process.stdin is None or process.stdout is None:
            return None
        try:
            return dict(_answers(process.stdin, process.stdout, [name])).get(name)
        except (EOFError, OSError):
            raise GitError(f"git cat-file ended before {name}") from None

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._process.wait()


def _answers(asked: IO[bytes], answers: IO[bytes], names: list[str]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Read each object as git gives it: by `run_git`, it takes four times as long. Raises EOFError or OSError."""
    asked.write("".join(f"{name}\n" for name in names).encode())
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
        size += len(name.encode()) + 1
        if part and size > _PIPE_HOLDS:
            yield part
            part, size = [], len(name.encode()) + 1
        part.append(name)
    yield part


def sizes(repository: Path, names: Iterable[str]) -> dict[str, int]:
    """Return name → bytes of those of the objects that exist."""
    ordered = sorted(set(names))
    if not ordered:
        return {}
    stdin = ("\n".join(ordered) + "\n").encode()
    out = run_git("cat-file", "--batch-check=%(objectname) %(objectsize)", cwd=repository, input=stdin).stdout.decode()
    lines = zip(ordered, out.splitlines(), strict=True)
    return {name: int(line.partition(" ")[2]) for name, line in lines if not line.endswith(" missing")}


def present(repository: Path, names: Iterable[str]) -> set[str]:
    """Return those of the objects that exist."""
    ordered = sorted(set(names))
    if not ordered:
        return set()
    stdin = ("\n".join(ordered) + "\n").encode()
    out = run_git("cat-file", "--batch-check=%(objectname)", cwd=repository, input=stdin).stdout.decode()
    return {name for name, line in zip(ordered, out.splitlines(), strict=True) if not line.endswith(" missing")}


class Named(NamedTuple):
    """What a name refers to in a repository."""

    kind: str
    """blob, tree, commit or tag."""
    oid: str


def find_objects(repository: Path, names: Iterable[str]) -> dict[str, Named]:
    """Return name → what it refers to, of those that exist; a name is like `<commit>:<path>`, without a line break."""
    ordered = list(dict.fromkeys(names))
    if not ordered:
        return {}
    stdin = ("\n".join(ordered) + "\n").encode(errors="surrogateescape")
    done = run_git("cat-file", "--batch-check=%(objecttype) %(objectname)", cwd=repository, input=stdin)
    found: dict[str, Named] = {}
    for name, line in zip(ordered, done.stdout.decode(errors="surrogateescape").splitlines(), strict=True):
        kind, _, oid = line.partition(" ")
        if kind in _KINDS and is_commit_id(oid):
            found[name] = Named(kind, oid)
    return found
