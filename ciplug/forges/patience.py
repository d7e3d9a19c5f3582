"""How often and how long a forge is waited for, the same for each of them: urllib3's Retry with bounds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ciplug.errors import ForgeError

if TYPE_CHECKING:
    import requests

TIMEOUT = 10
"""Seconds to wait for a forge to answer one request."""
RETRIES = 4
"""How often a request is sent again after network trouble, a 5xx or a rate limit."""
MAX_WAIT = 60
"""Seconds that a forge may ask us to wait at a time; beyond that the job is better off without its comment."""
BACKOFF = 0.5


def patient(retry: type[Any], title: str) -> type[Any]:
    """A class of urllib3's retries that waits for as long as it is told, but raises ForgeError beyond MAX_WAIT."""
    from urllib3.exceptions import InvalidHeader

    class Patience(retry):  # type: ignore[misc]
        def get_retry_after(self, response: Any) -> float | None:
            try:
                after = super().get_retry_after(response)
                reset = response.headers.get("RateLimit-Reset") if response.status == 429 else None
                return max(float(reset) - time.time(), 0) if after is None and reset else after
            except (ValueError, OverflowError, InvalidHeader):
                return None

        def sleep(self, response: Any = None) -> None:
            wait = (self.get_retry_after(response) if response else None) or self.get_backoff_time()
            _check_wait(title, wait)
            super().sleep(response)

    return Patience


def mount(session: requests.Session, title: str) -> None:
    """Have a session send each request again that met trouble, comments too: the sticky logic removes doubled ones."""
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    retry = patient(Retry, title)(
        total=RETRIES,
        backoff_factor=BACKOFF,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
    for prefix in ("https://", "http://"):
        session.mount(prefix, HTTPAdapter(max_retries=retry))


def _check_wait(forge: str, seconds: float) -> None:
    if seconds > MAX_WAIT:
        raise ForgeError(
            f"{forge} asks to wait {seconds:.0f} s, more than the {MAX_WAIT} s that ciplug waits",
            hint="try again later",
        )
