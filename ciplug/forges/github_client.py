"""PyGithub with bounds, and its exceptions in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ciplug.forges import retries
from ciplug.forges.failures import not_understood, refusal, unreachable
from ciplug.forges.refusals import Reply

if TYPE_CHECKING:
    import requests

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
        timeout=retries.TIMEOUT,
        per_page=100,
        retry=retries.retry_within_limit(github.GithubRetry, retries.Waiting("GitHub", place.wait, place.say))(
            total=retries.RETRIES,
            backoff_factor=retries.BACKOFF,
            # The class adds 403, which GitHub gives for its limits as well.
            status_forcelist=[429, *range(500, 600)],
            allowed_methods={"GET", "POST", "PATCH", "DELETE"},
        ),
        # Its own throttle of a second between writes is for crawlers; ours are one or two.
        seconds_between_requests=0,
        seconds_between_writes=0,
    )


def file_session(place: Place) -> requests.Session:
    """A session for the server that holds files of GitHub. It sends no credential, not even one of ~/.netrc."""
    import requests

    session = requests.Session()
    session.auth = lambda request: request
    retries.mount(session, retries.Waiting("GitHub storage", place.wait, place.say))
    return session


@contextmanager
def errors(place: Place, task: str, hint: str) -> Iterator[None]:
    """Turn the library's exceptions into ours."""
    import github
    import requests

    try:
        yield
    except github.GithubException as error:
        hint = "the token has expired, or is not for this server" if error.status == 401 else hint
        raise refusal("GitHub", place, task, reply_of(error), hint) from None
    except requests.RequestException as error:
        unreachable(place.api_url, error)
    except (AssertionError, AttributeError, TypeError) as error:
        # So PyGithub trips over an answer of another shape.
        raise not_understood(place.api_url) from error


def reply_of(error: Any) -> Reply:
    """The answer behind an exception of the library; its message is the particular one of a validation, if there is."""
    data = error.data if isinstance(error.data, dict) else {}
    errors = data.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    message, documentation = first.get("message") or data.get("message"), data.get("documentation_url")
    return Reply(
        error.status,
        message if isinstance(message, str) else "",
        documentation if isinstance(documentation, str) else "",
        {str(name).lower(): str(value) for name, value in (error.headers or {}).items()},
    )
