"""Addresses of the pages where a forge shows commits and folders, as far as the record of a job tells. Pure."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote, urlsplit

from ciplug.records.provenance import Context

ForgeName = Literal["github", "gitlab", "gitea", "bitbucket"]

_OF_HOSTS: dict[str, ForgeName] = {
    "github_actions": "github",
    "gitlab_ci": "gitlab",
    "gitea": "gitea",
    "bitbucket": "bitbucket",
}
_COMMITS: dict[ForgeName, str] = {
    "github": "commit",
    "gitlab": "-/commit",
    "gitea": "commit",
    "bitbucket": "commits",
}
_FOLDERS: dict[ForgeName, str] = {
    "github": "tree",
    "gitlab": "-/tree",
    "gitea": "src/branch",
    "bitbucket": "src",
}
_RUNS = re.compile(r"(?:actions/runs|-/pipelines|-/jobs|pipelines/results)/\d+")
_REMOTE = re.compile(r"(?:\w[\w+.-]*://)?(?:[^@/]*@)?([\w.-]+)(?::\d+(?=/))?[:/]+(.+?)(?:\.git)?/*")


def forge_of(context: Context) -> ForgeName | None:
    """Which forge has the code: by the CI host that belongs to one, else by the name of its server; None: unknown."""
    if context.host in _OF_HOSTS:
        return _OF_HOSTS[context.host]
    server = _host(context.server_url)
    labels = set(server.split("."))
    if "github" in labels:
        return "github"
    if "gitlab" in labels:
        return "gitlab"
    if labels & {"gitea", "forgejo", "codeberg"}:
        return "gitea"
    return "bitbucket" if server == "bitbucket.org" else None


def repository_page(context: Context) -> str | None:
    """The repository's own page, without a slash at its end."""
    if not _host(context.server_url) or not context.repository:
        return None
    return f"{(context.server_url or '').rstrip('/')}/{_path(context.repository.strip('/'))}"


def commit_page(context: Context, commit: str | None) -> str | None:
    """The page of a commit of the repository that the context names."""
    forge, page = forge_of(context), repository_page(context)
    if forge is None or page is None or not re.fullmatch("[0-9a-f]{7,64}", commit or ""):
        return None
    return f"{page}/{_COMMITS[forge]}/{commit}"


def folder_page(context: Context, branch: str, folder: str) -> str | None:
    """The page of a folder of a branch of the repository that the context names."""
    forge, page = forge_of(context), repository_page(context)
    if forge is None or page is None:
        return None
    return f"{page}/{_FOLDERS[forge]}/{_path(branch)}/{_path(folder)}"


def is_run_of(context: Context, url: str) -> bool:
    """Whether an address is that of a pipeline's run, on the pages of the repository that the context names."""
    page = repository_page(context)
    return page is not None and url.startswith(page + "/") and bool(_RUNS.fullmatch(url[len(page) + 1 :]))


def is_same_repository(remote: str, context: Context) -> bool:
    """Whether a git remote is the repository that the context names: `git@host:owner/name.git`, `https://…`."""
    found = _REMOTE.fullmatch(remote)
    page = repository_page(context)
    if found is None or page is None:
        return False
    parts = urlsplit(page)
    return (found[1].lower(), _path(found[2]).lower()) == (parts.hostname, parts.path.strip("/").lower())


def _host(url: str | None) -> str:
    """The host of a web address; empty where it is none."""
    try:
        parts = urlsplit(url or "")
        return parts.hostname or "" if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _path(text: str) -> str:
    return quote(text, errors="replace")
