"""The interfaces of a forge, and of the module of a forge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from ciplug.forges.retries import MAX_WAIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ciplug.forges.account import Account
    from ciplug.forges.address import Job
    from ciplug.forges.merged_pull_request import MergedPullRequest

State = Literal["pending", "success", "failure", "error"]


class Right(NamedTuple):
    """Whether a token may do something, as far as the forge tells without a trace."""

    to: Literal["comment", "status"]
    granted: bool | None
    """None: the forge does not tell."""
    reason: str
    """The evidence for this."""


class OpenPullRequest(NamedTuple):
    """An open pull request, as the forge tells of it."""

    number: int
    head: str
    """The commit that it has come to, or the beginning of its id."""
    base: str
    """The branch that it is to go into."""


class StoredFile(NamedTuple):
    """A file of a model version."""

    model: str
    version: str
    path: str
    digest: str
    """sha256:<hex>."""


class Forge(Protocol):
    """Takes the comment on a pull request and the status of a commit.

    Each method raises PermissionDenied when the token may not do it, ForgeError on any other trouble.
    """

    name: str
    """The name of its module."""
    comment_limit: int
    """Bytes of UTF-8 that a comment may have."""
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
        """Make `body` our only comment that has `marker` on a line of its own; returns its web address.

        Nothing is written when the comment already says so.
        """
        ...

    def keep_issue(self, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
        """Keep one open issue of ours that has `marker` on its first line, or close it; returns its web address.

        None where there was none to close. The body begins with the marker.
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

    def publish_release(self, tag: str, commit: str, *, title: str, body: str) -> str:
        """Publish a release at a tag, which is made at `commit` if it does not exist; returns its web address.

        One that exists stays as it is.
        """
        ...

    def link_artifacts(self, files: Collection[StoredFile]) -> None:
        """Say that these files are stored by this repository, for the forge's list of an organization's artifacts."""
        ...

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """Return the accounts that approved this pipeline's access to a protected environment.

        None if the forge does not provide this.
        """
        ...

    def merges_of(self, commit: str) -> list[int] | None:
        """Return the numbers of the merged pull requests that a commit is of; None if the forge is not asked that."""
        ...

    def merged_pull_request(self, number: int) -> MergedPullRequest | None:
        """Return a merged pull request with those who approved it; None for one that is not merged."""
        ...

    def protects(self, branch: str) -> bool | None:
        """Whether only some accounts may push to a branch; None if the forge does not tell this token."""
        ...

    def runs_in(self, environment: str) -> bool | None:
        """Whether this job is a deployment to an environment; None if the forge does not provide this."""
        ...

    def guards(self, environment: str) -> bool | None:
        """Whether only some accounts may deploy to an environment; None if the forge does not tell this token."""
        ...

    def actor(self, run_url: str | None, *, in_job: bool) -> Account | None:
        """Return the person who acts, as the API confirms; None where it confirms nobody.

        Args:
            run_url: the page of this job's pipeline run.
            in_job: whether this is a job of a CI host. A token there may be anyone's, and shows nothing of who
                started the job; on a laptop it is the person's own.
        """
        ...

    def accounts(self, commit: str) -> set[str]:
        """Return the accounts of a commit's author and committer, as far as the forge knows them."""
        ...

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """Return what the token may do, without writing anything.

        The permission to comment is tested on the pull request `number`, the permission to set a status on `commit`;
        a test whose argument is None is skipped.  Raises PermissionDenied when the token is not accepted at all.
        """
        ...


@dataclass(frozen=True)
class Place:
    """The address of a forge's API, the repository, and the token."""

    kind: str
    """The name of the forge."""
    api_url: str
    repository: str
    token: str = field(repr=False)
    wait: float = MAX_WAIT
    """Seconds that the forge may ask this job to wait, in all."""
    say: Callable[[str], None] = field(default=lambda message: None, repr=False, compare=False)
    """Tells the user of a wait that begins."""


class Lack(Enum):
    """What a job lacks to talk to a forge."""

    ADDRESS = auto()
    """It is not known where the code lives, or of which kind that place is."""
    REPOSITORY = auto()
    TOKEN = auto()
    SUPPORT = auto()
    """ciplug cannot comment there."""
    PART = auto()
    """The checkout is of another repository than the job."""


@dataclass(frozen=True)
class NoForge:
    """No forge is available to this job."""

    lacks: Lack
    message: str
    hint: str | None = None
    """What to set."""

    @property
    def reason(self) -> str:
        """The message, and what to set, in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True, kw_only=True)
class Token:
    """The token that lets a job comment, and how `ciplug doctor` tells a person to hand it over."""

    variable: str
    needs: str
    """The kind of token, and the permissions that it needs."""
    of_job: Mapping[str, str] = field(default_factory=dict)
    """CI host → the line that hands over a token which the host makes for each job."""
    rights_of_job: Mapping[str, str] = field(default_factory=dict)
    """CI host → the line that gives that token its rights."""
    cannot_comment: tuple[str, ...] = ()
    """Variables that hold a token of the same form that cannot comment."""
    names_its_scopes: bool = False
    """Whether the forge names the scopes of the token, so that they are worth showing."""


class ForgeModule(Protocol):
    """One forge: a module with these names. It borrows nothing from the others, and knows its own addresses."""

    @property
    def name(self) -> str:
        """The value of `Forge.name`, and the key in `ciplug.records.forge_pages.FORGES`."""
        ...

    @property
    def address_variable(self) -> str:
        """The environment variable that names the address of its API."""
        ...

    @property
    def token(self) -> Token: ...

    @property
    def protected_branch(self) -> str:
        """The place to exempt a protected branch, with `{names}` for the branches."""
        ...

    def find_place(self, job: Job) -> Place | NoForge:
        """Return the API for a job whose code is on this forge. Sends no request.

        Raises ConfigError when a token or an address in the environment is malformed.
        """
        ...

    def connect(self, place: Place, job: Job) -> Forge:
        """The client. No request is made yet."""
        ...


def preferred(pulls: Iterable[OpenPullRequest], into: str | None) -> OpenPullRequest | None:
    """Return the pull request that a commit is judged for, of several: opening another one does not change it."""
    return max(pulls, key=lambda pull: (pull.base == into, pull.number), default=None)
