"""The credentials that git sends to a remote: find them, and remove them from texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import unquote

from ciplug.errors import ConfigError
from ciplug.git.environment import Config

PUSH_TOKEN = "CIPLUG_PUSH_TOKEN"  # noqa: S105 (the name of a variable)
TOKEN_HOST = "CIPLUG_PUSH_TOKEN_HOST"  # noqa: S105
"""The hosts that the token is for, beside the one of the job: `git.example.com`, or several with commas."""
_JOB_HOSTS = ("GITHUB_SERVER_URL", "CI_SERVER_URL", "BITBUCKET_GIT_HTTP_ORIGIN", "BUILD_REPOSITORY_URI", "GIT_URL")
"""Variables in which a CI host names the server of the job's repository."""
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/\s]+@")
PASSWORD_IN_URL = re.compile(r"(?<=://)([^/\s:]*):([^/\s]*)@")


class _Site(NamedTuple):
    secure: bool
    host: str
    """With its port."""


def _site(url: str) -> _Site | None:
    """The server of an address; an ssh address names the host that serves https, too. None: a folder."""
    # A host ends before #, also with an @ after it: https://evil.example#@github.com is at evil.example.
    if match := re.match(r"(?:git\+)?(https?)://(?:[^/?#\\@]*@)?([^/?#\\]+)", url, re.IGNORECASE):
        return _Site(match[1].lower() == "https", match[2].lower())
    # Of an ssh address, git decodes all before it looks for the host: ssh://evil.example%2F@github.com, too.
    ssh = r"(?:git\+)?ssh://(?:[^/]*@)?([^/:@]+)(?::\d*)?(?:/|$)|(?:[^/@\s]+@)([^/:\s]+):(?!//)"
    match = re.match(ssh, unquote(url), re.IGNORECASE)
    return _Site(True, (match[1] or match[2]).lower()) if match else None


def push_token(env: Mapping[str, str], url: str, checkout: str | None) -> str | None:
    """The token to push to an address with; None where there is none, or git does not reach the address by HTTP.

    Whoever may change an address must not get a token sent there: it is for the server that the CI host names, else
    for that of the checkout, and for those that stand beside the token.

    Args:
        checkout: the address of the checkout's remote.

    Raises ConfigError where the token is for another server than that of `url`.
    """
    token = env.get(PUSH_TOKEN) or None
    site = _site(url) if url.lower().startswith("http") else None
    if token is None or site is None:
        return None
    known = [*(_sites_of_job(env) or _sites([checkout or ""])), *_sites_of_token(env)]
    if _is_one_of(site, known):
        return token
    hosts = ", ".join(dict.fromkeys(one.host for one in known)) or "no host"
    where = f"{'https' if site.secure else 'http'}://{site.host}"
    raise ConfigError(
        f"{PUSH_TOKEN} is for {hosts}, and is not sent to {where}",
        hint=f"if it is for that host, name it beside the token: {TOKEN_HOST}={site.host if site.secure else where}",
    )


def is_known_host(url: str, env: Mapping[str, str], own: Iterable[str]) -> bool:
    """Whether an address is on a server that the CI host, `CIPLUG_PUSH_TOKEN_HOST` or an address of `own` names."""
    site = _site(url)
    return site is not None and _is_one_of(site, [*_sites_of_job(env), *_sites_of_token(env), *_sites(own)])


def _sites(urls: Iterable[str]) -> list[_Site]:
    return [found for url in urls if (found := _site(url))]


def _sites_of_job(env: Mapping[str, str]) -> list[_Site]:
    return _sites(env.get(name, "") for name in _JOB_HOSTS)


def _sites_of_token(env: Mapping[str, str]) -> list[_Site]:
    named = re.split(r"[\s,]+", env.get(TOKEN_HOST, ""))
    return _sites(one if "://" in one else f"https://{one}" for one in named if one)


def _is_one_of(site: _Site, known: Iterable[_Site]) -> bool:
    """Whether a server is known. One that is known by https gets nothing in the clear."""
    return any(site.host == one.host and (site.secure or not one.secure) for one in known)


def redact(text: str) -> str:
    """Take user names and tokens out of URLs."""
    return _CREDENTIALS_IN_URL.sub("", text)


def without_password(url: str) -> str:
    """Return the URL without its password, fit for a command line that every user of the machine can read."""
    return PASSWORD_IN_URL.sub("", url) if url.startswith("http") else url


Source = Literal["header", "url", "helper"]


def stored_credential(config: Config, url: str) -> Source | None:
    """Return the place of a credential for an address in the configuration; a helper may have one. None: no place."""
    if any(authorizes(key, value, redact(url)) for key, value in config):
        return "header"
    if url.startswith("http") and PASSWORD_IN_URL.search(url):
        return "url"
    helpers = [value for key, value in config if key.startswith("credential.") and key.endswith("helper")]
    return "helper" if any(helpers) else None


def is_header(key: str) -> bool:
    """Whether a setting is a header of git's requests."""
    return key.startswith("http.") and key.endswith(".extraheader")


def authorizes(key: str, value: str, url: str) -> bool:
    """Whether a setting is a credential for an address."""
    site = key[len("http.") : -len(".extraheader")]
    return is_header(key) and url.startswith(site) and value.lower().startswith("authorization:")
