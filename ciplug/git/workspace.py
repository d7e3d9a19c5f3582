"""The repository that encloses a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import GitError, GitKind
from ciplug.git.bare import file_url
from ciplug.git.environment import Config, git_environment
from ciplug.git.failures import read_failure
from ciplug.git.objects import is_commit_id
from ciplug.git.run import run_git
from ciplug.git.safe_directory import enclosing, is_named, is_of_job, name_safe


def configuration(cwd: Path, env: Mapping[str, str] | None = None) -> Config:
    """Every resolved configuration value, in order, as git sees them from `cwd`; keys as git lower-cases them."""
    listed = run_git("config", "-z", "--list", cwd=cwd, env=env, check=False).stdout.decode(errors="surrogateescape")
    pairs = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return tuple((key, value if newline else "true") for key, newline, value in pairs)


def of_machine() -> Config:
    """The same outside of every repository: that of the user, of the system, and of the environment."""
    return configuration(Path.cwd(), git_environment({"GIT_DIR": os.devnull}))


@dataclass(frozen=True)
class Workspace:
    """The repository that encloses a folder, as read at one moment."""

    top: Path
    git_dir: Path
    common_dir: Path
    """Shared by all linked work trees."""
    head: str | None
    """Full commit id, None on an unborn branch."""
    branch: str | None
    """None when detached."""
    shallow: bool
    object_format: str
    config: Config
    addresses_from: Path | None = None
    """The folder that relative addresses of remotes are seen from; None: `top`, as git does."""
    named_safe: bool = False
    """It belongs to another user, and this process has named it as safe to its own git calls."""

    def setting(self, key: str) -> str | None:
        """Return the last value of a configuration key, as git resolves it."""
        return next((value for name, value in reversed(self.config) if name == key), None)

    @property
    def remotes(self) -> dict[str, str]:
        """Name → URL, of remotes that have one. A path becomes a file:// URL, since git may run in another folder."""
        urls: dict[str, str] = {}
        for key, value in self.config:
            if key.startswith("remote.") and key.endswith(".url"):
                name = key[len("remote.") : -len(".url")]
                if value:
                    urls.setdefault(name, self.absolute(value))
                else:
                    # As git takes it: the addresses that came before are void.
                    urls.pop(name, None)
        return urls

    def absolute(self, url: str) -> str:
        """The address of a remote for every folder: a path becomes a file:// URL."""
        return file_url((self.addresses_from or self.top) / Path(url).expanduser()) if _is_path(url) else url


@dataclass(frozen=True)
class PushPlace:
    """Where git pushes to."""

    url: str
    """What is pushed there is read from there. Where pushes are off, the address to fetch from."""
    config: Config
    """The configuration to reach it with. A resolved address is not rewritten a second time."""
    refusal: str | None = None
    """Why nothing can be pushed, where that is what the configuration wants."""


def push_place(workspace: Workspace, remote: str) -> PushPlace:
    """Where git pushes to for a remote: `pushurl`, `pushInsteadOf`, else the address to fetch from.

    Of several push addresses the first one counts.
    """
    fetched = workspace.remotes[remote]
    settings = (f"remote.{remote}.pushurl", ".pushinsteadof")
    if not any(key == settings[0] or key.endswith(settings[1]) for key, _ in workspace.config):
        return PushPlace(fetched, workspace.config)
    shown = run_git("remote", "get-url", "--push", "--", remote, cwd=workspace.top).stdout
    named = shown.decode(errors="surrogateescape").splitlines()[0]
    # git pushes nowhere if it is empty; from 2.46 on it names the address to fetch from instead.
    base = workspace.addresses_from or workspace.top
    if not named or (_is_path(named) and not (base / Path(named).expanduser()).is_dir()):
        refusal = f"the push address of the remote '{remote}' is '{named}', so nothing is pushed"
        return PushPlace(fetched, workspace.config, refusal)
    plain = tuple((key, value) for key, value in workspace.config if not key.startswith("url."))
    return PushPlace(workspace.absolute(named), plain)


def _is_path(url: str) -> bool:
    return "://" not in url and not re.match(r"[^/\\]{2,}:", url)


_ADDRESSES_FROM = "ciplug-addresses-from"
"""A file in the private git folder of a temporary work tree: the work tree in whose place it stands."""


def stand_in(place: Path, workspace: Workspace) -> None:
    """Have the work tree at `place` reach the remotes that `workspace` reaches, where their addresses are relative."""
    named = run_git("rev-parse", "--path-format=absolute", "--git-dir", cwd=place).stdout
    git_dir = Path(named.decode(errors="surrogateescape").rstrip("\n"))
    base = workspace.addresses_from or workspace.top
    (git_dir / _ADDRESSES_FROM).write_text(str(base), encoding="utf-8", errors="surrogateescape")


def _addresses_from(git_dir: Path, common_dir: Path) -> Path | None:
    file = git_dir / _ADDRESSES_FROM
    if git_dir == common_dir or not file.is_file():
        return None
    return Path(file.read_text(encoding="utf-8", errors="surrogateescape"))


_FACTS = ("--show-toplevel", "--git-dir", "--git-common-dir", "--is-shallow-repository", "--show-object-format")


def discover(cwd: Path, job_folder: str | None = None) -> Workspace | None:
    """Return the enclosing repository with a work tree, or None. Raises GitError if git refuses to read it.

    Args:
        job_folder: what the CI host names as the checkout of this job. That one is taken, whoever owns it.
    """
    try:
        return _discover(cwd)
    except GitError as refused:
        top = enclosing(cwd)
        if refused.kind != GitKind.DUBIOUS_OWNERSHIP or top is None or not is_of_job(top, job_folder):
            raise
        name_safe(top)
    return _discover(cwd)


def _discover(cwd: Path) -> Workspace | None:
    done = run_git(
        *("rev-parse", "--path-format=absolute", *_FACTS, "HEAD", "--symbolic-full-name", "HEAD"), cwd=cwd, check=False
    )
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if len(lines) < len(_FACTS):
        failure = read_failure(done.stderr)
        if failure.kind == GitKind.NOT_A_REPOSITORY:
            return None
        raise failure.error("git cannot read the repository")
    top, git_dir, common_dir, shallow, object_format, *head = lines
    has_commit = bool(head) and is_commit_id(head[0])
    # Where a tag or branch is named HEAD too, git gives no full name for it.
    names_branch = has_commit and len(head) == 2
    return Workspace(
        top=Path(top),
        git_dir=Path(git_dir),
        common_dir=Path(common_dir),
        head=head[0] if has_commit else None,
        branch=_branch(head[1]) if names_branch else _symbolic_branch(cwd),
        shallow=shallow == "true",
        object_format=object_format,
        config=configuration(cwd),
        addresses_from=_addresses_from(Path(git_dir), Path(common_dir)),
        named_safe=is_named(Path(top)),
    )


def _branch(ref: str) -> str | None:
    """Return the branch of a full ref; None for a detached HEAD."""
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None


def _symbolic_branch(cwd: Path) -> str | None:
    return _branch(run_git("symbolic-ref", "-q", "HEAD", cwd=cwd, check=False).stdout.decode().strip())
