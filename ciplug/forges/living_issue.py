"""The one way in which an issue about a lasting state is kept, on every forge: opened, updated, closed, never two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ciplug.forges.sticky_comment import carries


@dataclass(frozen=True)
class Issue:
    """An open issue; numbers grow with time."""

    number: int
    title: str
    body: str
    url: str
    author: str


class Tracker(Protocol):
    """The issues of one repository."""

    def open_issues(self) -> Iterable[Issue]:
        """Return all of them, over all pages, without pull requests."""
        ...

    def trusts(self, issue: Issue) -> bool:
        """Whether it is by the account of the token, by a bot of the project, or by a member of it.

        Anybody can write our marker.
        """
        ...

    def create(self, title: str, body: str) -> Issue: ...

    def edit(self, issue: Issue, title: str, body: str, *, close: bool = False) -> None: ...


def keep(tracker: Tracker, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
    """Keep one open issue that has the marker on its first line, or none; returns its web address.

    None where there was none to close. Jobs that race converge: whoever opens an issue looks again, and all keep the
    oldest.
    """
    ours = _ours(tracker, marker)
    if not is_open:
        for issue in ours.values():
            tracker.edit(issue, title, body, close=True)
        return next((issue.url for issue in ours.values()), None)
    created = None
    if not ours:
        created = tracker.create(title, body)
        # A list may lag behind the write; then ours is the only one that we know.
        ours = dict(sorted({**_ours(tracker, marker), created.number: created}.items()))
    kept, *others = ours.values()
    for issue in others:
        tracker.edit(issue, issue.title, f"{marker}\n\nThe same as {kept.url}.", close=True)
    if created is None and (kept.title.strip(), _plain(kept.body)) != (title.strip(), _plain(body)):
        tracker.edit(kept, title, body)
    return kept.url


def _ours(tracker: Tracker, marker: str) -> dict[int, Issue]:
    """The open issues with the marker by those who may write it, by number, the oldest first."""
    marked = [issue for issue in tracker.open_issues() if carries(issue.body, marker)]
    return {issue.number: issue for issue in sorted(marked, key=lambda one: one.number) if tracker.trusts(issue)}


def _plain(body: str) -> str:
    """Forges turn line ends and trim."""
    return body.replace("\r\n", "\n").strip()
