"""`python -m ciplug` without the start of Python, which takes most of the time of a short command.

A server, one per process of the tests, has ciplug's modules loaded. For each call it forks, and the fork runs ciplug's
`__main__`: a process of its own, with its own folder, environment, streams, signals and exit code. It has no cold
start, so the tests of start-up, of imports, of the documentation and of whole pipelines start Python instead.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import re
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import killed

ROOT = Path(__file__).parents[1]

_AT_START = re.compile(r"PYTHON\w*|LC_\w+|LANG|LANGUAGE|TZ|LD_\w+|DYLD_\w+")
"""The variables that Python or the system's libraries read once, when a program starts."""
_LATER = ("ciplug.__main__", "ciplug.api", "ciplug.steps.open_run")
"""What a call loads itself: the program, and the Python API, which knows when it was loaded."""
_LIBRARIES = ("github", "gitlab", "jinja2", "pydantic.type_adapter", "requests", "tabulate", "yaml")
_STREAMS = 3
_TRACE = "COVERAGE_PROCESS_START"
"""Asks coverage.py to trace a Python that starts: here each call is one, and the server is none."""


# In the tests


def ciplug(*args: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` of `python -m ciplug` with `capture_output` and `text` returns."""
    server = _server()
    if server is None or _at_start(env) != server.at_start:
        command = [sys.executable, "-m", "ciplug", *args]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return server.run(args, cwd, env)


class _Server:
    def __init__(self) -> None:
        self.at_start = _at_start(os.environ)
        self._calls, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.forkserver"]
        env = {name: value for name, value in os.environ.items() if name != _TRACE}
        self._process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, cwd=ROOT, env=env)
        theirs.close()
        atexit.register(self._stop)

    def run(self, args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        pipes = [os.pipe() for _ in range(_STREAMS)]
        with tempfile.TemporaryFile("w+") as call:
            json.dump({"args": args, "cwd": str(cwd), "env": dict(env)}, call)
            call.flush()
            call.seek(0)
            socket.send_fds(self._calls, [b"!"], [call.fileno(), *(writing for _, writing in pipes)])
        for _, writing in pipes:
            os.close(writing)
        out, err, code = _read_all([reading for reading, _ in pipes])
        assert code, "the fork server has died; its last words are in the stderr of the first test that called it"
        return subprocess.CompletedProcess([sys.executable, "-m", "ciplug", *args], int(code), _text(out), _text(err))

    def _stop(self) -> None:
        self._calls.close()
        self._process.wait()


_starting = threading.Lock()
_servers: list[_Server] = []


def _server() -> _Server | None:
    if not hasattr(os, "fork"):
        return None
    with _starting:
        if not _servers:
            _servers.append(_Server())
        return _servers[0]


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if _AT_START.fullmatch(name)}


def _read_all(ends: Sequence[int]) -> list[bytes]:
    """What comes out of each pipe until nobody holds its other end."""
    read = dict.fromkeys(ends, b"")
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                some = os.read(key.fd, 1 << 16)
                read[key.fd] += some
                if not some:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return list(read.values())


def _text(data: bytes) -> str:
    """As `text=True` decodes it."""
    return io.TextIOWrapper(io.BytesIO(data)).read()


# In the server


@dataclass(frozen=True)
class _Call:
    args: list[str]
    cwd: str
    env: dict[str, str]


def _main() -> None:
    import ciplug

    gc.disable()
    modules = [module.name for module in pkgutil.walk_packages(ciplug.__path__, "ciplug.")]
    for name in [*_LIBRARIES, *modules]:
        if not name.startswith(_LATER):
            with contextlib.suppress(ImportError):  # of a library that is not installed
                importlib.import_module(name)
    _make_validators()
    gc.freeze()
    gc.enable()
    call = _next_call(socket.socket(fileno=os.dup(0)))
    os.environ.clear()
    os.environ.update(call.env)
    os.chdir(call.cwd)
    importlib.reload(sys.modules["ciplug.loading"])
    sys.argv = ["-m", *call.args]
    sys.path[0] = os.getcwd()
    _run()


def _run() -> None:
    """Python's own way out would take all modules apart, and with that copy all memory that the fork shares."""
    code = 1
    atexit.register(lambda: _leave(code))
    killed.arm(ROOT / "ciplug")
    _trace()
    try:
        runpy.run_module("ciplug", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _trace() -> None:
    if _TRACE in os.environ:
        import coverage

        coverage.process_startup()


def _leave(code: int) -> None:
    """The last that runs when Python has joined the threads, and called what was to be called at exit."""
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(code)


def _make_validators() -> None:
    """pydantic makes the validator of a class when the first record of it is read, which takes as long as a command."""
    from ciplug.errors import RecordError
    from ciplug.records import read

    for record in (read.run, read.verdict):
        with contextlib.suppress(RecordError):
            record(b"{}", "none")


def _next_call(calls: socket.socket) -> _Call:
    """Fork for each call, and return in the fork; the server ends with the process that started it."""
    ended, end = os.pipe()
    for descriptor in (ended, end):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    """By process: where to tell how it has ended."""
    while True:
        ready, _, _ = select.select([calls, ended], [], [])
        if ended in ready:
            _tell_ends(ended, running)
        if calls not in ready:
            continue
        byte, received, *_ = socket.recv_fds(calls, 1, 1 + _STREAMS)
        if not byte:
            os._exit(0)
        call, out, err, code = received
        # Once, and no process between that waits: to fork this many pages takes as long as three calls of git.
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            calls.close()
            for descriptor in (ended, end, code, *running.values()):
                os.close(descriptor)
            return _become(call, out, err)
        running[child] = code
        for descriptor in (call, out, err):
            os.close(descriptor)


def _tell_ends(ended: int, running: dict[int, int]) -> None:
    os.read(ended, 1 << 16)
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        code = running.pop(process)
        with contextlib.suppress(BrokenPipeError):  # of a test that was interrupted
            os.write(code, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(code)


def _become(call: int, out: int, err: int) -> _Call:
    with open(call) as file:
        asked = _Call(**json.load(file))
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    return asked


if __name__ == "__main__":
    _main()
