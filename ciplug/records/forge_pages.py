"""Addresses of the pages where a forge shows commits and folders, as far as the record of a job tells. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from ciplug.records.provenance import Context


class Pages(NamedTuple):
    """The signs of a forge, and the addresses of its pages below a repository's page."""

    ci_host: str | None
    """The CI host of this forge."""
    servers: tuple[str, ...]
    """Names of servers: a server belongs to this forge if one of these is its name or a part of it between dots."""
    commit: str
    folder: str
    runs: str
    """A regular expression for the page of a pipeline's run."""


FORGES: dict[str, Pages] = {
    "github": Pages("github_actions", ("github",), "commit", "tree", r"actions/runs/\d+"),
    "gitlab": Pages("gitlab_ci", ("gitlab",), "-/commit", "-/tree", r"-/(?:pipelines|jobs)/\d+"),
    "gitea": Pages("gitea", ("gitea", "forgejo", "codeberg"), "commit", "src/branch", r"actions/runs/\d+"),
    "bitbucket": Pages("bitbucket", ("bitbucket.org",), "commits", "src", r"pipelines/results/\d+"),
}
"""Forge → its pages. A row here goes with each module in ciplug/forges."""

_REMOTE = re.compile(r"(?:\w[\w+.-]*://)?(?:[^@/]*@)?([\w.-]+)(?::\d+(?=/))?[:/]+(.+?)(?:\.git)?/*")


def forge_of(context: Context) -> str | None:
    """Return the forge of the code, by its CI host, else by its server's name; None if unknown."""
    by_host = next((name for name, pages in FORGES.items() if pages.ci_host == context.host), None)
    server = _host(context.server_url)
    parts = {server, *server.split(".")}
    return by_host or next((name for name, pages in FORGES.items() if not parts.isdisjoint(pages.servers)), None)


def repository_page(context: Context) -> str | None:
    """Return the repository's page, without a slash at the end."""
    if not _host(context.server_url) or not context.repository:
        return None
    return f"{(context.server_url or '').rstrip('/')}/{_path(context.repository.strip('/'))}"


def commit_page(context: Context, commit: str | None) -> str | None:
    """Return the page of a commit in the context's repository."""
    forge, page = forge_of(context), repository_page(context)
    if forge is None or page is None or not re.fullmatch("[0-9a-f]{7,64}", commit or ""):
        return None
    return f"{page}/{FORGES[forge].commit}/{commit}"


def folder_page(context: Context, branch: str, folder: str) -> str | None:
    """Return the page of a folder of a branch in the context's repository."""
    forge, page = forge_of(context), repository_page(context)
    if forge is None or page is None:
        return None
    return f"{page}/{FORGES[forge].folder}/{_path(branch)}/{_path(folder)}"


def is_run_of(context: Context, url: str) -> bool:
    """Whether an address is that of a pipeline's run, on the pages of the repository that the context names."""
    page = repository_page(context)
    if page is None or not url.startswith(page + "/"):
        return False
    return any(re.fullmatch(pages.runs, url[len(page) + 1 :]) for pages in FORGES.values())


def is_same_repository(remote: str, context: Context) -> bool:
    """Whether a git remote is the repository that the context names: `git@host:owner/name.git`, `https://…`."""
    match = _REMOTE.fullmatch(remote)
    page = repository_page(context)
    if match is None or page is None:
        return False
    parts = urlsplit(page)
    return (match[1].lower(), _path(match[2]).lower()) == (parts.hostname, parts.path.strip("/").lower())


def _host(url: str | None) -> str:
    """Return the host of a web address; empty if it has none."""
    try:
        parts = urlsplit(url or "")
        return parts.hostname or "" if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _path(text: str) -> str:
    return quote(text, errors="replace")
