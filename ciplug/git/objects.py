"""Read the objects of a repository by name, many by one process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ciplug.git.run import run_git

_HEX = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")


def is_commit_id(text: str) -> bool:
    """Whether the text is a full object id, SHA-1 or SHA-256."""
    return bool(_HEX.match(text))


def read_objects(repository: Path, names: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Return name → (type, content) of those objects among `names` that exist, with one `cat-file --batch`."""
    ordered = list(dict.fromkeys(names))
    if not ordered:
        return {}
    out = run_git("cat-file", "--batch", cwd=repository, input=("\n".join(ordered) + "\n").encode()).stdout
    objects, at = {}, 0
    for name in ordered:
        end = out.index(b"\n", at)
        header = out[at:end].split()
        at = end + 1
        if header[-1] == b"missing":
            continue
        size = int(header[2])
        objects[name] = (header[1].decode(), out[at : at + size])
        at += size + 1
    return objects


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
