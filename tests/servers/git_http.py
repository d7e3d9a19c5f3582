"""A real git server over smart HTTP, around `git http-backend`: access by token, hooks, faults on demand."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from tests.servers.loopback import Handler, Loopback

Fault = Literal["before", "half", "during", "after", "503"]
Service = Literal["receive-pack", "upload-pack"]

_REFUSE_CUSTOM = """#!/bin/sh
case "$1" in
refs/heads/*|refs/tags/*) exit 0 ;;
esac
echo "refs outside of refs/heads and refs/tags are not allowed here: $1" >&2
exit 1
"""

# Waits once, when the refs of a push are locked and not yet moved.
_HOLD = """#!/bin/sh
[ "$1" = prepared ] || exit 0
mv "$GIT_DIR/hold" "$GIT_DIR/held" 2>/dev/null || exit 0
while [ -e "$GIT_DIR/held" ]; do sleep 0.02; done
"""

# Only proc-receive can choose the words of a refusal, and clients tell refusals apart by those words.
_REFUSE_PROTECTED = """#!{python} -IS
import sys

def packet():
    size = int(sys.stdin.buffer.read(4) or b"0", 16)
    return sys.stdin.buffer.read(size - 4) if size else None

def send(text):
    sys.stdout.buffer.write(b"%04x" % (len(text) + 4) + text.encode())

while packet() is not None:
    pass
send("version=1\\n")
sys.stdout.buffer.write(b"0000")
sys.stdout.buffer.flush()
refs = []
while (line := packet()) is not None:
    refs.append(line.decode().split()[2])
for ref in refs:
    print("error: GH006: Protected branch update failed for " + ref + ".", file=sys.stderr)
    send("ng " + ref + " protected branch hook declined\\n")
sys.stdout.buffer.write(b"0000")
"""


@dataclass(frozen=True)
class Request:
    """One HTTP request: `service` is receive-pack or upload-pack, for their ref advertisements as well.

    `bytes_in` and `bytes_out` are body bytes on the wire; `status` 0 means that the connection was closed.
    """

    method: str
    path: str
    service: str | None
    bytes_in: int
    bytes_out: int
    status: int
    protocol: str | None
    """The Git-Protocol header."""
    framing: str
    """chunked, gzip, or plain: how the body came."""
    seconds: float


@cache
def _backend() -> str:
    where = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    return f"{where}/git-http-backend"


def _environment(root: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")}
    return kept | {
        "HOME": str(root),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
    }


def _raw(server: GitServer, path: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """A file of a public repository at GitLab's address for it: /acme/demo/-/raw/<tag, branch or commit>/<path>."""
    name, _, place = path[1:].partition("/-/raw/")
    ref, _, file = place.partition("/")
    command = ["git", "-C", str(server.path(name)), "show", f"{ref}:{file}"]
    done = subprocess.run(command, capture_output=True, env=server.environment)
    public = server.token is None and done.returncode == 0
    return (200, [("Content-Type", "text/plain")], done.stdout) if public else (404, [], b"")


class _GitHandler(Handler):
    def serve(self) -> None:
        start = time.perf_counter()
        server: GitServer = self.owner
        if server.latency:
            time.sleep(server.latency)
        body = self.read_body()
        url = urlsplit(self.path)
        asked = parse_qs(url.query).get("service", [url.path.rsplit("/", 1)[-1]])[0]
        service = asked[4:] if asked in ("git-receive-pack", "git-upload-pack") else None
        if server.before_request:
            server.before_request(self.command, service)
        if "/-/raw/" in url.path:
            self.answer(*_raw(server, url.path))
            return
        status, headers, out = self._respond(server, url.path, url.query, service, body)
        # Noted before the answer leaves: whoever has the answer finds the note.
        server.requests.append(
            Request(
                self.command,
                url.path,
                service,
                len(body),
                len(out),
                status,
                self.headers.get("Git-Protocol"),
                self.headers.get("Transfer-Encoding") or self.headers.get("Content-Encoding") or "plain",
                time.perf_counter() - start,
            )
        )
        if status:
            if service == "receive-pack" and self.command == "POST":
                server.settle()
            self.answer(status, headers, out)
        else:
            # A head without its body: had not one byte come, curl would quietly send the request again.
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n")
            self.close_connection = True

    def _respond(
        self, server: GitServer, path: str, query: str, service: str | None, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        credentials = self.headers.get_all("Authorization") or []
        if len(credentials) > 1:
            return 400, [], b"more than one Authorization header\n"
        if not server.admits(credentials):
            return 401, [("WWW-Authenticate", 'Basic realm="git"')], b"a token is needed\n"
        if service == "receive-pack" and server.reads_only(credentials):
            return 403, [("Content-Type", "text/plain")], b"Write access to repository not granted.\n"
        # git's probe before a large push is a lone flush packet; it is not the push.
        fault = server.take_fault(service) if self.command == "POST" and body != b"0000" else None
        if fault == "503":
            return 503, [], b"busy\n"
        if fault == "before":
            return 0, [], b""
        if fault == "half":
            body = body[: len(body) // 2]
        if fault == "during":
            server.hold(server.root / path[1:].rpartition("/")[0], lambda: self._backend(server, path, query, body))
            return 0, [], b""
        answer = self._backend(server, path, query, body)
        return (0, [], b"") if fault in ("half", "after") else answer

    def _backend(
        self, server: GitServer, path: str, query: str, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        env = server.environment | {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": "tester",
        }
        if encoding := self.headers.get("Content-Encoding"):
            env["HTTP_CONTENT_ENCODING"] = encoding
        if protocol := self.headers.get("Git-Protocol"):
            env["GIT_PROTOCOL"] = env["HTTP_GIT_PROTOCOL"] = protocol
        # The backend may close its input early; `run` takes the broken pipe for what it is.
        done = subprocess.run([_backend()], input=body, capture_output=True, env=env, cwd=server.root)
        if done.stderr:
            server.stderr.append(done.stderr.decode(errors="replace"))
        head, _, out = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200 if head else 500, []
        for line in head.decode().split("\r\n") if head else ():
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        return status, headers, out


class GitServer(Loopback):
    """Serves the bare repositories below `root`.

    With a `token`, every request needs HTTP Basic (or Bearer) whose password is the token. `latency` seconds
    pass before each request. `requests` and `stderr` (the backend's own) are for the tests to read.
    """

    handler = _GitHandler

    def __init__(self, root: Path, *, token: str | None = None, latency: float = 0.0, port: int = 0) -> None:
        super().__init__(port=port)
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.token = token
        self.reader: str | None = None
        """A token that may fetch, and not push."""
        self.latency = latency
        self.requests: list[Request] = []
        self.stderr: list[str] = []
        self.before_request: Callable[[str, Service | None], None] | None = None
        """Called with method and service before a request is carried out."""
        self.environment = _environment(self.root)
        self._faults: list[tuple[Fault, str]] = []
        self._held: list[tuple[Path, threading.Thread]] = []
        self._lock = threading.Lock()

    def __exit__(self, *problem: object) -> None:
        self.settle()
        super().__exit__(*problem)

    def url(self, name: str) -> str:
        """Address of a repository, without credentials."""
        return f"{self.origin}/{name}.git"

    def path(self, name: str) -> Path:
        """The bare repository on disk."""
        return self.root / f"{name}.git"

    def create(
        self,
        name: str,
        *,
        filters: bool = True,
        atomic: bool = True,
        custom_refs: bool = True,
        protected: tuple[str, ...] = (),
    ) -> Path:
        """Make a bare repository `name` (it may hold a `/`), default branch main; returns its path.

        `filters`: partial clones are served; `atomic`: atomic pushes are; `custom_refs`: refs outside of
        refs/heads and refs/tags can be pushed; `protected`: branches that refuse every push.
        """
        path = self.path(name)
        subprocess.run(
            ["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path)],
            check=True,
            env=self.environment,
        )
        allowed, wanted = str(filters).lower(), str(atomic).lower()
        with (path / "config").open("a") as config:
            config.write(
                "[http]\n\treceivepack = true\n"
                f"[uploadpack]\n\tallowFilter = {allowed}\n\tallowAnySHA1InWant = true\n"
                f"[receive]\n\tadvertiseAtomic = {wanted}\n\tautogc = false\n"
                "[gc]\n\tauto = 0\n[core]\n\tfsync = none\n"
            )
        (path / "hooks").mkdir(exist_ok=True)
        if not custom_refs:
            self._hook(path, "update", _REFUSE_CUSTOM)
        self.protect(name, *protected)
        return path

    def protect(self, name: str, *branches: str) -> None:
        """From now on these branches, or refs with their full name, refuse every push, as a protected branch does."""
        path = self.path(name)
        if branches:
            self._hook(path, "proc-receive", _REFUSE_PROTECTED.replace("{python}", sys.executable))
        with (path / "config").open("a") as config:
            for branch in branches:
                ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
                config.write(f"[receive]\n\tprocReceiveRefs = {ref}\n")

    def fail_next(self, fault: Fault, *, service: Service = "receive-pack", times: int = 1) -> None:
        """Spoil the next POST to `service`, or the next `times` of them.

        "before": the connection breaks, and git has not seen the request; "half": git has seen half of it;
        "during": it breaks while git holds the locks of the refs of a push, and git goes on when the next push
        is answered, or with `settle`; "after": git has carried it out, and the connection breaks before the
        answer; "503": the server says that it is busy.
        """
        with self._lock:
            self._faults += [(fault, service)] * times

    def take_fault(self, service: str | None) -> Fault | None:
        with self._lock:
            for index, (fault, wanted) in enumerate(self._faults):
                if wanted == service:
                    del self._faults[index]
                    return fault
        return None

    def hold(self, repository: Path, push: Callable[[], object]) -> None:
        """Begin a push, and return when it holds the locks of its refs, or has come to another end."""
        self._hook(repository, "reference-transaction", _HOLD)
        (repository / "hold").touch()
        thread = threading.Thread(target=push)
        thread.start()
        while thread.is_alive() and not (repository / "held").exists():
            time.sleep(0.01)
        with self._lock:
            self._held.append((repository, thread))

    def settle(self) -> None:
        """Let the pushes go on that are held, and wait until they have ended."""
        with self._lock:
            held, self._held = self._held, []
        for repository, thread in held:
            for name in ("hold", "held"):
                (repository / name).unlink(missing_ok=True)
            thread.join()

    def admits(self, credentials: list[str]) -> bool:
        return self.token is None or self._password(credentials) in (self.token, self.reader or self.token)

    def reads_only(self, credentials: list[str]) -> bool:
        return self.reader is not None and self._password(credentials) == self.reader

    @staticmethod
    def _password(credentials: list[str]) -> str | None:
        kind, _, value = (credentials or [""])[0].partition(" ")
        if kind.lower() == "bearer":
            return value
        try:
            return base64.b64decode(value).decode().partition(":")[2] if kind.lower() == "basic" else None
        except ValueError:
            return None

    @staticmethod
    def _hook(path: Path, name: str, text: str) -> None:
        hook = path / "hooks" / name
        hook.write_text(text)
        hook.chmod(0o755)
