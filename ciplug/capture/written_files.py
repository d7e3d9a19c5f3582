"""Which files a command has written: those that differ from what they were before it began, by more than permissions.

A file counts as written when it is new, when another file has taken its place (a rename), or when its size, its time
of modification or its time of change differs. The time of change shows a write after which the time of modification
was set back, as `cp -p` and `tar` do. Permissions, owner and hard links change it too: where they explain the
difference, nothing was written. What a symbolic or a hard link newly points to counts by its own times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SECOND = 1_000_000_000
"""In nanoseconds."""
COARSEST = 2 * SECOND
"""Nanoseconds: the coarsest clock of a file system, that of FAT."""


class Stamp(NamedTuple):
    """What a file system knows of a file, besides its content."""

    inode: tuple[int, int]
    size: int
    modified: int
    """Nanoseconds since 1970."""
    changed: int
    """When content, links, owner or permissions last changed, in nanoseconds since 1970; on Windows, the creation."""
    attributes: tuple[int, int, int, int]
    """Permissions, number of links, user, group."""

    @classmethod
    def of(cls, file: Path) -> Stamp | None:
        """None where there is no file."""
        try:
            status = file.stat()
        except OSError:
            return None
        attributes = (status.st_mode, status.st_nlink, status.st_uid, status.st_gid)
        return cls((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns, status.st_ctime_ns, attributes)

    @classmethod
    def parse(cls, raw: Any) -> Stamp | None:
        """Read a stamp back from JSON; None for that of no file."""
        if raw is None:
            return None
        inode, size, modified, changed, attributes = raw
        return cls(tuple(inode), size, modified, changed, tuple(attributes))


def is_rewritten(before: Stamp, now: Stamp) -> bool:
    """Whether the file was written between two looks at it. Pure."""
    if before[:3] != now[:3]:
        return True
    return before.changed != now.changed and before.attributes == now.attributes


_TICK = 50_000_000
"""Nanoseconds: more than the clock that stamps files lags behind the one that programs read."""


def older_than(path: Path, since: int) -> list[Path]:
    """Return the files of an output that were last written before a moment, in nanoseconds since 1970."""
    older = []
    for file in files_of(path):
        stamp = Stamp.of(file)
        if stamp is None:
            continue
        last = _last_write(stamp, time.time_ns())
        if last < since - (COARSEST if last % SECOND == 0 else _TICK):
            older.append(file)
    return older


def newer_than(path: Path, until: int) -> list[Path]:
    """Return the files of an output that were last written after a moment, in nanoseconds since 1970."""
    stamps = {file: Stamp.of(file) for file in files_of(path)}
    return [file for file, stamp in stamps.items() if stamp and stamp.modified > until + _TICK]


def _last_write(stamp: Stamp, now: int) -> int:
    """Return the last time at which a file may have been written, in nanoseconds since 1970. Pure.

    The time of change counts too, as far as no other hard link explains it. A time of modification that is still to
    come was set by somebody, and shows no write.
    """
    if stamp.modified > now:
        return stamp.changed
    return stamp.modified if stamp.attributes[1] > 1 else max(stamp.modified, stamp.changed)


def written_since(stamps: Mapping[str, Any], top: Path) -> set[str]:
    """Return the files that were written since their stamps were taken.

    Args:
        stamps: the path of each, from `top`, and its stamp, as JSON has it.
    """
    looks = {path: (Stamp.parse(raw), Stamp.of(top / path)) for path, raw in stamps.items()}
    return {
        path
        for path, (before, now) in looks.items()
        if (is_rewritten(before, now) if before and now else before != now)
    }


def until_seen(stamps: Iterable[Stamp], now: int) -> int:
    """Nanoseconds to wait, until a write would change the stamp of each file.

    A file system with a clock of whole seconds gives two writes in one of them the same time. Pure.
    """
    coarse = [s.modified for s in stamps if s.modified % SECOND == 0 and s.changed % SECOND == 0]
    recent = [now - modified for modified in coarse if 0 <= now - modified < COARSEST]
    return COARSEST - min(recent) if recent else 0


@dataclass(frozen=True)
class Outputs:
    """The files and folders that a command is to write, as they were before it began."""

    began: int
    """Nanoseconds since 1970."""
    stamps: Mapping[Path, Stamp]
    """By the file itself, behind all links."""

    @classmethod
    def before(cls, paths: Sequence[Path]) -> Outputs:
        """Look at files, and at every file of folders; waits for up to 2 s where the file system's clock is coarse."""
        stamps = {real: stamp for path in paths for real in map(_real, files_of(path)) if (stamp := Stamp.of(real))}
        if wait := until_seen(stamps.values(), time.time_ns()):
            time.sleep(wait / SECOND)
        return cls(time.time_ns(), stamps)

    def unwritten(self, path: Path) -> list[Path]:
        """The files of an output that were there before, and that nobody has written since."""
        return [file for file in files_of(path) if not self._is_written(file)]

    def has_written(self, paths: Iterable[Path]) -> bool:
        """Whether a file of these outputs was written."""
        return any(self._is_written(file) for path in paths for file in files_of(path))

    def _is_written(self, file: Path) -> bool:
        real = _real(file)
        before, now = self.stamps.get(real), Stamp.of(real)
        if now is None:
            return True
        if before is not None:
            return is_rewritten(before, now)
        is_linked = real != _absolute(file) or now.attributes[1] > 1
        return not is_linked or _last_write(now, time.time_ns()) >= self.began - COARSEST


def is_pattern(path: Path) -> bool:
    """Whether a path stands for the files that match it: `version_*/metrics.csv`, where no file has that very name."""
    return bool(set(str(path)) & set("*?[")) and not path.exists()


def matches(pattern: Path) -> list[Path]:
    """The files and folders that match a pattern, sorted."""
    import glob

    return sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207 (a path may be absolute)


def newest(pattern: Path, left_out: Collection[Path]) -> Path | None:
    """Of what matches a pattern, what was written last; None if nothing matches that is not left out."""
    written = {
        path: max(file.stat().st_mtime_ns for file in files)
        for path in matches(pattern)
        if (files := without(files_of(path), left_out))
    }
    return max(written, key=lambda path: (written[path], path), default=None)


def files_of(path: Path) -> list[Path]:
    """Return a file itself, or every file below a folder, sorted; of nothing, none. Links to folders stay out.

    Of a pattern, those of all that matches.
    """
    if is_pattern(path):
        return [file for match in matches(path) for file in files_of(match)]
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for base, _, names in os.walk(path) for name in names if (file := Path(base) / name).is_file())


def without(files: Iterable[Path], left_out: Collection[Path]) -> list[Path]:
    """The files without those left out, whichever way either is named."""
    return [file for file in files if _absolute(file) not in left_out]


def is_in(file: Path, places: Collection[Path]) -> bool:
    """Whether a file is one of these absolute paths, or below one."""
    full = _absolute(file)
    return any(place in places for place in (full, *full.parents))


def absolute(files: Iterable[Path]) -> frozenset[Path]:
    """Files as `without` takes them."""
    return frozenset(map(_absolute, files))


def _absolute(file: Path) -> Path:
    return Path(os.path.abspath(file))  # noqa: PTH100 (a link stays the link that it is)


def _real(file: Path) -> Path:
    return Path(os.path.realpath(file))
