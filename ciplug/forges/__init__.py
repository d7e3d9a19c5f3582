"""Who takes the comment and the status. `open_forge` picks by what the job and its environment say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ciplug.errors import ConfigError
from ciplug.forges.base import Forge, Kind, Place, Right, State
from ciplug.records.web import forge_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ciplug.records.provenance import Context

__all__ = ["Forge", "Place", "Right", "State", "find_place", "kind_of", "open_forge", "why_no_forge"]

_SSH_ALIASES = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}
_AZURE_REPOS = ("dev.azure.com", "ssh.dev.azure.com")


class _Remote(NamedTuple):
    """A git remote or a web address, without credentials."""

    host: str
    origin: str
    """Where its web pages are, as far as the address tells."""
    path: str


def open_forge(context: Context, env: Mapping[str, str], remote_url: str | None) -> Forge | None:
    """The forge that this job can talk to; None where there is none, and `why_no_forge` says why.

    No request is made yet. Raises ConfigError when a token or an address in the environment is malformed.
    """
    place = _find(context, env, remote_url)
    if isinstance(place, str):
        return None
    if place.kind == "github":
        from ciplug.forges.github import GitHub

        return GitHub(place)
    if place.kind == "gitea":
        from ciplug.forges.gitea import Gitea

        return Gitea(place)
    if place.kind == "bitbucket":
        from ciplug.forges.bitbucket import Bitbucket

        return Bitbucket(place)
    from ciplug.forges.gitlab import GitLab

    pipeline, commit = env.get("CI_PIPELINE_ID"), env.get("CI_COMMIT_SHA")
    inside = context.host == "gitlab_ci"
    return GitLab(place, pipelines={commit: pipeline} if inside and commit and pipeline else {})


def why_no_forge(context: Context, env: Mapping[str, str], remote_url: str | None) -> str:
    """One line on why `open_forge` gives None, and what to set; empty where it gives a forge."""
    place = _find(context, env, remote_url)
    return place if isinstance(place, str) else ""


def kind_of(context: Context, env: Mapping[str, str], remote_url: str | None) -> Kind | None:
    """Which forge the code is on, whether there is a token for it or not; None where that is not known."""
    return _kind(context, _parse(context.server_url) or _parse(remote_url), env)


def find_place(context: Context, env: Mapping[str, str], remote_url: str | None) -> Place:
    """Where the forge of this job is, and with which token. Raises ConfigError where there is none."""
    place = _find(context, env, remote_url)
    if isinstance(place, str):
        raise ConfigError(place)
    return place


def _find(context: Context, env: Mapping[str, str], remote_url: str | None) -> Place | str:
    """Where to go, or the reason why nowhere."""
    remote = _parse(remote_url)
    server = _parse(context.server_url) or remote
    kind = _kind(context, server, env)
    if kind is None:
        if server and (server.host in _AZURE_REPOS or server.host.endswith(".visualstudio.com")):
            return "comments cannot be written on Azure Repos yet"
        where = f"{server.host} is not known as" if server else "no git remote says that the code is on"
        return (
            f"{where} GitHub, GitLab, Gitea or Bitbucket Cloud; if it is, set the address: "
            "GITHUB_API_URL, CIPLUG_GITLAB_URL or CIPLUG_GITEA_URL"
        )
    return _PLACES[kind](context, env, server, context.repository or (remote.path if remote else ""))


def _kind(context: Context, server: _Remote | None, env: Mapping[str, str]) -> Kind | None:
    """By the CI host that belongs to a forge, else by the name of the server, else by an address that is set."""
    known = forge_of(replace(context, server_url=server.origin if server else None))
    if known:
        return known
    named: dict[str, Kind] = {
        "CIPLUG_GITLAB_URL": "gitlab",
        "CIPLUG_GITEA_URL": "gitea",
        "CIPLUG_BITBUCKET_URL": "bitbucket",
        "GITHUB_API_URL": "github",
    }
    return next((kind for variable, kind in named.items() if env.get(variable)), None)


def _github(context: Context, env: Mapping[str, str], server: _Remote | None, repository: str) -> Place | str:
    api = _address(env, "GITHUB_API_URL") or context.api_url
    named = bool(api) or server is None or server.host == "github.com"
    if not api:
        api = "https://api.github.com" if named or server is None else f"{server.origin}/api/v3"
    token = _token(env, "CIPLUG_GITHUB_TOKEN", *(("GITHUB_TOKEN", "GH_TOKEN") if named else ()))
    if not token and not named:
        return f"no token for {api}; set CIPLUG_GITHUB_TOKEN, or name the server by GITHUB_API_URL"
    if not token:
        return "no token for GitHub; pass GITHUB_TOKEN to the job as an environment variable"
    if repository.count("/") != 1:
        return "neither the job nor the git remote names the repository as owner/name"
    return Place("github", api.rstrip("/"), repository, token)


def _gitlab(context: Context, env: Mapping[str, str], server: _Remote | None, repository: str) -> Place | str:
    api = _address(env, "CIPLUG_GITLAB_URL") or _address(env, "CI_API_V4_URL") or context.api_url
    named = bool(api) or context.host == "gitlab_ci" or server is None or server.host == "gitlab.com"
    if not api and context.host == "gitlab_ci" and context.server_url:
        api = context.server_url
    api = (api or (server.origin if server else "https://gitlab.com")).rstrip("/").removesuffix("/api/v4")
    token = _token(env, "CIPLUG_GITLAB_TOKEN", *(("GITLAB_TOKEN",) if named else ()))
    if not token:
        what = "no token for GitLab"
        if env.get("CI_JOB_TOKEN"):
            what = "GitLab's job token (CI_JOB_TOKEN) cannot write merge request notes"
        return f"{what}; set CIPLUG_GITLAB_TOKEN to a project access token with scope api"
    if context.host != "gitlab_ci":
        repository = _below(api, repository)
    if "/" not in repository:
        return "neither the job nor the git remote names the GitLab project"
    return Place("gitlab", api + "/api/v4", repository, token)


def _gitea(context: Context, env: Mapping[str, str], server: _Remote | None, repository: str) -> Place | str:
    inside = context.host == "gitea"
    api = _address(env, "CIPLUG_GITEA_URL") or context.api_url
    named = bool(api) or inside or (server is not None and server.host == "codeberg.org")
    api = (api or (server.origin if server else "")).rstrip("/").removesuffix("/api/v1")
    if not api:
        return "neither the job nor the git remote says where Gitea is; set CIPLUG_GITEA_URL to its address"
    others = ("GITEA_TOKEN", "FORGEJO_TOKEN", *(("GITHUB_TOKEN",) if inside else ()))
    token = _token(env, "CIPLUG_GITEA_TOKEN", *(others if named else ()))
    if not token:
        what = "pass it ${{ github.token }}" if inside else "set it to an access token with the scope write:issue"
        return f"no token for Gitea in CIPLUG_GITEA_TOKEN; {what}"
    if not inside:
        repository = _below(api, repository)
    if repository.count("/") != 1:
        return "neither the job nor the git remote names the repository as owner/name"
    return Place("gitea", api + "/api/v1", repository, token)


def _bitbucket(context: Context, env: Mapping[str, str], server: _Remote | None, repository: str) -> Place | str:
    api = _address(env, "CIPLUG_BITBUCKET_URL") or "https://api.bitbucket.org/2.0"
    token = _token(env, "CIPLUG_BITBUCKET_TOKEN")
    if not token:
        return (
            "no token for Bitbucket; set CIPLUG_BITBUCKET_TOKEN to a repository access token "
            "with the scope pullrequest:write"
        )
    if repository.count("/") != 1:
        return "neither the job nor the git remote names the repository as workspace/name"
    return Place("bitbucket", api.rstrip("/"), repository, token)


_PLACES = {"github": _github, "gitlab": _gitlab, "gitea": _gitea, "bitbucket": _bitbucket}


def _below(server: str, path: str) -> str:
    """The repository in the path of a remote, or of a pull request: on a server below a path, it starts with that."""
    return path.removeprefix(urlsplit(server).path.strip("/") + "/")


def _parse(url: str | None) -> _Remote | None:
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
    return _Remote(host, origin, parts.path.strip("/").removesuffix(".git"))


def _address(env: Mapping[str, str], variable: str) -> str | None:
    """The web address in a variable, None when it is not set. Raises ConfigError when it is none."""
    value = env.get(variable, "").strip()
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"{variable} is not an address such as https://host/path", hint="leave credentials out of it")
    return value


def _token(env: Mapping[str, str], *variables: str) -> str | None:
    """The first token that is set. Raises ConfigError when it could not be sent: libraries would print it."""
    for variable in variables:
        value = env.get(variable, "").strip()
        if not value:
            continue
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"{variable} holds no token: it has spaces, line ends or special characters")
        return value
    return None
