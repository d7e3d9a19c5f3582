"""Places for files that only a record names: which of them git may contact with the credentials of the user."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from ciplug.errors import ConfigError
from ciplug.git.credentials import is_known_host, redact
from ciplug.reports.untrusted import clean
from ciplug.stores import check_files, is_git


def check_named_place(uri: str) -> None:
    """Raise the ConfigError of an address, given by the user, that is no place for files. Nothing is opened.

    The address of a web server names that for artifacts at addresses.
    """
    if not uri.startswith(("https://", "http://")):
        check_files(uri)


def check_record_address(address: str, env: Mapping[str, str], own: Iterable[str]) -> None:
    """Refuse an artifact at a web address on a host that nobody here has named. Nothing is contacted.

    Whoever may write a record chooses the address, which may be one inside the network of whoever pulls.

    Args:
        address: as the record has it.
        own: the addresses of the checkout's remotes, and those that the user has named.

    Raises ConfigError.
    """
    if not address.startswith(("https:", "http:")) or is_known_host(address, env, own):
        return
    shown = clean(redact(address), 200)
    host = shlex.quote(clean(redact("/".join([*address.split("/")[:3], ""])), 200))
    raise ConfigError(
        f"the record says that an artifact is at {shown}, on a host that neither a remote of this checkout nor "
        "ciplug.yaml names: it is not contacted",
        hint=f"if you trust it, name it: artifacts: in ciplug.yaml, or ciplug pull --artifact-store {host}",
    )


def check_record_place(place: str, env: Mapping[str, str], own: Iterable[str]) -> None:
    """Refuse a git repository on a host that nobody here has named. Nothing is contacted.

    Whoever may write a record chooses the place in it, and git would answer its host with the credential of a helper,
    or an ssh key. Object stores are not checked: their servers come from the environment, never from an address.

    Args:
        place: as the record names it.
        own: the addresses of the checkout's remotes, and of the stores that the user has named.

    Raises ConfigError.
    """
    if not is_git(place) or place.partition("?")[0] == "git:" or place.startswith("git+file:///"):
        return
    if is_known_host(place.removeprefix("git+"), env, own):
        return
    shown = clean(redact(place), 200)
    named = shlex.quote(shown)
    raise ConfigError(
        f"the record says that its files are in {shown}, on a host that neither a remote of this checkout nor "
        "ciplug.yaml names: it is not contacted, because git could send your credentials there",
        hint=f"if you trust it, name it: artifact_store: in ciplug.yaml, or ciplug pull --artifact-store {named}",
    )
