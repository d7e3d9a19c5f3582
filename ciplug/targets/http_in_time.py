"""HTTP with an end: an answer that drips, breaks off or is no HTTP is an error in time. No redirect is followed."""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.request
from functools import partial
from typing import Any, cast

FAILURES = (OSError, ValueError, http.client.HTTPException)
"""What a request may raise, beside HTTPError, which is an OSError: whoever answers may say anything."""


def opener(timeout: float, *, proxies: bool) -> urllib.request.OpenerDirector:
    """An opener whose answers end in time.

    Args:
        timeout: the seconds from now until the last byte of an answer.
        proxies: whether the proxies of the environment are used.
    """
    until = time.monotonic() + timeout
    proxy = urllib.request.ProxyHandler() if proxies else urllib.request.ProxyHandler({})
    return urllib.request.build_opener(proxy, _NoRedirect(), _Http(until), _Https(until))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is sent goes to the address that was given, alone."""

    def redirect_request(self, *args: Any, **named: Any) -> None:
        return None


class _InTime(io.RawIOBase):
    """What a connection receives, until a moment: a server that sends a byte a second is not waited for."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._raw = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, until: float, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_InTime(sock, until))


class _Http(urllib.request.HTTPHandler):
    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._until), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._until), req)


def _connection(kind: type[http.client.HTTPConnection], until: float, host: str, **named: Any) -> Any:
    connection = kind(host, **named)
    connection.response_class = partial(_Answer, until=until)  # type: ignore[assignment]
    return connection
