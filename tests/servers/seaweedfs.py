"""S3 by SeaweedFS, on loopback: conditional writes, signatures and refusals as Amazon has them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.program import find, free_ports, running

BUCKET = "runs"
KEY, SECRET = "ak", "sk"


@dataclass(frozen=True)
class S3:
    url: str

    @property
    def env(self) -> dict[str, str]:
        """What a user's environment holds who works with this server."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def seaweedfs(folder: Path) -> Iterator[S3]:
    """A server with the bucket `runs`, which keeps its data in `folder`."""
    program = find("weed")
    s3, master, volume, filer, admin = free_ports(5)
    argv = [program, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
    argv += [
        "-webdav=false",
        "-admin.ui=false",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    argv += [f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"]
    argv += [f"-admin.port={admin}"]
    env = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with running(argv, s3, folder / "weed.log", env):
            server = S3(f"http://127.0.0.1:{s3}")
            _wait(server)
            yield server
    finally:
        # Killed, it leaves its sockets in /tmp, where another user's server of these ports could not remove them.
        for port in (s3, master, volume, filer, admin):
            for number in (port, port + 10_000):
                for socket in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    socket.unlink(missing_ok=True)


def _wait(server: S3) -> None:
    """It listens a moment before its bucket is there and takes writes."""
    from obstore.store import S3Store

    config = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_endpoint": server.url}
    store = S3Store(BUCKET, config=config, client_options={"allow_http": True})
    for _ in range(300):
        try:
            store.put("ready", b"yes")
            return
        except Exception:
            time.sleep(0.1)
    raise RuntimeError("SeaweedFS takes no writes")
