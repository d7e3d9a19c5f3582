"""Fit a comment into a forge's size limit: drop the least important parts, and mention it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ciplug.errors import counted

QUIET = 10
"""Added to the priority of what is about models that passed, beside others."""


@dataclass(frozen=True)
class Block:
    """A paragraph, or rows under a heading: `rows` may be cut at the end, `head` and `tail` never."""

    priority: int
    head: str
    rows: tuple[str, ...] = ()
    tail: str = ""
    noun: str = "row"
    rest: str = ""
    """A pointer to the rows that are cut: ", see the full report"."""
    folded: bool = False
    """Whether the block is in the fold of the models that passed; shown only if the block that opens it is shown."""
    close: str = ""
    """The text that closes the fold, in the block that opens it."""

    def show(self, count: int) -> str:
        """Return the first `count` rows and the number of the others."""
        hidden = len(self.rows) - count
        more = f"\n\n{counted(hidden, f'more {self.noun}')}{self.rest}." if hidden else ""
        return "\n".join((self.head, *self.rows[:count])) + more + self.tail

    @property
    def whole(self) -> str:
        return self.show(len(self.rows))


def _bytes(part: str) -> int:
    return len(part.encode())


def fit(marker: str, blocks: Sequence[Block], limit: int) -> str:
    """The blocks in their order, cut to `limit` bytes; each level of priority is shared out fairly."""
    whole = _join(marker, blocks, {i: block.whole for i, block in enumerate(blocks)})
    if _bytes(whole) <= limit:
        return whole
    room = limit - _bytes(marker) - 1
    if room < -1:
        raise ValueError(f"a comment of {limit} bytes has no room for its marker")

    # The sentence that something is missing comes first: nothing is left out silently where it fits at all.
    last = "Parts are left out for length: `ciplug report` writes all of it."
    if _bytes(last) + 2 <= room:
        room -= _bytes(last) + 2
    else:
        last = ""
    shown: dict[int, str] = {}
    begun = False
    for level in sorted({b.priority for b in blocks}):
        of_level = [
            i for i, b in enumerate(blocks) if b.priority == level and (begun or not b.folded or level == QUIET)
        ]
        # The small ones first: what they leave of their share goes to the larger ones. Those for which a share is too
        # little take what is left over, in their order.
        for fair in (True, False):
            waiting = [i for i in of_level if i not in shown]
            for index in sorted(waiting, key=lambda i: _bytes(blocks[i].whole)) if fair else waiting:
                left = sum(i not in shown for i in of_level) if fair else 1
                ends = _bytes(blocks[index].close) + 2 if blocks[index].close else 0
                part = _cut(blocks[index], room // left - 2 - ends)
                if part is not None:
                    shown[index] = part
                    begun = begun or blocks[index].folded
                    room -= _bytes(part) + 2 + ends
    if sum(blocks[i].folded for i in shown) == 1:
        # A fold with nothing in it.
        shown = {i: part for i, part in shown.items() if not blocks[i].folded}
    return _join(marker, blocks, shown, last)


def _cut(block: Block, room: int) -> str | None:
    """The block with as many rows as there is room for, in bytes; None when not even one fits."""
    if _bytes(block.whole) <= room:
        return block.whole
    fixed = _bytes(block.show(0))
    fitting = [n for n in accumulate(_bytes(row) + 1 for row in block.rows) if fixed + n <= room]
    return block.show(len(fitting)) if fitting else None


def _join(marker: str, blocks: Sequence[Block], shown: Mapping[int, str], last: str = "") -> str:
    parts: list[str] = []
    close = ""
    for index, block in enumerate(blocks):
        if not block.folded:
            parts.append(close)
            close = ""
        parts.append(shown.get(index, "").strip("\n"))
        if index in shown:
            close = close or block.close
    body = "\n\n".join(part for part in (*parts, close, last) if part)
    return f"{marker}\n\n{body}\n" if body else marker
