"""Amazon's services by boto3: its clients, and its errors as those of a target.

Credentials come as boto3 finds them: the variables of the environment, ~/.aws, a role of the job or of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ciplug.errors import Cause, TargetError

_BAD = (
    *("InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException"),
    *("UnrecognizedClientException", "InvalidToken"),
)
_CAUSES = {
    **dict.fromkeys(_BAD, Cause.BAD_CREDENTIAL),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "403"), Cause.FORBIDDEN),
    **dict.fromkeys(("NoSuchBucket", "NoSuchKey", "404"), Cause.NOT_FOUND),
}
"""By the code of an answer."""
_NO_CREDENTIAL = (
    *("NoCredentialsError", "PartialCredentialsError", "NoRegionError", "ProfileNotFound"),
    "CredentialRetrievalError",
)
"""Exceptions of Amazon's library."""
_CREDENTIALS = (
    "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role; the region from "
    "region: of the target, AWS_REGION or ~/.aws/config"
)
_WORDS_MOST = 300


def client(service: str, mask: Callable[[str], str], region: str | None = None) -> Any:
    """A client of a service. Raises TargetError where boto3 is not installed, or no region is known."""
    with aws_errors(service, mask):
        return _client(service, region, frozenset(item for item in os.environ.items() if item[0].startswith("AWS_")))


@cache
def _client(service: str, region: str | None, variables: frozenset[tuple[str, str]]) -> Any:
    """Making one takes most of a second. The variables are those that boto3 reads."""
    try:
        import boto3.session
    except ImportError:
        raise TargetError(
            f"{service}: boto3 is not installed",
            hint="pip install 'ciplug[sagemaker]'",
            cause=Cause.LIBRARY_MISSING,
        ) from None
    # A session of its own: that of the module would keep the first credentials that it finds.
    return boto3.session.Session(region_name=region).client(service)


@contextmanager
def aws_errors(where: str, mask: Callable[[str], str]) -> Iterator[None]:
    """Raise what Amazon's library raises as TargetError, with its cause.

    Args:
        mask: masks secrets: the library tells of the headers that it cannot send, and of addresses with a password.
    """
    try:
        yield
    except ValueError as problem:
        # Of a setting that it cannot read; the errors of its own have classes of their own.
        words = f"{where}: boto3 cannot use its settings: {_words(problem, mask)}"
        raise TargetError(
            words, hint="correct region: of the target, the variables AWS_… of the job, or ~/.aws/config"
        ) from None
    except Exception as problem:
        if type(problem).__module__.partition(".")[0] not in ("botocore", "boto3", "s3transfer"):
            raise
        cause = _cause(problem)
        denied = cause in (Cause.BAD_CREDENTIAL, Cause.FORBIDDEN, Cause.NO_CREDENTIAL)
        raise TargetError(
            f"{where}: {_words(problem, mask)}", hint=_CREDENTIALS if denied else None, cause=cause
        ) from None


def error_code(problem: BaseException) -> str:
    """The code of an answer of Amazon's; empty where the error is not an answer."""
    answer = getattr(problem, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def error_message(problem: BaseException) -> str:
    answer = getattr(problem, "response", None)
    return str(answer.get("Error", {}).get("Message", "")) if isinstance(answer, dict) else ""


def _cause(problem: BaseException) -> Cause:
    if code := error_code(problem):
        return _CAUSES.get(code, Cause.UNKNOWN)
    names = {cls.__name__ for cls in type(problem).__mro__}
    if names & set(_NO_CREDENTIAL):
        return Cause.NO_CREDENTIAL
    return Cause.NETWORK if names & {"HTTPClientError", "ConnectionError"} else Cause.UNKNOWN


def _words(problem: BaseException, mask: Callable[[str], str]) -> str:
    # It is masked before it is cut: half a secret is not noticed.
    return "".join(c if c.isprintable() else " " for c in mask(str(problem)))[:_WORDS_MOST]
