"""A server program on loopback, for as long as it is needed; the test that misses one is skipped, and says so.

CIPLUG_REQUIRE_E2E=1 turns such a skip into a failure.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# Read now: every test takes our variables out of the environment.
REQUIRED = os.environ.get("CIPLUG_REQUIRE_E2E") == "1"

_held: list[socket.socket] = []


def find(name: str) -> str:
    """Path of a program beside this Python, or on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which(name, path=path)
    return found or missing(name)


def missing(name: str) -> str:
    if REQUIRED:
        pytest.fail(f"CIPLUG_REQUIRE_E2E=1 allows no skip: {name} is not installed")
    pytest.skip(f"{name} is not installed")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each with room for another 10,000 above it; no other process of the tests gets
    them while this one lives.
    """
    found: list[int] = []
    for port in range(20_000 + os.getpid() % 10_000, 40_000):
        if _reserve(port, port + 10_000):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free port")


def _reserve(*ports: int) -> bool:
    """Bound and never listened on: a server, which asks for SO_REUSEADDR, can still have the port, and another search,
    which does not, is refused it.
    """
    holders = []
    for port in ports:
        holder = socket.socket()
        holders.append(holder)
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            for one in holders:
                one.close()
            return False
    for holder in holders:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _held.extend(holders)
    return True


@contextmanager
def running(argv: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """The program, from when it listens on `port`."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env, cwd=log.parent)
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise RuntimeError(f"{argv[0]} has ended: {log.read_text(errors='replace')[-2000:]}")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"{argv[0]} does not listen: {log.read_text(errors='replace')[-2000:]}")
            yield
        finally:
            process.kill()
            process.wait()
