"""The folder of a site: a file is written only where it is not there yet, or has changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from ciplug.errors import UsageError

DATA = "data"
"""The folder of the data, in the site."""
_MARK = ".ciplug-site"
"""The file that every site has: without it, nothing in a folder is ours. It has the digest of its store, and its title.

The site may be public: so the address of the store is not in it.
"""


@dataclass
class SiteFolder:
    """Where a site is written to. Names of files are relative to it, with `/`."""

    path: Path
    written: int = 0
    """Files that were new, or have changed."""
    size: int = 0
    """The bytes of those."""
    _kept: set[str] = field(default_factory=set)

    def open(self, place: str, title: str, name: str) -> None:
        """Make the folder.

        Raises UsageError for one with other files, or with the site of another store: neither is overwritten.

        Args:
            place: of the store, the same for every address at which it is reached.
            title: of the site.
            name: of the store, as a person knows it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            mark = self.path / _MARK
            if any(self.path.iterdir()) and not mark.is_file():
                raise UsageError(
                    f"{self.path} has other files than those of a site", hint="name a new folder: --output DIR"
                )
            own = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()
            written, _, other = mark.read_text(encoding="utf-8").partition("\n") if mark.is_file() else ("", "", "")
            if written not in ("", own):
                raise UsageError(
                    f"{self.path} has the site of another store, {other.strip()!r}, not of {name}",
                    hint="name another folder: --output DIR. If the store has moved, remove this one",
                )
            if not written:
                mark.write_text(f"{own}\n{title}\n", encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"{self.path} cannot be written: {problem.strerror}") from None

    def has(self, name: str) -> bool:
        """Whether a file that never changes is there already; it stays."""
        if not (self.path / name).is_file():
            return False
        self._kept.add(name)
        return True

    def put(self, name: str, content: bytes) -> None:
        """Write a file, unless it is there with this content. A reader sees the old one or the new one."""
        self._kept.add(name)
        file = self.path / name
        if file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.new")
        draft.write_bytes(content)
        draft.replace(file)
        self.written += 1
        self.size += len(content)

    def close(self) -> list[str]:
        """Remove the data that the site no longer names, and return the names of files that are not of the site."""
        own = {*self._kept, _MARK, ".git"}
        for file in sorted((self.path / DATA).rglob("*")):
            if file.is_file() and file.relative_to(self.path).as_posix() not in own:
                file.unlink()
        return sorted(
            entry.name
            for entry in self.path.iterdir()
            if not any(name == entry.name or name.startswith(f"{entry.name}/") for name in own)
        )
