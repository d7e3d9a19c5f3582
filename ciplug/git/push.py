"""One push, and what became of each ref."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ciplug.errors import GitKind
from ciplug.git.credentials import redact
from ciplug.git.failures import Failure, failure_of, read_failure
from ciplug.git.run import run_git

_WORDS_MOST = 500


@dataclass(frozen=True)
class PushResult:
    """The result of a push."""

    rejected: Mapping[str, Failure] = field(default_factory=dict)
    """Ref → why the server, or git itself, refused it."""
    failure: Failure | None = None
    """The reason if the push failed before the server answered for each ref."""
    remote: Failure | None = None
    """The server's messages about a refusal."""

    @property
    def ok(self) -> bool:
        return not self.rejected and self.failure is None

    @property
    def lost_race(self) -> bool:
        """Whether every ref was refused because another push was faster."""
        return bool(self.rejected) and all(reason.lost_race for reason in self.rejected.values())

    @property
    def network(self) -> bool:
        """Whether there was no answer because the connection failed, so that the same may go well later."""
        return self.failure is not None and self.failure.network

    def refuses(self, ref: str, *kinds: GitKind) -> bool:
        """Whether a ref was refused for one of these reasons."""
        return ref in self.rejected and not self.rejected[ref].kinds.isdisjoint(kinds)

    @property
    def reason(self) -> Failure:
        """The reason for the refusal, over all refs."""
        if self.failure:
            return self.failure
        words = "; ".join(sorted({reason.words for reason in self.rejected.values()}))
        reasons = [*self.rejected.values(), *([self.remote] if self.remote else [])]
        return Failure(
            f"{words}: {self.remote.words}" if self.remote else words,
            frozenset(kind for reason in reasons for kind in reason.kinds),
        )


def push_refs(
    repository: Path,
    url: str,
    refspecs: Sequence[str],
    *,
    env: Mapping[str, str],
    options: Iterable[str] = (),
) -> PushResult:
    """One `git push`; never raises for a refusal."""
    done = run_git("push", "--porcelain", *options, "--", url, *refspecs, cwd=repository, env=env, check=False)
    if done.returncode == 0:
        return PushResult()
    rejected = _rejected(done.stdout)
    return PushResult(rejected, None if rejected else read_failure(done.stderr), _remote_failure(done.stderr))


def _rejected(stdout: bytes) -> dict[str, Failure]:
    """Ref → why it was refused, from the lines of `git push --porcelain`."""
    lines = (line.split("\t") for line in stdout.decode(errors="replace").splitlines() if line.startswith("!\t"))
    return {
        names.rpartition(":")[2]: failure_of(redact(reason)) for _, names, reason in ([*ln, "", ""][:3] for ln in lines)
    }


def _remote_failure(stderr: bytes) -> Failure | None:
    """Return the server's message for people; None if there is none."""
    lines = redact(stderr.decode(errors="replace")).splitlines()
    words = " ".join(line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:"))
    return failure_of(words[:_WORDS_MOST].strip()) if words else None
