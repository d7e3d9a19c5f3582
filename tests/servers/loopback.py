"""What the test servers share: threads, HTTP/1.1 framing, JSON, paging, faults on demand."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: Any = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests; anything else is raised when the server ends."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.owner.errors.append(error)


class Loopback:
    """An HTTP server on 127.0.0.1, on a free port unless told, that runs while the `with` block does."""

    handler: type[BaseHTTPRequestHandler]

    def __init__(self, *, port: int = 0) -> None:
        self.errors: list[BaseException] = []
        self._server = _Threads(("127.0.0.1", port), self.handler)
        self._server.owner = self
        self.port: int = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def encrypt(self, context: ssl.SSLContext) -> None:
        """From now on it speaks TLS, on the same port."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self.errors:
            raise self.errors[0]


class Handler(BaseHTTPRequestHandler):
    """Reads a whole body, however it is framed, and answers in one write."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    def serve(self) -> None:
        """Answer one request of any method."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.serve()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def owner(self) -> Any:
        return self.server.owner  # type: ignore[attr-defined]

    def read_body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        # Headers and body leave together: two small writes would wait for the client's delayed ACK.
        self._headers_buffer.append(b"\r\n")  # type: ignore[attr-defined]
        if self.command != "HEAD" and status != 204:
            self._headers_buffer.append(body)  # type: ignore[attr-defined]
        self.flush_headers()


@dataclass(frozen=True)
class Call:
    """One request as an API saw it; `token` as the client sent it, "" for none."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    token: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(eq=False)
class Answer(Exception):
    """What goes back. It can be raised, so that a check deep down ends the request."""

    status: int
    body: Any = None
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Fault:
    answer: Answer | None
    """None: hang up without a word."""
    method: str | None
    path: str
    after: bool


class _JsonHandler(Handler):
    def serve(self) -> None:
        body = self.read_body()
        parts = urlsplit(self.path)
        api: JsonApi = self.owner
        call = Call(
            self.command,
            parts.path,
            {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()},
            api.parse(self.command, body),
            api.token_of(self.headers),
            dict(self.headers.items()),
        )
        answer = api.respond(call)
        if answer is None:
            self.close_connection = True
            return
        headers = list(answer.headers)
        if isinstance(answer.body, bytes):
            data = answer.body
            headers.append(("Content-Type", "application/octet-stream"))
        elif isinstance(answer.body, str):
            data = answer.body.encode()
            headers.append(("Content-Type", "text/html; charset=utf-8"))
        else:
            data = b"" if answer.status == 204 else json.dumps(answer.body).encode()
            headers.append(("Content-Type", "application/json; charset=utf-8"))
        self.answer(answer.status, headers, data)


Route = Callable[..., Answer]


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Mark a method of a JsonApi as the answer to `method` on paths like `pattern` below the prefix."""

    def mark(function: Route) -> Route:
        function.route = (method, re.compile(pattern + "$"))  # type: ignore[attr-defined]
        return function

    return mark


class JsonApi(Loopback):
    """A stateful JSON API: requests change the state one at a time, after `latency` seconds each."""

    handler = _JsonHandler
    default_per_page = 30

    def __init__(self, *, prefix: str = "", port: int = 0, latency: float = 0.0) -> None:
        super().__init__(port=port)
        self.prefix = prefix
        self.url = self.origin + prefix
        self.latency = latency
        self.calls: list[Call] = []
        self.lock = threading.RLock()
        self.blobs: list[bytes] = []
        self._faults: list[_Fault] = []
        self._last_id = 1000
        members = (getattr(type(self), name) for name in dir(type(self)))
        self._routes = [(*m.route, m) for m in members if hasattr(m, "route")]

    def parse(self, method: str, body: bytes) -> Any:
        """The body of a request, as `Call` has it."""
        return json.loads(body) if body else None

    def token_of(self, headers: Any) -> str:
        raise NotImplementedError

    def not_found(self) -> Answer:
        raise NotImplementedError

    def check(self, call: Call) -> None:
        """Raise an Answer when this caller may not come in at all."""

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def fail_next(
        self,
        status: int | None,
        *,
        times: int = 1,
        method: str | None = None,
        path: str = "",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        after: bool = False,
    ) -> None:
        """Answer the next request, or `times` of them, with `status` (None: hang up); only requests of
        `method` whose path contains `path` count. `after`: their work is done all the same. A `str` body is HTML.
        """
        answer = None if status is None else Answer(status, body, list((headers or {}).items()))
        self._faults += [_Fault(answer, method, path, after) for _ in range(times)]

    def wrote(self) -> list[Call]:
        """The calls that were meant to change something."""
        return [c for c in self.calls if c.method != "GET"]

    def respond(self, call: Call) -> Answer | None:
        if self.latency:
            time.sleep(self.latency)
        with self.lock:
            self.calls.append(call)
            hits = (f for f in self._faults if f.method in (None, call.method) and f.path in call.path)
            fault = next(hits, None)
            if fault:
                self._faults.remove(fault)
                if not fault.after:
                    return fault.answer
            try:
                answer = self._dispatch(call)
            except Answer as raised:
                answer = raised
            return fault.answer if fault else answer

    def _dispatch(self, call: Call) -> Answer:
        self.check(call)
        if call.path.startswith(self.prefix + "/"):
            for method, pattern, function in self._routes:
                match = pattern.match(call.path, len(self.prefix))
                if match and method == call.method:
                    return function(self, call, *match.groups())
        return self.not_found()

    def page(self, call: Call, items: Sequence[Any]) -> Answer:
        """One page of a list, with the headers that say where the others are."""
        size = min(max(int(call.query.get("per_page", self.default_per_page)), 1), 100)
        number = max(int(call.query.get("page", 1)), 1)
        last = max(-(-len(items) // size), 1)
        others = {"first": 1, "last": last}
        if number < last:
            others["next"] = number + 1
        if number > 1:
            others["prev"] = number - 1
        here = f"{self.origin}{call.path}?"
        links = [
            f'<{here}{urlencode({**call.query, "page": n, "per_page": size})}>; rel="{rel}"'
            for rel, n in others.items()
        ]
        headers = [("Link", ", ".join(links))] if last > 1 else []
        headers += self.page_headers(len(items), size, number, last)
        return Answer(200, list(items[(number - 1) * size : number * size]), headers)

    def elsewhere(self, data: bytes) -> Answer:
        """A redirect to the store of this host's files: another server, which takes no credential."""
        with self.lock:
            self.blobs.append(data)
            path = f"{self.prefix}/blobs/{len(self.blobs) - 1}?sig=secret-signature"
        return Answer(302, b"", [("Location", f"http://localhost:{self.port}{path}")])

    @route("GET", r"/blobs/(\d+)")
    def _blob(self, call: Call, number: str) -> Answer:
        credentials = {"authorization", "private-token", "job-token"} & {name.lower() for name in call.headers}
        if credentials or not call.headers["Host"].startswith("localhost"):
            return Answer(400, "<Error>a credential came along</Error>")
        return Answer(200, self.blobs[int(number)])

    def page_headers(self, total: int, size: int, number: int, last: int) -> list[tuple[str, str]]:
        return []


def stand_alone(make: Callable[[argparse.Namespace], JsonApi]) -> None:
    """Run an API until ^C: `python -m tests.servers.github_api --port 8080 --token secret`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default="token")
    parser.add_argument("--repository", default="acme/demo")
    with make(parser.parse_args()) as server, contextlib.suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        threading.Event().wait()
