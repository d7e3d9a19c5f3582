"""Run git: argument lists, never a shell; LC_ALL=C, so that its output can be read; no prompt.

Nothing of the user's configuration is written, and no command of ciplug touches the user's work tree, index or HEAD.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from ciplug.errors import GitError, GitKind
from ciplug.git.environment import git_environment
from ciplug.git.failures import read_failure

_CHUNK = 1024 * 1024

OLDEST = (2, 31)
"""The first version of git with configuration in the environment, absolute paths and `fetch --stdin`."""


def run_git(
    *args: str,
    cwd: Path,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    """Run git and return what it printed. Raises GitError with git's own words when `check` and it fails."""
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env=env if env is not None else git_environment(),
            check=False,
        )
    except FileNotFoundError:
        raise _not_installed() from None
    if check and done.returncode != 0:
        raise read_failure(done.stderr).error(f"git {args[0]} failed")
    return done


def start_git(*args: str, cwd: Path) -> subprocess.Popen[bytes]:
    """Start git for a caller that asks it by its standard input, and reads what it prints. Raises GitError."""
    try:
        return subprocess.Popen(
            ["git", *args],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=git_environment(),
        )
    except FileNotFoundError:
        raise _not_installed() from None


def _not_installed() -> GitError:
    newer = ".".join(map(str, OLDEST))
    return GitError(
        "git is not installed, or not on PATH", hint=f"install git {newer} or newer", kind=GitKind.NOT_INSTALLED
    )


def git_version() -> tuple[int, ...]:
    """git's version, like (2, 39, 5); empty where its output is not understood. Raises GitError without git."""
    match = re.search(rb"git version (\d+(?:\.\d+)*)", run_git("--version", cwd=Path.cwd(), check=False).stdout)
    return tuple(map(int, match[1].split(b"."))) if match else ()


def stream_blob(repository: Path, oid: str, start: int = 0) -> Iterator[bytes]:
    """Yield the content of a blob from byte `start` on, in pieces, never all in memory. Raises GitError."""
    with subprocess.Popen(
        ["git", "cat-file", "blob", oid],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=git_environment(),
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise GitError("git cat-file has no output")
        try:
            while chunk := process.stdout.read(min(start, _CHUNK) or _CHUNK):
                # git gives a blob from its first byte only.
                if start:
                    start -= len(chunk)
                else:
                    yield chunk
        finally:
            process.stdout.close()
            stderr = process.stderr.read()
    if process.returncode:
        raise read_failure(stderr).error("git cat-file failed")
