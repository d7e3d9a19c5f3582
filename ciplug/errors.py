"""The errors that a user can meet, each class with the exit code of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from enum import Enum, auto
from typing import TypeVar

_NAMED_MOST = 50


class CiplugError(Exception):
    """Base of every expected error: `message` describes the problem and its place, `hint` gives the remedy."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message with the hint: what a traceback of a training that calls the Python API shows."""
        return self.message + (f"\n  -> {self.hint}" if self.hint else "")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a signal, has ended work that can be gone on with. `hint` has the command that does.

    Args:
        is_last_word: whether the hint counts whatever work this one is a part of.
    """

    exit_code = 130

    def __init__(self, hint: str | None, *, exit_code: int = exit_code, is_last_word: bool = False) -> None:
        super().__init__()
        self.hint = hint
        self.exit_code = exit_code
        self.is_last_word = is_last_word


class UsageError(CiplugError):
    """The command line cannot be carried out as it was given."""

    exit_code = 2


class ForkJob(UsageError):
    """A fork's job must not do this: a job of the project itself may."""


class NotFound(UsageError):
    """No run, commit, model or version has the name that was given, or more than one has."""


class ConfigError(CiplugError):
    """ciplug.yaml, or an environment variable of ours, is wrong."""

    exit_code = 2


class InputError(CiplugError):
    """A file that the user handed us (metrics, params, artifact, dataset) is wrong."""

    exit_code = 2

    def __init__(
        self, message: str, *, hint: str | None = None, what: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.what = what or message
        """The message without the place."""
        self.line = line


class FileNotKept(InputError):
    """The content of a file cannot be kept; its digest and the run are kept."""


class FileChanged(InputError):
    """A file has not the bytes any more that it had when it was recorded."""

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message, hint="a file that is recorded must not be written until the run has been sent")
        self.digest = digest


class RecordError(CiplugError):
    """A stored record cannot be read: corrupt, or not of a shape that we know."""


class NewerRecord(RecordError):
    """A record of a schema that only a newer ciplug reads: it is not damaged."""


class GitKind(Enum):
    """The kind of a git failure. Of several, the first in this order is the most specific."""

    NOT_INSTALLED = auto()
    NOT_A_REPOSITORY = auto()
    PUSH_OFF = auto()
    """The configuration gives the remote no address that could be pushed to, such as `no_push`: git is not started."""
    DUBIOUS_OWNERSHIP = auto()
    NO_ATOMIC = auto()
    """The server does not support `--atomic`."""
    NO_REF = auto()
    """The remote has no ref of that name."""
    UNKNOWN_OBJECT = auto()
    """The remote does not give out an object of that id: `not our ref`."""
    MISSING_OBJECTS = auto()
    """The remote lacks objects that the new tip of a ref needs."""
    UNREADABLE = auto()
    """An object cannot be read."""
    DAMAGED = auto()
    """A pack or an object is damaged or lost, at the remote or on the way."""
    DISK_FULL = auto()
    STALE = auto()
    """A ref is not where the push expected it: another writer was first."""
    MOVED = auto()
    """A ref moved while the server took the push."""
    BEHIND = auto()
    """The new tip does not follow the tip of the remote's branch."""
    LOCKED = auto()
    """The server could not lock or move a ref: another push was moving it."""
    EXISTS = auto()
    """The ref was to be created, and exists."""
    NAME_CLASH = auto()
    """A ref cannot be beside another one: `a` and `a/b`."""
    NOT_SENT = auto()
    """A ref of an atomic push that was not sent, because another ref of that push would be refused."""
    ROLLED_BACK = auto()
    """A ref of an atomic push that the server did not move, because it refused another ref of that push."""
    PROTECTED = auto()
    NO_CREDENTIAL = auto()
    BAD_CREDENTIAL = auto()
    """A credential was sent, and the host does not know it."""
    FORBIDDEN = auto()
    """The host knows the account, which may not do this."""
    NETWORK = auto()
    """The connection failed, so the same may go well later."""
    NOT_FOUND = auto()
    """The repository does not exist, or is hidden from this account."""
    DECLINED = auto()
    """A hook or a rule of the host declined the push."""
    SILENT = auto()
    """git failed without a word: so ends a fetch with `--depth` of patterns that match nothing."""
    UNKNOWN = auto()


