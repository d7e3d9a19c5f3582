"""The one way in which a sticky comment is kept, on every forge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ciplug.errors import InputError


@dataclass(frozen=True)
class Comment:
    """A comment as the sticky logic sees it; ids grow with time."""

    id: int
    body: str
    url: str
    author: str


class Thread(Protocol):
    """The comments below one pull request."""

    def mine(self) -> Iterable[Comment]:
        """All comments of our own, over all pages."""
        ...

    def create(self, body: str) -> Comment: ...

    def edit(self, comment: Comment, body: str) -> None: ...

    def delete(self, comment: Comment) -> None:
        """Delete a comment; that it is gone already is fine."""
        ...


def upsert(thread: Thread, marker: str, body: str) -> str:
    """Keep one comment of our own that carries the marker; returns its web address.

    Jobs that race converge: whoever creates a comment looks again, and all keep the oldest.
    """
    carriers = _carriers(thread, marker)
    created = None
    if not carriers:
        created = thread.create(body)
        # A list may lag behind the write; then ours is the only one that we know.
        carriers = {**_carriers(thread, marker), created.id: created}
    oldest = carriers.pop(min(carriers))
    for extra in carriers.values():
        thread.delete(extra)
    # Ours and the oldest: whatever it says by now, another job wrote later.
    if oldest is not created and not _same(oldest.body, body):
        thread.edit(oldest, body)
    return oldest.url


def carries(body: str, marker: str) -> bool:
    """Whether the marker stands on a line of its own; quoted or inside a sentence it does not count."""
    return any(line.rstrip() == marker for line in body.splitlines())


def check_body(body: str, marker: str, limit: int) -> None:
    """Refuse a comment that the forge would not take, or that we would not find again.

    Raises InputError.
    """
    size = len(body.encode())
    if size > limit:
        raise InputError(
            f"the comment has {size:,} bytes, and the forge takes {limit:,}",
            hint="shorten the report, or link to the full one",
        )
    if not carries(body, marker):
        raise InputError(f"the comment does not carry its marker {marker} on a line of its own")


def _carriers(thread: Thread, marker: str) -> dict[int, Comment]:
    return {c.id: c for c in thread.mine() if carries(c.body, marker)}


def _same(one: str, other: str) -> bool:
    """Forges turn line ends and trim."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
