"""Jenkins as a place to read from: its API, with a user's token."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ciplug.errors import ConfigError, ForgeError, PermissionDenied
from ciplug.forges.base import RETRIES, TIMEOUT, not_understood, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

USER, TOKEN = "CIPLUG_JENKINS_USER", "CIPLUG_JENKINS_TOKEN"


def client(url: str, env: Mapping[str, str]) -> Any:
    """jenkinsapi's client for the server of an address. Raises ConfigError for what is no address, or half a login."""
    from jenkinsapi.jenkins import Jenkins

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(
            f"'{url.rpartition('@')[2]}' is no address of a build", hint=f"leave credentials out of it: set {TOKEN}"
        )
    user, token = env.get(USER, "").strip(), env.get(TOKEN, "").strip()
    if bool(user) != bool(token):
        raise ConfigError(f"{USER} and {TOKEN} belong together, and one is missing")
    server = f"{parts.scheme}://{parts.netloc}"
    return Jenkins(server, user, token, lazy=True, use_crumb=False, timeout=TIMEOUT, max_retries=RETRIES)


@contextmanager
def errors(url: str, task: str) -> Iterator[None]:
    """Turn the exceptions of jenkinsapi and requests into ours: one line, no token, no dump."""
    import requests
    from jenkinsapi.custom_exceptions import JenkinsAPIException

    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else None
        hint = f"set {USER} and {TOKEN} to a user that may read the job, and an API token of theirs"
        if status in (401, 403):
            raise PermissionDenied(f"cannot {task}: Jenkins refuses ({status})", hint=hint) from None
        if status == 404:
            raise PermissionDenied(f"cannot {task}: Jenkins shows nothing at {url}", hint=hint) from None
        raise ForgeError(f"cannot {task}: Jenkins answers {status}") from None
    except requests.RequestException as error:
        unreachable(url, error)
    except (JenkinsAPIException, KeyError, TypeError, AttributeError):
        raise not_understood(url) from None
