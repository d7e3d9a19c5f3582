"""The store of what Jenkins' builds archive, against a server that behaves as Jenkins' API does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ciplug.bundles import check as collected
from ciplug.cli import main
from ciplug.errors import Cause, ConfigError, Conflict, StoreError
from ciplug.records import bundle
from ciplug.steps.session import open_session
from ciplug.stores import Bundles, open_store
from ciplug.stores.base import Log, Store, log_of
from tests.bundles import a_run, objects_of, packed
from tests.integration.test_store_contract import assert_holds
from tests.project import MODEL, Project, git
from tests.servers.jenkins_api import JenkinsApi

LOGIN = {"CIPLUG_JENKINS_USER": "alice", "CIPLUG_JENKINS_TOKEN": "user-token"}
MAIN, TOPIC = "a" * 40, "b" * 40


class Jenkins:
    """A workspace for each build, and a Jenkins that archives from them."""

    def __init__(self, api: JenkinsApi, folder: Path) -> None:
        self.api = api
        self.folder = folder
        api.jobs[("wine", "main")] = {}

    def env(self, build: str, **more: str) -> dict[str, str]:
        return {
            **LOGIN,
            "JENKINS_URL": self.api.url + "/",
            "BUILD_URL": build,
            "HOME": str(self.folder / "home"),
            **more,
        }

    def store(self, build: str = "", uri: str = "jenkins:", *, trusted: bool = True, **more: str) -> Store:
        """The store as a job opens it that has an empty workspace; of no build, as a laptop does."""
        env = self.env(build, **more)
        return open_store(uri, None, env, bundles=Bundles(self.folder / "report", collected.check, trusted))

    def archive(self, build: str) -> list[str]:
        """Do what archiveArtifacts 'report/**' does, and leave the workspace empty."""
        number = int(build.rstrip("/").rpartition("/")[2])
        (job,) = [path for path in self.api.jobs if build.startswith(self.api.job_url(path))]
        files = {f"report/{path.name}": path.read_bytes() for path in sorted((self.folder / "report").glob("*"))}
        self.api.jobs[job][number].artifacts.update(files)
        shutil.rmtree(self.folder / "report", ignore_errors=True)
        return list(files)

    def end(self, build: str, result: str = "SUCCESS") -> None:
        number = int(build.rstrip("/").rpartition("/")[2])
        (job,) = [path for path in self.api.jobs if build.startswith(self.api.job_url(path))]
        self.api.jobs[job][number].result = result


@pytest.fixture
def jenkins(jenkins_api: JenkinsApi, tmp_path: Path) -> Jenkins:
    return Jenkins(jenkins_api, tmp_path)


def test_what_a_build_archives_is_read_by_the_next_and_from_elsewhere(jenkins: Jenkins) -> None:
    objects = {**objects_of(a_run(MAIN)), **objects_of(a_run(TOPIC, model="other"))}
    (first, second) = [dict(list(objects.items())[:3]), dict(list(objects.items())[3:])]
    build = jenkins.api.add_build("demo", 7, result=None)
    jenkins.store(build).add(first)
    jenkins.store(build).add(second)
    jenkins.store(build).add(first)
    assert_holds(jenkins.store(build), objects)
    (file,) = jenkins.archive(build)
    assert file.startswith("report/bundle-7-")
    assert_holds(jenkins.store(build), objects)
    assert jenkins.store(build).segments() == [], "a build that runs may archive more"
    job = f"jenkins+{jenkins.api.url}/job/demo"
    assert jenkins.store("", job).keys("") == [], "and is nobody else's yet"

    jenkins.end(build, "FAILURE")
    for store in (jenkins.store("", job), jenkins.store(jenkins.api.add_build("demo", 8, result=None))):
        assert_holds(store, objects)
        assert len(store.segments()) == 1 and store.loose() == []
        assert store.notes == store.check() == []
    assert jenkins.store("", job).address == jenkins.store(build).address == job


def test_a_store_that_is_empty_reads_as_empty(jenkins: Jenkins) -> None:
    store = jenkins.store(jenkins.api.add_build("demo", 1, {"report/report.md": b"x"}, result=None))
    assert store.keys("") == store.keys() == store.loose() == store.segments() == log_of(store).logs("") == []
    assert store.read(["x"]) == store.read([]) == store.columns([]) == store.columns(["sha256:none"]) == {}
    log = log_of(store)
    assert log.head("registry/wine") is None and log.entries("registry/wine") == []
    assert store.compact() == store.drop(["runs/none"], "nothing is there") == 0
    assert store.notes == store.check() == []


def test_what_it_cannot_keep_is_refused_and_says_where_to_go(jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(a_run(MAIN))})
    store = jenkins.store(build)
    with pytest.raises(StoreError, match="has no registry") as refused:
        log_of(store).append("registry/wine", None, b"event")
    assert "git:" in str(refused.value.hint) and "bucket" in str(refused.value.hint)
    with pytest.raises(StoreError, match="drops nothing"):
        store.drop(store.keys("runs/"), "room")
    assert [trial.cause for trial in store.try_writes()] == [None] and not (jenkins.folder / "report").exists()
    for uri in (f"jenkins+{jenkins.api.url}/job/other", f"jenkins+{jenkins.api.url}/job/demo"):
        assert [trial.cause for trial in jenkins.store("", uri).try_writes()] == [Cause.RULE]
        with pytest.raises(StoreError, match=r"only a build of .* adds to"):
            jenkins.store(build if uri.endswith("other") else "", uri).add({"runs/a-1.json": b"x"})


def test_a_write_is_idempotent_and_refuses_other_bytes(jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("demo", 1, result=None)
    (key, data), *_ = objects_of(a_run(MAIN)).items()
    for _ in range(2):
        jenkins.store(build).add({key: data})
        assert len(list((jenkins.folder / "report").iterdir())) == 1
    with pytest.raises(Conflict, match=key):
        jenkins.store(build).add({key: b"other"})
    jenkins.archive(build)
    store = jenkins.store(build)
    assert store.keys(key) == [key]
    with pytest.raises(Conflict, match=key):
        store.add({key: b"other"})


def test_many_add_at_once_and_nothing_is_lost(jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("demo", 1, result=None)
    written = [objects_of(a_run(MAIN)) for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda objects: jenkins.store(build).add(objects), written))
    assert_holds(jenkins.store(build), {key: data for objects in written for key, data in objects.items()})
    jenkins.archive(build)
    jenkins.end(build)
    assert len(ids(jenkins.store("", f"jenkins+{jenkins.api.url}/job/demo"))) == 12


def test_a_verdict_of_another_workspace_brings_its_run(jenkins: Jenkins) -> None:
    run = a_run(MAIN)
    objects = objects_of(run)
    build = jenkins.api.add_build("demo", 1, result=None)
    jenkins.store(build).add({key: data for key, data in objects.items() if key.startswith("runs/")})
    jenkins.archive(build)
    gate = jenkins.store(build)
    assert gate.keys(f"runs/{MAIN}-")
    gate.add({key: data for key, data in objects.items() if key.startswith("verdicts/")})
    jenkins.archive(build)
    jenkins.end(build)
    store = jenkins.store("", f"jenkins+{jenkins.api.url}/job/demo")
    assert_holds(store, objects)
    assert store.check() == []


def test_bundles_of_an_earlier_build_in_the_workspace_are_not_this_builds(jenkins: Jenkins) -> None:
    jenkins.store(jenkins.api.add_build("demo", 1, result=None)).add(objects_of(a_run(MAIN)))
    store = jenkins.store(jenkins.api.add_build("demo", 2, result=None))
    assert store.keys("") == []
    store.add(objects_of(a_run(MAIN)))
    assert len(list((jenkins.folder / "report").iterdir())) == 2


# Which builds


def ids(store: Store) -> set[str]:
    return {key.rpartition("-")[2][:32] for key in store.keys("runs/") if key.endswith(".json")}


def test_in_a_multibranch_project_this_branch_and_the_target_are_read(jenkins: Jenkins) -> None:
    runs = {name: a_run(MAIN, name=name) for name in ("main", "release/1", "topic", "PR-5", "PR-6")}
    for name, run in runs.items():
        jenkins.api.add_build(("ml", "wine", name), 3, {"bundle.ndjson": packed(run)})
    url = jenkins.api.job_url(("ml", "wine"))

    def seen(store: Store) -> set[str]:
        found = ids(store)
        return {name for name, run in runs.items() if run.id in found}

    pull = jenkins.api.add_build(("ml", "wine", "PR-5"), 4, result=None)
    to = {"BRANCH_NAME": "PR-5", "CHANGE_ID": "5", "CHANGE_TARGET": "release/1"}
    assert seen(jenkins.store(pull, **to)) == {"PR-5", "release/1", "main"}
    assert seen(jenkins.store(pull, "jenkins:?branch=topic", **to)) == {"PR-5", "release/1", "topic"}
    branch = jenkins.api.add_build(("ml", "wine", "release/1"), 4, result=None)
    assert "release%252F1" in branch
    jenkins.api.calls.clear()
    assert seen(jenkins.store(branch, BRANCH_NAME="release/1")) == {"release/1", "main"}
    jobs = [call.path for call in jenkins.api.calls if call.path.endswith("api/json")]
    assert len(jobs) == len(set(jobs)) == 3
    elsewhere = f"jenkins+{url[:-1]}"
    assert seen(jenkins.store("", elsewhere)) == {"main"}
    assert seen(jenkins.store("", f"{elsewhere}?branch=topic&branch=release/1")) == {"topic", "release/1"}
    assert seen(jenkins.store("", f"{elsewhere}/job/main")) == {"main"}
    store = jenkins.store("", f"{elsewhere}?branch=gone")
    assert seen(store) == set() and "no job of gone" in store.notes[0]


def test_the_newest_builds_are_read_and_older_ones_are_said(jenkins: Jenkins) -> None:
    runs = [a_run(MAIN) for _ in range(6)]
    for run in runs:
        jenkins.api.add_build("demo", None, {"bundle.ndjson": packed(run)})
    job = f"jenkins+{jenkins.api.url}/job/demo"
    assert len(ids(jenkins.store("", job))) == 6
    store = jenkins.store("", f"{job}?builds=4")
    assert ids(store) == {run.id for run in runs[2:]} and store.notes == []
    assert store.keys(f"runs/{TOPIC}-") == []
    assert "of demo the last 4 builds are read" in store.notes[0]


def test_a_build_that_has_ended_is_fetched_once(jenkins: Jenkins) -> None:
    for _ in range(5):
        jenkins.api.add_build("demo", None, {"out/bundle.ndjson": packed(a_run(MAIN)), "out/report.html": b"x" * 99})
    now = jenkins.api.add_build("demo", None, result=None)
    before = jenkins.store(now).segments()
    assert len(jenkins.api.downloads()) == 5
    jenkins.api.calls.clear()
    assert jenkins.store(now).segments() == before
    assert len(jenkins.api.calls) == 1, "one request, however many builds"
    (query,) = [call.query for call in jenkins.api.calls]
    assert query == {"tree": "jobs[name],allBuilds[number,timestamp,building,artifacts[relativePath]]{0,50}"}

    # A damaged cache is no cache; and what Jenkins has deleted leaves it, and the store.
    files = sorted((jenkins.folder / "home").rglob("*.ndjson"))
    assert len(files) == 5
    files[0].write_bytes(files[0].read_bytes()[:-9])
    del jenkins.api.jobs["demo",][2]
    assert len(jenkins.store(now).segments()) == 4
    assert len(jenkins.api.downloads()) == 1
    assert len(list((jenkins.folder / "home").rglob("*.ndjson"))) == 4

    # A job that is made anew counts from 1 again.
    jenkins.api.jobs["demo",] = {}
    other = a_run(MAIN)
    jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(other)})
    assert ids(jenkins.store(now)) == {other.id}


def test_of_two_builds_that_share_a_key_the_first_counts(jenkins: Jenkins) -> None:
    run = a_run(MAIN)
    jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(run)})
    jenkins.api.add_build("demo", 2, {"bundle.ndjson": packed(run), "b/bundle.ndjson": packed(a_run(TOPIC))})
    jenkins.api.add_build("demo", 3, {"bundle.ndjson": packed(replace(run, metrics={"accuracy": 1.0}))})
    store = jenkins.store("", f"jenkins+{jenkins.api.url}/job/demo")
    (key,) = [key for key in store.keys(f"runs/{MAIN}-") if key.endswith(".json")]
    assert b'"accuracy":0.9' in store.read([key])[key].replace(b" ", b"")
    (problem,) = store.check()
    assert problem.where == "demo #3" and "other bytes" in problem.what
    keys = [key for table in store.columns(store.segments()).values() for key in table.keys]
    assert len(keys) == len(set(keys)) == 2


# What is believed


def test_hostile_bundles_are_named_and_nothing_else_is_lost(jenkins: Jenkins) -> None:
    good = [a_run(MAIN), a_run(TOPIC)]
    event = {"registry/wine/000001.json": b"{}"}
    jenkins.api.add_build("demo", 1, {"a/bundle.ndjson": b"\0" * 99, "b/bundle.ndjson": packed(good[0])})
    jenkins.api.add_build("demo", 2, {"bundle.ndjson": bundle.pack({**objects_of(a_run(MAIN)), **event})})
    jenkins.api.add_build("demo", 3, {"../../bundle.ndjson": packed(a_run(MAIN)), "x\nbundle.ndjson": b"y"})
    jenkins.api.add_build("demo", 4, {"bundle.ndjson": packed(good[1])})
    job = f"jenkins+{jenkins.api.url}/job/demo"
    for downloads in (4, 0):  # what is refused is not fetched again
        jenkins.api.calls.clear()
        store = jenkins.store("", job)
        assert ids(store) == {run.id for run in good}
        assert not isinstance(store, Log)
        assert len(jenkins.api.downloads()) == downloads
        whats = [f"{problem.where}: {problem.what}" for problem in store.check()]
        assert len(whats) == 4
        assert "demo #1: a/bundle.ndjson:1: not a bundle" in whats[0]
        assert "demo #2" in whats[1] and "verdicts only" in whats[1]
        assert all("not the path of an artifact" in what and "\n" not in what for what in whats[2:])
        assert len(store.notes) == 1 and "and 3 more: ciplug fsck" in store.notes[0]


def test_a_forks_job_says_so_itself_and_takes_nothing_from_others(jenkins: Jenkins) -> None:
    mains = a_run(MAIN)
    jenkins.api.add_build("wine/main", 1, {"bundle.ndjson": packed(mains)})
    claims, honest = a_run(TOPIC), a_run(TOPIC, trusted=False)
    stolen = a_run(TOPIC, trusted=False, id=mains.id)
    hidden = a_run(MAIN, trusted=False, id=mains.id)  # and so a verdict on a run of main
    for run in (claims, honest, stolen, hidden):
        jenkins.api.add_build("wine/PR-5", None, {"bundle.ndjson": packed(run)})
    build = jenkins.api.add_build("wine/PR-5", None, result=None)
    env = {"BRANCH_NAME": "PR-5", "CHANGE_ID": "5", "CHANGE_TARGET": "main", "CHANGE_FORK": "mallory"}
    store = jenkins.store(build, trusted=False, **env)
    assert ids(store) == {mains.id, honest.id}
    assert store.keys(f"runs/{TOPIC}-{mains.id}.json") == []
    whats = [problem.what for problem in store.check()]
    assert len(whats) >= 3 and "claims to be of a trusted job" in whats[0] and "recorded already" in whats[1]
    assert all("other bytes" in what for what in whats[2:])
    assert len(store.keys(f"verdicts/{MAIN}-")) == 1
    # Whether a pull request of another job is a fork's, Jenkins does not say.
    project = f"jenkins+{jenkins.api.url}/job/wine"
    assert ids(jenkins.store("", f"{project}?branch=PR-5&branch=main")) == {mains.id, honest.id}
    assert ids(jenkins.store("", f"{project}/job/PR-5")) == {honest.id, stolen.id}
    assert len(jenkins.store("", f"{project}/job/PR-5").keys(f"verdicts/{MAIN}-")) == 0
    # Of a branch of the repository itself it is known.
    assert claims.id in ids(jenkins.store(build, trusted=True, **{**env, "CHANGE_FORK": ""}))


# Trouble


@pytest.mark.parametrize(
    ("env", "fault", "words"),
    [
        ({"CIPLUG_JENKINS_TOKEN": "wrong"}, None, r"cannot read the builds: Jenkins refuses \(401\)"),
        ({"CIPLUG_JENKINS_TOKEN": "", "CIPLUG_JENKINS_USER": ""}, None, r"Jenkins refuses \(403\)"),
        ({"CIPLUG_JENKINS_TOKEN": ""}, None, "belong together"),
        ({}, (404, "no"), "Jenkins shows nothing at"),
        ({}, (500, "no"), "Jenkins answers 500"),
        ({}, (200, "<form>log in</form>"), "gave an answer that is not understood"),
        ({}, (200, {"jobs": None}), "gave an answer that is not understood"),
    ],
)
def test_trouble_is_one_line(jenkins: Jenkins, env: Mapping[str, str], fault: Any, words: str) -> None:
    build = jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(a_run(MAIN))})
    if fault:
        jenkins.api.fail_next(fault[0], body=fault[1])
    with pytest.raises((StoreError, ConfigError), match=words) as said:
        jenkins.store(build, **env).keys("runs/")
    assert "\n" not in said.value.message and "user-token" not in f"{said.value.message}{said.value.hint}"


def test_a_server_that_is_busy_is_asked_again(jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(a_run(MAIN))})
    jenkins.api.fail_next(503, headers={"Retry-After": "0"}, path="api/json")
    jenkins.api.fail_next(502, path="artifact")
    assert len(ids(jenkins.store(build))) == 1


def test_a_bundle_that_is_deleted_meanwhile_is_named(jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(a_run(MAIN))})
    jenkins.api.fail_next(404, path="artifact", body="gone")
    store = jenkins.store(build)
    assert store.keys("runs/") == [] and "Jenkins no longer has it" in store.check()[0].what
    assert len(ids(jenkins.store(build))) == 1, "and looked for again"


def test_anybody_may_read_where_jenkins_says_so(jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("demo", 1, {"bundle.ndjson": packed(a_run(MAIN))})
    jenkins.api.anonymous = True
    assert ids(jenkins.store(build, CIPLUG_JENKINS_USER="", CIPLUG_JENKINS_TOKEN=""))


def test_the_login_goes_to_no_other_server(jenkins: Jenkins) -> None:
    with pytest.raises(ConfigError, match=r"is not sent to https://evil\.example\.com"):
        jenkins.store(f"{jenkins.api.url}/job/demo/1/", "jenkins+https://evil.example.com/job/demo").keys("runs/")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("jenkins:", "BUILD_URL does not name a build"),
        ("jenkins+https://host/", "does not name a job"),
        ("jenkins+https://u:secret@host/job/x", "https://host/job/x' does not name a job"),
        ("jenkins+https://host/job/x?builds=0", "unknown option 'builds=0'"),
        ("jenkins+https://host/job/x?branch=", "unknown option 'branch='"),
        ("jenkins+https://host/job/x?depth=3", "unknown option 'depth=3'"),
        ("jenkins+ftp://host/job/x", "unsupported store"),
    ],
)
def test_an_address_that_is_none_is_said(jenkins: Jenkins, uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")) as said:
        jenkins.store("", uri)
    assert "secret" not in said.value.message


# The walk of a team that pushes nothing


class Said(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.with_remote(tmp_path)


@pytest.fixture
def ciplug(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    def call(*args: object, env: Mapping[str, str]) -> Said:
        with monkeypatch.context() as patch:
            patch.chdir(project.folder)
            for name, value in env.items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = main([str(arg) for arg in args])
            said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield call


@pytest.mark.slow
def test_main_and_pull_requests_without_a_push(project: Project, ciplug: Call, jenkins: Jenkins) -> None:
    report = project.folder / "ciplug-report"
    train = (*MODEL, "--", sys.executable, "train.py")

    def archived() -> dict[str, bytes]:
        files = {f"ciplug-report/{path.name}": path.read_bytes() for path in report.iterdir()}
        shutil.rmtree(report)
        return files

    def env(build: str, branch: str, **more: str) -> dict[str, str]:
        # The artifacts' folder is ours to choose, so HOME stays what the tests made it.
        given = {**jenkins.env(build, BRANCH_NAME=branch, CIPLUG_STORE="jenkins:", **more)}
        return {name: value for name, value in given.items() if name != "HOME"}

    build = jenkins.api.add_build("wine/main", 1, result=None)
    said = ciplug("ci", "--output-dir", "ciplug-report", "--no-comment", *train, env=env(build, "main"))
    assert said.code == 0, said.err
    assert "written into ciplug-report" in said.err and "have the pipeline archive ciplug-report" in said.err
    jenkins.api.add_build("wine/main", 1, archived(), result="SUCCESS")

    # Two commits later nothing was recorded in between; the run of the failed build is what it is.
    project.numbers({"accuracy": 0.84})
    project.commit("second")
    project.push()
    project.branch("topic", {"accuracy": 0.82})
    project.push()
    build = jenkins.api.add_build("wine/PR-5", 1, result=None)
    pull = env(build, "PR-5", CHANGE_ID="5", CHANGE_TARGET="main", CHANGE_BRANCH="topic")
    said = ciplug("ci", "--output-dir", "ciplug-report", "--no-comment", *train, env=pull)
    assert said.code == 1, said.err
    assert "nearest recorded ancestor, 1 commit before the merge base" in said.out
    listed = ciplug("runs", "list", "--json", env=pull)
    assert {run["metrics"]["accuracy"] for run in json.loads(listed.out)} == {0.85, 0.82}
    jenkins.api.add_build("wine/PR-5", 1, archived(), result="FAILURE")

    # Another build, another workspace: what the first one recorded is compared, reported and gated again.
    build = jenkins.api.add_build("wine/PR-5", 2, result=None)
    pull["BUILD_URL"] = build
    for command in ("compare", "report", "gate"):
        said = ciplug(command, env=pull)
        assert said.code == (1 if command == "gate" else 0), said.err
        assert "0.82" in said.out
    git(project.folder, "checkout", "-q", "main~1")
    on_main = env(jenkins.api.add_build("wine/main", 2, result=None), "main")
    assert ciplug("gate", env=on_main).code == 0
    said = ciplug("promote", "wine", "--to", "staging", env=on_main)
    assert said.code == 3 and "has no registry" in said.err
    assert ciplug("fsck", env=pull).code == 0
    assert {line.split("\t")[1] for line in git(project.folder, "ls-remote", "origin").splitlines()} == {
        *("HEAD", "refs/heads/main", "refs/heads/topic")
    }
    assert open_session(cwd=project.folder).spool.sealed() == []


def test_a_registry_is_refused_before_the_training(project: Project, ciplug: Call, jenkins: Jenkins) -> None:
    build = jenkins.api.add_build("wine/main", 1, result=None)
    env = jenkins.env(build, BRANCH_NAME="main", CIPLUG_STORE="jenkins:")
    said = ciplug("ci", "--promote-to", "staging", "--", sys.executable, "-c", "print('trained')", env=env)
    assert said.code == 2 and "has no registry" in said.err and "trained" not in said.out
    said = ciplug("run", "--artifact", "train.py", "--artifact-store", "file:///tmp/x", "--", "true", env=env)
    assert said.code == 2 and "keeps only the digests of artifacts" in said.err


def test_a_run_that_cannot_be_written_waits(project: Project, ciplug: Call, jenkins: Jenkins) -> None:
    env = jenkins.env(
        "",
        CIPLUG_STORE=f"jenkins+{jenkins.api.url}/job/demo",
        BUILD_URL="",
        JENKINS_URL="",
        CIPLUG_JENKINS_URL=jenkins.api.url,
    )
    said = ciplug("run", "--", sys.executable, "train.py", env=env)
    assert said.code == 3 and "only a build of" in said.err and "it is kept in" in said.err
    build = jenkins.api.add_build("demo", 1, result=None)
    env = jenkins.env(build, CIPLUG_STORE="jenkins:")
    assert ciplug("record", "--spooled", env=env).code == 0
    assert len(list((project.folder / "ciplug-report").iterdir())) == 1
