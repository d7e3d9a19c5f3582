"""Debian's docker-registry on loopback, and a door in front of it that counts requests, cuts them and asks for a token.

The registry is real. It has no API of referrers, so an index under a tag lists them.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.loopback import Handler, Loopback
from tests.servers.program import find, free_ports, running

USER, PASSWORD = "robot", "secret"
_HTPASSWD = "robot:$2b$04$T1NqrgW5DS8emmwIT.Gx2OJCYvndI2qSm6EAV2REsKBR2kMGVWlji\n"
_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}}}
http: {{addr: "127.0.0.1:{port}", headers: {{}}}}
"""


@dataclass(frozen=True)
class Registry:
    host: str

    def get(self, path: str, accept: str = "*/*") -> tuple[int, bytes]:
        """Ask the registry itself, as any client would."""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        connection.request("GET", f"/v2/{path}", headers={"Accept": accept})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def tags(self, name: str) -> list[str]:
        status, data = self.get(f"{name}/tags/list")
        return sorted(json.loads(data)["tags"] or ()) if status == 200 else []


@contextmanager
def docker_registry(folder: Path, *, password: bool = False) -> Iterator[Registry]:
    """A registry that keeps its data in `folder`."""
    program = find("docker-registry")
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    text = _CONFIG.format(folder=folder / "data", port=port)
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        text += f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}\n"
    (folder / "config.yml").write_text(text)
    with running([program, "serve", str(folder / "config.yml")], port, folder / "registry.log"):
        yield Registry(f"127.0.0.1:{port}")


@dataclass
class Seen:
    """One request at the door."""

    method: str
    path: str
    authorization: str | None


@dataclass
class Plan:
    """What goes wrong: the number of a request, counted from 1 → what is done with it."""

    faults: dict[int, str] = field(default_factory=dict)
    """500: answered so. before: hung up before the registry gets it. after: hung up once the registry has done it.
    half: the registry gets the first half of the body."""


class _Door(Handler):
    do_HEAD = Handler.do_GET  # noqa: N815

    def serve(self) -> None:
        body = self.read_body()
        door: Door = self.owner
        door.seen.append(Seen(self.command, self.path, self.headers.get("Authorization")))
        if door.token and not self._is_let_in(door):
            return
        fault = door.plan.faults.get(len(door.seen))
        if fault == "500":
            self.answer(500, [], b"{}")
            return
        if fault == "before":
            self.close_connection = True
            return
        if fault == "half":
            body = body[: len(body) // 2]
        connection = http.client.HTTPConnection(door.registry.host, timeout=20)
        kept = ("accept", "content-type")
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if fault in ("after", "half"):
            self.close_connection = True
            return
        dropped = ("content-length", "transfer-encoding", "connection", "date")
        found = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        places = [(name, _moved(value, door) if name == "Location" else value) for name, value in found]
        if door.lists_referrers and "/manifests/" in self.path and b'"subject"' in body:
            places.append(("OCI-Subject", json.loads(body)["subject"]["digest"]))
        self.answer(answer.status, places, data)

    def _is_let_in(self, door: Door) -> bool:
        path = urlsplit(self.path).path
        if path == "/token":
            self.answer(200, [], json.dumps({"token": door.token}).encode())
            return False
        if self.headers.get("Authorization") == f"Bearer {door.token}":
            return True
        realm = f'Bearer realm="{door.realm or f"http://{door.host}/token"}",service="test"'
        self.answer(401, [("WWW-Authenticate", realm)], b"{}")
        return False


def _moved(place: str, door: Door) -> str:
    return place.replace(f"//{door.registry.host}", f"//{door.upload_host or door.host}")


class Door(Loopback):
    """What stands before the registry."""

    handler = _Door

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.registry = registry
        self.host = f"127.0.0.1:{self.port}"
        self.seen: list[Seen] = []
        self.plan = Plan()
        self.token: str | None = None
        self.lists_referrers = False
        """Whether it says that it lists what refers to a manifest, as registries of OCI 1.1 do."""
        self.realm: str | None = None
        self.upload_host: str | None = None
        """The host that uploads are sent to."""
