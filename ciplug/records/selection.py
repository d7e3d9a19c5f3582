"""Why a run does not count for its commit: what the choice of a run says, and what reports read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ciplug.errors import listed
from ciplug.records.provenance import moved_words


class Reason(str, Enum):
    """Why another run was chosen, or none: the first rule that decided against this one, in the order of the rules."""

    WITHDRAWN = "withdrawn"
    """It was withdrawn or deleted, its parent was, or an amendment of it cannot be read. It never counts."""
    FORK = "fork"
    """A fork's job recorded it. It is never a baseline, and it represents a commit only where no trusted run does."""
    UNSIGNED = "unsigned"
    """The policy names signers, and none of them has signed it. It counts as a fork's run does."""
    DIRTY = "dirty"
    """Tracked files differed from the commit, or its command checked out another one. It never counts."""
    SET_ASIDE = "set_aside"
    """Files differed from the commit, and `clean:` of the policy in force does not ignore them. It never counts."""
    STATE_UNKNOWN = "state_unknown"
    """Nobody recorded whether tracked files differed from the commit. It never counts."""
    NOT_FINISHED = "not_finished"
    """Its training, or that of its parent, failed or was killed."""
    END_UNKNOWN = "end_unknown"
    """Its program, or that of its parent, ended with an exit code that nobody knows."""
    LAPTOP = "laptop"
    """A person's machine recorded it, and not a pipeline."""
    CHILD = "child"
    """It is a child run, and the commit, or what is compared with it, has a run that is not."""
    INCOMPLETE = "incomplete"
    """It has fewer of the metrics that gates look at, or of those to compare."""
    EARLIER = "earlier"
    """It is as good as the chosen run, and started before it."""


REPORTED_REASONS = (
    *(Reason.WITHDRAWN, Reason.FORK, Reason.UNSIGNED, Reason.DIRTY, Reason.SET_ASIDE, Reason.STATE_UNKNOWN),
    *(Reason.NOT_FINISHED, Reason.END_UNKNOWN, Reason.LAPTOP),
)
"""Reasons that a report names: somebody may have expected these runs to count."""
_NAMED_MOST = 3
"""Files that a clause names."""


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """A run that was not chosen, with the reason."""

    run: str
    reason: Reason
    commit: str | None = None
    files: tuple[str, ...] = ()
    """The first of the files that differed from the commit."""
    more_files: int = 0
    """The number of the others."""
    head_after: str | None = None
    """The commit that its command checked out."""
    objection: str | None = None
    """Who withdrew or deleted it, and why, as one clause: "withdrawn by alice: wrong labels"."""

    @property
    def words(self) -> str:
        """The reason as a clause whose subject is the run: "was made from a dirty tree"."""
        if self.reason is Reason.WITHDRAWN:
            return f"was {self.objection}"
        if self.reason is Reason.DIRTY and self.head_after:
            return moved_words(self.head_after)
        named = listed(self.files, len(self.files) + self.more_files, most=_NAMED_MOST)
        if self.reason is Reason.DIRTY and self.files:
            return f"was made from a dirty tree: {named} differed from the commit"
        if self.reason is Reason.SET_ASIDE:
            return f"ignored files that differ from the commit, and the policy in force does not ignore them: {named}"
        return WORDS[self.reason]


WORDS = {
    Reason.FORK: "was recorded by a fork's job",
    Reason.UNSIGNED: "has no signature of an allowed signer",
    Reason.DIRTY: "was made from a dirty tree: tracked files differed from the commit",
    Reason.STATE_UNKNOWN: "did not record whether its files were those of the commit",
    Reason.NOT_FINISHED: "did not finish",
    Reason.END_UNKNOWN: "ended with an exit code that is not known",
    Reason.LAPTOP: "was recorded on a person's machine, not by a pipeline",
    Reason.CHILD: "is a child run",
    Reason.INCOMPLETE: "has fewer of the metrics that the gates use",
    Reason.EARLIER: "started before the run that counts",
}
"""The reasons that need no more facts than the run, as clauses whose subject is the run."""
