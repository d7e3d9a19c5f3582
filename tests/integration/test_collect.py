"""Runs that other jobs hand over: from `--bundle` through each host's artifacts to one push, by the command line."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ciplug.cli import main
from ciplug.forges import retries
from ciplug.records import bundle
from ciplug.reports.comment import MARKER
from ciplug.steps.session import open_session
from tests.bundles import a_run, objects_of, packed, zipped
from tests.project import MODEL, Project, git
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.servers.jenkins_api import JenkinsApi


class Said(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "demo.git")
    return Project.create(tmp_path / "work", remote=tmp_path / "demo.git")


@pytest.fixture
def ciplug(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line, in this process and in the project's folder."""

    def call(*args: object, env: Mapping[str, str] | None = None, folder: Path | None = None) -> Said:
        with monkeypatch.context() as patch:
            patch.chdir(folder or project.folder)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = main([str(arg) for arg in args])
            said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


def recorded(project: Project) -> dict[str, str | None]:
    """Run → its commit, of all that the store holds."""
    session = open_session(cwd=project.folder)
    return {key.id: key.commit for key in session.runs().recorded()}


def refs(project: Project) -> list[str]:
    return git(project.folder, "ls-remote", "origin").splitlines()


# Handing over


@pytest.mark.slow
def test_a_run_goes_into_the_bundle_and_nowhere_else(project: Project, ciplug: Call, tmp_path: Path) -> None:
    before = refs(project)
    file = tmp_path / "out" / "bundle.ndjson"
    for _ in range(2):
        said = ciplug("run", "--bundle", file, "--", sys.executable, "train.py")
        assert said.code == 0, said.err
        assert f"handed over in {file}" in said.err
    assert refs(project) == before
    assert open_session(cwd=project.folder).spool.sealed() == [], "what is handed over is not sent later"
    objects = bundle.unpack(file.read_bytes(), "bundle")
    assert len([key for key in objects if key.startswith("runs/")]) == 2, "a bundle that is there is added to"

    assert ciplug("collect", file).code == 0
    assert len(recorded(project)) == 2
    assert [line for line in ciplug("runs", "list").out.splitlines() if project.head[:8] in line]


