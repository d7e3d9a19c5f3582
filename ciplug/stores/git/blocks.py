"""The older entries of a registry's log, many in one blob: who reads the newest ones neither fetches nor lists them.

registry/<model>/<first>-<last>.lines      entries in order, a line each
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ciplug.errors import Cause, StoreError
from ciplug.records.keys import EVERY_LOG, EntryKey

SIZE = 256
"""Entries of a block."""
LOOSE = 2 * SIZE
"""Entries of a log from which on the oldest become a block: a reader that begins at the last state needs fewer."""
_NAME = re.compile(rf"(?P<log>{EVERY_LOG}[^/]+)/(?P<first>\d{{6,12}})-(?P<last>\d{{6,12}})\.lines")


class Block(NamedTuple):
    """The entries from one number on."""

    log: str
    first: int

    @property
    def path(self) -> str:
        return f"{self.log}/{self.first:06d}-{self.first + SIZE - 1:06d}.lines"

    @property
    def entries(self) -> list[str]:
        return [EntryKey(self.log, seq).key for seq in range(self.first, self.first + SIZE)]

    @classmethod
    def at(cls, path: str) -> Block | None:
        """The block of this path; None for a file that is none."""
        match = _NAME.fullmatch(path)
        block = match and cls(match["log"], int(match["first"]))
        return block if block and block.first % SIZE == 1 and block.path == path else None

    @classmethod
    def of(cls, log: str, seq: int) -> Block:
        """The block that an entry is in, once it is in one."""
        return cls(log, (seq - 1) // SIZE * SIZE + 1)


def lines_of(block: Block, data: bytes) -> dict[str, bytes]:
    """Key → entry. Raises StoreError where there are more or fewer than its name says."""
    lines = data.split(b"\n")
    if len(lines) != SIZE + 1 or lines.pop():
        raise StoreError(f"{block.path} is damaged: it does not hold {SIZE} entries", cause=Cause.DAMAGED)
    return dict(zip(block.entries, (line + b"\n" for line in lines), strict=True))