class GitError(CiplugError):
    """git failed; the message carries git's own words."""

    def __init__(self, message: str, *, hint: str | None = None, kind: GitKind = GitKind.UNKNOWN) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class Cause(Enum):
    """The cause of a failed request to a store."""

    NETWORK = auto()
    NO_CREDENTIAL = auto()
    BAD_CREDENTIAL = auto()
    """A credential was sent, and the place does not accept it."""
    FORBIDDEN = auto()
    """The credential is accepted, and may not do this."""
    NOT_FOUND = auto()
    """The repository, bucket, folder or job does not exist, or is hidden from this account."""
    PROTECTED = auto()
    """The branch is protected."""
    IN_THE_WAY = auto()
    """A ref of somebody else stands where ours must be: `a` and `a/b` cannot both exist."""
    RULE = auto()
    """Another rule of the host."""
    CONFLICT = auto()
    """Another writer was first."""
    DAMAGED = auto()
    LOST = auto()
    """Something that the store names is missing."""
    FULL = auto()
    """The disk is full."""
    TOO_LARGE = auto()
    FORMAT = auto()
    """It is not a store, or of a format that this version does not read."""
    LIBRARY_MISSING = auto()
    UNSUPPORTED = auto()
    """This kind of store does not support the request."""
    UNKNOWN = auto()


_StoreError = TypeVar("_StoreError", bound="StoreError")


class StoreError(CiplugError):
    """A request to the store failed; `cause` has the reason, as far as it is known."""

    def __init__(self, message: str, *, hint: str | None = None, cause: Cause = Cause.UNKNOWN) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause

    def reworded(self: _StoreError, message: str, hint: str | None) -> _StoreError:
        """The same error with another message and hint; its class and cause stay."""
        other = copy(self)
        other.args, other.message, other.hint = (message,), message, hint
        return other


class RemoteError(StoreError):
    """The git repository of a store refused a push or a fetch, or did not answer."""


class Conflict(StoreError):
    """Another writer was first; `head` is what the store holds now."""

    def __init__(self, message: str, *, head: object = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, cause=Cause.CONFLICT)
        self.head = head


class BrokenLog(StoreError):
    """A log does not follow from its beginning, cannot be read, or is not what this clone has seen of it."""


class ForgeKind(Enum):
    """The kind of a forge's error answer."""

    TOKEN = auto()
    """The token is not accepted."""
    PERMISSION = auto()
    """The token lacks a permission."""
    NOT_FOUND = auto()
    """It is not there, or the token may not see it."""
    LOCKED = auto()
    """The conversation is locked."""
    ARCHIVED = auto()
    """The repository is archived."""
    DISABLED = auto()
    """Issues or pull requests are disabled."""
    IP_ALLOW_LIST = auto()
    SSO = auto()
    """The token is not authorized for the organization's single sign-on."""
    TWO_FACTOR = auto()
    TOKEN_KIND = auto()
    """The organization does not accept tokens of this kind."""
    SUSPENDED = auto()
    """The account of the token is suspended everywhere."""
    BLOCKED = auto()
    """The account of the token is blocked by an owner of the repository."""
    INTERACTION_LIMIT = auto()
    """Only some accounts may comment for a while."""
    SPAM = auto()
    UNAVAILABLE = auto()
    """The forge itself has blocked the repository."""
    RATE_LIMIT = auto()
    UNKNOWN = auto()


class ForgeError(CiplugError):
    """The forge's API refused or did not answer; `kind` has the reason, as far as the answer shows it."""

    def __init__(self, message: str, *, hint: str | None = None, kind: ForgeKind = ForgeKind.UNKNOWN) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class PermissionDenied(ForgeError):
    """This job lacks a permission, so a retry cannot help; the hint names what has to change."""


class Refusal(Enum):
    """The reason why a model version may not move to a stage."""

    FORK_JOB = "fork_job"
    """The job that asks is a fork's."""
    PULL_REQUEST_JOB = "pull_request_job"
    UNKNOWN_EVENTS = "unknown_events"
    """The log holds events that only a newer ciplug can read."""
    FORK_RUN = "fork_run"
    """The run was recorded by a fork's job."""
    NOT_OF_PIPELINE = "not_of_pipeline"
    """A person's machine recorded the run, and `record: ci` takes runs of pipelines only."""
    WITHDRAWN = "withdrawn"
    """The run was withdrawn or deleted, or an amendment of it cannot be read."""
    UNKNOWN_AMENDMENTS = "unknown_amendments"
    """The run has amendments that only a newer ciplug understands."""
    YANKED = "yanked"
    """The version was yanked: nobody should use it."""
    IN_USE = "in_use"
    """The version is in a stage, or has an alias."""
    NEVER_PASSED = "never_passed"
    """The version was never promoted to the stage that it would come back to."""
    NOBODY_BEFORE = "nobody_before"
    """No other version has held the stage, so none can come back."""
    GATED_STAGE = "gated_stage"
    """Only a promotion, a rollback or a demotion changes the versions in this stage."""
    NAME_TAKEN = "name_taken"
    """The model, or the version of the run, exists already; or the name is reserved."""
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
    NO_RUN = "no_run"
    """The version was registered without a run."""
    NO_COMMIT = "no_commit"
    DIRTY_TREE = "dirty_tree"
    SET_ASIDE = "set_aside"
    """Files differed from the commit, and `clean:` of the policy in force does not ignore them."""
    TREE_UNKNOWN = "tree_unknown"
    """The run did not record whether its tree was clean."""
    NO_FILE = "no_file"
    """The run has no artifact, so the version would be no file at all."""
    EMPTY_FILE = "empty_file"
    """An artifact of the run, or a file of one that is a folder, has no byte."""
    FILE_NOT_KEPT = "file_not_kept"
    """No store has the content of an artifact."""
    FILE_NOT_WRITTEN = "file_not_written"
    """The run has an artifact that it did not write."""
    OTHER_RECORD = "other_record"
    """The record of the run was changed since the version was registered."""
    OTHER_FILES = "other_files"
    """The version was registered with other files than its run has."""
    NOT_SIGNED = "not_signed"
    UNSIGNED_RUN = "unsigned_run"
    """The policy names signers, and none of them has signed the run or its verdict."""
    NO_SIGNING_KEY = "no_signing_key"
    """The policy names signers, and this job has no key of one of them."""
    OTHER_ENVIRONMENT = "other_environment"
    ENVIRONMENT_UNKNOWN = "environment_unknown"
    """Neither the job nor its forge names the environment that the job runs in."""
    NOT_APPROVED = "not_approved"
    NOT_PROPOSED = "not_proposed"
    """The committed file does not propose the promotion, or the pull request did not bring it there."""
    PULL_REQUEST_UNKNOWN = "pull_request_unknown"
    """No forge tells of a merged pull request."""
    APPROVAL_USED = "approval_used"
    """The pull request has approved a promotion of this version to this stage before."""
    ACTOR_UNKNOWN = "actor_unknown"
    ACTOR_CLAIMED = "actor_claimed"
    """Who promotes is only what the job or git's configuration claims: no forge confirms it."""
    AUTHOR_UNKNOWN = "author_unknown"
    ACTOR_IS_AUTHOR = "actor_is_author"


