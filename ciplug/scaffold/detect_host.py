"""Which CI host a project uses, by its files and its remote. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ciplug import forges
from ciplug.records.provenance import Context
from ciplug.scaffold.host_files import HOST_FILES

_AZURE_REPOS = re.compile(r"[/@.](?:dev\.azure|visualstudio)\.com[/:]")


class DetectedHost(NamedTuple):
    name: str | None
    """None: not detected."""
    why: str


def forge_of(remote: str | None, env: Mapping[str, str]) -> str | None:
    """The forge that a remote is at, as far as its address and the environment show."""
    return forges.forge_name(Context(), env, remote) if remote else None


def detect_host(pipelines: Mapping[str, str], remote: str | None, env: Mapping[str, str]) -> DetectedHost:
    """The host of an existing pipeline, else the forge of the remote, if it has a CI host with a template.

    Args:
        pipelines: host → its existing pipeline file.
    """
    kind = forge_of(remote, env)
    if kind is None and remote and _AZURE_REPOS.search(remote):
        kind = "azure"
    if kind == "gitea" and "github" in pipelines:
        # Gitea and Forgejo read GitHub's folder, too.
        return DetectedHost("gitea", f"the remote, and {pipelines['github']}")
    if kind in pipelines:
        return DetectedHost(kind, pipelines[str(kind)])
    if pipelines:
        host, *others = pipelines
        more = f"; also present: {', '.join(others)} (--ci)" if others else ""
        return DetectedHost(host, f"{pipelines[host]}{more}")
    if kind in HOST_FILES:
        return DetectedHost(kind, "the remote")
    if kind:
        return DetectedHost(None, f"there is no template for the forge of the remote, {kind}")
    return DetectedHost(None, "the remote's name does not show which forge it is" if remote else "there is no remote")
