"""The one way in which a sticky comment is kept, on every forge."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ciplug.errors import InputError, listed

NOTE_ROOM = 500
"""Bytes that a comment may grow by the note on the comments that it supersedes; no `comment_limit` counts them."""
AUTHORS = 20
"""Authors of comments with our marker that a forge is asked about: strangers cannot make us ask about thousands."""
_NAMED = 3
"""Superseded comments that the note names."""


@dataclass(frozen=True)
class Comment:
    """A comment as the sticky logic sees it; ids grow with time."""

    id: int
    body: str
    url: str
    author: str


class Thread(Protocol):
    """The comments below one pull request."""

    def comments(self) -> Iterable[Comment]:
        """Return the comments of people and bots, over all pages."""
        ...

    def is_mine(self, comment: Comment) -> bool:
        """Whether the account of the token is known to have written it; writing tells some tokens who they are."""
        ...

    def trusts(self, comment: Comment) -> bool:
        """Whether the author of somebody else's comment belongs to the project: one of its bots, or a member of it.

        Only such a comment can be one of ciplug's, posted with another token. Anybody can write our marker.
        """
        ...

    def create(self, body: str) -> Comment: ...

    def edit(self, comment: Comment, body: str) -> None: ...

    def try_edit(self, comment: Comment, body: str) -> bool:
        """Edit somebody else's comment; False when the token may not."""
        ...

    def delete(self, comment: Comment) -> None:
        """Delete a comment; that it is gone already is fine."""
        ...

    def hide(self, comment: Comment) -> None:
        """Fold a comment as outdated, where the forge has that and the token may; no error otherwise."""
        ...

    def show(self, comment: Comment) -> None:
        """Undo `hide`."""
        ...


@dataclass
class _Upsert:
    """One pass over the comments of a thread."""

    thread: Thread
    marker: str
    body: str
    superseded: dict[int, Comment] = field(default_factory=dict)
    """The comments of other accounts that this token may not edit, by id."""

    def run(self) -> str:
        """Keep one comment; returns its web address."""
        carriers = self._carriers()
        kept, created = self._writable(carriers), None
        if kept is None:
            created = self.thread.create(self._text())
            # A list may lag behind the write; then ours is the only one that we know.
            carriers = {c: x for c, x in self._carriers().items() if c not in self.superseded} | {created.id: created}
            kept = self._writable(carriers) or created
        for other in carriers.values():
            if other.id != kept.id and other.id not in self.superseded:
                self._retire(other, kept)
        # Created by us, and kept: whatever it says by now, another job wrote later.
        if (created is None or kept.id != created.id) and not _same(kept.body, self._text()):
            self._write(kept)
        for comment in self.superseded.values():
            self.thread.hide(comment)
        return kept.url

    def _carriers(self) -> dict[int, Comment]:
        """The comments that are ours, by id, oldest first."""
        marked = (c for c in self.thread.comments() if carries(c.body, self.marker))
        ours = {c.id: c for c in marked if self.thread.is_mine(c) or self.thread.trusts(c)}
        return dict(sorted(ours.items()))

    def _writable(self, carriers: dict[int, Comment]) -> Comment | None:
        """The oldest that this token can keep up to date; one of another account is so by then."""
        for comment in sorted(carriers.values(), key=lambda c: c.id):
            if self.thread.is_mine(comment) or _same(comment.body, self.body):
                return comment
            if self.thread.try_edit(comment, self.body):
                self.thread.show(comment)
                return replace(comment, body=self.body)
            self.superseded[comment.id] = comment
        return None

    def _retire(self, other: Comment, kept: Comment) -> None:
        if self.thread.is_mine(other):
            self.thread.delete(other)
        elif not self.thread.try_edit(other, f"This report is outdated: see [the current one]({kept.url})."):
            self.superseded[other.id] = other
        elif self.thread.is_mine(other):
            self.thread.delete(other)
        else:
            self.thread.hide(other)

    def _write(self, kept: Comment) -> None:
        if self.thread.is_mine(kept):
            self.thread.edit(kept, self._text())
        else:
            self.thread.try_edit(kept, self._text())

    def _text(self) -> str:
        return superseding(self.body, self.marker, self.superseded.values())


def upsert(thread: Thread, marker: str, body: str) -> str:
    """Keep one comment that has the marker; returns its web address.

    One that another account of the project posted, by another token, is taken over where this token may edit it.
    Otherwise ours says which one it supersedes, and that one is hidden where the forge allows it. Comments of
    strangers are never touched, whatever they carry.

    Jobs that race converge: whoever creates a comment looks again, and all keep the oldest.
    """
    return _Upsert(thread, marker, body).run()


def superseding(body: str, marker: str, older: Collection[Comment]) -> str:
    """Return the body with a note, below its marker, on the older comments that it replaces."""
    if not older:
        return body
    links = listed([f"[{number}]({c.url})" for number, c in enumerate(older, 1)], most=_NAMED)
    note = f"> This comment supersedes older ones of other accounts, which are outdated: {links}"
    if len(note.encode()) > NOTE_ROOM - 4:
        note = "> This comment supersedes older ones of other accounts, which are outdated."
    return body.replace(marker, f"{marker}\n\n{note}\n", 1)


def carries(body: str, marker: str) -> bool:
    """Whether the first line is the marker; further below, quoted or inside a sentence it does not count."""
    return body.lstrip("\r\n").partition("\n")[0].rstrip() == marker


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
        raise InputError(f"the first line of the comment is not its marker {marker}")


def _same(one: str, other: str) -> bool:
    """Forges turn line ends and trim."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
