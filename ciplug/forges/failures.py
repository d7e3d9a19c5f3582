"""Error messages for failed forge requests: one line, without tokens or raw answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from ciplug.errors import ForgeError, ForgeKind, PermissionDenied
from ciplug.forges.refusals import ADVICE, Reply, kind_of
from ciplug.forges.retries import TIMEOUT

if TYPE_CHECKING:
    from ciplug.forges.base import Place


def refusal(title: str, place: Place, task: str, reply: Reply, hint: str, kind: ForgeKind | None = None) -> ForgeError:
    """The error for an answer that is not a success.

    `hint` names the permission that the task needs. Other kinds of refusal have hints of their own; `kind` is given
    where the caller knows it better than the answer tells.
    """
    kind = kind or kind_of(reply, place.repository)
    message = words(reply.message)
    if advice := ADVICE.get(kind):
        return PermissionDenied(f"cannot {task}: {advice.what}{message}", hint=advice.hint, kind=kind)
    if kind is ForgeKind.RATE_LIMIT:
        return ForgeError(f"cannot {task}: {title}'s rate limit is reached", hint="run the job again later", kind=kind)
    if reply.status == 404:
        what = f"{title} answered 'not found': it does not exist, or this token may not see it or {place.repository}"
        return PermissionDenied(f"cannot {task}: {what}", hint=hint, kind=kind)
    if reply.status == 401:
        return PermissionDenied(f"cannot {task}: {title} does not accept the token{message}", hint=hint, kind=kind)
    if reply.status == 403:
        return PermissionDenied(f"cannot {task}: {title} refuses{message}", hint=hint, kind=kind)
    return ForgeError(f"cannot {task}: {title} answers {reply.status}{message}", kind=kind)


def cut(text: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def words(message: object) -> str:
    """Return a forge's message as `: message`, or an empty string if it is not a short plain sentence."""
    if isinstance(message, bytes):
        message = message.decode(errors="replace")
    if not isinstance(message, str) or not message.strip() or re.search(r"[<{\[]", message):
        return ""
    return ": " + cut("".join(c if c.isprintable() else " " for c in message), 200)


def not_understood(address: str) -> ForgeError:
    """Return the error for an answer in an unknown format, such as a proxy's login page."""
    return ForgeError(f"{address} gave an answer that ciplug does not understand", hint="check the API address")


def unreachable(address: str, error: Exception) -> NoReturn:
    """Say in one line why no answer came. Raises ForgeError from an exception of requests."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    # After retries, urllib3 reports the last timeout as a failed connection.
    last = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(last, ReadTimeoutError):
        error = requests.exceptions.Timeout()
    kinds: tuple[tuple[type[Exception], str, str], ...] = (
        (requests.exceptions.RetryError, "kept failing", "try again later"),
        (requests.exceptions.Timeout, f"did not answer within {TIMEOUT} s", "try again later"),
        (requests.exceptions.ProxyError, "cannot be reached through the proxy", "check HTTPS_PROXY and NO_PROXY"),
        (
            requests.exceptions.SSLError,
            "has a certificate that this machine does not trust",
            "point REQUESTS_CA_BUNDLE to your CA file",
        ),
        (requests.exceptions.ConnectionError, "cannot be reached", "check the network and the address"),
    )
    for kind, text, hint in kinds:
        if isinstance(error, kind):
            raise ForgeError(f"{address} {text}", hint=hint) from None
    raise not_understood(address) from None
