"""Azure Blob Storage by azurite, on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.servers.program import find, free_ports, running

CONTAINER = "runs"
ACCOUNT = "devstoreaccount1"
# Every azurite has this key: Microsoft publishes it for that.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Azure:
    url: str

    @property
    def env(self) -> dict[str, str]:
        """What a user's environment holds who works with this server."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"{self.url}/{ACCOUNT}",
        }


@contextmanager
def azurite(folder: Path) -> Iterator[Azure]:
    """A server with the container `runs`, which keeps its data in `folder`."""
    program = find("azurite-blob")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    argv = [program, "--silent", "--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    argv += ["--skipApiVersionCheck", "--disableTelemetry"]
    with running(argv, port, folder / "azurite.log"):
        server = Azure(f"http://127.0.0.1:{port}")
        _create_container(server)
        yield server


def _create_container(server: Azure) -> None:
    date = formatdate(usegmt=True)
    resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:2021-08-06\n{resource}"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    request = urllib.request.Request(
        f"{server.url}/{ACCOUNT}/{CONTAINER}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": "2021-08-06",
            "Authorization": f"SharedKey {ACCOUNT}:{signature}",
            "Content-Length": "0",
        },
    )
    urllib.request.urlopen(request).close()
