"""A label of the verdict on the pull request, and a deployment of what was promoted, on each forge that has them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ciplug import console
from ciplug.config import Config
from ciplug.errors import ForgeError, PermissionDenied
from ciplug.forges import Forge, NoForge, open_forge
from ciplug.records.provenance import Context
from ciplug.reports.report import Report
from ciplug.steps.reporting.post import Posting, post
from ciplug.steps.reporting.snapshot import Snapshot
from ciplug.steps.session import Session
from tests.project import MODEL, Project
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

COMMIT = "c" * 40
OURS = ["ciplug: pass", "ciplug: fail"]


def opened(host: str, api_url: str, env: dict[str, str]) -> Forge:
    forge = open_forge(Context(host=host, repository="acme/demo", api_url=api_url), env, None)
    assert not isinstance(forge, NoForge)
    return forge


def relabelled(forge: Forge, labels: list[str]) -> None:
    """Twice a verdict, then the other one; somebody else's label stays."""
    forge.keep_label(7, "ciplug: pass", OURS)
    forge.keep_label(7, "ciplug: pass", OURS)
    assert sorted(labels) == ["ciplug: pass", "urgent"]
    forge.keep_label(7, "ciplug: fail", OURS)
    assert sorted(labels) == ["ciplug: fail", "urgent"]


def test_github(github_api: GitHubApi) -> None:
    github_api.add_pull(7, commit=COMMIT)
    github_api.labels[7] += ["urgent"]
    github_api.add_token("job", "github-actions[bot]", app=True, permissions={"pull-requests": "write"})
    forge = opened("github_actions", github_api.url, {"GITHUB_TOKEN": "job"})
    relabelled(forge, github_api.labels[7])
    with pytest.raises(PermissionDenied, match="deployment to live") as caught:
        forge.record_deployment(COMMIT, "live", description="", url=None)
    assert "deployments: write" in (caught.value.hint or "")

    github_api.add_token("both", "octocat")
    forge = opened("github_actions", github_api.url, {"GITHUB_TOKEN": "both"})
    forge.record_deployment(COMMIT, "live", description="wine version 3 is in Production", url="https://ci/1")
    (deployment,) = github_api.deployments.values()
    assert (deployment["ref"], deployment["environment"]) == (COMMIT, "live")
    assert [(s["state"], s["target_url"]) for s in deployment["statuses"]] == [("success", "https://ci/1")]


def test_gitlab(gitlab_api: GitLabApi) -> None:
    gitlab_api.add_merge_request(7, commit=COMMIT)["labels"] = ["urgent"]
    forge = opened("gitlab_ci", gitlab_api.api_url, {"CIPLUG_GITLAB_TOKEN": "user-token"})
    relabelled(forge, gitlab_api.merge_requests[7]["labels"])
    forge.record_deployment(COMMIT, "live", description="", url=None)
    assert gitlab_api.deployments == [
        {"environment": "live", "sha": COMMIT, "ref": "main", "tag": False, "status": "success"}
    ]


def test_gitea(gitea_api: GiteaApi) -> None:
    gitea_api.add_pull(7, commit=COMMIT)
    gitea_api.known_labels = {f"label-{n}": 90_000 + n for n in range(60)} | {"urgent": 1}
    gitea_api.labels[7] += ["urgent"]
    gitea_api.add_token("job", "gitea-actions", scopes=None)
    forge = opened("gitea", gitea_api.api_url, {"CIPLUG_GITEA_TOKEN": "job"})
    relabelled(forge, gitea_api.labels[7])
    relabelled(forge, gitea_api.labels[7])
    assert len(gitea_api.known_labels) == 63
    with pytest.raises(ForgeError, match="no deployments"):
        forge.record_deployment(COMMIT, "live", description="", url=None)


def test_bitbucket_has_neither(bitbucket_api: BitbucketApi) -> None:
    env = {"CIPLUG_BITBUCKET_TOKEN": "t", "CIPLUG_BITBUCKET_URL": bitbucket_api.url}
    forge = opened("bitbucket", bitbucket_api.url, env)
    with pytest.raises(ForgeError, match="have no labels"):
        forge.keep_label(7, "ciplug: pass", OURS)
    with pytest.raises(ForgeError, match="its own pipelines only"):
        forge.record_deployment(COMMIT, "live", description="", url=None)
    assert not bitbucket_api.calls


def test_a_label_that_cannot_be_is_said_and_fails_nothing(
    bitbucket_api: BitbucketApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bitbucket_api.add_pull(7, commit=COMMIT)
    bitbucket_api.add_token("t", "ada", scopes=("pullrequest:write", "account"))
    monkeypatch.setattr("ciplug.steps.session.open_store", lambda *_, **__: SimpleNamespace(keys=lambda *_: []))
    monkeypatch.setattr(Report, "outcome", "PASS")
    env = {"CIPLUG_BITBUCKET_TOKEN": "t", "CIPLUG_BITBUCKET_URL": bitbucket_api.url}
    context = Context(host="bitbucket", repository="acme/demo", commit=COMMIT, pull_request=7)
    session = Session(Path(), env, None, Config(), context, "git:", listener=console)
    empty = Snapshot(Report(sections=()), COMMIT, frozenset())
    posted = post(session, empty, lambda later: empty, Posting(label=True))
    assert posted.url and posted.failure is None
    assert "no label: Bitbucket's pull requests have no labels" in capsys.readouterr().err


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path, github_api: GitHubApi) -> None:
    project = Project.create(tmp_path / "work")
    github_api.add_token("job", "octocat")
    here = {
        "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/demo", "GITHUB_API_URL": github_api.url,
        "GITHUB_SERVER_URL": github_api.origin, "GITHUB_TOKEN": "job", "GITHUB_EVENT_PATH": str(tmp_path / "event"),
    }  # fmt: skip
    repository = {"full_name": "acme/demo", "default_branch": "main"}
    (tmp_path / "event").write_text(json.dumps({"repository": repository}))
    main = {**here, "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": project.head}
    project.ciplug("ci", "--no-comment", *MODEL, "--", sys.executable, "train.py", env=main)
    said = project.ciplug("promote", "wine", "--to", "staging", "--deployment", env=main).stderr
    assert f"deployment of {project.head[:8]} to staging recorded" in said
    assert [d["environment"] for d in github_api.deployments.values()] == ["staging"]

    head = project.branch("topic", {"accuracy": 0.5})
    github_api.add_pull(7, branch="topic", commit=head)
    side = {"head": {"sha": head, "ref": "topic", "repo": repository}, "base": {"ref": "main", "repo": repository}}
    (tmp_path / "event").write_text(json.dumps({"repository": repository, "pull_request": {"number": 7, **side}}))
    pull = {**here, "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_SHA": "d" * 40}
    project.ciplug("ci", "--label", "--", sys.executable, "train.py", env=pull, code=1)
    assert github_api.labels[7] == ["ciplug: fail"]
