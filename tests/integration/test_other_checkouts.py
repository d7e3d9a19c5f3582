"""Jobs that have something else checked out than their host says, with real git: what is recorded, and how trusted."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciplug.ci.job_commit import Standing
from ciplug.cli import main
from ciplug.git.published_commits import is_on_branch, is_tip, published_at
from ciplug.git.workspace import discover
from ciplug.records.provenance import Context, PublishedAt
from ciplug.registry.reading import read_model
from ciplug.steps.session import Session, open_session
from tests.project import MODEL, Project, git

EVENT = {"repository": {"default_branch": "main", "full_name": "acme/wine"}}
COMMENT = {**EVENT, "issue": {"number": 7, "pull_request": {"url": "x"}}}


class Job:
    """A job of GitHub in a clone."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.monkeypatch = project, monkeypatch

    def of(self, event: str, sha: str, payload: dict[str, Any], **env: str) -> None:
        file = self.project.folder.parent / "event.json"
        file.write_text(json.dumps(payload))
        settings = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_SHA": sha,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REF_NAME": "main",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_REPOSITORY": "acme/wine",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": "http://127.0.0.1:9",
        }
        for name, value in {**settings, **env}.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.chdir(self.project.folder)

    @property
    def git(self) -> Any:
        return lambda *args: git(self.project.folder, *args)

    def session(self) -> Session:
        return open_session(cwd=self.project.folder)

    def recorded(self) -> list[tuple[str | None, Context]]:
        """The commit of each run in the store, and its context."""
        runs = self.session().runs()
        return [(run.commit, run.provenance.context) for run in runs.load(runs.recorded())]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "wine.git")
    return Job(Project.create(tmp_path / "work", remote=f"file://{tmp_path}/wine.git"), monkeypatch)


def on_branch(job: Job, name: str) -> str:
    job.git("switch", "-qc", name)
    commit = job.project.commit(name)
    job.git("push", "-q", "origin", name)
    return commit


def of_fork(job: Job) -> str:
    """The head of a fork's pull request, as the forge has it: under refs/pull, in no branch."""
    job.git("switch", "-qc", "fork")
    commit = job.project.commit("of a fork")
    job.git("push", "-q", "origin", "HEAD:refs/pull/7/head")
    job.git("switch", "-q", "main")
    job.git("branch", "-qD", "fork")
    return commit


def run_ci() -> int:
    return main(["ci", "--no-comment", *MODEL, "--metrics", "metrics.json", "--", "sh", "-c", "python3 train.py"])