def test_a_bundle_that_cannot_be_written_keeps_the_run_in_the_spool(
    project: Project, ciplug: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    said = ciplug("run", "--bundle", tmp_path / "file" / "bundle.ndjson", "--", sys.executable, "train.py")
    assert said.code == 3
    assert "the bundle is not written" in said.err and "ciplug record --spooled --bundle FILE" in said.err
    assert recorded(project) and len(open_session(cwd=project.folder).spool.sealed()) == 1
    good = tmp_path / "good.ndjson"
    assert ciplug("record", "--spooled", "--bundle", good).code == 0
    assert len(bundle.unpack(good.read_bytes(), "good")) == 1
    assert ciplug("record", "--spooled", "--bundle", good).err.endswith("nothing waits in the spool\n")


def test_a_file_that_is_not_a_bundle_is_not_overwritten(project: Project, ciplug: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = ciplug("run", "--bundle", tmp_path / "notes.txt", "--", sys.executable, "-c", "print('trained')")
    assert said.code == 2 and "not a bundle of ciplug" in said.err
    assert "trained" not in said.out, "it is said before the training"
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("verb", ["run", "record", "ci"])
def test_a_bundle_of_a_fork_holds_runs_of_one_commit(project: Project, ciplug: Call, tmp_path: Path, verb: str) -> None:
    """Whoever collects it would refuse it whole, because of what an earlier job has left in the workspace."""
    file, fork = tmp_path / "bundle.ndjson", {"JENKINS_URL": "http://j", "CHANGE_ID": "3", "CHANGE_FORK": "eve"}
    train = () if verb == "record" else ("--", sys.executable, "train.py")
    assert ciplug("run", "--bundle", file, "--", sys.executable, "train.py", env=fork).code == 0
    before = file.read_bytes()
    (project.folder / "metrics.json").unlink()
    old, new = project.head, project.commit("another one")
    said = ciplug(verb, "--bundle", file, *train, env=fork)
    assert said.code == 2 and f"holds runs of {old[:8]}, and this run is of {new[:8]}" in said.err
    assert "  -> name a new file" in said.err and file.read_bytes() == before
    assert not (project.folder / "metrics.json").exists(), "before the training"
    assert ciplug("run", "--bundle", file, "--", sys.executable, "train.py").code == 0, "a trusted job's may hold more"


@pytest.mark.slow
def test_ci_puts_run_and_verdict_into_the_bundle_and_shows_the_whole_report(
    project: Project, ciplug: Call, tmp_path: Path
) -> None:
    project.train()
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    before = refs(project)
    file = tmp_path / "bundle.ndjson"
    said = ciplug("ci", "--no-comment", "--bundle", file, "--", sys.executable, "train.py")
    assert said.code == 0, said.err
    assert "merge base" in said.out, "the store is read"
    assert refs(project) == before
    kinds = sorted(key.partition("/")[0] for key in bundle.unpack(file.read_bytes(), "bundle"))
    assert kinds == ["runs", "verdicts"]
    assert ciplug("collect", file).code == 0
    said = ciplug("gate", "--junit", tmp_path / "junit.xml")
    assert said.code == 0, said.err

    said = ciplug("ci", "--bundle", file, "--promote-to", "staging", "--", sys.executable, "train.py")
    assert said.code == 2 and "promote it after `ciplug collect`" in said.err


# A matrix


@pytest.mark.slow
def test_the_legs_of_a_matrix_are_one_push(tmp_path: Path, git_server: GitServer, ciplug: Call) -> None:
    git_server.create("demo")
    project = Project.create(tmp_path / "matrix", remote=git_server.url("demo"))
    legs = [a_run(project.head) for _ in range(64)]
    for number, leg in enumerate(legs):
        folder = tmp_path / "legs" / f"leg-{number}"
        folder.mkdir(parents=True)
        (folder / f"bundle-{number}.ndjson").write_bytes(packed(leg))
        (folder / "metrics.ndjson").write_text("no bundle, by its name")
    git_server.requests.clear()
    said = ciplug("collect", tmp_path / "legs", folder=project.folder)
    assert said.code == 0, said.err
    assert "64 runs of 64 bundles recorded" in said.err
    pushes = [r for r in git_server.requests if r.service == "receive-pack" and r.method == "POST"]
    assert len(pushes) == 1
    assert recorded(project).keys() == {leg.id for leg in legs}

    git_server.requests.clear()
    said = ciplug("collect", tmp_path / "legs", folder=project.folder)
    assert (
        said.code == 0
        and "0 runs of 0 bundles recorded" in said.err
        and "64 runs of 64 bundles were already recorded" in said.err
    )
    assert not [r for r in git_server.requests if r.service == "receive-pack"]


def test_what_is_more_than_one_write_takes_goes_in_several(
    project: Project, ciplug: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legs = [a_run(project.head) for _ in range(5)]
    for number, leg in enumerate(legs):
        (tmp_path / f"bundle-{number}.ndjson").write_bytes(packed(leg))
    monkeypatch.setattr("ciplug.records.bundle.MAX_OBJECTS", 6)  # of a leg there are three
    said = ciplug("collect", *sorted(tmp_path.glob("bundle-*")))
    assert said.code == 0 and "5 runs of 5 bundles recorded" in said.err, said.err
    assert recorded(project).keys() == {leg.id for leg in legs}
    assert sum("/inbox/" in ref for ref in refs(project)) == 3


# What is refused


def test_a_bad_bundle_is_named_and_stops_no_good_one(project: Project, ciplug: Call, tmp_path: Path) -> None:
    good, other, victim = a_run(project.head), a_run(project.head), a_run(project.head)
    (tmp_path / "first.ndjson").write_bytes(packed(victim))
    assert ciplug("collect", tmp_path / "first.ndjson").code == 0
    folder = tmp_path / "all"
    folder.mkdir()
    forged = replace(victim, metrics={"accuracy": 0.1})
    for name, data in {
        "good": packed(good),
        "other": packed(other),
        "registry": bundle.pack({**objects_of(a_run()), "registry/wine/000001.json": b"{}"}),
        "forged": packed(forged),
        "cut": packed(a_run())[:-10],
        "text": b"hello\n",
    }.items():
        (folder / f"bundle-{name}.ndjson").write_bytes(data)
    said = ciplug("collect", folder)
    assert said.code == 3
    refused = [line for line in said.err.splitlines() if "refused: " in line]
    for name, why in {
        "registry": "registry/wine/000001.json: a bundle holds runs",
        "forged": f"runs/{project.head}-{victim.id}.json is recorded already, with other bytes",
        "cut": "it is cut off",
        "text": "not a bundle of ciplug",
    }.items():
        assert any(f"bundle-{name}.ndjson" in line and why in line for line in refused), (name, refused)
    assert len(refused) == 4
    assert "2 runs of 2 bundles recorded" in said.err and "4 bundles refused" in said.err
    assert recorded(project) == {run.id: project.head for run in (good, other, victim)}


def test_two_bundles_that_contradict_each_other(project: Project, ciplug: Call, tmp_path: Path) -> None:
    one = a_run(project.head)
    (tmp_path / "bundle-a.ndjson").write_bytes(packed(one))
    (tmp_path / "bundle-b.ndjson").write_bytes(packed(replace(one, metrics={"accuracy": 0.1})))
    said = ciplug("collect", tmp_path / "bundle-a.ndjson", tmp_path / "bundle-b.ndjson")
    assert said.code == 3
    assert "bundle-b.ndjson: runs/" in said.err and "with other bytes" in said.err
    assert "1 run of 1 bundle recorded" in said.err


def test_no_bundle_is_not_a_success(project: Project, ciplug: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "nothing", tmp_path / "*.ndjson"):
        said = ciplug("collect", source)
        assert said.code == 2, said
        assert f"{source}: no bundle" in said.err
    said = ciplug("collect")
    assert said.code == 2 and "the place of the bundles is not known" in said.err
    (tmp_path / "bundle.ndjson").write_bytes(bundle.pack({}))
    said = ciplug("collect", tmp_path / "bundle.ndjson")
    assert said.code == 3 and "it has no run" in said.err


def test_another_job_that_was_first_costs_its_bundle_only(
    project: Project, ciplug: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the push, somebody records one of the runs with other bytes."""
    raced, fine = a_run(project.head), a_run(project.head)
    for number, run in enumerate((raced, fine)):
        (tmp_path / f"bundle-{number}.ndjson").write_bytes(packed(run))
    from ciplug.errors import Conflict
    from ciplug.stores.git.store import GitStore

    real = GitStore.add
    calls: list[int] = []

    def add(self: GitStore, objects: Mapping[str, bytes]) -> None:
        calls.append(len(objects))
        if any(raced.id in key for key in objects):
            raise Conflict("the store has other content under the same key")
        real(self, objects)

    monkeypatch.setattr(GitStore, "add", add)
    said = ciplug("collect", tmp_path / "bundle-0.ndjson", tmp_path / "bundle-1.ndjson")
    assert said.code == 3 and calls == [6, 3, 3]
    assert "bundle-0.ndjson: the store has other content" in said.err and "1 run of 1 bundle recorded" in said.err
    assert recorded(project).keys() == {fine.id}


@pytest.mark.slow
def test_what_is_not_recorded_can_be_collected_again(tmp_path: Path, git_server: GitServer, ciplug: Call) -> None:
    git_server.create("demo")
    project = Project.create(tmp_path / "offline", remote=git_server.url("demo"))
    (tmp_path / "bundle.ndjson").write_bytes(packed(a_run(project.head)))
    git_server.fail_next("before", times=9)
    said = ciplug("collect", tmp_path / "bundle.ndjson", folder=project.folder)
    assert said.code == 3 and "nothing is recorded" in said.err and "collect them again" in said.err


# GitHub


def github(tmp_path: Path, api: GitHubApi, event: str, payload: dict[str, Any], **more: str) -> dict[str, str]:
    path = tmp_path / f"{event}.json"
    path.write_text(json.dumps({"repository": {"full_name": "acme/demo", "default_branch": "main"}, **payload}))
    return {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(path),
        "GITHUB_SHA": "d" * 40, "GITHUB_REF_NAME": "main", "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_SERVER_URL": api.origin, "GITHUB_API_URL": api.url, "GITHUB_RUN_ID": "900",
        "GITHUB_TOKEN": "job", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), **more,
    }  # fmt: skip


def pull_request_of_a_fork(tmp_path: Path, api: GitHubApi, head: str) -> dict[str, str]:
    payload = {
        "number": 7,
        "pull_request": {
            "number": 7,
            "head": {"sha": head, "ref": "topic", "repo": {"full_name": "stranger/demo", "fork": True}},
            "base": {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/demo"}},
        },
    }
    return github(
        tmp_path, api, "pull_request", payload,
        GITHUB_HEAD_REF="topic", GITHUB_BASE_REF="main", GITHUB_REF="refs/pull/7/merge", GITHUB_RUN_ID="42",
    )  # fmt: skip


def after_the_fork_s_run(tmp_path: Path, api: GitHubApi, head: str) -> dict[str, str]:
    payload = {
        "workflow_run": {
            "id": 42, "event": "pull_request", "head_sha": head, "head_branch": "topic",
            "head_repository": {"full_name": "stranger/demo"},
        }
    }  # fmt: skip
    return github(tmp_path, api, "workflow_run", payload)


@pytest.fixture
def job(github_api: GitHubApi) -> GitHubApi:
    granted = {"pull-requests": "write", "issues": "write", "statuses": "write", "actions": "read"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=granted)
    return github_api


@pytest.mark.slow
def test_github_a_fork_s_pull_request_from_its_job_to_the_comment(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    project.train()
    before = refs(project)
    head = project.branch("topic", {"accuracy": 0.86})
    fork = pull_request_of_a_fork(tmp_path, job, head)
    said = ciplug("ci", "--output-dir", "report", "--", sys.executable, "train.py", env=fork)
    assert said.code == 0, said.err
    assert "a fork's job must not write the store: the run is in report/bundle.ndjson" in said.err
    assert refs(project) == before
    said = ciplug("collect", "report", env=fork)
    assert said.code == 2 and "a fork's job must not write the store" in said.err

    # On GitHub: the artifact of the fork's run, and the commit in refs/pull/7/head.
    job.add_pull(7, branch="topic", commit=head, owner="stranger")
    job.add_run(42, commit=head, owner="stranger")
    report = {path.name: path.read_bytes() for path in (project.folder / "report").iterdir()}
    for number in range(120):
        job.add_artifact(42, f"data-{number}", b"not to be fetched")
    job.add_artifact(42, "ciplug-report", zipped(report))
    git(project.folder, "push", "-q", "origin", "HEAD:refs/pull/7/head")
    git(project.folder, "clone", "-q", tmp_path / "demo.git", tmp_path / "trusted")
    trusted = after_the_fork_s_run(tmp_path, job, head)
    said = ciplug("collect", env=trusted, folder=tmp_path / "trusted")
    assert said.code == 0, said.err
    assert "run 42 of acme/demo is not trusted" in said.err and "1 run of 1 bundle recorded" in said.err
    assert "secret-signature" not in said.out + said.err
    assert len([c for c in job.calls if c.path.endswith("/zip")]) == 1

    said = ciplug("report", "--post", env=trusted, folder=tmp_path / "trusted")
    assert said.code == 0, said.err
    (comment,) = (c["body"] for c in job.comments[7] if MARKER in c["body"])
    assert "0.86" in comment and "merge base" in comment and "by a fork's job" in comment
    assert job.statuses[head][-1]["state"] == "success"

    # Merged as it is, its commit is the branch's own: and still not the run to promote.
    git(tmp_path / "trusted", "fetch", "-q", "origin", "refs/pull/7/head")
    git(tmp_path / "trusted", "merge", "-q", "--ff-only", head)
    push = github(tmp_path, job, "push", {}, GITHUB_SHA=head)
    assert ciplug("gate", env=push, folder=tmp_path / "trusted").code == 0
    said = ciplug("promote", "wine", "--to", "staging", env=push, folder=tmp_path / "trusted")
    assert said.code == 1 and "by a fork's job" in said.err
    said = ciplug("run", *MODEL, "--", sys.executable, "train.py", env=push, folder=tmp_path / "trusted")
    assert said.code == 0 and ciplug("gate", env=push, folder=tmp_path / "trusted").code == 0
    said = ciplug("promote", "wine", "--to", "staging", env=push, folder=tmp_path / "trusted")
    assert said.code == 0, said.err


@pytest.mark.slow
def test_github_a_fork_s_claims_are_not_believed(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    head = "f" * 40
    job.add_run(42, commit=head, owner="stranger")
    victim = a_run(project.head)
    (tmp_path / "bundle.ndjson").write_bytes(packed(victim))
    assert ciplug("collect", tmp_path / "bundle.ndjson").code == 0
    honest, liar, thief = a_run(head, trusted=False), a_run(head), a_run(project.head, trusted=False)
    double = a_run(head, trusted=False, id=victim.id)
    for name, run in (("honest", honest), ("liar", liar), ("thief", thief), ("double", double)):
        job.add_artifact(42, f"ciplug-{name}", zipped({f"out/{name}/bundle.ndjson": packed(run)}))
    trusted = after_the_fork_s_run(tmp_path, job, head)
    said = ciplug("collect", env=trusted)
    assert said.code == 3
    assert "it claims to be of a trusted job" in said.err
    assert f"it claims the commit {project.head}, and that pipeline ran on {head}" in said.err
    assert f"the run {victim.id} is recorded already, as runs/{project.head}-" in said.err
    assert recorded(project) == {honest.id: head, victim.id: project.head}

    # The same bytes, unpacked by a step before, in the job that follows a fork's run.
    (tmp_path / "bundle.ndjson").write_bytes(packed(liar))
    assert ciplug("collect", tmp_path / "bundle.ndjson", env=trusted).code == 3
    said = ciplug("collect", "--trusted", env=trusted)
    assert said.code == 2 and "never trusted" in said.err
    # What the job itself has uploaded again is no better for it.
    job.add_run(900, commit=project.head, owner="stranger")
    job.add_artifact(900, "ciplug", zipped({"bundle.ndjson": packed(a_run(project.head))}))
    assert ciplug("collect", "--github-run", "900", env=trusted).code == 3
    # Elsewhere, a person says so.
    assert ciplug("collect", "--untrusted", tmp_path / "bundle.ndjson").code == 3
    assert recorded(project) == {honest.id: head, victim.id: project.head}


def test_github_a_fork_that_is_gone_is_a_fork(tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call) -> None:
    job.add_run(42, commit=project.head, owner="")
    job.add_artifact(42, "ciplug", zipped({"bundle.ndjson": packed(a_run(project.head))}))
    said = ciplug("collect", "--github-run", "42", env=github(tmp_path, job, "push", {}))
    assert said.code == 3 and "claims to be of a trusted job" in said.err


def test_github_a_file_that_was_uploaded_as_it_is(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    """`archive: false` of upload-artifact: the artifact is the file itself, and has its name."""
    run = a_run(project.head)
    job.add_run(42, commit=project.head)
    job.add_artifact(42, "bundle.ndjson", packed(run))
    job.add_artifact(42, "metrics.ndjson", b"not a bundle")
    job.add_artifact(42, "bundle-2.ndjson", b"PK\x03\x04 no archive")
    said = ciplug("collect", "--github-run", "42", env=github(tmp_path, job, "push", {}))
    assert recorded(project) == {run.id: project.head}
    assert said.code == 3 and "bundle-2.ndjson" in said.err and "metrics.ndjson" not in said.err


@pytest.mark.slow
def test_github_the_fan_in_of_a_matrix(tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call) -> None:
    """All pages; what is too old, broken or of another name; nothing skipped without a word."""
    legs = [a_run(project.head) for _ in range(110)]
    for number, leg in enumerate(legs):
        job.add_artifact(900, f"ciplug-{number}", zipped({"bundle.ndjson": packed(leg), "report.html": b"<html>"}))
    job.add_run(900, commit=project.head)
    said = ciplug("collect", env=github(tmp_path, job, "push", {}))
    assert said.code == 0, said.err
    assert recorded(project).keys() == {leg.id for leg in legs}

    job.add_artifact(900, "ciplug-old", b"", expired=True)
    job.add_artifact(900, "ciplug-cut", zipped({"bundle.ndjson": packed(a_run())})[:-30])
    job.add_artifact(900, "ciplug-html", zipped({"report.html": b"<html>"}))
    said = ciplug("collect", env=github(tmp_path, job, "push", {}))
    assert said.code == 3
    assert (
        "too old" in said.err
        and "not a zip archive, or a damaged one" in said.err
        and "; 2 bundles refused" in said.err
    )

    gone = job.add_artifact(900, "ciplug-gone", zipped({"bundle.ndjson": packed(a_run())}))
    job.fail_next(410, path=f"/artifacts/{gone}/zip", body={"message": "Gone"})
    said = ciplug("collect", "--artifact", "ciplug-gone", env=github(tmp_path, job, "push", {}))
    assert said.code == 3 and "GitHub no longer has it" in said.err

    said = ciplug("collect", "--artifact", "ciplug-html", env=github(tmp_path, job, "push", {}))
    assert said.code == 2 and "no bundle in run 900 of acme/demo" in said.err


def test_github_storage_in_trouble(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "BACKOFF", 0.01)
    leg = a_run(project.head)
    job.add_artifact(900, "ciplug", zipped({"bundle.ndjson": packed(leg)}))
    job.add_run(900, commit=project.head)
    env = github(tmp_path, job, "push", {})
    job.fail_next(503, times=2, path="/blobs/")
    job.fail_next(None, path="/blobs/")
    said = ciplug("collect", env=env)
    assert said.code == 0, said.err
    assert recorded(project).keys() == {leg.id}
    assert len([call for call in job.calls if call.path.startswith("/blobs/")]) == 4

    job.fail_next(429, path="/blobs/", headers={"Retry-After": "600"})
    said = ciplug("collect", env=env)
    assert said.code != 0 and "GitHub storage's rate limit: it asks to wait 600 s" in said.err
    for status in (503, None):
        job.fail_next(status, times=5, path="/blobs/")
        said = ciplug("collect", env=env)
        assert said.code != 0 and "secret-signature" not in said.err
        assert ("answers 503" if status else "artifact ciplug (1001): it cannot be fetched from localhost") in said.err


def test_github_without_the_permission(tmp_path: Path, github_api: GitHubApi, project: Project, ciplug: Call) -> None:
    github_api.add_token("job", "github-actions[bot]", app=True, permissions={"contents": "write"})
    github_api.add_run(900, commit=project.head)
    github_api.add_artifact(900, "ciplug", zipped({"bundle.ndjson": packed(a_run(project.head))}))
    env = github(tmp_path, github_api, "push", {})
    said = ciplug("collect", env=env)
    assert said.code == 3 and "permissions: actions: read" in said.err
    assert "name it" not in said.err and "job" not in said.err.replace("give the job", "")
    said = ciplug("collect", "--github-run", "17", env=env)
    assert said.code == 3 and "not found" in said.err


# GitLab


def gitlab(api: GitLabApi, pipeline: int = 900, **more: str) -> dict[str, str]:
    return {
        "GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/demo", "CI_PROJECT_ID": "7", "CI_SERVER_URL": api.url,
        "CI_API_V4_URL": api.api_url, "CI_COMMIT_SHA": "d" * 40, "CI_COMMIT_BRANCH": "main",
        "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_ID": str(pipeline), "CIPLUG_GITLAB_TOKEN": "user-token", **more,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sub_path", "pattern"),
    [
        ("", ()),
        ("/gitlab", ("--pattern", "ciplug report/bundle.ndjson")),
        pytest.param("", ("--pattern", "ciplug report/bundle.ndjson"), marks=pytest.mark.slow),
        pytest.param("/gitlab", (), marks=pytest.mark.slow),
    ],
)
def test_gitlab_the_fan_in_of_a_matrix(project: Project, ciplug: Call, sub_path: str, pattern: tuple[str, ...]) -> None:
    with GitLabApi(sub_path=sub_path) as api:
        api.add_token("user-token", "tanuki", scopes=("read_api",), role="reporter")
        api.add_pipeline(900, commit=project.head)
        legs = [a_run(project.head) for _ in range(105)]
        for number, leg in enumerate(legs):
            files = {"ciplug report/bundle.ndjson": packed(leg), "ciplug report/report.html": b"<html>"}
            api.add_job(900, f"train: [{number}]", zipped(files))
        api.add_job(900, "lint", zipped({"lint.txt": b"fine"}))
        api.add_job(900, "collect")
        said = ciplug("collect", *pattern, env=gitlab(api))
        assert said.code == 0, said.err
        assert recorded(project).keys() == {leg.id for leg in legs}
        said = ciplug("collect", "--artifact", "lint", *pattern, env=gitlab(api))
        assert said.code == 2 and "no bundle in pipeline 900" in said.err


def test_gitlab_a_fork_s_pipeline(project: Project, ciplug: Call, gitlab_api: GitLabApi) -> None:
    head = "f" * 40
    gitlab_api.add_pipeline(41, commit=head, ref="topic", project="stranger/demo")
    honest, liar = a_run(head, trusted=False), a_run(head)
    for run in (honest, liar):
        gitlab_api.add_job(41, "ciplug", zipped({"bundle.ndjson": packed(run)}))
    said = ciplug("collect", "--gitlab-pipeline", "stranger/demo:41", env=gitlab(gitlab_api))
    assert said.code == 3 and "claims to be of a trusted job" in said.err
    assert recorded(project) == {honest.id: head}
    said = ciplug("collect", "--gitlab-pipeline", "41", env=gitlab(gitlab_api))
    assert said.code == 3 and "not found" in said.err


def test_gitlab_a_merge_request_of_a_fork_that_ran_here(project: Project, ciplug: Call, gitlab_api: GitLabApi) -> None:
    head = "f" * 40
    gitlab_api.add_merge_request(3, commit=head, source=8)
    gitlab_api.add_merge_request(4, commit=head)
    for pipeline, ref in ((43, "refs/merge-requests/3/merge"), (44, "refs/merge-requests/4/head")):
        gitlab_api.add_pipeline(pipeline, commit="e" * 40, ref=ref, source="merge_request_event")
        gitlab_api.add_job(pipeline, "ciplug", zipped({"bundle.ndjson": packed(a_run(head))}))
    said = ciplug("collect", "--gitlab-pipeline", "43", env=gitlab(gitlab_api))
    assert said.code == 3 and "claims to be of a trusted job" in said.err
    assert ciplug("collect", "--gitlab-pipeline", "44", env=gitlab(gitlab_api)).code == 0


# Jenkins


def jenkins(build: str, **more: str) -> dict[str, str]:
    login = {"CIPLUG_JENKINS_USER": "alice", "CIPLUG_JENKINS_TOKEN": "user-token"}
    return {"JENKINS_URL": build.partition("/job/")[0] + "/", "BUILD_URL": build, **login, **more}


def test_jenkins_the_fan_in_of_a_build(project: Project, ciplug: Call, jenkins_api: JenkinsApi) -> None:
    legs = [a_run(project.head) for _ in range(3)]
    files = {f"None/leg {n}/bundle-{n}.ndjson": packed(leg) for n, leg in enumerate(legs)}
    build = jenkins_api.add_build("folder/train", 7, {**files, "report.html": b"<html>"})
    said = ciplug("collect", env=jenkins(build))
    assert said.code == 0, said.err
    assert recorded(project).keys() == {leg.id for leg in legs}


def test_jenkins_another_build_is_not_trusted_unless_a_person_says_so(
    project: Project, ciplug: Call, jenkins_api: JenkinsApi
) -> None:
    here = jenkins_api.add_build("collect", 1)
    train = jenkins_api.add_build("train", 7, {"bundle.ndjson": packed(a_run(project.head))})
    said = ciplug("collect", "--jenkins-build", train, env=jenkins(here))
    assert said.code == 3 and "claims to be of a trusted job" in said.err
    assert ciplug("collect", "--jenkins-build", train, "--trusted", env=jenkins(here)).code == 0
    said = ciplug("collect", env=jenkins(here))
    assert said.code == 2 and "no bundle in build" in said.err


def test_jenkins_refusals(project: Project, ciplug: Call, jenkins_api: JenkinsApi) -> None:
    build = jenkins_api.add_build(artifacts={"../../../bundle.ndjson": b"x", "a/bundle.ndjson": b"y"})
    said = ciplug("collect", env=jenkins(build))
    assert (
        said.code == 3
        and "is not the path of an artifact" in said.err
        and "a/bundle.ndjson:1: not a bundle" in said.err
    )
    said = ciplug("collect", env=jenkins(build, CIPLUG_JENKINS_TOKEN="wrong-token"))
    assert said.code == 3 and "Jenkins refuses (401)" in said.err and "wrong-token" not in said.err
    said = ciplug("collect", env=jenkins(build, CIPLUG_JENKINS_TOKEN="", CIPLUG_JENKINS_USER=""))
    assert said.code == 3 and "CIPLUG_JENKINS_USER" in said.err
    said = ciplug("collect", env=jenkins(build, CIPLUG_JENKINS_TOKEN=""))
    assert said.code == 2 and "belong together" in said.err
    said = ciplug("collect", "--jenkins-build", build + "9", env=jenkins(build))
    assert said.code == 3 and "shows nothing" in said.err
    said = ciplug("collect", "--jenkins-build", "https://u:pw@host/job/x/1", env=jenkins(build))
    assert said.code == 2 and "pw" not in said.err


# Strangers


def test_names_of_strangers_start_no_line_and_no_command(
    project: Project, ciplug: Call, job: GitHubApi, tmp_path: Path
) -> None:
    job.add_run(42, commit=project.head, owner="stranger")
    evil = "x\n::set-output name=a::b\n## **bold** <img src=x>/bundle.ndjson"
    job.add_artifact(42, "ciplug-\n::error::gotcha", zipped({evil: b"no bundle\n"}))
    said = ciplug("collect", "--github-run", "42", env=github(tmp_path, job, "push", {}))
    assert said.code == 3
    assert not [line for line in said.err.splitlines() if line.lstrip().startswith(("::", "##"))]


@pytest.mark.slow
def test_an_archive_of_a_million_entries_is_refused_before_it_is_read(
    project: Project, ciplug: Call, job: GitHubApi, tmp_path: Path
) -> None:
    job.add_run(42, commit=project.head, owner="stranger")
    entry = zipped({"a": b""})
    directory = entry.index(b"PK\x01\x02")
    end = entry.index(b"PK\x05\x06")
    many = entry[:directory] + entry[directory:end] * 1_000_000
    size = len(many) - directory
    buffer = io.BytesIO(
        many + entry[end : end + 8] + b"\xff\xff\xff\xff" + size.to_bytes(4, "little") + entry[end + 16 :]
    )
    assert zipfile.is_zipfile(buffer)
    job.add_artifact(42, "ciplug", buffer.getvalue())
    said = ciplug("collect", "--github-run", "42", env=github(tmp_path, job, "push", {}))
    assert said.code == 3 and "1,000,000 entries; an archive has at most 10,000" in said.err


def test_where_the_place_knows_no_commit_a_person_names_it(project: Project, ciplug: Call, tmp_path: Path) -> None:
    head = project.head
    project.branch("another", {"accuracy": 0.1})
    file = tmp_path / "bundle.ndjson"
    file.write_bytes(packed(a_run(head, trusted=False)))
    said = ciplug("collect", "--untrusted", "--commit", project.head, file)
    assert said.code == 3 and f"it claims the commit {head}" in said.err
    assert ciplug("collect", "--untrusted", "--commit", head[:10], file).code == 2
    assert recorded(project) == {}
    assert ciplug("collect", "--untrusted", "--commit", head, file).code == 0
    assert list(recorded(project).values()) == [head]
