"""A merged pull request, and who approved it, as the API of its forge tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from ciplug.forges.account import Account


class Approval(NamedTuple):
    """An approval that was given before the merge, and was not withdrawn."""

    by: Account
    """A person who may write to the repository."""
    commit: str
    """The last commit of the pull request when it was approved."""
    start: str | None
    """Where that commit left the branch that it went into; None: nobody knows."""


@dataclass(frozen=True, kw_only=True)
class MergedPullRequest:
    """What was proposed, who agreed to it, and what came of it."""

    number: int
    url: str
    base: str
    """The branch that it went into."""
    start: str
    """The commit that it started from: where it left that branch."""
    head: str
    """The last commit that it proposed."""
    commit: str
    """The commit by which it came into that branch."""
    author: str
    """The account that opened it."""
    merged_at: datetime
    merged_by: str | None
    approvals: tuple[Approval, ...]
    pushers: frozenset[str] | None
    """The accounts that pushed to it; None: the forge does not tell, or a bot did, or has opened it."""

    def independent(self) -> tuple[Approval, ...]:
        """The approvals by people who neither opened it nor pushed to it."""
        own = {login.casefold() for login in (self.author, *(self.pushers or ()))}
        return tuple(one for one in self.approvals if one.by.login.casefold() not in own)
