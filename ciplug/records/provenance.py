"""The origin of a run: the CI job, the machine, the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ciplug.errors import listed

UNSEEN = "unknown"
"""In the place of a commit: git wrote HEAD, and keeps no log of the commits that it has been at."""
MOST_FILES = 20
MOST_IGNORED = 1000
"""Names of files that a record keeps of a dirty tree."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The facts that a CI host provides about the job. Every field is optional: a laptop has few of them."""

    host: str = "local"
    """github_actions, gitlab_ci, jenkins, … or local."""
    event: str | None = None
    """push, pull_request, schedule, tag, manual, … in the words of the host."""
    commit: str | None = None
    """Full id of the head commit: of the pull request's own head, never of its merge with the target."""
    merge_commit: str | None = None
    """The merge commit that the host checked out instead, if it did."""
    branch: str | None = None
    target_branch: str | None = None
    """The branch that a pull request is to be merged into."""
    default_branch: str | None = None
    tag: str | None = None
    environment: str | None = None
    """The deployment environment of the job, if the host provides it."""
    pull_request: int | None = None
    """Number of the pull request (GitHub), iid of the merge request (GitLab)."""
    repository: str | None = None
    """owner/name on GitHub, the full path on GitLab."""
    server_url: str | None = None
    """Web address of the forge: https://github.com."""
    api_url: str | None = None
    """Address of the forge's API: https://api.github.com."""
    run_url: str | None = None
    """Web address of this pipeline run."""
    report_url: str | None = None
    """Web address at which the files of this job's report are going to be, where the host has one that lasts."""
    job: str | None = None
    leg: str | None = None
    """What makes this job another one than the rest of its matrix: `os=linux, python=3.12`."""
    job_id: str | None = None
    """Tells the jobs of one attempt of a pipeline run apart, where the host names the jobs of a matrix alike."""
    attempt: int | None = None
    """The number of times that the pipeline run was started, where its address does not tell that."""
    image: str | None = None
    """The container image of the job, as it was named: `python:3.12`, `ghcr.io/acme/train@sha256:…`."""
    actor: str | None = None
    trusted: bool = True
    """False in a fork's pull request: the job may not write the store and must not promote."""

    @property
    def proposed(self) -> bool:
        """Whether the commit is still to go into a branch: by a pull request, or from a merge queue."""
        return self.pull_request is not None or self.target_branch is not None


@dataclass(frozen=True)
class PublishedAt:
    """The branches and tags of a remote that have a commit."""

    own: bool = False
    """It is in a branch or under a tag. False where the remote does not answer, or the clone lacks the history."""
    branches: tuple[str, ...] = ()
    """The branches whose tip it is."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of a run's numbers."""

    context: Context = field(default_factory=Context)
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    """The exit code of the training command; None if ciplug did not start it."""
    signal: str | None = None
    """SIGKILL, SIGTERM, … when the command ended by one."""
    error: str | None = None
    """The exception that the command ended with, `ValueError: wrong shape`, as far as its output shows it."""
    last_lines: tuple[str, ...] = ()
    """The last lines of the output of a command that failed or was killed, masked: see `capture.output_tail`."""
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    seed: int | None = None
    python: str | None = None
    os: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    lockfiles: Mapping[str, str] = field(default_factory=dict)
    """Path relative to the repository → sha256:<hex>."""
    hardware: Hardware = field(default_factory=Hardware)
    dirty: bool | None = None
    """Tracked files differed from the commit when the run began. None where there is no repository to ask."""
    dirty_files: tuple[str, ...] = ()
    """Paths of the first of them, from the repository's top: at most MOST_FILES."""
    dirty_count: int | None = None
    """The number of all of them."""
    ignored_files: tuple[str, ...] = ()
    """Paths of files that differed, and do not count because of `clean: ignore`; at most MOST_IGNORED."""
    diff_digest: str | None = None
    """sha256 of the names and contents of the files that differed."""
    head_after: str | None = None
    """Another commit that the command checked out: the one that it left in HEAD, else the last one before it went back.

    Its numbers may be of either commit: the run counts as dirty. UNSEEN where nobody knows which.
    """
    unchanged: tuple[str, ...] = ()
    """Outputs that the command did not write, and that count as its own because the user allowed it for them."""
    committed: tuple[str, ...] = ()
    """Artifacts that its program logged and nobody wrote: they are files of the commit, such as its source."""
    beside: tuple[str, ...] = ()
    """Ids of runs that went on at the same time, and were to write some of the same files."""
    older: tuple[str, ...] = ()
    """Outputs that ciplug did not see written, and that are older than the commit."""
    ciplug: str | None = None
    """Version of ciplug that recorded the run."""

    @property
    def moved(self) -> str | None:
        """That the command moved HEAD, as a clause whose subject is the run; None if it did not."""
        return moved_words(self.head_after) if self.head_after else None

    def named_dirt(self, most: int = 5) -> str:
        """The files that differed, for people: `a.py, b.py and 3 more`; empty where their names are not known."""
        return listed(self.dirty_files, self.dirty_count, most=most)


def moved_words(head_after: str) -> str:
    """Say that a command moved HEAD, as a clause whose subject is the run."""
    if head_after == UNSEEN:
        return "wrote HEAD while it ran, and git keeps no log of it, so its numbers may be of another commit"
    return f"checked out {head_after[:8]} while it ran, so its numbers may be of that commit"
