"""The recipes 'a forge' and 'a CI host' of CONTRIBUTING.md, followed: each toy works in every place there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciplug import ci, cli, forges
from ciplug.ci.base import Host
from ciplug.forges.base import ForgeModule
from ciplug.git import credentials
from ciplug.health import remedies
from ciplug.records import forge_pages
from ciplug.records.provenance import Context
from ciplug.reports.comment import MARKER
from ciplug.scaffold import host_files, pipelines
from ciplug.scaffold.detect_host import detect_host
from tests.project import Project, git
from tests.servers.loopback import Answer, Call, JsonApi, route
from tests.toys import plain_ci, plainforge

pytestmark = pytest.mark.slow

COMMIT = "c" * 40


class PlainforgeApi(JsonApi):
    """The server: one repository, `acme/demo`."""

    def __init__(self) -> None:
        super().__init__()
        self.pulls: list[dict[str, Any]] = []
        self.comments: dict[int, dict[str, Any]] = {}
        self.statuses: dict[str, dict[str, str]] = {}

    def token_of(self, headers: Any) -> str:
        return (headers.get("Authorization") or "").removeprefix("Bearer ")

    def check(self, call: Call) -> None:
        if call.token != "t":
            raise Answer(401, {"message": "who are you?"})

    @route("GET", "/acme/demo/pulls")
    def _pulls(self, call: Call) -> Answer:
        return Answer(200, self.pulls)

    @route("GET", r"/acme/demo/pulls/\d+/comments")
    def _list(self, call: Call) -> Answer:
        return Answer(200, list(self.comments.values()))

    @route("POST", r"/acme/demo/pulls/\d+/comments")
    def _create(self, call: Call) -> Answer:
        made = {"id": 1, "author": "me", "url": f"{self.origin}/acme/demo/c/1", "body": call.body["body"]}
        self.comments[1] = made
        return Answer(201, made)

    @route("PUT", r"/acme/demo/pulls/\d+/comments/1")
    def _edit(self, call: Call) -> Answer:
        self.comments[1]["body"] = call.body["body"]
        return Answer(200, self.comments[1])

    @route("PUT", r"/acme/demo/revisions/(\w+)/status")
    def _status(self, call: Call, commit: str) -> Answer:
        self.statuses[commit] = call.body
        return Answer(200, {})


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the recipes say: one line in each table."""
    forge: ForgeModule = plainforge
    host: Host = plain_ci
    monkeypatch.setitem(forges.FORGES, forge.name, forge)
    monkeypatch.setitem(forge_pages.FORGES, forge.name, plainforge.PAGES)
    monkeypatch.setattr(ci, "HOSTS", {host.name: host, **ci.HOSTS})
    monkeypatch.setattr(credentials, "_JOB_HOSTS", (*credentials._JOB_HOSTS, "PLAIN_SERVER"))
    monkeypatch.setitem(host_files.HOST_FILES, host.name, plain_ci.FILES)
    monkeypatch.setitem(pipelines.HOSTS, host.name, plain_ci.pipeline)


@pytest.fixture
def api(toys: None) -> Iterator[PlainforgeApi]:
    with PlainforgeApi() as api:
        yield api


def test_each_forge_has_its_pages() -> None:
    assert set(forge_pages.FORGES) == set(forges.FORGES)


@pytest.mark.usefixtures("toys")
def test_a_forge_is_recognized_and_its_token_is_its_own() -> None:
    by_server = Context(host="jenkins", server_url="https://plainforge.corp", repository="acme/demo")
    token = {"CIPLUG_PLAINFORGE_TOKEN": "t"}
    forge = forges.open_forge(by_server, token, None)
    assert not isinstance(forge, forges.NoForge) and forge.name == "plainforge"
    remote = "git@code.corp:acme/demo.git"
    named = {**token, "CIPLUG_PLAINFORGE_URL": "https://code.corp/api"}
    assert forges.find_place(Context(), named, remote).api_url == "https://code.corp/api"
    assert forges.forge_name(by_server, {}, None) == "plainforge"
    missing = forges.open_forge(by_server, {"GITHUB_TOKEN": "t"}, None)
    assert isinstance(missing, forges.NoForge) and "CIPLUG_PLAINFORGE_TOKEN" in missing.reason


