"""A JSON API over HTTP with a token, for forges that need no library: bounded requests, errors in our words."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ciplug.errors import ForgeError, ForgeKind
from ciplug.forges import retries
from ciplug.forges.failures import not_understood, refusal, unreachable
from ciplug.forges.refusals import Reply, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

    from ciplug.forges.base import Place


@dataclass(eq=False)
class Refused(Exception):
    """An answer that is not a success."""

    reply: Reply

    @property
    def status(self) -> int:
        return self.reply.status


class JsonApi:
    """A JSON API over requests, which brings proxies (HTTPS_PROXY) and own certificates (REQUESTS_CA_BUNDLE)."""

    def __init__(self, place: Place, title: str, scheme: str) -> None:
        """`title` is the forge's name in messages; `scheme` precedes the token, as in `Bearer <token>`."""
        self._place = place
        self._title = title
        self._scheme = scheme
        self._opened: requests.Session | None = None

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> requests.Response:
        """Raises Refused, and requests' exceptions on other trouble; `errors` turns them into ours."""
        return self._request("GET", path, params=params)

    def send(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> requests.Response:
        """Send a request that changes something; otherwise like `get`."""
        return self._request(method, path, json=data)

    def allowed(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> bool:
        """Do as `send` or `get` do; False when the token may not, or when it is not there."""
        try:
            self._request(method, path, json=data)
        except Refused as refusal:
            if refusal.status not in (403, 404) or kind_of(refusal.reply) is ForgeKind.RATE_LIMIT:
                raise
            return False
        return True

    def delete(self, path: str) -> None:
        """Delete an object, like `get`; one that does not exist is not an error."""
        try:
            self._request("DELETE", path)
        except Refused as refusal:
            if refusal.status != 404:
                raise

    @contextmanager
    def errors(self, task: str, hint: str) -> Iterator[None]:
        """Turn exceptions of requests, and of answers of another shape, into ours: one line, no token, no dump."""
        import requests

        try:
            yield
        except Refused as refused:
            raise refusal(self._title, self._place, task, refused.reply, hint) from None
        except requests.RequestException as error:
            unreachable(self._place.api_url, error)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise not_understood(self._place.api_url) from None

    def _request(self, method: str, path: str, **more: Any) -> requests.Response:
        session = self._session()
        response = session.request(method, self._place.api_url + path, timeout=retries.TIMEOUT, **more)
        # A redirect may turn a write into a read, which would look as if all had gone well.
        if response.request.method != method:
            raise ForgeError(
                f"{self._place.api_url} redirects write requests", hint="set the API address to the redirect's target"
            )
        if not response.ok:
            raise Refused(_reply_of(response))
        return response

    def _session(self) -> requests.Session:
        if self._opened is None:
            self._opened = _session(self._place, self._title, f"{self._scheme} {self._place.token}")
        return self._opened


def _reply_of(response: requests.Response) -> Reply:
    """With the forge's own words: Gitea's `message`, Bitbucket's `error.message`."""
    try:
        data = response.json()
    except ValueError:
        data = None
    inner = data.get("error") if isinstance(data, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else data.get("message") if isinstance(data, dict) else ""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, message if isinstance(message, str) else "", headers=headers)


def _session(place: Place, title: str, authorization: str) -> requests.Session:
    import requests

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = authorization
        return request

    session = requests.Session()
    # As a function, or a ~/.netrc would come before it.
    session.auth = authorize
    session.headers["Accept"] = "application/json"
    retries.mount(session, retries.Waiting(title, place.wait, place.say))
    return session
