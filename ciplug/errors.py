"""The errors that a user can meet, each class with the exit code of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

_NAMED_MOST = 50


class CiplugError(Exception):
    """Base of every expected error: `message` says what is wrong and where, `hint` what to do."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CiplugError):
    """The command line cannot be carried out as it was given."""

    exit_code = 2


class ConfigError(CiplugError):
    """ciplug.yaml, or an environment variable of ours, is wrong."""

    exit_code = 2


class InputError(CiplugError):
    """A file that the user handed us (metrics, params, artifact, dataset) is wrong."""

    exit_code = 2


class FileNotKept(InputError):
    """The bytes of a file cannot be kept; its digest is, and so is the run."""


class FileChanged(InputError):
    """A file has not the bytes any more that it had when it was recorded."""

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message, hint="a file that is recorded must not be written until the run has been sent")
        self.digest = digest


class RecordError(CiplugError):
    """A stored record cannot be read: corrupt, or not of a shape that we know."""


class GitError(CiplugError):
    """git failed; the message carries git's own words."""


class StoreError(CiplugError):
    """The store did not take or give what was asked: unreachable, refused, corrupt."""


class Conflict(StoreError):
    """Another writer was first; `head` is what the store holds now."""

    def __init__(self, message: str, *, head: object = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.head = head


class ForgeError(CiplugError):
    """The forge's API refused or did not answer."""


class PermissionDenied(ForgeError):
    """The token may not do this; the hint names the permission that is missing."""


class Refusal(Enum):
    """Why a model version may not move to a stage."""

    FORK_JOB = "fork_job"
    """The job that asks is a fork's."""
    PULL_REQUEST_JOB = "pull_request_job"
    UNKNOWN_EVENTS = "unknown_events"
    """The log holds events that only a newer ciplug can read."""
    FORK_RUN = "fork_run"
    """The run was recorded by a fork's job."""
    SAME_STAGE = "same_stage"
    NOT_ADJACENT = "not_adjacent"
    """The version would skip a stage, or go back."""
    NO_VERDICT = "no_verdict"
    OTHER_POLICY = "other_policy"
    """All its verdicts were given by another policy than the one in force."""
    DRY_RUN = "dry_run"
    """It was judged in dry runs only."""
    NOT_PASSED = "not_passed"
    """The last recorded verdict does not allow it."""
    NOT_PASSED_TODAY = "not_passed_today"
    """The recorded verdict allows it, and judging again does not."""
    NO_COMMIT = "no_commit"
    DIRTY_TREE = "dirty_tree"
    NOT_SIGNED = "not_signed"
    OTHER_ENVIRONMENT = "other_environment"
    ENVIRONMENT_UNKNOWN = "environment_unknown"
    """Neither the job nor its forge says which environment it runs in."""
    NOT_APPROVED = "not_approved"
    ACTOR_UNKNOWN = "actor_unknown"
    AUTHOR_UNKNOWN = "author_unknown"
    ACTOR_IS_AUTHOR = "actor_is_author"
    LOST_RACES = "lost_races"
    """Other events were appended first, every time."""


class PromotionRefused(CiplugError):
    """A model version may not move: no passing verdict, or a rule of the registry. `reason` says which."""

    exit_code = 1

    def __init__(self, reason: Refusal, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


def nearest(word: str, known: Sequence[str]) -> str:
    """What was probably meant, for the hint of an error."""
    import difflib

    begun = [one for one in known if word and one.startswith(word)]
    close = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1)
    more = f", and {len(known) - _NAMED_MOST} more" if len(known) > _NAMED_MOST else ""
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(known[:_NAMED_MOST])}{more}"
