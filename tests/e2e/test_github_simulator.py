"""Every request that ciplug makes of GitHub is one that GitHub describes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.bundles.github import ARTIFACTS, GitHubRun
from ciplug.bundles.source import PATTERN
from ciplug.forges import Forge, open_forge
from ciplug.forges.base import Place, StoredFile
from ciplug.forges.github import GitHub
from ciplug.forges.github_client import client, file_session
from ciplug.records.provenance import Context
from tests.bundles import zipped
from tests.servers.github_api import GitHubApi
from tests.servers.github_simulator import GitHubSimulator, github_simulator
from tests.servers.loopback import Call

pytestmark = pytest.mark.e2e

MARKER = "<!-- ciplug:report -->"
COMMIT = "c" * 40
OURS = ["ciplug: pass", "ciplug: fail"]
ASKED_IN_VAIN = {"rights"}
"""What is asked by requests that are invalid on purpose."""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubSimulator]:
    with github_simulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


def forge(api: GitHubApi) -> Forge:
    context = Context(host="github_actions", repository=api.repository, api_url=api.url)
    found = open_forge(context, {"GITHUB_TOKEN": "user-token"}, None)
    assert found is not None
    return found


def everything(api: GitHubApi) -> set[str]:
    """Call all that talks to GitHub; returns the names of the methods of the forge that were called."""
    api.add_pull(7, commit=COMMIT)
    api.add_comments(7, 150)
    api.authors[COMMIT] = "octocat"
    api.reviews[42] += [("bob", "approved", "live")]
    run = f"https://github.com/{api.repository}/actions/runs/42"
    arguments = {
        "find_pull_request": [(COMMIT, "topic"), (COMMIT, None)],
        "upsert_comment": [(7, MARKER, f"{MARKER}\none"), (7, MARKER, f"{MARKER}\ntwo")],
        "approvers": [(run, "live")],
        "accounts": [(COMMIT,)],
        "protects": [("main",)],
        "runs_in": [("live",)],
        "head_of": [(7,)],
        "keep_label": [(7, "ciplug: pass", OURS), (7, "ciplug: fail", OURS)],
        "guards": [("live",)],
        "merges_of": [("d" * 40,)],
        "merged_pull_request": [(8,)],
    }
    api.add_pull(8, commit=COMMIT)["user"] = {"login": "ann", "type": "User"}
    api.merge_pull(8, "d" * 40, start="e" * 40, by="eve")
    api.review(8, "bob", COMMIT)
    for name, calls in arguments.items():
        for given in calls:
            getattr(forge(api), name)(*given)
    assert forge(api).merges_of("d" * 40) == [8] and forge(api).merged_pull_request(8) is not None
    first = forge(api).keep_issue(MARKER, "wine fails", f"{MARKER}\none", is_open=True)
    assert forge(api).keep_issue(MARKER, "wine fails", f"{MARKER}\ntwo", is_open=True) == first is not None
    assert forge(api).keep_issue(MARKER, "wine fails", f"{MARKER}\nthree", is_open=False) == first
    assert [issue["state"] for issue in api.issues.values()] == ["closed"]
    api.start_run(43, "octocat")
    for in_job in (True, False):
        forge(api).actor(run.replace("42", "43"), in_job=in_job)
    api.add_comments(7, 2, body=f"{MARKER}\nold", login="octocat")
    forge(api).upsert_comment(7, MARKER, f"{MARKER}\nthree")
    for url in (run, None):
        forge(api).set_status(COMMIT, "failure", name="ciplug", description="x" * 500, url=url)

    github = forge(api)
    assert isinstance(github, GitHub)
    assert [found.number for found in github.pull_requests_from(api.repository, "topic")] == [7]

    api.add_run(42, commit=COMMIT)
    api.add_artifact(42, "ciplug-report", zipped({"bundle.ndjson": b"x"}))
    place = Place("github", api.url, api.repository, "user-token")
    repository = client(place).get_repo(api.repository)
    with file_session(place) as files:
        artifacts = GitHubRun(
            repository, api.repository, 42, files=files, artifacts=ARTIFACTS, pattern=PATTERN, own=False
        )
        artifacts.origin()
        assert [found.name for found in artifacts.bundles(with_files=False)]
    forge(api).record_deployment(COMMIT, "live", description="wine version 3 is in Production", url=run)
    for _ in range(2):
        forge(api).publish_release("wine@v3", COMMIT, title="wine 3", body="promoted")
    forge(api).link_artifacts([StoredFile("wine", "3", "model.bin", f"sha256:{'a' * 64}")])
    return {*arguments, "actor", "set_status", "record_deployment", "publish_release", "link_artifacts", "keep_issue"}


def test_github_describes_every_request(github_api: GitHubApi, simulator: GitHubSimulator) -> None:
    called = everything(github_api) | ASKED_IN_VAIN
    assert called == {name for name in vars(Forge) if not name.startswith("_") and callable(getattr(Forge, name))}
    # Where an artifact's bytes are is told by GitHub, and not a part of its API.
    calls = [call for call in github_api.calls if not call.path.startswith("/blobs/")]
    assert {call.method for call in calls} == {"GET", "POST", "PATCH", "DELETE"}
    refusals = [(call, why) for call in calls if (why := simulator.refuses(as_on_github(call)))]
    # The simulator fails on what GitHub describes of the body of an issue.
    broken = [call for call, why in refusals if "&quot;nullable&quot; cannot be used without &quot;type&quot;" in why]
    assert {(call.method, *call.body) for call in broken} == {
        ("POST", "title", "body"),
        ("PATCH", "title", "body"),
        ("PATCH", "title", "body", "state", "state_reason"),
    }
    assert [why for call, why in refusals if call not in broken] == []


def as_on_github(call: Call) -> Call:
    """The same request to GitHub itself, whose pages have addresses with https."""
    page = call.body.get("registry_url") if isinstance(call.body, dict) else None
    return replace(call, body={**call.body, "registry_url": page.replace("http:", "https:")}) if page else call


def test_the_simulator_refuses_what_github_does_not_describe(
    github_api: GitHubApi, simulator: GitHubSimulator, tmp_path: Path
) -> None:
    forge(github_api).set_status(COMMIT, "failure", name="ciplug", description="", url=None)
    (status,) = (call for call in github_api.calls if call.method == "POST")

    def refused(**changed: object) -> bool:
        call: Call = replace(status, **changed)  # type: ignore[arg-type]
        return simulator.refuses(call) is not None

    assert not refused()
    assert refused(body={**status.body, "state": "passed"})
    assert refused(path=status.path.replace("statuses", "states"))
    assert refused(body={"description": "no state"})
