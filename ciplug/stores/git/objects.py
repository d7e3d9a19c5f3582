"""git's objects as bytes: Python writes loose objects, so that recording starts one git process instead of six."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ciplug.git.objects import object_id

AUTHOR = "ciplug <ciplug@localhost>"
BLOB, TREE = "100644", "40000"
FILES = (BLOB, "100755", "100664")


def blob_id(chunks: Iterable[bytes], size: int, object_format: str) -> str:
    """Return the id that git gives to a blob of `size` bytes, read in pieces."""
    content = hashlib.new(object_format, f"blob {size}".encode() + b"\0", usedforsecurity=False)
    for chunk in chunks:
        content.update(chunk)
    return content.hexdigest()


class LooseObjects:
    """Writes loose objects into a repository of ours."""

    def __init__(self, repository: Path, object_format: str) -> None:
        self._folder = repository / "objects"
        self._hash = object_format

    def _write(self, kind: str, data: bytes) -> str:
        whole = f"{kind} {len(data)}".encode() + b"\0" + data
        oid = object_id(kind, data, self._hash)
        path = self._folder / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            part = path.with_name(f"tmp_{os.getpid()}_{oid[2:]}")
            part.write_bytes(zlib.compress(whole, 1))
            part.replace(path)
        return oid

    def blob(self, data: bytes) -> str:
        return self._write("blob", data)

    def blob_of(self, chunks: Iterable[bytes], size: int) -> str:
        """Write a blob of `size` bytes in pieces. Raises ValueError if there are more or fewer."""
        header = f"blob {size}".encode() + b"\0"
        content, packer = hashlib.new(self._hash, header, usedforsecurity=False), zlib.compressobj(1)
        part = self._folder / f"tmp_{os.getpid()}_{id(chunks)}"
        with part.open("wb") as file:
            file.write(packer.compress(header))
            for chunk in chunks:
                content.update(chunk)
                size -= len(chunk)
                file.write(packer.compress(chunk))
            file.write(packer.flush())
        if size:
            raise ValueError("a blob of another size than announced")
        oid = content.hexdigest()
        path = self._folder / oid[:2] / oid[2:]
        path.parent.mkdir(exist_ok=True)
        part.replace(path)
        return oid

    def tree(self, entries: Mapping[str, tuple[str, str]]) -> str:
        """Write a tree of name → (mode, object id)."""
        order = sorted(entries, key=lambda name: _bytes(name) + (b"/" if entries[name][0] == TREE else b""))
        data = b"".join(
            b"%s %s\0%s" % (entries[name][0].encode(), _bytes(name), bytes.fromhex(entries[name][1])) for name in order
        )
        return self._write("tree", data)

    def nested_tree(self, files: Mapping[str, str]) -> str:
        """Write the trees of path → blob id; returns the root's id."""
        entries: dict[str, tuple[str, str]] = {}
        below: dict[str, dict[str, str]] = {}
        for path, oid in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                below.setdefault(first, {})[rest] = oid
            else:
                entries[first] = (BLOB, oid)
        for name, inner in below.items():
            entries[name] = (TREE, self.nested_tree(inner))
        return self.tree(entries)

    def commit(self, tree: str, parents: tuple[str, ...], message: str, when: int) -> str:
        lines = [f"tree {tree}", *(f"parent {p}" for p in parents)]
        lines += [f"author {AUTHOR} {when} +0000", f"committer {AUTHOR} {when} +0000", "", message, ""]
        return self._write("commit", "\n".join(lines).encode())

    def tag(self, content: bytes) -> str:
        return self._write("tag", content)


def _bytes(name: str) -> bytes:
    """Return a name as bytes of a tree: some names are not UTF-8."""
    return name.encode(errors="surrogateescape")
