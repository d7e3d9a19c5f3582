"""What every forge does, and the one way in which a sticky comment is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn, Protocol

from ciplug.errors import ForgeError, InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

State = Literal["pending", "success", "failure", "error"]
Kind = Literal["github", "gitlab", "gitea", "bitbucket"]

TIMEOUT = 10
"""Seconds to wait for a forge to answer one request."""
RETRIES = 4
"""How often a request is sent again after network trouble, a 5xx or a rate limit."""
MAX_WAIT = 60
"""Seconds that a forge may ask us to wait at a time; beyond that the job is better off without its comment."""


class Right(NamedTuple):
    """Whether a token may do something, as far as the forge tells without a trace."""

    to: Literal["comment", "status"]
    granted: bool | None
    """None: the forge does not tell."""
    said: str
    """How that is known."""


class OpenPullRequest(NamedTuple):
    """An open pull request, as the forge tells of it."""

    number: int
    head: str
    """The commit that it has come to, or the beginning of its id."""
    base: str
    """The branch that it is to go into."""


class Forge(Protocol):
    """Takes the comment on a pull request and the status of a commit.

    Each method raises PermissionDenied when the token may not do it, ForgeError on any other trouble.
    """

    name: str
    """github, gitlab, gitea or bitbucket."""
    comment_limit: int
    """Bytes of UTF-8 that a comment may have."""
    token_hint: str
    """Which token or permission lets comments be written."""
    html: bool
    """Whether a comment may hold HTML. Where it is shown as text, the marker is a link reference definition."""

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        """The open pull request whose head is `commit`, None when there is none.

        Of several it is one that goes into the branch `into`, and of those the one with the highest number.

        `branch` is its source branch, as `owner:branch` where it is a fork's.
        """
        ...

    def head_of(self, number: int) -> str:
        """The commit that a pull request proposes by now, or the beginning of its id."""
        ...

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        """Make `body` our one comment that carries `marker` on a line of its own; returns its web address.

        Nothing is written when the comment already says so.
        """
        ...

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        """Set the status `name` of a commit; a description that is too long for the forge is cut."""
        ...

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """Leave this one of `among` on the pull request; its other labels stay as they are."""
        ...

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """Say that `commit` is what an environment runs from now on."""
        ...

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """The accounts that have let this pipeline run into a protected environment.

        None where the forge does not tell.
        """
        ...

    def accounts(self, commit: str) -> set[str]:
        """The accounts of who wrote a commit and who committed it, as far as the forge knows them."""
        ...

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """What the token may do: nothing is written.

        Whether it may comment is asked of the pull request `number`, whether it may set a status of `commit`; what
        is None is not asked, where it cannot be. Raises PermissionDenied when the token is not accepted at all.
        """
        ...


@dataclass(frozen=True)
class Place:
    """Where to talk to, about which repository, with which token."""

    kind: Kind
    api_url: str
    repository: str
    token: str = field(repr=False)


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


def preferred(found: Iterable[OpenPullRequest], into: str | None) -> OpenPullRequest | None:
    """Of the pull requests of one commit the one that it is judged for: whoever opens another does not choose."""
    return max(found, key=lambda pull: (pull.base == into, pull.number), default=None)


def upsert(thread: Thread, marker: str, body: str) -> str:
    """Keep one comment of our own that carries the marker; returns its web address.

    Jobs that race converge: whoever creates a comment looks again, and all keep the oldest.
    """
    found = _carriers(thread, marker)
    created = None
    if not found:
        created = thread.create(body)
        # A list may lag behind the write; then ours is the only one that we know.
        found = {**_carriers(thread, marker), created.id: created}
    oldest = found.pop(min(found))
    for extra in found.values():
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


def cut(text: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def words(message: object) -> str:
    """What a forge said, as `: its words`, or nothing when it is no short plain sentence."""
    if isinstance(message, bytes):
        message = message.decode(errors="replace")
    if not isinstance(message, str) or not message.strip() or re.search(r"[<{\[]", message):
        return ""
    return ": " + cut("".join(c if c.isprintable() else " " for c in message), 200)


def check_wait(forge: str, seconds: float) -> None:
    """Raises ForgeError where a forge asks to wait for longer than MAX_WAIT."""
    if seconds > MAX_WAIT:
        raise ForgeError(
            f"{forge} asks to wait {seconds:.0f} s, more than the {MAX_WAIT} s that ciplug waits",
            hint="try again later",
        )


def not_understood(address: str) -> ForgeError:
    """The error for an answer of a shape that no forge gives, such as a proxy's login page."""
    return ForgeError(f"{address} gave an answer that is not understood", hint="check the address of the API")


def unreachable(address: str, error: Exception) -> NoReturn:
    """Say in one line why no answer came. Raises ForgeError from an exception of requests."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    # Whoever has tried again calls the last timeout a failed connection.
    last = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(last, ReadTimeoutError):
        error = requests.exceptions.Timeout()
    kinds: tuple[tuple[type[Exception], str, str], ...] = (
        (requests.exceptions.RetryError, "kept failing", "try again later"),
        (requests.exceptions.Timeout, f"did not answer within {TIMEOUT} s", "try again later"),
        (requests.exceptions.ProxyError, "cannot be reached through the proxy", "check HTTPS_PROXY and NO_PROXY"),
        (
            requests.exceptions.SSLError,
            "has a certificate that this machine does not trust",
            "point REQUESTS_CA_BUNDLE to your CA file",
        ),
        (requests.exceptions.ConnectionError, "cannot be reached", "check the network and the address"),
    )
    for kind, text, hint in kinds:
        if isinstance(error, kind):
            raise ForgeError(f"{address} {text}", hint=hint) from None
    raise not_understood(address) from None


def _carriers(thread: Thread, marker: str) -> dict[int, Comment]:
    return {c.id: c for c in thread.mine() if carries(c.body, marker)}


def _same(one: str, other: str) -> bool:
    """Forges turn line ends and trim."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
