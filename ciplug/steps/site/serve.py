"""Serve the site on this machine: nothing else, and to nobody who comes by another name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ciplug.errors import UsageError
from ciplug.git.cache import cache_folder
from ciplug.steps.session import Session

_OWN = ("localhost", "127.0.0.1")
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css"}


def site_folder(session: Session) -> Path:
    """Where the site of a store is kept on this machine; it is extended each time."""
    name = hashlib.sha256(session.store.address.encode()).hexdigest()[:16]
    return cache_folder(session.workspace, session.env) / "site" / name


class SiteServer:
    """A site that is served, until Ctrl+C."""

    def __init__(self, server: ThreadingHTTPServer, host: str) -> None:
        self._server = server
        self.address = f"http://{host}:{server.server_address[1]}/index.html"

    def run(self) -> None:
        with suppress(KeyboardInterrupt):
            self._server.serve_forever()


@contextmanager
def serve(folder: Path, host: str, port: int) -> Iterator[SiteServer]:
    """A server of the files in a folder. Raises UsageError for an address that cannot be had."""
    names = frozenset({host, *_OWN}) if host in _OWN else None
    try:
        server = ThreadingHTTPServer((host, port), partial(_Pages, names, directory=str(folder)))
    except OSError as problem:
        raise UsageError(
            f"cannot listen on {host}:{port}: {problem.strerror}", hint="choose another port: --port N"
        ) from None
    with server:
        yield SiteServer(server, host)


class _Pages(SimpleHTTPRequestHandler):
    """The files of the folder, without lists of folders.

    Args:
        names: of this machine, under which it answers; None: any.
    """

    def __init__(self, names: frozenset[str] | None, *args: object, directory: str) -> None:
        self._names = names
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self._is_page():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_page():
            super().do_HEAD()

    def _is_page(self) -> bool:
        """Whether a file of the site is asked for; else it is answered here."""
        # A page elsewhere may have its own name point here, and would read what is served.
        if self._names and self.headers.get("Host", "").partition(":")[0] not in self._names:
            self.send_error(403, "unknown name")
        elif self.path == "/":
            self.send_response(302)
            self.send_header("Location", "/index.html")
            self.end_headers()
        elif Path(self.path.partition("?")[0]).suffix not in _TYPES:
            self.send_error(404)
        else:
            return True
        return False

    def guess_type(self, path: object) -> str:
        return _TYPES[Path(str(path)).suffix]

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for what the user asked."""
