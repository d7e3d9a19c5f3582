"""The public GitHub simulator, which holds each request against GitHub's own OpenAPI description.

Its answers are the description's examples, so it keeps nothing: what is asked is what it is for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.servers.loopback import Call
from tests.servers.program import find, free_ports, running

_START = "import {{ simulation }} from {module};\nsimulation().listen({port});\n"


class GitHubSimulator:
    def __init__(self, url: str) -> None:
        self.url = url

    def refuses(self, call: Call) -> str | None:
        """Why the request is none that GitHub describes; None for one that it takes."""
        answer = requests.request(
            call.method,
            f"{self.url}{call.path}",
            params=dict(call.query),
            json=call.body,
            allow_redirects=False,
            timeout=60,
        )
        return None if answer.status_code < 400 else f"{call.method} {call.path}: {answer.status_code} {answer.text}"


@contextmanager
def github_simulator(folder: Path) -> Iterator[GitHubSimulator]:
    """A simulator on a port of its own: the program itself always takes 3300."""
    package = Path(os.path.realpath(find("github-api-simulator"))).parents[1]
    (port,) = free_ports(1)
    script = folder / "start.mjs"
    script.write_text(_START.format(module=json.dumps((package / "dist" / "index.mjs").as_uri()), port=port))
    with running([find("node"), str(script)], port, folder / "simulator.log"):
        yield GitHubSimulator(f"http://127.0.0.1:{port}")
