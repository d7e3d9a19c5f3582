"""Bundles in files, folders and glob patterns of this machine."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from ciplug.bundles.source import CHUNK, FoundBundle, Origin, bounded, digest_of, fits
from ciplug.errors import CiplugError, InputError
from ciplug.records import bundle
from ciplug.records.bundle import FILES


class Files:
    """Files, folders and glob patterns of this machine."""

    def __init__(self, paths: Sequence[str], pattern: str, origin: Origin) -> None:
        self.name = ", ".join(paths)
        self._paths = paths
        self._pattern = pattern
        self._origin = origin

    def origin(self) -> Origin:
        return self._origin

    def bundles(self, *, with_files: bool) -> Iterator[FoundBundle]:
        """A file that is named counts whatever it is called; in a folder, those that match the pattern."""
        for given in self._paths:
            paths = [Path(given)] if Path(given).exists() else _matching(given)
            files = [file for path in paths for file in self._in(path)]
            if not files:
                yield FoundBundle(given, InputError(f"{given}: no bundle", hint=f"looked for {self._pattern}"))
            yield from (FoundBundle(str(path), _read(path), _beside(path) if with_files else {}) for path in files)

    def _in(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        return sorted(p for p in path.rglob("*") if p.is_file() and fits(p.relative_to(path).as_posix(), self._pattern))


def _beside(bundle: Path) -> dict[str, bytes | Path]:
    """The files of artifacts that lie beside a bundle."""
    found = ((digest_of(path.as_posix(), bundle.as_posix()), path) for path in (bundle.parent / FILES).glob("*"))
    return {digest: path for digest, path in found if digest}


def _matching(given: str) -> list[Path]:
    return sorted(map(Path, glob.glob(given, recursive=True)))  # noqa: PTH207 (it may be an absolute pattern)


def _read(path: Path) -> bytes | CiplugError:
    try:
        if not path.is_file():
            return InputError(f"{path}: a file or a folder is expected")
        with path.open("rb") as file:
            return bounded(iter(lambda: file.read(CHUNK), b""), str(path), bundle.MAX_BYTES)
    except OSError as problem:
        return InputError(f"{path}: {problem.strerror}")
