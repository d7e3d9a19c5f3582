"""Classify a forge's refusal by its answer: status, message, link to its documentation, headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ciplug.errors import ForgeKind


@dataclass(frozen=True)
class Reply:
    """An answer that is not a success."""

    status: int
    message: str = ""
    """The forge's message; empty if there is none."""
    documentation: str = ""
    """The page of its documentation that the answer names."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers by lower-case name."""


@dataclass(frozen=True)
class Advice:
    """A kind of refusal, for people."""

    what: str
    hint: str


_PHRASES: tuple[tuple[ForgeKind, str], ...] = (
    (
        ForgeKind.RATE_LIMIT,
        r"rate[ -]limit|abuse detection|too many requests|requested too many times|submitted too quickly",
    ),
    (ForgeKind.IP_ALLOW_LIST, r"\bip (allow|white)-?\s?list|\bip[ -]address|allowed-ip"),
    (ForgeKind.SSO, r"\bsaml\b|single[ -]sign[ -]on|\bsso\b"),
    (ForgeKind.TWO_FACTOR, r"two-(factor|step)|\b2fa\b"),
    (ForgeKind.ARCHIVED, r"\barchived?\b"),
    (ForgeKind.SUSPENDED, r"\bsuspended\b|account (is|was|has been) (blocked|locked|deactivated|disabled)|deactivated"),
    (ForgeKind.UNAVAILABLE, r"repository access blocked|repository unavailable|\bdmca\b"),
    (ForgeKind.SPAM, r"\bspam"),
    (ForgeKind.BLOCKED, r"\bblocked\b|\bblocking\b"),
    (ForgeKind.LOCKED, r"\block(ed|ing)\b"),
    (ForgeKind.INTERACTION_LIMIT, r"interactions? (on|with) this repository|interaction[ -]limit|restricted to"),
    (ForgeKind.TOKEN_KIND, r"forbids access via|token's lifetime"),
    (ForgeKind.DISABLED, r"\b(issues?|comments?|pull requests?|merge requests?)\b.*\bdisabled\b|\bdisabled issues\b"),
    (
        ForgeKind.PERMISSION,
        r"not accessible by|privilege|insufficient[_ ]scope|required scope|must have \w+ (rights|access)|write access",
    ),
)
"""The first that the answer contains counts."""

ADVICE: Mapping[ForgeKind, Advice] = {
    ForgeKind.LOCKED: Advice(
        "the conversation is locked",
        "unlock the conversation, or use the token of an account that may write to a locked one; "
        "no permission of the job changes this",
    ),
    ForgeKind.IP_ALLOW_LIST: Advice(
        "the address of this machine is not on the IP allow list",
        "add the address of the runner to the IP allow list, or use a runner whose address is on it",
    ),
    ForgeKind.SSO: Advice(
        "the token is not authorized for the organization's single sign-on",
        "authorize the token for single sign-on (on GitHub: Settings > Developer settings > Personal access tokens > "
        "Configure SSO), or use the job's own token",
    ),
    ForgeKind.TWO_FACTOR: Advice(
        "the account of the token has no two-factor authentication",
        "turn on two-factor authentication for the account of the token, or use the job's own token",
    ),
    ForgeKind.ARCHIVED: Advice(
        "the repository is archived and can only be read", "unarchive the repository, or do not run the job in it"
    ),
    ForgeKind.SUSPENDED: Advice(
        "the account of the token is suspended",
        "use the token of another account, or ask an administrator of the forge to restore this one",
    ),
    ForgeKind.UNAVAILABLE: Advice(
        "the forge has blocked access to the repository", "ask the support of the forge about the repository"
    ),
    ForgeKind.SPAM: Advice(
        "the forge takes it for spam",
        "use the token of another account, or ask the support of the forge to allow this one",
    ),
    ForgeKind.BLOCKED: Advice(
        "the account of the token is blocked",
        "ask an owner of the repository to unblock the account of the token, or use the token of another account",
    ),
    ForgeKind.INTERACTION_LIMIT: Advice(
        "only some accounts may comment for now",
        "wait until the interaction limit of the repository ends, lift it in its settings, or use the job's own token",
    ),
    ForgeKind.TOKEN_KIND: Advice(
        "the organization does not accept tokens of this kind",
        "use the job's own token, or a token of a kind and lifetime that the organization accepts",
    ),
    ForgeKind.DISABLED: Advice(
        "comments are disabled in the repository", "enable issues and pull requests in the settings of the repository"
    ),
}
"""The kinds for which the forge's message and the token's permissions are not enough."""

_BY_STATUS = {
    401: ForgeKind.TOKEN,
    403: ForgeKind.PERMISSION,
    404: ForgeKind.NOT_FOUND,
    # Gitea: the repository is archived.
    423: ForgeKind.ARCHIVED,
    429: ForgeKind.RATE_LIMIT,
    451: ForgeKind.UNAVAILABLE,
}


def kind_of(reply: Reply, repository: str = "") -> ForgeKind:
    """Return the kind of a refusal. `repository` is `owner/name`: user-chosen names decide nothing."""
    if reply.status >= 500:
        return ForgeKind.UNKNOWN
    if reply.status == 429:
        return ForgeKind.RATE_LIMIT
    if "required" in reply.headers.get("x-github-sso", ""):
        return ForgeKind.SSO
    kind = _by_words(_without_names(reply.message, repository)) or _by_words(reply.documentation.replace("-", " "))
    if kind is None and reply.status == 403 and reply.headers.get("x-ratelimit-remaining") == "0":
        return ForgeKind.RATE_LIMIT
    return kind or _BY_STATUS.get(reply.status, ForgeKind.UNKNOWN)


def _by_words(text: str) -> ForgeKind | None:
    return next((kind for kind, phrase in _PHRASES if re.search(phrase, text, re.IGNORECASE)), None)


def _without_names(message: str, repository: str) -> str:
    """The message without the names in it: GitHub puts those of organizations between backticks."""
    for name in (repository, *repository.split("/")):
        message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", message) if name else message
    return re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", " ", message)
