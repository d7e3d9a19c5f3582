"""Addresses and tokens: where a forge is, as remotes and the environment of a job have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ciplug.errors import ConfigError
from ciplug.records.remote_address import Remote, parse

if TYPE_CHECKING:
    from ciplug.records.provenance import Context


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
