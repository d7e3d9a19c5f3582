"""Which commit a job's run belongs to: environments of real jobs, beside what they have checked out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ciplug import ci
from ciplug.ci.base import Checkout, place_of_remote
from ciplug.ci.job_commit import Identity, Standing, doubt, explain, identify
from ciplug.records.provenance import PublishedAt
from tests.unit.test_ci_detect import (
    AZURE,
    AZURE_PR,
    BASE,
    BITBUCKET,
    GITEA,
    GITEA_PR,
    GITHUB,
    GITHUB_PR,
    GITLAB,
    GITLAB_MERGED,
    GITLAB_MR,
    HEAD,
    JENKINS,
    JENKINS_PR,
    MERGE,
    QUEUE,
    REPOSITORY,
    Env,
    on,
    pull_request,
)

OTHER = "a" * 40
"""A commit that the host does not name."""
OWN = PublishedAt(own=True)
DEVELOP = "d" * 40
"""A commit of another branch than the target."""
REMOTE = "https://github.com/acme/wine"
MERGED = {"merged": True, "merge_commit_sha": MERGE}


def closed(head_repository: str = "acme/wine") -> dict[str, Any]:
    payload = pull_request(head_repository, action="closed")
    return {**payload, "pull_request": {**payload["pull_request"], **MERGED}}


@dataclass(frozen=True)
class Case:
    env: Env
    head: Checkout
    standing: Standing
    expected: dict[str, Any]
    """Commit, merge commit, branch, target, tag, pull request and trust: those that are not None, or not trusted."""
    event: dict[str, Any] = field(default_factory=dict)
    published: PublishedAt | None = None
    """What the remote knows of HEAD; None: it must not be asked."""
    refs: Mapping[str, str] | None = None
    """The tips of the refs that the host names; None: they must not be asked for."""
    target: tuple[str, ...] | None = None
    """The target branch's own commits, as far as git knows them; None: it must not be asked."""
    source: tuple[str, ...] = ()
    """The own commits of the pull request's branch, likewise."""
    keeps_own_runs: bool = True


def at(commit: str, *parents: str, branch: str | None = None, **more: Any) -> Checkout:
    return Checkout(commit, parents, branch=branch, **{"remote_url": REMOTE, **more})


def github(event: str, ref: str = "main", kind: str = "branch", **more: str) -> Env:
    return {**GITHUB, **on(ref, kind, GITHUB_EVENT_NAME=event, GITHUB_REF=f"refs/heads/{ref}"), **more}


