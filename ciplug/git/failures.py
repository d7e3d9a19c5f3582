"""Classify git's error output. No other module interprets it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ciplug.errors import GitError, GitKind
from ciplug.git.credentials import redact

_BY_SSH = "Could not read from remote repository"

_NO_WORDS = "no message"
_WORDS: tuple[tuple[GitKind, str], ...] = (
    (GitKind.NOT_A_REPOSITORY, r"not a git repository|must be run in a work tree"),
    (GitKind.DUBIOUS_OWNERSHIP, r"dubious ownership"),
    (GitKind.NO_ATOMIC, r"does not support --atomic"),
    (GitKind.NO_REF, r"couldn't find remote ref|remote ref does not exist"),
    (GitKind.UNKNOWN_OBJECT, r"not our ref"),
    (GitKind.MISSING_OBJECTS, r"missing necessary objects"),
    (GitKind.UNREADABLE, r"unable to read"),
    (GitKind.DAMAGED, r"is corrupt|bad object|missing|inflate|remote error"),
    (GitKind.DISK_FULL, r"No space left on device|Out of diskspace"),
    (GitKind.STALE, r"stale info"),
    # So say servers of git 2.51 and newer.
    (GitKind.MOVED, r"incorrect old value provided"),
    (GitKind.BEHIND, r"fetch first|non-fast-forward"),
    (GitKind.LOCKED, r"failed to update ref|cannot lock ref"),
    (GitKind.EXISTS, r"already exists"),
    (GitKind.NAME_CLASH, r"refname conflict"),
    (GitKind.ROLLED_BACK, r"atomic transaction failed"),
    (GitKind.NOT_SENT, r"atomic push fail"),
    (GitKind.PROTECTED, r"protected|GH006"),
    (GitKind.NO_CREDENTIAL, r"could not read (Username|Password)|terminal prompts disabled"),
    (
        GitKind.BAD_CREDENTIAL,
        r"Authentication failed|returned error: 401|Invalid username|HTTP Basic: Access denied|"
        r"Permission denied \([\w,-]*publickey|Host key verification failed",
    ),
    (
        GitKind.FORBIDDEN,
        r"returned error: 403|permission to [^;]* denied|write access|not allowed to push|read[- ]only|TF401027",
    ),
    (
        GitKind.NETWORK,
        r"RPC failed|hung up|Could not resolve|Connection|Empty reply|timed out|returned error: 5\d\d|early EOF|"
        r"unexpected disconnect|transfer closed|Failed to connect|kex_exchange|incorrect data|bad line length",
    ),
    (
        GitKind.NOT_FOUND,
        r"not found|returned error: 404|does not exist|not appear to be a git repository|no such",
    ),
    (GitKind.DECLINED, r"declined|denied|deny|hidden ref|refused|rule violations"),
    (GitKind.SILENT, rf"\A{_NO_WORDS}\Z"),
)

_NAMES = (
    r"""(?<!\w)'[^;]*?'(?!\w)|"[^";]*"|`[^`;]*`"""  # quoted: a URL, a path, a ref
    r"|\S*(?:/|@|\w[.:]\w)\S*"  # a URL, a path, a ref, a host, an address of ssh
    r"|(?<=\])\s+\S+\s+->\s+\S+"  # the branches of a line like ! [rejected] a -> b (non-fast-forward)
    r"|(?<=\bremote ref )(?!does not\b)\S+|(?<=\bhost: )\S+|(?<=\bhostname )\S+|(?<=\bdenied to )\S+"
    r"|(?<=\bconnect to )(?!host\b)\S+|(?<=\bconnect to host )\S+"
    r"|(?<=\bbranch )(?!protect(?:ed|ion)(?![\w-]))\S+"
)
"""Names in git's sentences that people have chosen: they may contain any words."""

_RACES = {
    *(GitKind.STALE, GitKind.MOVED, GitKind.BEHIND, GitKind.LOCKED, GitKind.EXISTS),
    *(GitKind.ROLLED_BACK, GitKind.NOT_SENT),
}
_DAMAGE = {GitKind.UNKNOWN_OBJECT, GitKind.MISSING_OBJECTS, GitKind.UNREADABLE, GitKind.DAMAGED}
_ACCESS = {GitKind.NO_CREDENTIAL, GitKind.BAD_CREDENTIAL, GitKind.FORBIDDEN}


@dataclass(frozen=True)
class Failure:
    """The reason for a failure of git."""

    words: str
    """The message of git and of the server, in one line, without credentials."""
    kinds: frozenset[GitKind]
    """Every kind that the message shows: a broken connection often comes with a damaged pack."""

    @property
    def kind(self) -> GitKind:
        """The most specific of the kinds."""
        return next((kind for kind in GitKind if kind in self.kinds), GitKind.UNKNOWN)

    @property
    def network(self) -> bool:
        """Whether the connection failed, so that a retry may succeed."""
        return GitKind.NETWORK in self.kinds

    @property
    def lost_race(self) -> bool:
        """Whether a ref was refused because another push was faster."""
        return bool(self.kinds & _RACES)

    @property
    def damaged(self) -> bool:
        """Whether an object is damaged or missing."""
        return bool(self.kinds & _DAMAGE)

    @property
    def access(self) -> bool:
        """Whether the host rejected the credentials, or their permissions."""
        return bool(self.kinds & _ACCESS)

    @property
    def hint(self) -> str | None:
        """Advice that does not depend on the command that failed."""
        if GitKind.PUSH_OFF in self.kinds:
            return "git remote set-url --push NAME URL, or keep the runs elsewhere: --store git+https://…"
        if GitKind.DUBIOUS_OWNERSHIP in self.kinds:
            return "run as the owner of the checkout, or: git config --global --add safe.directory <path>"
        if self.access and _BY_SSH not in self.words:
            return "this checkout's credentials do not reach the repository: set CIPLUG_PUSH_TOKEN to use a token"
        return None

    def error(self, what: str) -> GitError:
        """Return the error to raise; `what` begins the message: git fetch failed."""
        return GitError(f"{what}: {self.words}", hint=self.hint, kind=self.kind)


def read_failure(stderr: bytes) -> Failure:
    """Return the reason for a failure of git, from its stderr."""
    return failure_of(last_words(stderr))


def failure_of(words: str) -> Failure:
    """Return the reason for which git, or the server of a push, refused, from its message in one line.

    Names in them decide nothing: a repository may be called protected-models.
    """
    sentence = _without_names(words)
    return Failure(words, frozenset(kind for kind, pattern in _WORDS if re.search(pattern, sentence, re.IGNORECASE)))


def _without_names(words: str) -> str:
    return re.sub(_NAMES, "…", words)


def last_words(stderr: bytes) -> str:
    """Return git's output in one line, without progress and credentials."""
    text = redact(stderr.decode(errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line.removeprefix("remote: ")
        for line, after in zip(lines, [*lines, ""][1:], strict=True)
        # What ssh wrote stands before git's own words, in no form of its own.
        if line.startswith(("fatal:", "error:", "remote:", " !", "!")) or _BY_SSH in after
    ]
    return "; ".join(dict.fromkeys(telling or lines[-2:])) or _NO_WORDS
