"""Ask a served model for predictions over HTTP, in the forms that MLflow's server, KServe and others read."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ciplug.errors import ConfigError
from ciplug.serve_log import NO_LOG_HEADER, predictions_of

VARIABLE = "CIPLUG_ENDPOINT_TOKEN"
"""The variable with the token of the served model. It is sent as a bearer token."""
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANSWER_MOST = 64 * 1024 * 1024
_WORDS = 200


class Silent(Exception):
    """Nobody answers, or the server cannot answer now."""


class Refused(Exception):
    """The server refuses the request."""


class Unreadable(Exception):
    """The answer has no predictions."""


def request_body(rows: Sequence[Mapping[str, Any]], form: str) -> bytes:
    """The rows in one of FORMS. `dataframe_split` has each column of any row; a value that a row lacks is null."""
    if form == "dataframe_split":
        columns = list(dict.fromkeys(name for row in rows for name in row))
        value: Any = {"columns": columns, "data": [[row.get(name) for name in columns] for row in rows]}
    elif form == "inputs":
        columns = list(dict.fromkeys(name for row in rows for name in row))
        value = {name: [row.get(name) for row in rows] for name in columns}
    else:
        value = list(rows)
    return json.dumps({form: value}, default=str).encode()


def ask(url: str, body: bytes, env: Mapping[str, str], *, timeout: float) -> list[Any]:
    """The predictions that a server answers.

    Raises Silent, Refused and Unreadable, with a clause that says why; ConfigError for a token without TLS.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json", NO_LOG_HEADER: "1"}
    host, is_secure = urlsplit(url).hostname, urlsplit(url).scheme == "https"
    if token := env.get(VARIABLE, "").strip():
        if not is_secure and host not in _LOOPBACK:
            raise ConfigError(f"{VARIABLE} is not sent to {url} without TLS", hint="write the address with https://")
        headers["Authorization"] = f"Bearer {token}"
    proxies = urllib.request.ProxyHandler({}) if host in _LOOPBACK else urllib.request.ProxyHandler()
    opener = urllib.request.build_opener(proxies, _NoRedirect())
    request = urllib.request.Request(url, body, headers)  # noqa: S310 (http or https, by the policy)
    try:
        with opener.open(request, timeout=timeout) as answer:
            data = answer.read(_ANSWER_MOST + 1)
    except urllib.error.HTTPError as problem:
        with problem:
            said = _said(problem.read(_WORDS * 4))
        words = f"status {problem.code}{f': {said}' if said else ''}"
        raise (Silent if problem.code in (502, 503, 504) else Refused)(words) from None
    except (OSError, ValueError, urllib.error.URLError) as problem:
        reason = getattr(problem, "reason", problem)
        raise Silent(_said(str(reason).encode()) or type(problem).__name__) from None
    return _predictions(data)


def _predictions(data: bytes) -> list[Any]:
    if len(data) > _ANSWER_MOST:
        raise Unreadable(f"an answer of more than {_ANSWER_MOST:,} bytes")
    try:
        return [_finite(one) for one in predictions_of(data)]
    except (ValueError, RecursionError):
        raise Unreadable(f"no JSON with predictions: {_said(data)}") from None


def _finite(value: Any) -> Any:
    """A value as it is recorded: NaN is null."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value


def _said(data: bytes) -> str:
    """The beginning of what a server said, in one line."""
    return "".join(c if c.isprintable() else " " for c in data.decode(errors="replace"))[:_WORDS].strip()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Rows and token go to the address of the policy alone."""

    def redirect_request(self, *args: Any, **named: Any) -> None:
        return None