@pytest.mark.usefixtures("toys")
def test_the_pages_of_a_forge_are_linked() -> None:
    place = Context(host="plain_ci", server_url="https://plainforge.corp", repository="acme/demo")
    assert forge_pages.commit_page(place, COMMIT) == f"https://plainforge.corp/acme/demo/revision/{COMMIT}"
    assert (
        forge_pages.folder_page(place, "ciplug", "registry")
        == "https://plainforge.corp/acme/demo/browse/ciplug/registry"
    )
    assert forge_pages.is_run_of(place, "https://plainforge.corp/acme/demo/jobs/7")


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("host", [*ci.HOSTS, "plain_ci", "a host of tomorrow"])
@pytest.mark.parametrize("forge", [*forges.FORGES, "plainforge"])
def test_doctor_has_advice_for_every_pair(host: str, forge: str) -> None:
    for line in (remedies.token(host, forge), remedies.right(host, forge)):
        assert re.search(r"_TOKEN|permissions", line)
    assert "'ciplug' and 'ciplug-series'" in remedies.branch(forge, "ciplug")
    assert remedies.history(host)


def test_a_walk_on_both(
    tmp_path: Path, api: PlainforgeApi, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "work")
    api.pulls.append({"number": 7, "head": project.head, "base": "main"})
    env = {
        "PLAIN_CI": "yes", "PLAIN_COMMIT": project.head, "PLAIN_BRANCH": "topic", "PLAIN_PULL": "7",
        "PLAIN_SERVER": api.origin, "PLAIN_REPOSITORY": "acme/demo", "PLAIN_OUTPUTS": str(tmp_path / "out"),
        "CIPLUG_PLAINFORGE_URL": api.origin, "CIPLUG_PLAINFORGE_TOKEN": "t",
    }  # fmt: skip
    monkeypatch.chdir(project.folder)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    script = "import os, runpy; print(sorted(os.environ)); runpy.run_path('train.py')"
    assert cli.main(["ci", "--", sys.executable, "-c", script]) == 0
    assert "CIPLUG_PLAINFORGE_TOKEN" not in capfd.readouterr().out, "the training sees the token"
    assert api.comments[1]["body"].startswith(MARKER)
    assert api.statuses[project.head]["state"] == "success"
    assert "verdict=WARN" in (tmp_path / "out").read_text()
    cli.main(["doctor"])
    shown = capfd.readouterr().out
    assert "plainforge" in shown and "number 7, from the job's environment" in shown


def test_init_writes_no_pipeline_for_a_forge_without_a_ci_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(forges.FORGES, plainforge.name, plainforge)
    project = Project.create(tmp_path / "work")
    (project.folder / "ciplug.yaml").unlink()
    git(project.folder, "remote", "add", "origin", "https://plainforge.corp/acme/demo.git")
    monkeypatch.setenv("CIPLUG_PLAINFORGE_URL", "https://plainforge.corp")
    monkeypatch.chdir(project.folder)
    assert cli.main(["init", "--yes", "--command", "python train.py"]) == 0
    assert "no pipeline is written" in capfd.readouterr().err
    assert (project.folder / "ciplug.yaml").exists()


@pytest.mark.usefixtures("toys")
def test_init_writes_the_pipeline_of_a_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "work")
    monkeypatch.chdir(project.folder)
    command = ["init", "--yes", "--force", "--command", "python train.py"]
    assert cli.main([*command, "--ci", "plain_ci"]) == 0
    assert (project.folder / "plain.txt").read_text() == "run ciplug ci -- python train.py\n"
    assert detect_host({"plain_ci": "plain.txt"}, None, {}).name == "plain_ci"
    (project.folder / "service").mkdir()
    (project.folder / "service" / "train.py").write_text("print('a training')\n")
    monkeypatch.chdir(project.folder / "service")
    assert cli.main(command) == 0, "by the file in the repository"
    assert "plain_ci (by" in capfd.readouterr().err
    assert (project.folder / "plain.txt").read_text() == "in service run ciplug ci -- python train.py\n"


def test_each_host_of_init_has_its_files() -> None:
    assert set(pipelines.HOSTS) == set(host_files.HOST_FILES)


@pytest.mark.usefixtures("toys")
def test_the_variables_of_a_host_are_known() -> None:
    assert ci.is_of_host("PLAIN_COMMIT"), "the demo, and these tests, ignore the job around them"
    env = {"PLAIN_SERVER": "https://code.corp", credentials.PUSH_TOKEN: "t"}
    assert credentials.push_token(env, "https://code.corp/acme/demo.git", None) == "t"
