"""The cause of a store's error, from what git failed for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.errors import Cause, GitKind

if TYPE_CHECKING:
    from ciplug.git.failures import Failure

_CAUSES = {
    GitKind.DISK_FULL: Cause.FULL,
    GitKind.PROTECTED: Cause.PROTECTED,
    GitKind.NO_CREDENTIAL: Cause.NO_CREDENTIAL,
    GitKind.BAD_CREDENTIAL: Cause.BAD_CREDENTIAL,
    GitKind.FORBIDDEN: Cause.FORBIDDEN,
    GitKind.NETWORK: Cause.NETWORK,
    GitKind.NOT_FOUND: Cause.NOT_FOUND,
    GitKind.DECLINED: Cause.RULE,
    GitKind.STALE: Cause.CONFLICT,
    GitKind.MOVED: Cause.CONFLICT,
    GitKind.LOCKED: Cause.CONFLICT,
    GitKind.UNKNOWN_OBJECT: Cause.LOST,
    GitKind.MISSING_OBJECTS: Cause.LOST,
    GitKind.UNREADABLE: Cause.DAMAGED,
    GitKind.DAMAGED: Cause.DAMAGED,
}
"""In this order: of several kinds, the first decides. Only `NETWORK` passes by itself, so it comes late."""


def cause_of(failure: Failure) -> Cause:
    """Return the meaning of a git failure for a store."""
    return next((cause for kind, cause in _CAUSES.items() if kind in failure.kinds), Cause.UNKNOWN)


def needs_parents(kinds: frozenset[GitKind]) -> bool:
    """Whether the host refuses a tip that does not follow the one before."""
    return bool(kinds & {GitKind.BEHIND, GitKind.PROTECTED})
