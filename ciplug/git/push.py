"""One push, and what became of each ref."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciplug.git.credentials import redact
from ciplug.git.failures import hint_for, last_words
from ciplug.git.run import run_git


@dataclass(frozen=True)
class PushResult:
    """What became of each ref of a push; `failure` is git's last words where there was no answer per ref."""

    rejected: Mapping[str, str]
    failure: str | None = None
    hint: str | None = None
    said: str = ""
    """The server's own words on a refusal."""

    @property
    def ok(self) -> bool:
        return not self.rejected and self.failure is None


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
        return PushResult({})
    rejected = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith("!\t"):
            _, names, reason = [*line.split("\t"), "", ""][:3]
            rejected[names.rpartition(":")[2]] = redact(reason)
    told = redact(done.stderr.decode(errors="replace")).splitlines()
    said = " ".join(line.removeprefix("remote:").strip() for line in told if line.startswith("remote:"))
    return PushResult(
        rejected, None if rejected else last_words(done.stderr), hint_for(done.stderr), said[:500].strip()
    )
