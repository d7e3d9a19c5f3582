"""Addresses and tokens: where a forge is, as remotes and the environment of a job have it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ciplug.errors import ConfigError

if TYPE_CHECKING:
    from ciplug.records.provenance import Context

_SSH_ALIASES = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}


class Remote(NamedTuple):
    """A git remote or a web address, without credentials."""

    host: str
    origin: str
    """The address of its web pages, as far as it is known."""
    path: str


@dataclass(frozen=True)
class Job:
    """The facts about a forge from a job and its checkout."""

    context: Context
    env: Mapping[str, str]
    server: Remote | None
    """The forge's web server, by the job's word, else by the git remote."""
    repository: str
    """`owner/name`, by the job's word, else the path of the git remote; empty where neither tells."""


def job_of(context: Context, env: Mapping[str, str], remote_url: str | None) -> Job:
    remote = parse(remote_url)
    server = parse(context.server_url) or remote
    return Job(context, env, server, context.repository or (remote.path if remote else ""))


def parse(url: str | None) -> Remote | None:
    """Take a remote apart: https://host/path.git, ssh://git@host:22/path.git, git@host:path.git. None: a path."""
    if not url:
        return None
    scp = re.fullmatch(r"(?:[\w.+-]+@)?([\w.-]{2,}):(?!//|\\)/?(.+)", url)
    parts = urlsplit(f"ssh://{scp[1]}/{scp[2]}" if scp else url)
    if parts.scheme not in ("http", "https", "ssh", "git", "git+ssh") or not parts.hostname:
        return None
    host = _SSH_ALIASES.get(parts.hostname, parts.hostname)
    origin = f"https://{host}"
    if parts.scheme.startswith("http"):
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return Remote(host, origin, parts.path.strip("/").removesuffix(".git"))


def below(server: str, path: str) -> str:
    """The repository in the path of a remote. On a server below a path, the remote's path starts with that."""
    return path.removeprefix(urlsplit(server).path.strip("/") + "/")


def address_in(env: Mapping[str, str], variable: str) -> str | None:
    """The web address in a variable, None when it is not set. Raises ConfigError for anything else."""
    value = env.get(variable, "").strip()
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"{variable} is not an address such as https://host/path", hint="leave credentials out of it")
    return value


def token_in(env: Mapping[str, str], *variables: str) -> str | None:
    """The first token that is set. Raises ConfigError when it could not be sent: libraries would print it."""
    for variable in variables:
        value = env.get(variable, "").strip()
        if not value:
            continue
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"{variable} holds no token: it has spaces, line ends or special characters")
        return value
    return None
