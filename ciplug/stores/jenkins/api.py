"""Jenkins' API, with a user's token: the client, and its failures as StoreErrors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ciplug.errors import Cause, ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

USER, TOKEN, SERVER = "CIPLUG_JENKINS_USER", "CIPLUG_JENKINS_TOKEN", "CIPLUG_JENKINS_URL"
TIMEOUT = 30
"""Seconds to wait for an answer: Jenkins reads the builds of a job from its disk."""
_RETRIES = 4
_MAX_WAIT = 60
"""Seconds that Jenkins may ask us to wait at a time."""
_BUSY = (429, 502, 503, 504)


def client(url: str, env: Mapping[str, str]) -> Any:
    """jenkinsapi's client for the server of an address. Raises ConfigError for a wrong address, or half a login.

    The login goes to the server of this build alone, or to the one that is named beside it: whoever may change an
    address must not get it sent elsewhere.
    """
    import logging

    from jenkinsapi.jenkins import Jenkins
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class RetryWithinLimit(Retry):
        def sleep(self, response: Any = None) -> None:
            wait = (self.get_retry_after(response) if response else None) or self.get_backoff_time()
            if wait > _MAX_WAIT:
                raise _later(f"Jenkins asks to wait {wait:.0f} s, more than the {_MAX_WAIT} s that ciplug waits")
            super().sleep(response)

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(
            f"'{url.rpartition('@')[2]}' is not the address of a build",
            hint=f"leave credentials out of it: set {TOKEN}",
        )
    user, token = env.get(USER, "").strip(), env.get(TOKEN, "").strip()
    if bool(user) != bool(token):
        raise ConfigError(f"{USER} and {TOKEN} belong together, and one is missing")
    server = f"{parts.scheme}://{parts.netloc}"
    addresses = {urlsplit(env.get(name, "").strip())[:2] for name in ("JENKINS_URL", "BUILD_URL", SERVER)} - {("", "")}
    if token and (parts.scheme, parts.netloc) not in addresses:
        own = " and ".join(sorted(f"{scheme}://{host}" for scheme, host in addresses)) or "no server"
        raise ConfigError(
            f"{TOKEN} is for {own}, and is not sent to {server}",
            hint=f"if it is for that server, name it beside the token: {SERVER}={server}",
        )
    # It logs what it raises as well.
    logging.getLogger("jenkinsapi").setLevel(logging.CRITICAL)
    made = Jenkins(server, user, token, lazy=True, use_crumb=False, timeout=TIMEOUT)
    again = RetryWithinLimit(_RETRIES, backoff_factor=0.5, status_forcelist=_BUSY, raise_on_status=False)
    for scheme in ("http://", "https://"):
        made.requester.session.mount(scheme, HTTPAdapter(max_retries=again))
    return made


@contextmanager
def errors(url: str, task: str) -> Iterator[None]:
    """Turn the exceptions of jenkinsapi and requests into StoreError: one line, no token, no dump."""
    import requests
    from jenkinsapi.custom_exceptions import JenkinsAPIException

    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else None
        hint = f"set {USER} and {TOKEN} to a user that may read the job, and an API token of theirs"
        if status in (401, 403):
            cause = Cause.BAD_CREDENTIAL if status == 401 else Cause.FORBIDDEN
            raise StoreError(f"cannot {task}: Jenkins refuses ({status})", hint=hint, cause=cause) from None
        if status == 404:
            words = f"cannot {task}: Jenkins shows nothing at {url}"
            raise StoreError(words, hint=hint, cause=Cause.NOT_FOUND) from None
        raise _later(f"cannot {task}: Jenkins answers {status}") from None
    except requests.Timeout:
        raise _later(f"cannot {task}: {url} did not answer within {TIMEOUT} s") from None
    except requests.exceptions.SSLError:
        hint = "point REQUESTS_CA_BUNDLE to your CA file"
        words = f"{url} has a certificate that this machine does not trust"
        raise StoreError(words, hint=hint, cause=Cause.NETWORK) from None
    except requests.exceptions.ProxyError:
        hint = "check HTTPS_PROXY and NO_PROXY"
        words = f"{url} cannot be reached through the proxy"
        raise StoreError(words, hint=hint, cause=Cause.NETWORK) from None
    except requests.RequestException:
        hint = "check the network and the address"
        raise StoreError(f"{url} cannot be reached", hint=hint, cause=Cause.NETWORK) from None
    except (JenkinsAPIException, KeyError, TypeError, AttributeError, ValueError):
        hint = "is it Jenkins, and not a login page?"
        words = f"{url} gave an answer that is not understood"
        raise StoreError(words, hint=hint, cause=Cause.FORMAT) from None


def _later(words: str) -> StoreError:
    return StoreError(words, hint="try again later", cause=Cause.NETWORK)
