"""A small Jenkins: jobs in folders and multibranch projects, their builds with archived artifacts, its JSON API.

Below a sub-path as well. It answers a `tree` as Jenkins does: with the fields that are asked for, and with a range of
a list; it refuses a request for all there is.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from tests.servers.loopback import Answer, Call, JsonApi, route


@dataclass
class Build:
    """One build of a job."""

    number: int
    artifacts: dict[str, bytes] = field(default_factory=dict)
    """Path → content, as it is archived."""
    result: str | None = "SUCCESS"
    """None while it runs."""
    timestamp: int = 0


class JenkinsApi(JsonApi):
    """Jenkins with jobs in folders. Who has no login sees nothing, unless `anonymous`; who has one sees all."""

    def __init__(self, *, sub_path: str = "", port: int = 0, latency: float = 0.0) -> None:
        super().__init__(prefix=sub_path, port=port, latency=latency)
        self.users: dict[str, str] = {}
        self.anonymous = False
        self.jobs: dict[tuple[str, ...], dict[int, Build]] = {}
        """Path of a job → its builds. What stands above a job is a folder, or a multibranch project."""

    def add_user(self, name: str, token: str) -> None:
        self.users[name] = token

    def add_build(
        self,
        job: str | tuple[str, ...] = "train",
        number: int | None = None,
        artifacts: dict[str, bytes] | None = None,
        *,
        result: str | None = "SUCCESS",
    ) -> str:
        """A build of a job (`folder/train`; a tuple of names where one has a slash): the next, unless it is numbered.

        Returns its address, as BUILD_URL is.
        """
        path = tuple(job.split("/")) if isinstance(job, str) else job
        # A multibranch project encodes what may not stand in a job's name.
        path = tuple(name.replace("/", "%2F") for name in path)
        builds = self.jobs.setdefault(path, {})
        number = number or max(builds, default=0) + 1
        builds[number] = Build(number, dict(artifacts or {}), result, timestamp=1_700_000_000_000 + self.new_id())
        return f"{self.job_url(path)}{number}/"

    def job_url(self, path: tuple[str, ...]) -> str:
        return self.url + "".join(f"/job/{quote(name, safe='')}" for name in path) + "/"

    def downloads(self) -> list[str]:
        """Paths of the artifacts that were fetched since the calls were last cleared."""
        return [call.path for call in self.calls if "/artifact/" in call.path]

    def token_of(self, headers: Any) -> str:
        kind, _, value = (headers.get("Authorization") or "").partition(" ")
        return base64.b64decode(value).decode() if kind == "Basic" else ""

    def not_found(self) -> Answer:
        return Answer(404, "<h2>HTTP ERROR 404 Not Found</h2>")

    def check(self, call: Call) -> None:
        user, _, token = call.token.partition(":")
        if not call.token and not self.anonymous:
            raise Answer(403, "<h2>Authentication required</h2>")
        if call.token and self.users.get(user) != token:
            raise Answer(401, "<h2>HTTP ERROR 401 Invalid password/token for user</h2>")

    def _build(self, job: str, number: str) -> Build:
        builds = self._builds(_path(job))
        if number == "lastSuccessfulBuild":
            good = [n for n, build in builds.items() if build.result == "SUCCESS"]
            number = str(max(good, default=0))
        if int(number) not in builds:
            raise self.not_found()
        return builds[int(number)]

    def _builds(self, path: tuple[str, ...]) -> dict[int, Build]:
        if path not in self.jobs:
            raise self.not_found()
        return self.jobs[path]

    @route("GET", r"/((?:job/[^/]+/)*job/[^/]+)/(\d+|lastSuccessfulBuild)/api/(?:json|python)")
    def _about_build(self, call: Call, job: str, number: str) -> Answer:
        return Answer(200, _pruned(_said(self._build(job, number)), call.query.get("tree")))

    @route("GET", r"/((?:job/[^/]+/)*job/[^/]+)/api/(?:json|python)")
    def _about_job(self, call: Call, job: str) -> Answer:
        path = _path(job)
        names = dict.fromkeys(other[len(path)] for other in self.jobs if other[: len(path)] == path != other)
        if names:
            about: dict[str, Any] = {"_class": "WorkflowMultiBranchProject", "jobs": [{"name": name} for name in names]}
        else:
            builds = sorted(self._builds(path).values(), key=lambda build: -build.number)
            about = {
                "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
                "builds": [_said(build) for build in builds[:100]],
                "allBuilds": [_said(build) for build in builds],
            }
        return Answer(200, _pruned(about, call.query.get("tree")))

    @route("GET", r"/((?:job/[^/]+/)*job/[^/]+)/(\d+|lastSuccessfulBuild)/artifact/(.+)")
    def _artifact(self, call: Call, job: str, number: str, path: str) -> Answer:
        found = self._build(job, number).artifacts.get(unquote(path))
        return self.not_found() if found is None else Answer(200, found)


def _path(job: str) -> tuple[str, ...]:
    return tuple(unquote(name) for name in job.removeprefix("job/").split("/job/"))


def _said(build: Build) -> dict[str, Any]:
    artifacts = [
        {"displayPath": path.rpartition("/")[2], "fileName": path.rpartition("/")[2], "relativePath": path}
        for path in build.artifacts
    ]
    return {
        "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
        "number": build.number,
        "timestamp": build.timestamp,
        "building": build.result is None,
        "result": build.result,
        "artifacts": artifacts,
    }


def _pruned(value: dict[str, Any], tree: str | None) -> dict[str, Any]:
    """The fields that a `tree` asks for: `builds[number,result]{0,50}`; what an object does not have is left out."""
    if tree is None:
        raise Answer(400, "<h2>a tree is expected: all that there is costs too much</h2>")
    asked, end = _parsed(tree, 0)
    if end != len(tree):
        raise Answer(400, f"<h2>no tree: {tree}</h2>")
    return _only(value, asked)


def _only(value: dict[str, Any], asked: list[tuple[str, Any, slice]]) -> dict[str, Any]:
    kept = {"_class": value["_class"]} if "_class" in value else {}
    for name, inner, part in asked:
        if name in value:
            found = value[name]
            kept[name] = [_only(one, inner) for one in found[part]] if isinstance(found, list) else found
    return kept


def _parsed(tree: str, at: int) -> tuple[list[tuple[str, Any, slice]], int]:
    asked = []
    while match := re.compile(r"\w+").match(tree, at):
        at = match.end()
        inner: list[tuple[str, Any, slice]] = []
        if tree[at : at + 1] == "[":
            inner, at = _parsed(tree, at + 1)
            if tree[at : at + 1] != "]":
                raise Answer(400, f"<h2>no tree: {tree}</h2>")
            at += 1
        part = slice(None)
        if bounds := re.compile(r"\{(\d*),(\d*)\}").match(tree, at):
            part, at = slice(*(int(bound) if bound else None for bound in bounds.groups())), bounds.end()
        asked.append((match[0], inner, part))
        if tree[at : at + 1] != ",":
            break
        at += 1
    return asked, at
