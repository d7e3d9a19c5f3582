"""The forges, which show the comment and the status. To add one, see CONTRIBUTING.md, 'To add … a forge'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.errors import ConfigError
from ciplug.forges import bitbucket, gitea, github, gitlab, retries
from ciplug.forges.address import Job, job_of
from ciplug.forges.base import Forge, ForgeModule, Lack, NoForge, Place, Right, State
from ciplug.records.forge_pages import forge_of

if TYPE_CHECKING:
    from ciplug.records.provenance import Context

__all__ = ["FORGES", "Forge", "Lack", "NoForge", "Place", "Right", "State", "find_place", "forge_name", "open_forge"]

FORGES: dict[str, ForgeModule] = {module.name: module for module in (gitlab, gitea, bitbucket, github)}
"""The forges in the order in which their addresses are tried: other hosts set GITHUB_API_URL as well."""

_AZURE_REPOS = ("dev.azure.com", "ssh.dev.azure.com")


def open_forge(
    context: Context, env: Mapping[str, str], remote_url: str | None, say: Callable[[str], None] | None = None
) -> Forge | NoForge:
    """The forge that this job can talk to. No request is made yet; `say` tells the user of a wait that begins.

    Raises ConfigError when a token, an address or a number in the environment is malformed.
    """
    job = job_of(context, env, remote_url)
    place = _place_of(job)
    if isinstance(place, NoForge):
        return place
    return FORGES[place.kind].connect(replace(place, say=say) if say else place, job)


def find_place(context: Context, env: Mapping[str, str], remote_url: str | None) -> Place:
    """Return the address of this job's forge, and the token for it. Raises ConfigError if there is none."""
    place = _place_of(job_of(context, env, remote_url))
    if isinstance(place, NoForge):
        raise ConfigError(place.message, hint=place.hint)
    return place


def forge_name(context: Context, env: Mapping[str, str], remote_url: str | None) -> str | None:
    """Return the forge of the code, with or without a token for it; None if unknown."""
    return _name_of(job_of(context, env, remote_url))


def _place_of(job: Job) -> Place | NoForge:
    name = _name_of(job)
    place = FORGES[name].find_place(job) if name else _unknown(job)
    return place if isinstance(place, NoForge) else replace(place, wait=retries.allowed_wait(job.env))


def _name_of(job: Job) -> str | None:
    """Find the forge by its CI host, else by the server's name, else by an address in the environment."""
    by_server = forge_of(replace(job.context, server_url=job.server.origin if job.server else None))
    if by_server:
        return by_server
    return next((name for name, module in FORGES.items() if job.env.get(module.address_variable)), None)


def _unknown(job: Job) -> NoForge:
    server = job.server
    if server and (server.host in _AZURE_REPOS or server.host.endswith(".visualstudio.com")):
        return NoForge(Lack.SUPPORT, "comments cannot be written on Azure Repos yet")
    where = f"{server.host} is not known as" if server else "no git remote says that the code is on"
    return NoForge(
        Lack.ADDRESS,
        f"{where} GitHub, GitLab, Gitea or Bitbucket Cloud",
        "if it is, set the address: GITHUB_API_URL, CIPLUG_GITLAB_URL or CIPLUG_GITEA_URL",
    )
