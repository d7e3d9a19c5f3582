"""Failures of the libraries that reach a bucket, as StoreErrors in the library's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ciplug.errors import Cause, ConfigError, StoreError
from ciplug.git.credentials import redact

_WORDS_MOST = 500
_CAUSES = (
    (Cause.FULL, r"No space left|os error 28"),
    (Cause.BAD_CREDENTIAL, r"InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|ExpiredToken|\b401\b"),
    (Cause.FORBIDDEN, r"AccessDenied|Forbidden|\b403\b|Permission ?denied|AuthorizationPermissionMismatch"),
    (Cause.NOT_FOUND, r"NoSuchBucket|ContainerNotFound|not found|\b404\b"),
    (Cause.NO_CREDENTIAL, r"credential|identity"),
    (Cause.NETWORK, r"error sending request|timed? ?out|connect|dns|\b5\d\d\b"),
)
"""What the words of the libraries and the servers are about: the first that fits."""


@dataclass(frozen=True)
class Access:
    """What an error says of a kind of bucket."""

    extra: str
    """The extra of ciplug that installs its library."""
    hint: str
    """Where credentials come from."""


@contextmanager
def errors(access: Access, where: str) -> Iterator[None]:
    """Raise every failure of a library as a StoreError with its cause, without what is signed or secret."""
    try:
        yield
    except (ConfigError, StoreError):
        raise
    except ImportError as problem:
        raise StoreError(
            f"{where}: the library for it is not installed ({problem})",
            hint=f"pip install 'ciplug[{access.extra}]'",
            cause=Cause.LIBRARY_MISSING,
        ) from None
    except BaseException as problem:
        if not _is_of_a_library(problem):
            raise
        raise library_error(where, problem, access.hint) from None


def library_error(where: str, problem: BaseException, hint: str | None) -> StoreError:
    """The error for what a library raised."""
    words = _words(problem)
    return StoreError(f"{where}: {words}", hint=hint, cause=_cause_of(words))


def _cause_of(words: str) -> Cause:
    return next((cause for cause, known in _CAUSES if re.search(known, words, re.IGNORECASE)), Cause.UNKNOWN)


def _is_of_a_library(problem: BaseException) -> bool:
    # An abort within obstore is a pyo3_runtime.PanicException, which is not an Exception.
    libraries = ("obstore", "pyo3_runtime", "google", "botocore", "requests", "urllib3")
    return isinstance(problem, (OSError, ValueError)) or any(
        cls.__module__.partition(".")[0] in libraries for cls in type(problem).__mro__
    )


def _words(problem: BaseException) -> str:
    """In one line; of an answer in XML its status, code and message; no query of a URL, which may be signed."""
    text = str(problem).partition("\n\nDebug source")[0]
    code, message = re.search(r"<Code>(\w+)</Code>", text), re.search(r"<Message>([^<\n]+)", text)
    if code:
        status = re.search(r"status code: (\d+)", text)
        text = (f"{status[1]} " if status else "") + code[1] + (f": {message[1]}" if message else "")
    return (
        re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", redact(" ".join(text.split())))[:_WORDS_MOST]
        or type(problem).__name__
    )
