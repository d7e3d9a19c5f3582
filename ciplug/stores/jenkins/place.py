"""Choose the builds of Jenkins that a store reads, by its URI and the running build."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from ciplug.errors import ConfigError

BUILDS = 50
"""So many builds of a job are read, the newest."""
MAX_BUILDS = 1000
_MAIN = ("main", "master")
"""Branches that are read where none is named."""
_BUILD = re.compile(r"(https?://[^/?#]+(?:/[^?#]*)?/job/[^/?#]+)/(\d+)/?")


@dataclass(frozen=True)
class Place:
    """The builds to read, and the place where the running build adds objects."""

    uri: str
    """As the user named it."""
    url: str
    """Of the job, or of a multibranch project."""
    branches: tuple[str, ...] = ()
    """Whose jobs are read, of a multibranch project."""
    builds: int = BUILDS
    own_job: str | None = None
    """The job of the build that runs now."""
    own_build: int | None = None

    @property
    def address(self) -> str:
        return f"jenkins+{self.url}"

    @property
    def writes(self) -> bool:
        """Whether readers of this place see what the running build archives."""
        return self.own_job is not None and self.url in (self.own_job, project_of(self.own_job))


def place_of(uri: str, env: Mapping[str, str]) -> Place:
    """Parse a URI: `jenkins:`, the job of this build, or `jenkins+https://host/job/demo`.

    `?branch=NAME` names a branch of a multibranch project, and may be repeated; `?builds=N` is how many builds of a
    job are read. Raises ConfigError.
    """
    address, _, query = uri.partition("?")
    branches, builds = _options(uri, query)
    own = _BUILD.fullmatch(env.get("BUILD_URL", ""))
    own_job, own_build = (own[1], int(own[2])) if own else (None, None)
    if address == "jenkins:":
        if own_job is None:
            raise ConfigError(
                "the store 'jenkins:' is the job of this build, and BUILD_URL does not name a build",
                hint="in Jenkins, set its URL (Manage Jenkins > System); elsewhere name the job: "
                "--store jenkins+https://jenkins.example.com/job/demo",
            )
        multibranch = bool(env.get("BRANCH_NAME"))
        if branches and not multibranch:
            raise ConfigError(f"store '{uri}': this job is not of a multibranch project", hint="leave ?branch= out")
        target = [env["CHANGE_TARGET"]] if env.get("CHANGE_TARGET") else []
        url = project_of(own_job) if multibranch else own_job
        return Place(uri, url, (*target, *(branches or _MAIN)) if multibranch else (), builds, own_job, own_build)
    return Place(uri, _job_of(address), tuple(branches or _MAIN), builds, own_job, own_build)


def check_address(uri: str) -> None:
    """Raise the ConfigError of `place_of` for what is not an address, whatever the build."""
    address, _, query = uri.partition("?")
    _options(uri, query)
    if address != "jenkins:":
        _job_of(address)


def _job_of(address: str) -> str:
    """The URL of the job that an address names. Raises ConfigError."""
    url = address.removeprefix("jenkins+").rstrip("/")
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname or "/job/" not in parts.path:
        raise ConfigError(
            f"store 'jenkins+{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}' does not name a job",
            hint="write it like jenkins+https://jenkins.example.com/job/demo, without credentials",
        )
    return url


def _options(uri: str, query: str) -> tuple[list[str], int]:
    branches: list[str] = []
    builds = BUILDS
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "branch" and value:
            branches.append(value)
        elif name == "builds" and value.isascii() and value.isdigit() and 0 < int(value) <= MAX_BUILDS:
            builds = int(value)
        else:
            raise ConfigError(
                f"store '{uri.partition('?')[0].rpartition('@')[2]}': unknown option '{name}={value}'",
                hint=f"?branch=NAME, and ?builds=N up to {MAX_BUILDS}",
            )
    return branches, builds


def project_of(job: str) -> str:
    """Return the parent of a job: a multibranch project, or a folder."""
    return job.rpartition("/job/")[0]
