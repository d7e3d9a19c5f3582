"""The repository that encloses a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import GitError
from ciplug.git.bare import file_url
from ciplug.git.environment import Config
from ciplug.git.failures import hint_for, last_words
from ciplug.git.objects import is_commit_id
from ciplug.git.run import run_git


def configuration(cwd: Path) -> Config:
    """Every resolved configuration value, in order, as git sees them from `cwd`; keys as git lower-cases them."""
    listed = run_git("config", "-z", "--list", cwd=cwd, check=False).stdout.decode(errors="surrogateescape")
    pairs = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return tuple((key, value if newline else "true") for key, newline, value in pairs)


@dataclass(frozen=True)
class Workspace:
    """The repository that encloses a folder, as it was when it was looked at."""

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

    def setting(self, key: str) -> str | None:
        """The last value of a configuration key, as git resolves it."""
        return next((value for name, value in reversed(self.config) if name == key), None)

    @property
    def remotes(self) -> dict[str, str]:
        """Name → URL. A path becomes a file:// URL: we push from elsewhere, and git filters only what has a name."""
        found: dict[str, str] = {}
        for key, value in self.config:
            if key.startswith("remote.") and key.endswith(".url"):
                found.setdefault(key[len("remote.") : -len(".url")], _absolute(value, self.top))
        return found


def _absolute(url: str, base: Path) -> str:
    is_path = "://" not in url and not re.match(r"[^/\\]{2,}:", url)
    return file_url(base / Path(url).expanduser()) if is_path else url


def discover(cwd: Path) -> Workspace | None:
    """The enclosing repository with a work tree, or None."""
    asked = (
        "--show-toplevel",
        "--git-dir",
        "--git-common-dir",
        "--is-shallow-repository",
        "--show-object-format",
    )
    done = run_git("rev-parse", "--path-format=absolute", *asked, "HEAD", cwd=cwd, check=False)
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if len(lines) < len(asked):
        if b"not a git repository" in done.stderr or b"must be run in a work tree" in done.stderr:
            return None
        raise GitError(f"git cannot read the repository: {last_words(done.stderr)}", hint=hint_for(done.stderr))
    top, git_dir, common_dir, shallow, object_format, *head = lines
    symbolic = (Path(git_dir) / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
    branch = symbolic.removeprefix("ref: refs/heads/")
    return Workspace(
        top=Path(top),
        git_dir=Path(git_dir),
        common_dir=Path(common_dir),
        head=head[0] if head and is_commit_id(head[0]) else None,
        branch=branch if branch != symbolic else None,
        shallow=shallow == "true",
        object_format=object_format,
        config=configuration(cwd),
    )