PR: Env = {**GITHUB, **GITHUB_PR}
TARGET: Env = {**PR, "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_SHA": BASE, "GITHUB_REF": "refs/heads/main"}
CLOSED: Env = {**PR, "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}
ON_MAIN: dict[str, Any] = {"repository": REPOSITORY}
COMMENT: dict[str, Any] = {"issue": {"number": 5, "pull_request": {}}, "repository": REPOSITORY}
OF_PR: dict[str, Any] = {"branch": "faster", "target_branch": "main", "pull_request": 5}
JENKINS_MERGE = at(MERGE, HEAD, BASE, committer="nobody@nowhere")
JENKINS_BLIND_PR: Env = {**JENKINS, **JENKINS_PR, "GIT_COMMIT": ""}
BITBUCKET_PR: Env = {
    **BITBUCKET,
    "BITBUCKET_BRANCH": "faster",
    "BITBUCKET_PR_ID": "5",
    "BITBUCKET_PR_DESTINATION_BRANCH": "main",
    "BITBUCKET_PR_DESTINATION_COMMIT": BASE[:12],
}
FORK: dict[str, Any] = {"trusted": False}
RUN_OF_FORK = {
    "workflow_run": {"id": 9, "event": "pull_request", "head_sha": OTHER, "head_repository": {"full_name": "m/wine"}}
}

CASES: dict[str, Case] = {
    "push": Case(github("push"), at(HEAD, BASE), Standing.NAMED, {"commit": HEAD, "branch": "main"}, ON_MAIN),
    "push, a merge commit by a person": Case(
        github("push"), at(HEAD, BASE, OTHER), Standing.NAMED, {"commit": HEAD, "branch": "main"}, ON_MAIN
    ),
    "push, and the branch that is checked out merges the commit": Case(
        github("push", "faster"),
        at(MERGE, BASE, HEAD, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": MERGE, "branch": "main"},
        ON_MAIN,
        OWN,
    ),
    "push, and the job has made a commit that is not pushed": Case(
        github("push"),
        at(OTHER, HEAD, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main", **FORK},
        ON_MAIN,
        PublishedAt(),
    ),
    "schedule with `ref: develop`": Case(
        github("schedule"),
        at(OTHER, branch="develop"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        ON_MAIN,
        PublishedAt(own=True, branches=("develop",)),
    ),
    "schedule with the id of develop's tip": Case(
        github("schedule"),
        at(OTHER),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        ON_MAIN,
        PublishedAt(own=True, branches=("develop",)),
    ),
    "the tip of two branches is checked out": Case(
        github("schedule"),
        at(OTHER),
        Standing.OTHER_COMMIT,
        {"commit": OTHER},
        ON_MAIN,
        PublishedAt(own=True, branches=("a", "b")),
    ),
    "the branch has moved on since the event": Case(
        github("push"),
        at(OTHER),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main"},
        ON_MAIN,
        PublishedAt(own=True, branches=("develop", "main")),
    ),
    "bisect": Case(
        github("workflow_dispatch"), at(OTHER, BASE), Standing.OTHER_COMMIT, {"commit": OTHER}, ON_MAIN, OWN
    ),
    "workflow_dispatch, another ref is checked out": Case(
        github("workflow_dispatch", "faster"),
        at(OTHER, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main"},
        ON_MAIN,
        OWN,
    ),
    "comment on a pull request, main is checked out": Case(
        github("issue_comment"), at(HEAD, branch="main"), Standing.NAMED, {"commit": HEAD, "branch": "main"}, COMMENT
    ),
    "comment on a pull request of a branch, which is checked out": Case(
        github("issue_comment"),
        at(OTHER, HEAD, branch="faster"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "faster"},
        COMMENT,
        PublishedAt(own=True, branches=("faster",)),
    ),
    "comment on a pull request of a fork, which is checked out": Case(
        github("issue_comment"),
        at(OTHER, HEAD),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, **FORK},
        COMMENT,
        PublishedAt(),
    ),
    "comment on a pull request of a fork, its merge is checked out": Case(
        github("issue_comment"),
        at(MERGE, HEAD, OTHER),
        Standing.OTHER_COMMIT,
        {"commit": MERGE, **FORK},
        COMMENT,
        PublishedAt(),
    ),
    "comment on a pull request of a fork, the fork is checked out": Case(
        github("issue_comment"),
        at(OTHER, branch="main", remote_url="https://github.com/mallory/wine"),
        Standing.OTHER_REPOSITORY,
        {"commit": OTHER, "branch": "main", "repository": "mallory/wine", **FORK},
        COMMENT,
        PublishedAt(own=True, branches=("main",)),
        keeps_own_runs=False,
    ),
    "pull request": Case(
        PR,
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
        pull_request("acme/wine"),
    ),
    "pull request of a fork": Case(
        PR,
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR, **FORK},
        pull_request("mallory/wine"),
    ),
    "pull request, its head is checked out": Case(
        PR, at(HEAD, BASE), Standing.NAMED, {"commit": HEAD, **OF_PR}, pull_request("acme/wine")
    ),
    "pull request, GitHub's merge is of an older head": Case(
        PR,
        at(MERGE, BASE, OTHER),
        Standing.MERGE,
        {"commit": OTHER, "merge_commit": MERGE, **OF_PR},
        pull_request("acme/wine"),
    ),
    "pull request without its payload": Case(
        PR, at(MERGE, BASE, HEAD), Standing.MERGE, {"commit": HEAD, "merge_commit": MERGE, **OF_PR, **FORK}
    ),
    "pull request, main is checked out": Case(
        PR,
        at(BASE, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": BASE, "branch": "main"},
        pull_request("acme/wine"),
        OWN,
    ),
    "pull request, main is checked out, which has it by now": Case(
        PR,
        at(OTHER, BASE, HEAD, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main"},
        pull_request("acme/wine"),
        OWN,
    ),
    "pull request of a fork, main is checked out": Case(
        PR,
        at(BASE, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": BASE, "branch": "main", **FORK},
        pull_request("mallory/wine"),
        OWN,
    ),
    "pull request, develop is checked out, which has it": Case(
        PR,
        at(OTHER, DEVELOP, HEAD, branch="develop"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        pull_request("acme/wine"),
        OWN,
        target=(BASE,),
    ),
    "pull request, the tip of develop is checked out, which has it": Case(
        PR,
        at(OTHER, DEVELOP, HEAD),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        pull_request("acme/wine"),
        PublishedAt(own=True, branches=("develop",)),
        target=(BASE,),
    ),
    "pull request, the tip of main is checked out, which has it by now": Case(
        PR,
        at(OTHER, BASE, HEAD),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main"},
        pull_request("acme/wine"),
        PublishedAt(own=True, branches=("main",)),
        target=(OTHER, BASE),
    ),
    "pull request, the job itself merges it into a newer main": Case(
        PR,
        at(OTHER, DEVELOP, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": OTHER, **OF_PR},
        pull_request("acme/wine"),
        target=(DEVELOP, BASE),
    ),
    **{
        f"{host}, somebody has merged main into the branch, which is checked out": Case(
            env,
            at(OTHER, HEAD, BASE, remote_url=remote_url),
            Standing.OTHER_COMMIT,
            {"commit": OTHER, "branch": branch},
            event,
            PublishedAt(own=True, branches=(branch,)),
            target=(BASE,),
            source=(OTHER, HEAD),
        )
        for host, env, event, branch, remote_url in (
            ("GitHub", PR, pull_request("acme/wine"), "faster", REMOTE),
            ("GitLab", {**GITLAB, **GITLAB_MR}, {}, "faster", "https://gitlab.com/acme/ml/wine.git"),
            ("Bitbucket", BITBUCKET_PR, {}, "faster", "https://bitbucket.org/acme/wine"),
            ("Azure", {**AZURE, **AZURE_PR}, {}, "ada/faster", None),
            ("Gitea", {**GITEA, **GITEA_PR}, pull_request("acme/wine"), "faster", REMOTE),
        )
    },
    "pull request, the job itself merges main into its head": Case(
        PR,
        at(OTHER, HEAD, BASE),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, **FORK},
        pull_request("acme/wine"),
        PublishedAt(),
    ),
    "pull request that was merged": Case(
        CLOSED, at(MERGE, BASE, HEAD, branch="main"), Standing.NAMED, {"commit": MERGE, "branch": "main"}, closed()
    ),
    "pull request that was merged, detached": Case(
        {**CLOSED, "GITHUB_REF": "refs/pull/5/merge"},
        at(MERGE, BASE, HEAD),
        Standing.NAMED,
        {"commit": MERGE, "branch": "main"},
        closed(),
    ),
    "pull request that was squashed": Case(
        CLOSED, at(MERGE, BASE), Standing.NAMED, {"commit": MERGE, "branch": "main"}, closed()
    ),
    "pull request of a fork that was merged": Case(
        CLOSED,
        at(MERGE, BASE, HEAD),
        Standing.NAMED,
        {"commit": MERGE, "branch": "main", **FORK},
        closed("mallory/wine"),
    ),
    "pull request that was merged, its head is checked out": Case(
        CLOSED, at(HEAD, BASE), Standing.OTHER_COMMIT, {"commit": HEAD}, closed(), OWN
    ),
    "pull request that was closed": Case(
        PR,
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
        {**pull_request("acme/wine", action="closed")},
    ),
    "pull_request_target of a fork, its head is checked out": Case(
        TARGET, at(HEAD, BASE), Standing.NAMED, {"commit": HEAD, **OF_PR, **FORK}, pull_request("mallory/wine")
    ),
    "pull_request_target of a fork, the fork is checked out": Case(
        TARGET,
        at(HEAD, BASE, remote_url="https://github.com/mallory/wine"),
        Standing.NAMED,
        {"commit": HEAD, **OF_PR, **FORK},
        pull_request("mallory/wine"),
    ),
    "pull_request_target of a fork, its merge is checked out": Case(
        TARGET,
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR, **FORK},
        pull_request("mallory/wine"),
        target=(BASE,),
    ),
    "pull_request_target of a fork, main is checked out": Case(
        TARGET,
        at(BASE, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": BASE, "branch": "main", **FORK},
        pull_request("mallory/wine"),
        OWN,
    ),
    "pull_request_target of a fork, another commit of it is checked out": Case(
        TARGET,
        at(OTHER, HEAD),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, **FORK},
        pull_request("mallory/wine"),
        PublishedAt(),
    ),
    "pull_request_target of a branch, main is checked out": Case(
        TARGET,
        at(BASE, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": BASE, "branch": "main"},
        pull_request("acme/wine"),
        OWN,
    ),
    "workflow_run, main is checked out": Case(
        github("workflow_run"), at(HEAD), Standing.NAMED, {"commit": HEAD, "branch": "main"}, {**ON_MAIN, **RUN_OF_FORK}
    ),
    "workflow_run, the fork's head is checked out": Case(
        github("workflow_run"),
        at(OTHER, HEAD),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, **FORK},
        {**ON_MAIN, **RUN_OF_FORK},
        PublishedAt(),
    ),
    "merge queue": Case(
        github("merge_group", QUEUE),
        at(HEAD, BASE, OTHER),
        Standing.NAMED,
        {"commit": HEAD, "branch": QUEUE, "target_branch": "main"},
        {"merge_group": {"base_ref": "refs/heads/main"}, "repository": REPOSITORY},
    ),
    "tag": Case(
        github("push", "v1", "tag", GITHUB_REF="refs/tags/v1"), at(HEAD), Standing.NAMED, {"commit": HEAD, "tag": "v1"}
    ),
    "tag, main is checked out": Case(
        github("push", "v1", "tag"),
        at(OTHER, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main"},
        ON_MAIN,
        OWN,
    ),
    "second repository": Case(
        github("push"),
        at(OTHER, branch="main", remote_url="git@github.com:acme/models.git"),
        Standing.OTHER_REPOSITORY,
        {"commit": OTHER, "branch": "main", "repository": "acme/models"},
        ON_MAIN,
        OWN,
    ),
    "second repository, whose runs go to a bucket": Case(
        github("push"),
        at(OTHER, branch="main", remote_url="https://github.com/acme/models"),
        Standing.OTHER_REPOSITORY,
        {"commit": OTHER, "branch": "main", "repository": "acme/models", **FORK},
        ON_MAIN,
        OWN,
        keeps_own_runs=False,
    ),
    "second repository, in the job of a fork": Case(
        PR,
        at(OTHER, remote_url="https://github.com/acme/models"),
        Standing.OTHER_REPOSITORY,
        {"commit": OTHER, "repository": "acme/models", **FORK},
        pull_request("mallory/wine"),
        OWN,
    ),
    "second repository, on this disk": Case(
        github("push"),
        at(OTHER, branch="main", remote_url="file:///srv/git/models.git"),
        Standing.OTHER_REPOSITORY,
        {"commit": OTHER, "branch": "main"},
        ON_MAIN,
        OWN,
    ),
    "the same repository, on this disk": Case(
        github("push"),
        at(OTHER, branch="main", remote_url="file:///srv/git/wine.git"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main"},
        ON_MAIN,
        OWN,
    ),
    "the same repository by ssh, in other letters": Case(
        github("push"),
        at(OTHER, branch="develop", remote_url="git@github.com:Acme/Wine.git"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        ON_MAIN,
        OWN,
    ),
    "GitLab, merge request, detached": Case(
        {**GITLAB, **GITLAB_MR}, at(HEAD, BASE), Standing.NAMED, {"commit": HEAD, **OF_PR}
    ),
    "GitLab, merged results": Case(
        {**GITLAB, **GITLAB_MERGED},
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
    ),
    "GitLab, merge train": Case(
        {**GITLAB, **GITLAB_MERGED, "CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"},
        at(MERGE, OTHER, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
    ),
    "GitLab, fork's merge request": Case(
        {**GITLAB, **GITLAB_MERGED, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "666"},
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR, **FORK},
    ),
    "GitLab, the tip of develop is checked out, which has it": Case(
        {**GITLAB, **GITLAB_MR},
        at(OTHER, DEVELOP, HEAD, remote_url="https://gitlab.com/acme/ml/wine.git"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        published=PublishedAt(own=True, branches=("develop",)),
        target=(BASE,),
    ),
    "GitLab, another ref is checked out": Case(
        {**GITLAB, **GITLAB_MR},
        at(OTHER, remote_url="https://gitlab.com/acme/ml/wine.git"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER},
        {},
        OWN,
    ),
    "Jenkins, merge with the target": Case(
        {**JENKINS, **JENKINS_PR, "GIT_COMMIT": MERGE},
        JENKINS_MERGE,
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
    ),
    "Jenkins, merge with the target, no GIT_COMMIT": Case(
        JENKINS_BLIND_PR,
        JENKINS_MERGE,
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
        refs={"refs/heads/PR-5": HEAD},
    ),
    "Jenkins, pull request, no GIT_COMMIT": Case(
        JENKINS_BLIND_PR, at(HEAD), Standing.NAMED, {"commit": HEAD, **OF_PR}, refs={"refs/pull/5/head": HEAD}
    ),
    "Jenkins, pull request, no GIT_COMMIT, and develop's tip is checked out": Case(
        JENKINS_BLIND_PR,
        at(OTHER),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        published=PublishedAt(own=True, branches=("develop",)),
        refs={"refs/pull/5/head": HEAD, "refs/heads/faster": HEAD},
    ),
    "Jenkins, pull request of a fork's main, no GIT_COMMIT, and our main is checked out": Case(
        {**JENKINS_BLIND_PR, "CHANGE_FORK": "mallory", "CHANGE_BRANCH": "main"},
        at(BASE),
        Standing.OTHER_COMMIT,
        {"commit": BASE, "branch": "main", **FORK},
        published=PublishedAt(own=True, branches=("main",)),
        refs={"refs/pull/5/head": HEAD, "refs/heads/main": BASE},
    ),
    "Jenkins, tag, no GIT_COMMIT, and develop's tip is checked out": Case(
        {**JENKINS, "GIT_COMMIT": "", "BRANCH_NAME": "v1", "TAG_NAME": "v1"},
        at(OTHER),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        published=PublishedAt(own=True, branches=("develop",)),
        refs={"refs/tags/v1": HEAD},
    ),
    "Jenkins, fork's pull request": Case(
        {**JENKINS, **JENKINS_PR, "GIT_COMMIT": MERGE, "CHANGE_FORK": "mallory"},
        JENKINS_MERGE,
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR, **FORK},
    ),
    "Jenkins, pull request that is up to date": Case(
        {**JENKINS, **JENKINS_PR}, at(HEAD, BASE), Standing.NAMED, {"commit": HEAD, **OF_PR}
    ),
    "Jenkins, pull request whose head is a merge by a person": Case(
        {**JENKINS, **JENKINS_PR},
        at(HEAD, OTHER, BASE, committer="ada@example.com"),
        Standing.NAMED,
        {"commit": HEAD, **OF_PR},
    ),
    "Jenkins, no GIT_COMMIT": Case(
        {**JENKINS, "GIT_COMMIT": "", "BRANCH_NAME": "main"},
        at(HEAD),
        Standing.NAMED,
        {"commit": HEAD, "branch": "main"},
        refs={"refs/heads/main": HEAD},
    ),
    "Jenkins, no GIT_COMMIT, and develop's tip is checked out": Case(
        {**JENKINS, "GIT_COMMIT": "", "BRANCH_NAME": "main"},
        at(OTHER),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        published=PublishedAt(own=True, branches=("develop",)),
        refs={"refs/heads/main": HEAD},
    ),
    "Jenkins, no GIT_COMMIT, and a fork's head is checked out as main": Case(
        {**JENKINS, "GIT_COMMIT": "", "BRANCH_NAME": "main"},
        at(OTHER, branch="main"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "main", **FORK},
        published=PublishedAt(),
        refs={"refs/heads/main": HEAD},
    ),
    "Jenkins, no GIT_COMMIT, and git is on another branch": Case(
        {**JENKINS, "GIT_COMMIT": "", "BRANCH_NAME": "main"},
        at(HEAD, branch="develop"),
        Standing.OTHER_COMMIT,
        {"commit": HEAD, "branch": "develop"},
        {},
        OWN,
    ),
    "Jenkins, no GIT_COMMIT, second repository": Case(
        {**JENKINS, "GIT_COMMIT": "", "BRANCH_NAME": "main"},
        at(HEAD, remote_url="https://github.com/acme/models"),
        Standing.OTHER_REPOSITORY,
        {"commit": HEAD, "repository": "acme/models"},
        {},
        OWN,
    ),
    "Bitbucket, the step has merged the destination": Case(
        BITBUCKET_PR,
        at(MERGE, HEAD, BASE, branch="faster"),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR},
        target=(BASE,),
        source=(HEAD,),
    ),
    "Bitbucket, a shortened id": Case(
        {**BITBUCKET, "BITBUCKET_COMMIT": HEAD[:12], "BITBUCKET_BRANCH": "main"},
        at(HEAD, BASE),
        Standing.NAMED,
        {"commit": HEAD, "branch": "main"},
    ),
    "Azure, pull request": Case(
        {**AZURE, **AZURE_PR},
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR, "branch": "ada/faster"},
    ),
    "Azure, pull request without its variables": Case(
        {**AZURE, **AZURE_PR, "SYSTEM_PULLREQUEST_SOURCECOMMITID": ""},
        at(MERGE, BASE, HEAD),
        Standing.MERGE,
        {"commit": HEAD, "merge_commit": MERGE, **OF_PR, "branch": "ada/faster"},
    ),
    "Gitea, pull request": Case(
        {**GITEA, **GITEA_PR}, at(HEAD, BASE), Standing.NAMED, {"commit": HEAD, **OF_PR}, pull_request("acme/wine")
    ),
    "Gitea, pull request without its payload, whose head is a merge by a person": Case(
        {**GITEA, **GITEA_PR}, at(HEAD, OTHER, BASE), Standing.NAMED, {"commit": HEAD, **OF_PR, **FORK}
    ),
    "Gitea, fork's pull request": Case(
        {**GITEA, **GITEA_PR},
        at(HEAD, BASE),
        Standing.NAMED,
        {"commit": HEAD, **OF_PR, **FORK},
        pull_request("mallory/wine"),
    ),
    "Gitea, schedule with another ref": Case(
        {**GITEA, **on("main", GITHUB_EVENT_NAME="schedule")},
        at(OTHER, branch="develop"),
        Standing.OTHER_COMMIT,
        {"commit": OTHER, "branch": "develop"},
        ON_MAIN,
        OWN,
    ),
    "laptop": Case({}, at(OTHER, branch="faster"), Standing.NO_HOST, {"commit": OTHER, "branch": "faster"}),
    "no commit yet": Case(github("push"), Checkout(None), Standing.NO_COMMIT, {"branch": "main"}, ON_MAIN),
}
_FIELDS = ("commit", "merge_commit", "branch", "target_branch", "tag", "pull_request", "trusted")


@dataclass(frozen=True)
class Remote:
    case: Case

    def published(self) -> PublishedAt:
        assert self.case.published is not None, "the remote is asked without need"
        return self.case.published

    def is_tip(self, commit: str, refs: Sequence[str]) -> bool:
        assert self.case.refs is not None, "the remote is asked without need"
        return any(self.case.refs.get(ref) == commit for ref in refs)

    def is_on_branch(self, commit: str, branch: str) -> bool:
        assert self.case.target is not None, "the remote is asked without need"
        return commit in (self.case.target if branch == "main" else self.case.source)


def identity_of(case: Case, tmp_path: Path) -> Identity:
    event = tmp_path / "event.json"
    event.write_text(json.dumps(case.event))
    env = {**case.env, "GITHUB_EVENT_PATH": str(event)}
    host = ci.host_of(env)
    return identify(
        ci.detect(env),
        case.head,
        merged_head=host.merged_head,
        target_tips=host.target_tips(env),
        merges_into_head=host.merges_into_head,
        remote=Remote(case),
        keeps_own_runs=case.keeps_own_runs,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_run_belongs_to_what_is_checked_out(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    identity = identity_of(case, tmp_path)
    expected = {"trusted": True} | case.expected
    found = {field: getattr(identity.context, field) for field in (*_FIELDS, "repository")}
    assert identity.standing == case.standing
    assert {k: found[k] for k in _FIELDS} == {k: expected.get(k) for k in _FIELDS}
    assert "repository" not in expected or found["repository"] == expected["repository"]


def test_no_run_is_of_a_commit_that_is_neither_head_nor_merged_by_it(tmp_path: Path) -> None:
    for name, case in CASES.items():
        assert identity_of(case, tmp_path).context.commit in (case.head.head, *case.head.parents), name


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.env])
def test_what_is_checked_out_never_raises_trust(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    for commit, own in itertools.product([HEAD, MERGE, BASE, OTHER], [False, True]):
        head = replace(case.head, head=commit, parents=(BASE, OTHER))
        published = replace(case, published=PublishedAt(own=own), refs=case.refs or {}, target=case.target or ())
        identity = identity_of(replace(published, head=head), tmp_path)
        assert identity.claim.trusted or not identity.context.trusted, (commit, own)
        assert not identity.elsewhere or own or not identity.context.trusted, (commit, own)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.event == pull_request("mallory/wine")])
@pytest.mark.parametrize("commit", [HEAD, MERGE, BASE, OTHER])
def test_no_job_of_a_fork_is_trusted_whatever_it_checks_out(name: str, commit: str, tmp_path: Path) -> None:
    case = CASES[name]
    own = PublishedAt(own=True, branches=("main",))
    changed = replace(case, head=replace(case.head, head=commit), published=own, target=(BASE, OTHER))
    assert not identity_of(changed, tmp_path).context.trusted


def test_the_words_name_both_commits(tmp_path: Path) -> None:
    told = {name: explain(identity_of(case, tmp_path)) for name, case in CASES.items()}
    assert told["push"] == "HEAD, which github_actions names"
    assert told["laptop"] == "HEAD"
    assert told["pull request"] == "the head that HEAD, the merge 22222222, brings in"
    assert told["schedule with `ref: develop`"] == (
        "HEAD of develop; github_actions names 11111111 of main, which is not checked out"
    )
    assert told["pull request, main is checked out"] == (
        "HEAD of main; github_actions names 11111111 of faster (pull request 5), which is not checked out"
    )
    assert told["tag, main is checked out"] == (
        "HEAD of main; github_actions names 11111111 with tag v1, which is not checked out"
    )
    assert told["Jenkins, no GIT_COMMIT"] == "HEAD, the tip of the ref that jenkins names"
    assert told["Jenkins, no GIT_COMMIT, and develop's tip is checked out"] == (
        "HEAD of develop; jenkins names main, which is not checked out"
    )
    assert told["second repository"] == (
        "HEAD of main, in acme/models: what github_actions says is about acme/wine, and nothing is posted there"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("push", None),
        ("pull_request_target of a fork, its head is checked out", None),
        ("comment on a pull request of a fork, which is checked out", "it may be a fork's"),
        ("second repository, whose runs go to a bucket", "only in that repository"),
    ],
)
def test_a_doubt_has_its_reason(name: str, words: str | None, tmp_path: Path) -> None:
    found = doubt(identity_of(CASES[name], tmp_path))
    assert (found is None) == (words is None)
    assert words is None or words in (found or "")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://x:secret@github.com/acme/wine.git", ("https://github.com", "acme/wine")),
        ("ssh://git@gitlab.acme.org:2222/ml/wine.git", ("https://gitlab.acme.org", "ml/wine")),
        ("file:///srv/git/wine.git", (None, None)),
        ("/srv/git/wine.git", (None, None)),
        (None, (None, None)),
    ],
)
def test_the_place_of_a_remote(url: str | None, place: tuple[str | None, str | None]) -> None:
    assert place_of_remote(url) == place
