"""A server with MLflow's REST API (2.0), written to without MLflow: MLflow 2 and 3, and the services that speak it.

The credential is sent to the host of the address and to no other: redirects are not followed.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ciplug.errors import Cause, ForgeError, StoreError
from ciplug.forges import retries
from ciplug.forges.retries import Waiting
from ciplug.git.credentials import redact
from ciplug.reports.untrusted import clean

if TYPE_CHECKING:
    import requests

_PAGES_MOST = 50_000
_ANSWER_MOST = 256 * 1024 * 1024
"""Bytes of one answer: a page of runs with as many parameters as a server takes."""
_ANSWER_SECONDS = 120
"""For one answer, however slowly it comes."""
_UPLOAD_SECONDS = 600
_PART = 256 * 1024
_WORDS_MOST = 300
_DENIED = (401, 403)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a kind of server takes, as far as it does not say so itself when it is asked."""

    title: str
    """Its name in messages."""
    remedy: str
    """What to do where it refuses the credential or does not know the address."""
    points_most: int = 1_000
    """Metric values of one request."""
    page: int = 200
    """Runs of one answer: one with long parameters has a megabyte of them."""
    params_most: int = 100
    tags_most: int = 100
    name: re.Pattern[str] = re.compile(r"[/\w.\- :]{1,250}")
    """The names of metrics and parameters that it takes."""
    only_finite: bool = False
    """Whether it takes no NaN and no infinite value."""
    keeps_deleted: bool = True
    """Whether a deleted run is still there, so that a deleted one can be copied."""
    experiment_name: Callable[[str], str] = str
    """The name that an experiment has there."""
    filters_by_tag: bool = True
    """Whether a search for runs takes a filter; otherwise it takes GitLab's order."""
    reserved: tuple[str, ...] = ("ciplug.",)
    """The beginnings of tags by which the server, or an export, is told what to do."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server is, and how requests to it are authorized."""

    url: str
    """Without a credential, and without `/api/2.0/mlflow`."""
    authorize: Callable[[requests.PreparedRequest], requests.PreparedRequest] = field(repr=False)
    verify: bool | str = True
    """Whether its certificate is checked, or the file of the certificates that are trusted."""
    certificate: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(StoreError):
    """The server refused a request, which changed nothing."""

    def __init__(self, message: str, *, status: int, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, cause=Cause.FORBIDDEN if status in _DENIED else Cause.UNKNOWN)
        self.status, self.code = status, code

    @property
    def reason(self) -> str:
        """The server's words, without the values in them: equal refusals are counted together."""
        return self.message.partition(": ")[2].partition(": ")[2] or self.message

    @property
    def is_unknown_thing(self) -> bool:
        """Whether what was asked for does not exist there."""
        return self.code == "RESOURCE_DOES_NOT_EXIST"

    @property
    def is_unsupported(self) -> bool:
        """Whether the server has no such part of the API."""
        return self.status in (404, 405, 501) and not self.is_unknown_thing

    @property
    def is_about_value(self) -> bool:
        """Whether it is a value that the server does not take."""
        return self.status in (400, 413, 422)


class Interrupted(StoreError):
    """The answer to a request did not come: nobody knows whether it was carried out."""


class Unusable(StoreError):
    """The server does not answer, or is not one of MLflow: no request to it has a chance."""