@pytest.mark.slow
def test_a_nightly_job_of_another_branch_records_under_that_branch(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    first = job.project.head
    develop = on_branch(job, "develop")
    job.git("checkout", "-q", "--detach", "develop")
    job.of("schedule", first, EVENT)
    assert run_ci() == 0
    [(commit, context)] = job.recorded()
    assert (commit, context.branch, context.trusted) == (develop, "develop", True)
    words = capsys.readouterr().err
    assert f"the run is of commit {develop[:8]}, HEAD of develop; github_actions names {first[:8]} of main" in words
    for verb in ("gate", "report"):
        main([verb, "--json"] if verb == "gate" else [verb, "--format", "json"])
        shown = capsys.readouterr().out
        assert f'"commit":"{develop}"' in shown and f'"commit":"{first}"' not in shown
    assert main(["promote", "wine", "--to", "staging"]) == 0
    (version,) = read_model(job.session().log, "wine").versions
    assert version.commit == develop


def test_a_comment_on_a_pull_request_records_under_what_is_checked_out(job: Job) -> None:
    first = job.project.head
    feature = on_branch(job, "feature")
    job.of("issue_comment", first, COMMENT)
    run_ci()
    [(commit, context)] = job.recorded()
    assert (commit, context.branch, context.pull_request, context.trusted) == (feature, "feature", None, True)


@pytest.mark.slow
@pytest.mark.parametrize("refspec", ["refs/pull/7/head", "+refs/pull/*/head:refs/remotes/origin/pr/*"])
@pytest.mark.parametrize("event", ["issue_comment", "workflow_dispatch", "workflow_run", "push"])
def test_the_head_of_a_fork_is_never_trusted(
    job: Job, event: str, refspec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    head = of_fork(job)
    job.git("fetch", "-q", "origin", refspec)
    job.git("checkout", "-q", "-B", "main", head)
    job.of(event, git(job.project.folder, "rev-parse", "origin/main"), COMMENT)
    run_ci()
    session = job.session()
    assert (session.head, session.context.trusted) == (head, False)
    assert job.recorded() == [] or not job.recorded()[0][1].trusted
    assert git(job.project.folder, "ls-remote", "origin", "refs/ciplug/*", "refs/heads/ciplug") == ""
    assert "this job counts as a fork's: it is not shown to be in a branch" in capsys.readouterr().err
    assert main(["promote", "wine", "--to", "staging"]) != 0


def test_a_merge_of_a_forks_head_that_the_job_makes_is_not_trusted(job: Job) -> None:
    first, head = job.project.head, of_fork(job)
    job.project.commit("main moves on")
    job.git("push", "-q", "origin", "main")
    job.git("merge", "-q", "--no-edit", head)
    job.of("workflow_dispatch", first, EVENT)
    assert not job.session().context.trusted


def test_an_older_commit_of_a_branch_is_the_repositorys_own(job: Job) -> None:
    first = job.project.head
    job.project.commit("second")
    job.git("push", "-q", "origin", "main")
    last = job.project.head
    job.git("checkout", "-q", first)
    job.of("workflow_dispatch", last, EVENT)
    context = job.session().context
    assert (context.commit, context.branch, context.trusted) == (first, None, True)


def test_a_remote_that_does_not_answer_vouches_for_nothing(job: Job) -> None:
    first = job.project.head
    on_branch(job, "develop")
    job.git("remote", "set-url", "origin", f"file://{job.project.folder}/gone/wine.git")
    job.of("schedule", first, EVENT)
    assert not job.session().context.trusted


def test_a_merge_in_a_shallow_clone_is_looked_through(job: Job, tmp_path: Path) -> None:
    base = job.project.head
    head = on_branch(job, "feature")
    job.git("switch", "-q", "main")
    job.project.commit("main moves on")
    job.git("push", "-q", "origin", "main")
    job.git("merge", "-q", "--no-ff", "--no-edit", "feature")
    merge = job.project.head
    job.git("push", "-q", "origin", "HEAD:refs/pull/5/merge")
    shallow = tmp_path / "shallow"
    git(tmp_path, "init", "-q", "shallow")
    git(shallow, "remote", "add", "origin", f"file://{tmp_path}/wine.git")
    git(shallow, "fetch", "-q", "--depth=1", "origin", "refs/pull/5/merge:refs/remotes/pull/5/merge")
    git(shallow, "checkout", "-q", "refs/remotes/pull/5/merge")
    assert git(shallow, "show", "-s", "--format=%P") == "", "git does not know the parents here"
    repo = {"full_name": "acme/wine"}
    pull = {"number": 5, "head": {"ref": "feature", "sha": head, "repo": repo}, "base": {"ref": "main", "repo": repo}}
    job = Job(Project(shallow), job.monkeypatch)
    job.of(
        "pull_request", merge, {**EVENT, "pull_request": pull}, GITHUB_REF="refs/pull/5/merge", GITHUB_BASE_REF="main"
    )
    context = job.session().context
    assert (context.commit, context.merge_commit, context.pull_request, context.trusted) == (head, merge, 5, True)
    assert base not in (context.commit, context.merge_commit)


def test_a_second_repository_gets_its_own_runs_and_no_comment(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = job.project.head
    models = Project.create(tmp_path / "work" / "models", remote=None)
    models.commit("of models")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "models.git")
    # git reaches the forge's address on this disk.
    git(models.folder, "remote", "add", "origin", "https://github.com/acme/models")
    git(models.folder, "config", f"url.file://{tmp_path}/models.git.insteadOf", "https://github.com/acme/models")
    git(models.folder, "push", "-q", "origin", "main")
    second = Job(models, job.monkeypatch)
    second.of("push", first, EVENT, GITHUB_TOKEN="of-the-job")
    assert main(["ci", "--metrics", "metrics.json", "--", "sh", "-c", "python3 train.py"]) == 0
    [(commit, context)] = second.recorded()
    assert (commit, context.repository, context.trusted) == (models.head, "acme/models", True)
    assert "no comment: this checkout is of acme/models, and the job of acme/wine" in capsys.readouterr().err
    elsewhere = open_session(cwd=models.folder, store=f"file://{tmp_path}/bucket")
    assert elsewhere.identity and elsewhere.identity.standing == Standing.OTHER_REPOSITORY
    assert not elsewhere.context.trusted


def test_a_job_of_a_pull_request_never_promotes_whatever_it_has_checked_out(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.project.commit("second")
    job.git("push", "-q", "origin", "main")
    repo = {"full_name": "acme/wine"}
    pull = {"number": 5, "head": {"ref": "f", "sha": "9" * 40, "repo": repo}, "base": {"ref": "main", "repo": repo}}
    job.of("pull_request_target", job.project.head, {**EVENT, "pull_request": pull}, GITHUB_BASE_REF="main")
    assert run_ci() == 0
    assert job.session().context.pull_request is None
    assert main(["promote", "wine", "--to", "staging"]) != 0
    assert "a job of a pull request or merge queue never promotes" in capsys.readouterr().err


def test_doctor_says_which_commit_and_why(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    first, head = job.project.head, of_fork(job)
    job.git("checkout", "-q", head)
    job.of("issue_comment", first, COMMENT)
    main(["doctor", "--json"])
    checks = {each["check"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    commit = checks["commit"]
    assert commit["state"] == "warning"
    assert commit["message"].startswith(f"{head[:8]}: HEAD; github_actions names {first[:8]} of main")
    assert "it may be a fork's" in commit["message"]
    assert "push the commit to a branch first" in commit["remedy"]


def test_where_a_remote_has_a_commit(job: Job) -> None:
    folder = job.project.folder
    first, head = job.project.head, of_fork(job)
    job.project.commit("second")
    job.git("tag", "-a", "v1", "-m", "one")
    job.git("push", "-q", "origin", "v1")
    workspace = discover(folder)
    assert workspace is not None
    assert published_at(workspace, first, {}) == PublishedAt(own=True, branches=("main",))
    assert published_at(workspace, job.project.head, {}) == PublishedAt(own=True)
    assert published_at(workspace, head, {}) == PublishedAt()


def test_what_a_remote_has_at_a_ref_is_asked_of_the_clone_first_and_then_of_the_remote(job: Job) -> None:
    folder = job.project.folder
    first, head = job.project.head, of_fork(job)
    develop = on_branch(job, "develop")
    job.git("tag", "-a", "v1", "-m", "one")
    job.git("push", "-q", "origin", "v1")
    job.git("tag", "-d", "v1")
    workspace = discover(folder)
    assert workspace is not None
    assert is_tip(workspace, head, ["refs/heads/none", "refs/pull/7/head"], {})
    assert is_tip(workspace, develop, ["refs/tags/v1"], {})
    assert not is_tip(workspace, develop, ["refs/heads/main"], {})
    assert is_on_branch(workspace, first, "develop", {})
    assert not is_on_branch(workspace, develop, "main", {})
    job.git("update-ref", "-d", "refs/remotes/origin/develop")
    assert is_on_branch(workspace, first, "develop", {})
    job.git("fetch", "-q", "origin", "develop:refs/remotes/origin/develop")
    job.git("remote", "set-url", "origin", f"file://{folder}/gone.git")
    unreachable = discover(folder)
    assert unreachable is not None
    assert is_tip(unreachable, develop, ["refs/heads/develop"], {})
    assert not is_tip(unreachable, head, ["refs/pull/7/head"], {})


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_another_branch_that_has_merged_the_head_is_not_the_pull_request(job: Job, how: tuple[str, ...]) -> None:
    head = on_branch(job, "feature")
    job.git("switch", "-qc", "develop", "main")
    job.project.commit("strong")
    job.git("merge", "-q", "--no-edit", "feature")
    job.git("push", "-q", "origin", "develop")
    develop = job.project.head
    job.git("checkout", "-q", *how, "develop")
    repo = {"full_name": "acme/wine"}
    pull = {"number": 7, "head": {"ref": "feature", "sha": head, "repo": repo}, "base": {"ref": "main", "repo": repo}}
    job.of("pull_request", "9" * 40, {**EVENT, "pull_request": pull}, GITHUB_BASE_REF="main", GITHUB_HEAD_REF="feature")
    context = job.session().context
    assert (context.commit, context.branch, context.pull_request) == (develop, "develop", None)
    job.git("checkout", "-q", "--detach", "main")
    job.git("merge", "-q", "--no-ff", "--no-edit", "feature")
    context = job.session().context
    assert (context.commit, context.merge_commit, context.pull_request) == (head, job.project.head, 7)


@pytest.mark.parametrize("host_merges", [False, True])
def test_a_merge_of_the_branch_that_has_moved_on_is_no_merge_of_the_host(job: Job, host_merges: bool) -> None:
    """Bitbucket does not name its own merge. A person's merge is known by the branch, which has a later tip by now."""
    job.git("switch", "-qc", "faster")
    head = job.project.commit("faster")
    job.git("push", "-q", "origin", "faster")
    job.git("switch", "-q", "main")
    base = job.project.commit("main goes on")
    job.git("push", "-q", "origin", "main")
    job.git("checkout", "-q", "--detach", "faster")
    job.git("merge", "-q", "--no-ff", "--no-edit", "main")
    merge = job.project.head
    if not host_merges:
        job.git("commit", "-q", "--allow-empty", "-m", "later")
        later = job.project.head
        job.git("push", "-q", "origin", f"{later}:refs/heads/faster")
        job.git("checkout", "-q", "--detach", merge)
        job.git("update-ref", "refs/remotes/origin/faster", head)
        for folder in ("reflog", "gc"):
            job.git(folder, *(["expire", "--expire=now", "--all"] if folder == "reflog" else ["-q", "--prune=now"]))
    for name, value in {
        "BITBUCKET_BUILD_NUMBER": "3",
        "BITBUCKET_COMMIT": head,
        "BITBUCKET_BRANCH": "faster",
        "BITBUCKET_PR_ID": "5",
        "BITBUCKET_PR_DESTINATION_BRANCH": "main",
        "BITBUCKET_PR_DESTINATION_COMMIT": base[:12],
    }.items():
        job.monkeypatch.setenv(name, value)
    context = job.session().context
    if host_merges:
        assert (context.commit, context.merge_commit, context.pull_request) == (head, merge, 5)
    else:
        assert (context.commit, context.merge_commit, context.pull_request) == (merge, None, None)


def test_a_command_that_checks_out_another_commit_gives_numbers_of_neither(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    first = job.project.head
    develop = on_branch(job, "develop")
    job.git("switch", "-q", "main")
    job.monkeypatch.chdir(job.project.folder)
    command = "git checkout -q develop && python3 train.py"
    assert main(["run", *MODEL, "--metrics", "metrics.json", "--", "sh", "-c", command]) == 0
    assert f"the command moved HEAD from {first[:8]} to {develop[:8]}" in capsys.readouterr().err
    runs = job.session().runs()
    [run] = runs.load(runs.recorded())
    assert (run.commit, run.provenance.dirty, run.provenance.head_after) == (first, True, develop)
    assert main(["promote", "wine", "--run", run.id, "--to", "staging"]) != 0
    assert f"checked out {develop[:8]} while it ran" in capsys.readouterr().err
    main(["report", "--commit", first])
    shown = capsys.readouterr().out
    assert "inconclusive" in shown
    assert f"checked out {develop[:8]} while it ran" in shown.replace("`", "")


@pytest.mark.slow
def test_a_command_that_checks_out_another_commit_and_goes_back(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    first, develop = job.project.head, on_branch(job, "develop")
    job.git("switch", "-q", "main")
    job.monkeypatch.chdir(job.project.folder)
    time.sleep(1.1)
    command = "git checkout -q develop && python3 train.py && git checkout -q main"
    assert main(["run", *MODEL, "--metrics", "metrics.json", "--", "sh", "-c", command]) == 0
    assert f"the command moved HEAD from {first[:8]} to {develop[:8]}, and back" in capsys.readouterr().err
    keeps = "python3 train.py && git commit -q --allow-empty -m results && git reset -q --hard HEAD~1"
    for command in (keeps, "git checkout -q --detach && python3 train.py && git checkout -q main"):
        assert main(["run", *MODEL, "--metrics", "metrics.json", "--", "sh", "-c", command]) == 0
        assert "moved HEAD" not in capsys.readouterr().err
    runs = job.session().runs()
    found = [(run.provenance.dirty, run.provenance.head_after) for run in runs.load(runs.recorded())]
    assert sorted(found, key=str) == [(False, None), (False, None), (True, develop)]


@pytest.mark.slow
def test_a_command_that_moves_head_where_git_keeps_no_log(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    on_branch(job, "develop")
    job.git("switch", "-q", "main")
    job.git("config", "core.logAllRefUpdates", "false")
    shutil.rmtree(job.project.folder / ".git" / "logs")
    job.monkeypatch.chdir(job.project.folder)
    words = "the command wrote HEAD, and git keeps no log of it here"
    moved = "git checkout -q develop && python3 train.py && git checkout -q main"
    reset = "git reset -q --hard develop && python3 train.py && git reset -q --hard main@{u}"
    job.git("branch", "-q", "--set-upstream-to", "origin/main")
    for command in ("python3 train.py", moved, reset):
        assert main(["run", *MODEL, "--metrics", "metrics.json", "--", "sh", "-c", command]) == 0
        assert (words in capsys.readouterr().err) == (command != "python3 train.py"), command
    runs = job.session().runs()
    found = [(run.provenance.dirty, run.provenance.head_after) for run in runs.load(runs.recorded())]
    assert sorted(found, key=str) == [(False, None), (True, "unknown"), (True, "unknown")]
    main(["report"])
    assert "wrote HEAD while it ran, and git keeps no log of it" in capsys.readouterr().out


def test_a_command_that_moves_head_and_clears_the_log(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    on_branch(job, "develop")
    job.git("switch", "-q", "main")
    job.monkeypatch.chdir(job.project.folder)
    clear = "git reflog expire --expire=now --all"
    for command, moves in (
        (f"python3 train.py && {clear}", False),
        (f"git checkout -q develop && python3 train.py && git checkout -q main && {clear}", True),
    ):
        job.git("commit", "-q", "--allow-empty", "-m", "next")
        time.sleep(0.05)
        assert main(["run", *MODEL, "--metrics", "metrics.json", "--", "sh", "-c", command]) == 0
        assert ("the command wrote HEAD" in capsys.readouterr().err) is moves, command


def test_a_remote_without_an_address_is_none(job: Job) -> None:
    def remotes() -> Mapping[str, str]:
        found = discover(job.project.folder)
        assert found
        return found.remotes

    address = remotes()["origin"]
    job.git("config", "--add", "remote.origin.url", "")
    assert remotes() == {}, "it voids those before, and is not the folder itself"
    job.git("config", "--add", "remote.origin.url", address)
    assert remotes() == {"origin": address}


def test_without_a_remote_the_branches_here_decide(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "alone")
    first = project.head
    git(project.folder, "checkout", "-q", "--detach")
    project.commit("in no branch")
    workspace = discover(project.folder)
    assert workspace is not None
    assert published_at(workspace, first, {}) == PublishedAt(own=True, branches=("main",))
    assert not published_at(workspace, project.head, {}).own
