"""The folder of a site: a file is written only where it is not there yet, or has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ciplug.errors import UsageError

DATA = "data"
"""The folder of the data, in the site."""
_MARK = ".ciplug-site"
"""The file that every site has: without it, nothing in a folder is ours."""


@dataclass
class SiteFolder:
    """Where a site is written to. Names of files are relative to it, with `/`."""

    path: Path
    written: int = 0
    """Files that were new, or have changed."""
    size: int = 0
    """The bytes of those."""
    _kept: set[str] = field(default_factory=set)

    def open(self) -> None:
        """Make the folder. Raises UsageError for one with other files: nothing of theirs is overwritten."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(self.path.iterdir()) and not (self.path / _MARK).is_file():
                raise UsageError(
                    f"{self.path} has other files than those of a site", hint="name a new folder: --output DIR"
                )
            (self.path / _MARK).touch()
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

    def close(self) -> None:
        """Remove the data that the site no longer names."""
        for file in sorted((self.path / DATA).rglob("*")):
            if file.is_file() and file.relative_to(self.path).as_posix() not in self._kept:
                file.unlink()
