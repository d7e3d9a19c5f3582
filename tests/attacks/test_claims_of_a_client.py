"""A promotion by the client's word: files that are not committed, names in variables, and other people's runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import ConfigError, GitError, Refusal
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.session import Session
from tests.project import CONFIG, Project, git
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.team import POLICY, Team, team_in

NOT_AUTHOR = "stages: {staging: {approvals: {not_author: true}}}\n"


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return team_in(tmp_path)


def last_event(team: Team) -> Any:
    return ledger.read(team.session.refreshed().log, "wine").events[-1]


# The policy


def with_remote(team: Team, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(team.project.folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(team.project.folder, "push", "-q", "-u", "origin", "main")
    team.session = team.session.refreshed()


@pytest.mark.parametrize("how", ["a file", "a commit", "a branch", "a named file", "a variable"])
def test_a_laxer_policy_of_the_client_does_not_help(team: Team, tmp_path: Path, how: str) -> None:
    team.policy("stages: {staging: {require: [signature]}}\n")
    with_remote(team, tmp_path)
    run = team.judged()
    folder = team.project.folder
    lax = POLICY.replace("min: 0.8", "min: 0.1")
    session = team.session
    if how == "a named file":
        (tmp_path / "lax.yaml").write_text(lax)
        session = replace(session, options=session.options._replace(config_file=str(tmp_path / "lax.yaml")))
    else:
        (folder / "ciplug.yaml").write_text(lax)
    if how == "a branch":
        git(folder, "checkout", "-q", "-b", "lax")
    if how in ("a commit", "a branch"):
        team.project.commit("lax")
    if how == "a branch":
        git(folder, "push", "-q", "-u", "origin", "lax")
        git(folder, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/lax")
    if how == "a variable":
        git(folder, "push", "-q", "origin", "HEAD:lax")
        claimed = {
            "GITLAB_CI": "true",
            "CI_DEFAULT_BRANCH": "lax",
            "CI_COMMIT_BRANCH": "lax",
            "CI_COMMIT_SHA": run.commit,
        }
        session = replace(session, env={**session.env, **claimed})
    session = session.refreshed()
    refusal = team.refused(run=run.id, session=session)
    assert refusal.reason in (Refusal.NOT_SIGNED, Refusal.OTHER_POLICY)
    team.session = session
    assert team.refused(run=team.judged(commit=run.commit).id, session=session).reason is Refusal.NOT_SIGNED


def test_the_policy_is_that_of_the_remote_now(team: Team, tmp_path: Path) -> None:
    """Whoever has not fetched yet is held to what was pushed meanwhile."""
    with_remote(team, tmp_path)
    run = team.judged()
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), "other")
    (other / "ciplug.yaml").write_text(POLICY + "stages: {staging: {require: [signature]}}\n")
    git(other, "commit", "-q", "-am", "stricter")
    git(other, "push", "-q")
    assert team.refused(run=run.id).reason is Refusal.NOT_SIGNED


def test_without_the_remote_s_answer_nothing_is_promoted(team: Team, tmp_path: Path) -> None:
    with_remote(team, tmp_path)
    run = team.judged()
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    with pytest.raises(GitError, match="go by the policy of the default branch, which cannot be read"):
        team.promote(run=run.id)


def test_a_file_that_is_not_committed_is_no_policy(team: Team) -> None:
    git(team.project.folder, "rm", "-q", "ciplug.yaml")
    team.project.commit("no policy")
    (team.project.folder / "ciplug.yaml").write_text(POLICY)
    team.session = team.session.refreshed()
    run = team.judged()
    with pytest.raises(ConfigError, match=r"has no ciplug\.yaml, and so no gate"):
        team.promote(run=run.id)


# Who promotes


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "the-boss", "GITHUB_REPOSITORY": "acme/demo"},
        {"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "the-boss", "CI_COMMIT_BRANCH": "main"},
        {"JENKINS_URL": "http://jenkins.example/", "CIPLUG_APPROVER": "the-boss"},
    ],
    ids=lambda claims: next(iter(claims), "user.email"),
)
def test_a_claimed_name_satisfies_nothing(team: Team, claims: Mapping[str, str]) -> None:
    team.policy(NOT_AUTHOR)
    run = team.judged()
    git(team.project.folder, "config", "user.email", "the-boss@example.com")
    session = replace(team.session, env={**team.session.env, **claims}).refreshed()
    assert session.context.actor and "the-boss" in session.context.actor
    assert team.refused(run=run.id, session=session).reason is Refusal.ACTOR_CLAIMED
    # Where nothing is required, the name is recorded as what it is.
    team.policy("")
    team.session = session.refreshed()
    team.promote(run=team.judged().id, session=session.refreshed())
    assert (last_event(team).actor_confirmed, "the-boss" in last_event(team).actor) == (False, True)


def github(team: Team, api: GitHubApi, token: str, **env: str) -> Session:
    """A session with a token for the forge; a job of run 42 unless `env` says otherwise."""
    names = {
        "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/demo", "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_API_URL": api.url, "GITHUB_TOKEN": token, "GITHUB_RUN_ID": "42", "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": team.project.head, "GITHUB_EVENT_NAME": "push", "GITHUB_REF_NAME": "main", **env,
    }  # fmt: skip
    return replace(team.session, env={**team.session.env, **names}).refreshed()


def test_github_confirms_who_started_the_run(team: Team, github_api: GitHubApi) -> None:
    team.policy(NOT_AUTHOR)
    run = team.judged()
    github_api.add_token("of-job", "github-actions[bot]", app=True, permissions={"actions": "read"})
    github_api.add_token("of-eve", "eve")
    github_api.authors[team.project.head] = "mona"
    session = github(team, github_api, "of-job", GITHUB_ACTOR="the-boss")

    def refusal(session: Session) -> Refusal:
        return team.refused(run=run.id, session=session.refreshed()).reason

    # Somebody else's run that is over, or whose job has not this token.
    github_api.add_run(42, commit=team.project.head)
    github_api.runs[42]["triggering_actor"] = {"login": "the-boss"}
    assert refusal(session) is Refusal.ACTOR_CLAIMED
    github_api.start_run(42, "the-boss")
    assert refusal(github(team, github_api, "of-eve", GITHUB_ACTOR="the-boss")) is Refusal.ACTOR_CLAIMED
    github_api.start_run(42, "mona")
    assert refusal(session) is Refusal.ACTOR_IS_AUTHOR
    github_api.start_run(42, "bob")
    team.promote(run=run.id, session=session.refreshed())
    event = last_event(team)
    assert (event.actor, event.actor_source, event.actor_confirmed) == ("bob", "GitHub", True)
    assert payload_of(event).approvals == ("clean tree", "bob is not the author, by GitHub's account")


def test_on_a_laptop_the_token_s_own_account_counts(team: Team, github_api: GitHubApi) -> None:
    team.policy(NOT_AUTHOR)
    run = team.judged()
    github_api.add_token("of-mona", "mona")
    github_api.add_token("of-bob", "bob")
    github_api.authors[team.project.head] = "mona"
    git(team.project.folder, "remote", "add", "forge", "https://github.com/acme/demo.git")
    git(team.project.folder, "config", "user.email", "the-boss@example.com")
    env = {"GITHUB_API_URL": github_api.url}
    git(team.project.folder, "init", "-q", "--bare", str(team.project.folder / "../origin.git"))
    git(team.project.folder, "remote", "set-url", "forge", str(team.project.folder / "../origin.git"))
    git(team.project.folder, "push", "-q", "forge", "main")

    def laptop(token: str) -> Session:
        session = replace(team.session, env={**team.session.env, **env, "CIPLUG_GITHUB_TOKEN": token}).refreshed()
        return replace(
            session, context=replace(session.context, repository="acme/demo", server_url="https://github.com")
        )

    assert team.refused(run=run.id, session=laptop("of-mona")).reason is Refusal.ACTOR_IS_AUTHOR
    team.promote(run=run.id, session=laptop("of-bob"))
    assert (last_event(team).actor, last_event(team).actor_confirmed) == ("bob", True)


def gitlab(team: Team, api: GitLabApi, job_token: str | None, **env: str) -> Session:
    names = {
        "GITLAB_CI": "true", "CI_API_V4_URL": api.api_url, "CI_SERVER_URL": api.url, "CI_PROJECT_PATH": "acme/demo",
        "CI_COMMIT_SHA": team.project.head, "CI_COMMIT_BRANCH": "main", "CIPLUG_GITLAB_TOKEN": "of-project",
        **({"CI_JOB_TOKEN": job_token} if job_token else {}), **env,
    }  # fmt: skip
    return replace(team.session, env={**team.session.env, **names}).refreshed()


def test_gitlab_confirms_who_started_the_job(team: Team, gitlab_api: GitLabApi) -> None:
    team.policy(NOT_AUTHOR)
    run = team.judged()
    gitlab_api.add_token("of-project", "the-boss")
    gitlab_api.start_job("job-of-author", "octocat")
    gitlab_api.start_job("job-of-bob", "bob")
    claims = {"GITLAB_USER_LOGIN": "the-boss"}
    for token, reason in ((None, Refusal.ACTOR_CLAIMED), ("job-of-author", Refusal.ACTOR_IS_AUTHOR)):
        session = gitlab(team, gitlab_api, token, **claims)
        assert team.refused(run=run.id, session=session).reason is reason
    team.promote(run=run.id, session=gitlab(team, gitlab_api, "job-of-bob", **claims))
    assert (last_event(team).actor, last_event(team).actor_source) == ("bob", "GitLab")


@pytest.mark.slow
def test_a_claimed_environment_approves_nothing(team: Team, gitlab_api: GitLabApi) -> None:
    team.policy("stages: {staging: {approvals: {environment: live}}}\n")
    run = team.judged()
    claims = {"CI_ENVIRONMENT_NAME": "live"}
    local = replace(team.session, env={**team.session.env, "GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", **claims})
    assert team.refused(run=run.id, session=local.refreshed()).reason is Refusal.ENVIRONMENT_UNKNOWN
    gitlab_api.add_token("of-project", "project_bot")
    gitlab_api.start_job("job-of-nothing", "bob")
    gitlab_api.start_job("job-of-test", "bob", "test")
    gitlab_api.start_job("job-of-live", "bob", "live")
    for token, reason in (
        (None, Refusal.ENVIRONMENT_UNKNOWN),
        ("job-of-nothing", Refusal.OTHER_ENVIRONMENT),
        ("job-of-test", Refusal.OTHER_ENVIRONMENT),
    ):
        assert team.refused(run=run.id, session=gitlab(team, gitlab_api, token, **claims)).reason is reason
    # Whoever may run a job may deploy to an environment that nobody protects, so that is no approval.
    for role, reason in (("developer", Refusal.ENVIRONMENT_UNKNOWN), ("maintainer", Refusal.NOT_APPROVED)):
        gitlab_api.add_token("of-project", "project_bot", role=role)
        refusal = team.refused(run=run.id, session=gitlab(team, gitlab_api, "job-of-live", **claims))
        assert refusal.reason is reason and "approvals: {pull_request: promotions.yaml}" in (refusal.hint or "")
    gitlab_api.protected_environments.add("live")
    team.promote(run=run.id, session=gitlab(team, gitlab_api, "job-of-live", **claims))
    assert payload_of(last_event(team)).approvals == ("clean tree", "environment live, which GitLab protects")
    assert (last_event(team).actor, last_event(team).actor_confirmed) == ("bob", True)


def test_who_approved_a_deployment_on_gitlab(team: Team, gitlab_api: GitLabApi) -> None:
    team.policy("stages: {staging: {approvals: {environment: live, not_author: true}}}\n")
    run = team.judged()
    gitlab_api.add_token("of-project", "project_bot", role="maintainer")
    gitlab_api.start_job("job", "octocat", "live")
    approvals = gitlab_api.deployments[-1].setdefault("approvals", [])
    approvals += [{"user": {"username": "octocat"}, "status": "approved"}, {"user": {"username": "eve"}, "status": "x"}]
    session = gitlab(team, gitlab_api, "job")
    assert team.refused(run=run.id, session=session).reason is Refusal.NOT_APPROVED
    approvals.append({"user": {"username": "bob"}, "status": "approved"})
    team.promote(run=run.id, session=session.refreshed())
    assert payload_of(last_event(team)).approvals == ("clean tree", "environment live, approved by bob")


@pytest.mark.slow
def test_the_command_line_takes_no_uncommitted_policy(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    strict = CONFIG + "stages: {staging: {require: [signature]}}\n"
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=strict)
    project.train()
    project.ciplug("gate")
    (project.folder / "ciplug.yaml").write_text(CONFIG)
    env = {**os.environ, "GITHUB_ACTOR": "the-boss"}
    project.ciplug("gate", env=env)
    done = project.ciplug("promote", "wine", "--to", "staging", env=env, code=1)
    assert "staging requires a signed commit" in done.stderr


@pytest.mark.parametrize("target", ["/dev/zero", "../outside.yaml", "link.yaml"])
def test_a_configuration_is_read_from_its_repository_alone(tmp_path: Path, target: str) -> None:
    """`extends:` of a pushed branch reads no file of the machine, and no file without an end."""
    project = Project.create(tmp_path / "work")
    (tmp_path / "outside.yaml").write_text("password: hunter2\n")
    (project.folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (project.folder / "ciplug.yaml").write_text(f"version: 1\nextends: {target}\n")
    done = project.ciplug("runs", "list", code=2)
    assert "is not in the repository" in done.stderr and "hunter2" not in done.stderr
    (project.folder / "ciplug.yaml").unlink()
    (project.folder / "ciplug.yaml").symlink_to("/dev/zero")
    assert "Traceback" not in project.ciplug("runs", "list", code=None).stderr
