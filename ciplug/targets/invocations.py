"""Ask a served model for predictions over HTTP, in the forms that MLflow's server, KServe and others read."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ciplug.errors import ConfigError
from ciplug.serve_log import NO_LOG_HEADER, predictions_of
from ciplug.targets.http_in_time import FAILURES, opener

VARIABLE = "CIPLUG_ENDPOINT_TOKEN"
"""The variable with the token of the served model. It is sent as a bearer token."""
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TOKEN = re.compile(r"[\x21-\x7e]+")
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


def token_for(url: str, env: Mapping[str, str]) -> str | None:
    """The token of the job for an address; None: the job has none.

    Raises ConfigError for an address that cannot be asked, and for a token that cannot be sent there.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(
            f"{url[:_WORDS]!r} is not an address that can be asked", hint="write it like https://wine.example.com"
        )
    token = env.get(VARIABLE, "").strip()
    if not token:
        return None
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{VARIABLE} has a blank, a line break or another character that no token has",
            hint="set the variable to the token alone",
        )
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"{VARIABLE} is not sent to {url} without TLS", hint="write the address with https://")
    return token


def ask(url: str, body: bytes, token: str | None, *, timeout: float) -> list[Any]:
    """The predictions that a server answers.

    Args:
        timeout: the seconds until the last byte of the answer.

    Raises Silent, Refused and Unreadable, with a clause that says why.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json", NO_LOG_HEADER: "1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    is_near = urlsplit(url).hostname in _LOOPBACK
    request = urllib.request.Request(url, body, headers)  # noqa: S310 (http or https, by token_for)
    try:
        try:
            with opener(timeout, proxies=not is_near).open(request, timeout=timeout) as answer:
                data = answer.read(_ANSWER_MOST + 1)
                if answer.length and len(data) <= _ANSWER_MOST:
                    raise Silent(f"the answer ends {answer.length:,} bytes early")
        except urllib.error.HTTPError as problem:
            with problem:
                said = _said(problem.read(_WORDS * 4))
            words = f"status {problem.code}{f': {said}' if said else ''}"
            raise (Silent if problem.code in (502, 503, 504) else Refused)(words) from None
    except FAILURES as problem:
        reason = getattr(problem, "reason", problem)
        raise Silent(_said(str(reason).encode(errors="replace")) or type(problem).__name__) from None
    return _predictions(data)


def _predictions(data: bytes) -> list[Any]:
    if len(data) > _ANSWER_MOST:
        raise Unreadable(f"an answer of more than {_ANSWER_MOST:,} bytes")
    try:
        return [_not_deep(one) for one in predictions_of(data)]
    except (ValueError, RecursionError):
        raise Unreadable(f"no JSON with predictions: {_said(data)}") from None


def _not_deep(value: Any, deepest: int = 50) -> Any:
    """The value. Raises ValueError for lists in lists that no prediction has: text is made of what differs."""
    if isinstance(value, list | dict):
        if deepest == 0:
            raise ValueError("too deep")
        for one in value.values() if isinstance(value, dict) else value:
            _not_deep(one, deepest - 1)
    return value


def _said(data: bytes) -> str:
    """The beginning of what a server said, in one line."""
    return "".join(c if c.isprintable() else " " for c in data.decode(errors="replace"))[:_WORDS].strip()
