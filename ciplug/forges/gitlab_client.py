"""python-gitlab with bounds, and its exceptions in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ciplug.forges import retries
from ciplug.forges.failures import not_understood, refusal, unreachable
from ciplug.forges.refusals import Reply

if TYPE_CHECKING:
    from gitlab import Gitlab

    from ciplug.forges.base import Place


def client(place: Place, job_token: str | None = None) -> Gitlab:
    """python-gitlab, whose own retries are off: they wait for as long as they are told.

    Args:
        job_token: takes the place of the token of `place`.
    """
    import gitlab
    import requests

    class Session(requests.Session):
        def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
            """Artifacts lie in an object store, to which GitLab redirects; the token must not go there."""
            super().rebuild_auth(prepared_request, response)
            if self.should_strip_auth(response.request.url, prepared_request.url):
                for name in ("PRIVATE-TOKEN", "JOB-TOKEN"):
                    prepared_request.headers.pop(name, None)

    class Client(gitlab.Gitlab):
        def http_request(self, *args: Any, **kwargs: Any) -> Any:
            return super().http_request(*args, **{"obey_rate_limit": False, **kwargs})

    session = Session()
    retries.mount(session, retries.Waiting("GitLab", place.wait, place.say))
    return Client(
        place.api_url.removesuffix("/api/v4"),
        private_token=None if job_token else place.token,
        job_token=job_token,
        timeout=retries.TIMEOUT,
        keep_base_url=True,
        session=session,
    )


@contextmanager
def errors(place: Place, task: str, hint: str) -> Iterator[None]:
    """Turn the library's exceptions into ours."""
    import gitlab
    import requests

    try:
        yield
    except gitlab.GitlabError as error:
        if error.response_code is None:
            raise not_understood(place.api_url) from None
        raise refusal("GitLab", place, task, reply_of(error), hint) from None
    except requests.RequestException as error:
        unreachable(place.api_url, error)


def reply_of(error: Any) -> Reply:
    """The answer behind an exception of the library, which hands over text, bytes, or what else the answer holds."""
    message = error.error_message
    if isinstance(message, bytes):
        message = message.decode(errors="replace")
    return Reply(error.response_code or 0, message if isinstance(message, str) else "")