class MlflowServer:
    """A server, and what this export has learned of it.

    Args:
        wait: seconds that the server may ask to wait, in all.
        say: tells the user of a wait that begins.
    """

    def __init__(
        self, address: Address, dialect: Dialect, env: Mapping[str, str], wait: float, say: Callable[[str], None]
    ) -> None:
        self.dialect = dialect
        self.env = env
        self.artifacts: str | None = None
        """The address of the bucket that files may be written to, as the user gave it; None: to no bucket."""
        self.until = math.inf
        """The end of patience, by `time.monotonic`: no request begins after it."""
        self.lacks: set[str] = set()
        """The parts of the API that the server has refused as unknown."""
        self._address, self._wait, self._say = address, wait, say
        self.name = clean(redact(address.url), 200)

    # Requests

    def get(self, path: str, **about: str) -> dict[str, Any]:
        """Ask. Raises Refused and StoreError."""
        return self._call(self._repeating, "GET", path, params=about)

    def post(
        self, path: str, about: Mapping[str, Any], *, repeats: bool = True, method: str = "POST"
    ) -> dict[str, Any]:
        """Change something.

        Args:
            repeats: whether the same request twice is the same as once, so that it is sent again after trouble.

        Raises Refused; Interrupted for a request that is not repeated; Unusable for a server that cannot be used.
        """
        session = self._repeating if repeats else self._careful
        return self._call(session, method, path, data=json.dumps(about).encode())

    def pages(self, path: str, key: str, about: Mapping[str, Any], *, method: str = "POST") -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a search."""
        query = {"max_results": self.dialect.page, **about}
        seen: set[str] = set()
        while True:
            if method == "GET":
                answer = self.get(path, **{name: str(value) for name, value in query.items()})
            else:
                answer = self.post(path, query)
            yield from answer.get(key) or []
            if not (token := answer.get("next_page_token")):
                return
            if str(token) in seen or len(seen) >= _PAGES_MOST:
                raise Unusable(f"{self.name}: the pages of {path} do not end", hint="is it a server with MLflow's API?")
            seen.add(str(token))
            query = {**query, "page_token": token}

    def supports(
        self, part: str, call: Callable[..., dict[str, Any]], *args: Any, **named: Any
    ) -> dict[str, Any] | None:
        """Return what a call returns; None where the server has no such part, which is then not asked for again."""
        if part in self.lacks:
            return None
        try:
            return call(*args, **named)
        except Refused as refused:
            if not refused.is_unsupported:
                raise
            self.lacks.add(part)
            return None

    def put_file(self, url: str, file: Path) -> None:
        """Upload a file to an address of this server. Raises Refused and StoreError."""
        with file.open("rb") as content:
            # An empty body would be sent in chunks.
            data: Any = content if file.stat().st_size else b""
            kind = {"Content-Type": "application/octet-stream"}
            self._send(self._repeating, "PUT", url, data=data, headers=kind, timeout=_UPLOAD_SECONDS)

    @property
    def url(self) -> str:
        return self._address.url

    def is_own(self, url: str) -> bool:
        """Whether an address is on this very server, so that it may get the credential."""
        own, other = urlsplit(self._address.url), urlsplit(url)
        return (own.scheme, own.netloc.lower()) == (other.scheme, other.netloc.lower())

    def _call(self, session: requests.Session, method: str, path: str, **more: Any) -> dict[str, Any]:
        data = self._send(session, method, f"{self._address.url}/api/2.0/mlflow/{path}", **more)
        if not isinstance(data, dict):
            raise Unusable(f"{self.name}: not an answer of an MLflow server", hint=self.dialect.remedy)
        return data

    def _send(self, session: requests.Session, method: str, url: str, **more: Any) -> Any:
        """Send a request; returns the JSON of its answer, None of an answer that is something else."""
        import requests

        if time.monotonic() > self.until:
            raise Unusable(f"{self.name} is too slow", hint="the time that a job has for it is over")
        more.setdefault("timeout", retries.TIMEOUT)
        try:
            answer, body = self._answer(session, method, url, more)
        except requests.ConnectTimeout as problem:
            raise self._unreachable(problem) from None
        except requests.RequestException as problem:
            if session is self._repeating or "NewConnectionError" in repr(problem):
                raise self._unreachable(problem) from None
            raise Interrupted(f"{self.name}: the connection was cut") from None
        except ForgeError as problem:
            raise Unusable(problem.message, hint=problem.hint) from None
        data = _json(body)
        if answer.is_redirect or 300 <= answer.status_code < 400:
            place = clean(redact(answer.headers.get("Location", "another address")).partition("?")[0], 200)
            raise Unusable(
                f"{self.name} redirects to {place}, which is not followed: the credential is for this host alone",
                hint="name the address that it redirects to, if that is the server",
            )
        if answer.status_code >= 500 and session is self._careful and answer.status_code not in (501, 503):
            raise Interrupted(f"{self.name}: HTTP {answer.status_code}")
        if not answer.ok:
            raise self._refusal(answer.status_code, data if isinstance(data, dict) else {})
        return data

    def _answer(
        self, session: requests.Session, method: str, url: str, more: dict[str, Any]
    ) -> tuple[requests.Response, bytes]:
        """Send a request, and again after an answer that was cut, where it may be repeated."""
        import requests

        attempts = retries.RETRIES if session is self._repeating and method != "PUT" else 0
        while True:
            # Of a session, REQUESTS_CA_BUNDLE would replace it.
            answer = session.request(
                method, url, allow_redirects=False, verify=self._address.verify, stream=True, **more
            )
            with answer:
                try:
                    return answer, self._body(answer)
                except requests.ConnectionError:
                    if not attempts:
                        raise
            attempts -= 1
            time.sleep(retries.BACKOFF)

    def _body(self, answer: requests.Response) -> bytes:
        """The body of an answer. Raises Unusable for one that is too long, or takes too long."""
        import requests
        from urllib3.exceptions import HTTPError

        # Whatever has come so far: a server that sends a byte now and then would never fill a longer part.
        read = getattr(answer.raw, "read1", answer.raw.read)
        until, body = min(time.monotonic() + _ANSWER_SECONDS, self.until), bytearray()
        try:
            while part := read(_PART, decode_content=True):
                body += part
                if len(body) > _ANSWER_MOST or time.monotonic() > until:
                    too = "long" if len(body) > _ANSWER_MOST else "slow"
                    raise Unusable(f"{self.name}: an answer is too {too}", hint="is it a server with MLflow's API?")
        except HTTPError as problem:
            raise requests.ConnectionError(problem) from None
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and not answer.headers.get("Content-Encoding") and len(body) < int(length):
            raise requests.ConnectionError("the answer was cut")
        return bytes(body)

    def _unreachable(self, problem: Exception) -> Unusable:
        kind = type(problem).__name__
        hint = "is the server running, and can this machine reach it?"
        if kind == "SSLError":
            hint = "does its certificate hold, and does this machine trust who issued it?"
        return Unusable(f"{self.name} did not answer: {kind}", hint=hint, cause=Cause.NETWORK)

    def _refusal(self, status: int, body: Mapping[str, Any]) -> Refused:
        words = body.get("message") or body.get("error") or ""
        if isinstance(words, list):
            words = "; ".join(map(str, words))
        text = clean(str(words), _WORDS_MOST) if words and isinstance(words, str) else "no reason given"
        code = body.get("error_code")
        hint = self.dialect.remedy if status in (*_DENIED, 404) else None
        if not body and hint is None:
            hint = f"this may not be the address of a server of {self.dialect.title}"
        return Refused(
            f"{self.name}: HTTP {status}: {text}",
            status=status,
            code=code if isinstance(code, str) else "",
            hint=hint,
        )

    @cached_property
    def _repeating(self) -> requests.Session:
        """For requests that may be sent twice."""
        return self._session(repeats=True)

    @cached_property
    def _careful(self) -> requests.Session:
        """For requests that are sent again only where the server has surely not carried them out."""
        return self._session(repeats=False)

    @cached_property
    def _waiting(self) -> Waiting:
        return Waiting(self.dialect.title, self._wait, self._say)

    def _session(self, *, repeats: bool) -> requests.Session:
        import requests

        session = requests.Session()
        # It would read the whole body of a redirect, to follow it.
        session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
        # As a function, or a ~/.netrc would come before it.
        session.auth = self._address.authorize
        session.headers.update({"Accept": "application/json", "Content-Type": "application/json"})
        session.headers.update(self._address.headers)
        session.cert = self._address.certificate
        retries.mount(session, self._waiting, repeats=repeats)
        return session


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
