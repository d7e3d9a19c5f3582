"""Asking a served model: an answer that breaks off, never ends or is none is no answer, and is not waited for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from ciplug.targets.invocations import Refused, Silent, Unreadable, ask

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def server(reply: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server whose answer is bytes of our own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        asked = b""
                        while not asked.endswith(b"{}"):
                            asked += connection.recv(65536)
                        reply(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/invocations"
        listener.shutdown(socket.SHUT_RDWR)


def sends(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def drips(start: bytes, part: bytes) -> Callable[[socket.socket], None]:
    """A server that sends a little again and again, for longer than anybody waits."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(100):
            connection.sendall(part)
            time.sleep(0.1)

    return reply


def test_an_answer_is_read() -> None:
    with server(sends(_HEAD + b"Content-Length: 24\r\n\r\n" + b'{"predictions": [1, 2]}\n')) as url:
        assert ask(url, b"{}", None, timeout=5) == [1, 2]
    with server(sends(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n")) as url:
        assert ask(url, b"{}", None, timeout=5) == [1]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        _HEAD + b"Content-Length: 99\r\n\r\n[1]",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n[1]",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[1]",
        b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[1]",
    ],
)
def test_what_breaks_off_is_no_answer(reply: bytes) -> None:
    with server(sends(reply)) as url, pytest.raises(Silent) as caught:
        ask(url, b"{}", None, timeout=5)
    assert str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        drips(b"HTTP/1.1 200 OK\r\n", b"X"),
        drips(_HEAD + b"Content-Length: 999\r\n\r\n", b" "),
        drips(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        drips(b"HTTP/1.1 400 No\r\nContent-Length: 999\r\n\r\n", b" "),
        drips(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["head", "body", "chunks", "refusal", "continue"],
)
def test_a_server_that_drips_is_not_waited_for(reply: Callable[[socket.socket], None]) -> None:
    began = time.monotonic()
    with server(reply) as url, pytest.raises(Silent, match="timed out"):
        ask(url, b"{}", None, timeout=0.4)
    assert time.monotonic() - began < 3


def test_what_is_too_long_or_too_deep_has_no_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.targets.invocations._ANSWER_MOST", 100)
    for body in (b"[1" + b" " * 200 + b"]", b"[" * 48 + b"]" * 48 + b" " * 200, b'{"a":' * 60 + b"1" + b"}" * 60):
        answer = _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        with server(sends(answer)) as url, pytest.raises(Unreadable):
            ask(url, b"{}", None, timeout=5)
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"
    with server(sends(moved)) as url, pytest.raises(Refused, match="302"):
        ask(url, b"{}", None, timeout=5)
