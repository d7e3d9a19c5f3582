"""Failures of the libraries that reach a bucket, as StoreErrors in the library's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ciplug.errors import Cause, ConfigError, StoreError
from ciplug.git.credentials import redact

_WORDS_MOST = 500
_CODES = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed", "ExpiredToken"), Cause.BAD_CREDENTIAL
    ),
    **dict.fromkeys(("AccessDenied", "AuthorizationPermissionMismatch"), Cause.FORBIDDEN),
    **dict.fromkeys(("NoSuchBucket", "ContainerNotFound"), Cause.NOT_FOUND),
}
"""The codes of S3 and Azure."""
_STATUSES = {401: Cause.BAD_CREDENTIAL, 403: Cause.FORBIDDEN, 404: Cause.NOT_FOUND, 408: Cause.NETWORK}
_TYPES = {
    "UnauthenticatedError": Cause.BAD_CREDENTIAL,
    **dict.fromkeys(("PermissionDeniedError", "PermissionError"), Cause.FORBIDDEN),
    **dict.fromkeys(("NotFoundError", "FileNotFoundError"), Cause.NOT_FOUND),
    **dict.fromkeys(("DefaultCredentialsError", "RefreshError"), Cause.NO_CREDENTIAL),
    **dict.fromkeys(
        ("ConnectionError", "TimeoutError", "Timeout", "TransportError", "HTTPError", "RetryError"), Cause.NETWORK
    ),
}
"""The exceptions of obstore, Google's libraries, requests, urllib3 and Python, by the names of their classes."""
_WORDS = (
    (Cause.FULL, r"No space left|os error 28"),
    (Cause.FORBIDDEN, r"Permission denied"),
    (Cause.NO_CREDENTIAL, r"credential|identity"),
    (Cause.NETWORK, r"error sending request|timed? ?out|connect|dns"),
)
"""Causes by the libraries' messages, for errors without other information: the first match decides."""
_MACHINE_IDENTITY = r"Error performing \w+ http://169\.254\.169\.254/"
"""obstore asks the machine for its identity when it has no other credential."""
_NAMES = r"""'[^']*'|"[^"]*"|(?:\bfor path|\bat location) .*?(?=: | not found)|\S*/\S*|\S*\w[.:]\w\S*"""
"""Parts of the messages that people have chosen: addresses, paths, names."""


@dataclass(frozen=True)
class Access:
    """Names and advice for the errors of one kind of bucket."""

    extra: str
    """The extra of ciplug that installs its library."""
    hint: str
    """The place where credentials come from."""


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
    if "object with invalid path" in _text(problem):
        hint = "ciplug writes no object with such a name: find out who did, and delete it"
    return StoreError(f"{where}: {_words(problem)}", hint=hint, cause=_cause_of(problem))


def _cause_of(problem: BaseException) -> Cause:
    """Return the cause by the server's answer, else by the exception's type, else by its message without names."""
    text = _text(problem)
    code, status = _answer(problem, text)
    if re.match(f"[^:]*: {_MACHINE_IDENTITY}", text):
        return Cause.NO_CREDENTIAL
    if code in _CODES:
        return _CODES[code]
    if status is not None:
        return _STATUSES.get(status, Cause.NETWORK if status >= 500 else Cause.UNKNOWN)
    types = (_TYPES.get(cls.__name__) for cls in type(problem).__mro__)
    words = re.sub(_NAMES, "…", text)
    spoken = (cause for cause, pattern in _WORDS if re.search(pattern, words, re.IGNORECASE))
    return next(filter(None, types), None) or next(spoken, Cause.UNKNOWN)


def _answer(problem: BaseException, text: str) -> tuple[str | None, int | None]:
    """The code and the status with which the server answered; None where there was no such answer."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r" - Server returned non-2xx status code: (\d{3})\b", text)
    own = getattr(problem, "code", None)
    number = int(status[1]) if status else own if isinstance(own, int) else None
    return code[1] if code else None, number


def _is_of_a_library(problem: BaseException) -> bool:
    # An abort within obstore is a pyo3_runtime.PanicException, which is not an Exception.
    libraries = ("obstore", "pyo3_runtime", "google", "botocore", "requests", "urllib3")
    return isinstance(problem, (OSError, ValueError)) or any(
        cls.__module__.partition(".")[0] in libraries for cls in type(problem).__mro__
    )


def _words(problem: BaseException) -> str:
    """In one line; of an answer in XML its status, code and message; no query of a URL, which may be signed."""
    text = _text(problem)
    code, message = re.search(r"<Code>(\w+)</Code>", text), re.search(r"<Message>([^<\n]+)", text)
    if code:
        status = re.search(r"status code: (\d+)", text)
        text = (f"{status[1]} " if status else "") + code[1] + (f": {message[1]}" if message else "")
    return (
        re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", redact(" ".join(text.split())))[:_WORDS_MOST]
        or type(problem).__name__
    )


def _text(problem: BaseException) -> str:
    """Return a library's message for people, without the structure that obstore adds."""
    return str(problem).partition("\n\nDebug source")[0]