class PromotionRefused(CiplugError):
    """A model version may not move: no passing verdict, or a rule of the registry. `reason` has the kind."""

    exit_code = 1

    def __init__(self, reason: Refusal, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class NotDeployed(Enum):
    """The reason why a version was not deployed."""

    NO_STAGE = "no_stage"
    """The version is not in the stage whose versions the target takes."""
    BROKEN_CHAIN = "broken_chain"
    NOT_PROMOTED = "not_promoted"
    """The version is in its stage without a promotion that passed."""
    YANKED = "yanked"
    NO_MODEL = "no_model"
    """The version does not have the files that the target serves."""
    OTHER_MODEL = "other_model"
    """The target serves another model, or something that is not of ciplug."""
    SUPERSEDED = "superseded"
    """Somebody else has begun another deployment to the target."""
    UNHEALTHY = "unhealthy"
    """The new version does not answer."""
    NOT_SWITCHED = "not_switched"
    """The command after the switch failed."""
    PORT_TAKEN = "port_taken"
    """Another program listens where the new version would."""
    OTHER_CONTENT = "other_content"
    """The target has other bytes than were sent to it."""
    NO_SAMPLE = "no_sample"
    """A smoke test is asked for, and there is no recorded sample for it."""
    NOT_SERVED = "not_served"
    """A smoke test of a version that the target does not serve, by the log."""


class DeploymentRefused(CiplugError):
    """A version is not deployed, and the target serves what it served before. `reason` has the kind."""

    exit_code = 1

    def __init__(self, reason: NotDeployed, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class TargetError(CiplugError):
    """A target did not do what it was asked, or did not answer; `cause` has the reason, as far as it is known."""

    def __init__(self, message: str, *, hint: str | None = None, cause: Cause = Cause.UNKNOWN) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


QUOTED_MOST = 80
"""Characters of a name in a message."""


def quoted(name: object) -> str:
    """A name that somebody has chosen, in quotes; of a long one, the beginning and its length."""
    text = str(name)
    short = repr(text[:QUOTED_MOST])
    return short if len(text) <= QUOTED_MOST else f"{short[:-1]}…{short[-1]} ({len(text):,} characters)"


def counted(count: int, noun: str) -> str:
    """ "1 run", "1,200 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], count: int | None = None, *, most: int = 5, separator: str = ", ") -> str:
    """Return "a, b and 3 more"; `count` is the number of all, where `names` has only the first."""
    shown = names[:most]
    more = max(count or 0, len(names)) - len(shown)
    return separator.join(shown) + (f" and {more:,} more" if more > 0 and shown else "")


def closest(word: str, names: Sequence[str]) -> str | None:
    """The one of the names that was probably meant; None where none is near."""
    import difflib

    begun = [one for one in names if word and one.startswith(word)]
    close = begun if len(begun) == 1 else difflib.get_close_matches(word, names, n=1)
    return close[0] if close else None


def nearest(word: str, known: Sequence[str], most: int = _NAMED_MOST) -> str:
    """Return the name that was probably meant, else a list of some existing names: the hint of an error."""
    if close := closest(word, known):
        return f"did you mean '{close}'?"
    return f"one of: {listed(known, most=most)}"
