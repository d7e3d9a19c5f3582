"""PyGithub with bounds, and its exceptions in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ciplug.forges import patience
from ciplug.forges.failures import not_understood, refusal, unreachable, words

if TYPE_CHECKING:
    from ciplug.forges.base import Place


def client(place: Place) -> Any:
    """PyGithub. It sends comments again, too, since the sticky logic removes a doubled one."""
    import logging

    import github

    # It prints each refusal, and raises it as well.
    github.set_log_level(logging.WARNING)
    return github.Github(
        base_url=place.api_url,
        auth=github.Auth.Token(place.token),
        lazy=True,
        timeout=patience.TIMEOUT,
        per_page=100,
        retry=patience.patient(github.GithubRetry, "GitHub")(
            total=patience.RETRIES,
            backoff_factor=patience.BACKOFF,
            allowed_methods={"GET", "POST", "PATCH", "DELETE"},
        ),
        # Its own throttle of a second between writes is for crawlers; ours are one or two.
        seconds_between_requests=0,
        seconds_between_writes=0,
    )


@contextmanager
def errors(place: Place, task: str, hint: str) -> Iterator[None]:
    """Turn the library's exceptions into ours."""
    import github
    import requests

    try:
        yield
    except github.GithubException as error:
        status = 429 if isinstance(error, github.RateLimitExceededException) else error.status
        hint = "the token has expired, or is not for this server" if status == 401 else hint
        raise refusal("GitHub", place, task, status, reply_of(error.data), hint) from None
    except requests.RequestException as error:
        unreachable(place.api_url, error)
    except (AssertionError, AttributeError, TypeError) as error:
        # So PyGithub trips over an answer of another shape.
        raise not_understood(place.api_url) from error


def reply_of(data: Any) -> str:
    """GitHub's own words: the message, or the particular one of a validation."""
    if not isinstance(data, dict):
        return ""
    errors = data.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return words(first.get("message") or data.get("message"))
