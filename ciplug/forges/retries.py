"""Limits on retries and waits for a forge, the same for all: urllib3's Retry with bounds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ciplug.errors import ConfigError, ForgeError, ForgeKind

if TYPE_CHECKING:
    import requests

TIMEOUT = 10
"""Seconds to wait for a forge to answer one request."""
RETRIES = 4
"""The number of retries after network trouble, a 5xx or a rate limit."""
MAX_WAIT = 120
"""Seconds that a forge may ask a job to wait, in all; beyond that the job is better off without its comment."""
VARIABLE = "CIPLUG_FORGE_WAIT"
"""The environment variable that sets another number of seconds."""
BACKOFF = 0.5
_EPOCH = 1e8
"""Larger numbers of seconds are a time since 1970, smaller ones a time from now."""


def allowed_wait(env: Mapping[str, str]) -> float:
    """Seconds that a forge may ask a job to wait. Raises ConfigError when the variable holds no number of them."""
    value = env.get(VARIABLE, "").strip()
    if not value:
        return MAX_WAIT
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{VARIABLE} is not a number of seconds", hint="set it to 0 or more, such as 600")
    return seconds


class Waiting:
    """The waits that a forge has requested from one job so far, over all requests.

    Args:
        title: how messages call the forge.
        most: seconds, in all.
        say: tells the user of a wait that begins.
    """

    def __init__(self, title: str, most: float, say: Callable[[str], None]) -> None:
        self.title = title
        self.most = most
        self.spent = 0.0
        self._say = say

    def begin(self, seconds: float) -> None:
        """Count a wait that is about to begin. Raises ForgeError when it is more than is left."""
        until = _clock(seconds)
        if self.spent + seconds > self.most:
            waited = f", after {self.spent:.0f} s already" if self.spent else ""
            raise ForgeError(
                f"{self.title}'s rate limit: it asks to wait {seconds:.0f} s, until {until}{waited}; "
                f"ciplug waits {self.most:g} s at most",
                hint=f"run the job again after {until}, or allow a longer wait: "
                f"{VARIABLE}={math.ceil(self.spent + seconds) + 1}",
                kind=ForgeKind.RATE_LIMIT,
            )
        self.spent += seconds
        if seconds >= 1:
            self._say(
                f"{self.title} asks to wait {seconds:.0f} s, until {until} (at most {self.most:g} s in all: {VARIABLE})"
            )

    def exhausted(self) -> ForgeError:
        """The error for a limit that outlasts the waits that the forge asked for."""
        return ForgeError(
            f"{self.title}'s rate limit is reached: it still refuses after {RETRIES} retries "
            f"and {self.spent:.0f} s of waiting",
            hint="run the job again later",
            kind=ForgeKind.RATE_LIMIT,
        )


def retry_within_limit(retry: type[Any], waiting: Waiting) -> type[Any]:
    """A class of urllib3's retries that waits for as long as it is told, within the bounds of `waiting`."""
    from urllib3.exceptions import MaxRetryError

    class RetryWithinLimit(retry):  # type: ignore[misc]
        def get_retry_after(self, response: Any) -> float | None:
            return asked_wait(response.status, response.headers)

        def increment(self, method: Any = None, url: Any = None, response: Any = None, *more: Any, **named: Any) -> Any:
            try:
                return super().increment(method, url, response, *more, **named)
            except MaxRetryError:
                if response is not None and response.status in (403, 429):
                    raise waiting.exhausted() from None
                raise

        def sleep(self, response: Any = None) -> None:
            wait = self.get_retry_after(response) if response else None
            if wait is None and response and response.status in (403, 429):
                wait = self.get_backoff_time()
            if wait:
                waiting.begin(wait)
            super().sleep(response)

    return RetryWithinLimit


def asked_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, by Retry-After or the reset of a limit that is used up; None: none."""
    after = headers.get("Retry-After")
    if after is not None:
        return _seconds_or_date(after.strip())
    if status != 429 or headers.get("X-RateLimit-Remaining", headers.get("RateLimit-Remaining", "0")) != "0":
        return None
    return _reset(headers.get("RateLimit-Reset") or headers.get("X-RateLimit-Reset") or "")


def _seconds_or_date(value: str) -> float | None:
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 10 else None
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0)
    except (ValueError, TypeError, OverflowError):
        return None


def _reset(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return max(number - time.time() if number > _EPOCH else number, 0)


def _clock(seconds: float) -> str:
    """The time so many seconds from now, as people write it."""
    return f"{datetime.fromtimestamp(time.time() + seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def mount(session: requests.Session, waiting: Waiting, *, repeats: bool = True) -> None:
    """Have a session send each request again that met trouble, comments too: the sticky logic removes doubled ones.

    Args:
        repeats: whether a request that may have been carried out is sent again; else only one that surely was not.
    """
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    retry = retry_within_limit(Retry, waiting)(
        total=RETRIES,
        read=None if repeats else False,
        other=None if repeats else False,
        backoff_factor=BACKOFF,
        status_forcelist=(429, 500, 502, 503, 504) if repeats else (429, 503),
        allowed_methods=None,
        raise_on_status=False,
    )
    for prefix in ("https://", "http://"):
        session.mount(prefix, HTTPAdapter(max_retries=retry))
