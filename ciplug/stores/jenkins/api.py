"""Jenkins' API, with a user's token: the client, and its troubles in our words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ciplug.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

USER, TOKEN = "CIPLUG_JENKINS_USER", "CIPLUG_JENKINS_TOKEN"
TIMEOUT = 30
"""Seconds to wait for an answer: Jenkins reads the builds of a job from its disk."""
_RETRIES = 4
_MAX_WAIT = 60
"""Seconds that Jenkins may ask us to wait at a time."""
_BUSY = (429, 502, 503, 504)


def client(url: str, env: Mapping[str, str]) -> Any:
    """jenkinsapi's client for the server of an address. Raises ConfigError for what is no address, or no whole login.

    In a build, the login goes to the server of that build alone: whoever may change an address must not get it sent
    elsewhere.
    """
    import logging

    from jenkinsapi.jenkins import Jenkins
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Patience(Retry):
        def sleep(self, response: Any = None) -> None:
            wait = (self.get_retry_after(response) if response else None) or self.get_backoff_time()
            if wait > _MAX_WAIT:
                raise StoreError(
                    f"Jenkins asks to wait {wait:.0f} s, more than the {_MAX_WAIT} s that ciplug waits",
                    hint="try again later",
                )
            super().sleep(response)

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(
            f"'{url.rpartition('@')[2]}' is no address of a build", hint=f"leave credentials out of it: set {TOKEN}"
        )
    user, token = env.get(USER, "").strip(), env.get(TOKEN, "").strip()
    if bool(user) != bool(token):
        raise ConfigError(f"{USER} and {TOKEN} belong together, and one is missing")
    server = f"{parts.scheme}://{parts.netloc}"
    own = urlsplit(env.get("JENKINS_URL", ""))
    if token and own.netloc and (own.scheme, own.netloc) != (parts.scheme, parts.netloc):
        raise ConfigError(
            f"{TOKEN} is for {own.scheme}://{own.netloc}, where this build runs, and {server} is another server",
            hint=f"read that one without {USER} and {TOKEN}, or outside of Jenkins",
        )
    # It logs what it raises as well.
    logging.getLogger("jenkinsapi").setLevel(logging.CRITICAL)
    made = Jenkins(server, user, token, lazy=True, use_crumb=False, timeout=TIMEOUT)
    again = Patience(_RETRIES, backoff_factor=0.5, status_forcelist=_BUSY, raise_on_status=False)
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
            raise StoreError(f"cannot {task}: Jenkins refuses ({status})", hint=hint) from None
        if status == 404:
            raise StoreError(f"cannot {task}: Jenkins shows nothing at {url}", hint=hint) from None
        raise StoreError(f"cannot {task}: Jenkins answers {status}", hint="try again later") from None
    except requests.Timeout:
        raise StoreError(f"cannot {task}: {url} did not answer within {TIMEOUT} s", hint="try again later") from None
    except requests.exceptions.SSLError:
        hint = "point REQUESTS_CA_BUNDLE to your CA file"
        raise StoreError(f"{url} has a certificate that this machine does not trust", hint=hint) from None
    except requests.exceptions.ProxyError:
        hint = "check HTTPS_PROXY and NO_PROXY"
        raise StoreError(f"{url} cannot be reached through the proxy", hint=hint) from None
    except requests.RequestException:
        raise StoreError(f"{url} cannot be reached", hint="check the network and the address") from None
    except (JenkinsAPIException, KeyError, TypeError, AttributeError, ValueError):
        hint = "is it Jenkins, and no login page?"
        raise StoreError(f"{url} gave an answer that is not understood", hint=hint) from None
