"""A small Jenkins: builds with archived artifacts, its JSON and its Python API, below a sub-path as well."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote

from tests.servers.loopback import Answer, Call, JsonApi, route


class JenkinsApi(JsonApi):
    """Jenkins with jobs in folders. Who has no login sees nothing; who has one sees all."""

    def __init__(self, *, sub_path: str = "", port: int = 0, latency: float = 0.0) -> None:
        super().__init__(prefix=sub_path, port=port, latency=latency)
        self.users: dict[str, str] = {}
        self.builds: dict[str, dict[str, bytes]] = {}
        """Artifacts by path, of each build by its own path: job/folder/job/train/7."""

    def add_user(self, name: str, token: str) -> None:
        self.users[name] = token

    def add_build(self, job: str = "train", number: int = 7, artifacts: dict[str, bytes] | None = None) -> str:
        """A build of a job (`folder/train`), with its artifacts; returns its address, as BUILD_URL is."""
        path = "/".join(f"job/{part}" for part in job.split("/")) + f"/{number}"
        self.builds[path] = dict(artifacts or {})
        return f"{self.url}/{path}/"

    def token_of(self, headers: Any) -> str:
        kind, _, value = (headers.get("Authorization") or "").partition(" ")
        return base64.b64decode(value).decode() if kind == "Basic" else ""

    def not_found(self) -> Answer:
        return Answer(404, "<h2>HTTP ERROR 404 Not Found</h2>")

    def check(self, call: Call) -> None:
        user, _, token = call.token.partition(":")
        if not call.token:
            raise Answer(403, "<h2>Authentication required</h2>")
        if self.users.get(user) != token:
            raise Answer(401, "<h2>HTTP ERROR 401 Invalid password/token for user</h2>")

    def _artifacts(self, build: str) -> dict[str, bytes]:
        if unquote(build) not in self.builds:
            raise self.not_found()
        return self.builds[unquote(build)]

    def _about(self, build: str) -> dict[str, Any]:
        artifacts = [
            {"displayPath": path.rpartition("/")[2], "fileName": path.rpartition("/")[2], "relativePath": path}
            for path in self._artifacts(build)
        ]
        return {"_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "building": False, "artifacts": artifacts}

    @route("GET", "/(job/.+/[0-9]+)/api/json")
    def _json(self, call: Call, build: str) -> Answer:
        return Answer(200, self._about(build))

    @route("GET", "/(job/.+/[0-9]+)/api/python")
    def _python(self, call: Call, build: str) -> Answer:
        return Answer(200, repr(self._about(build)))

    @route("GET", "/(job/.+/[0-9]+)/artifact/(.+)")
    def _artifact(self, call: Call, build: str, path: str) -> Answer:
        found = self._artifacts(build).get(unquote(path))
        return self.not_found() if found is None else Answer(200, found)
