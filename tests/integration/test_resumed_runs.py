"""A recorded run that a program resumes: its journal waits in the spool like a run, and becomes one amendment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ciplug
from ciplug.commands.run_details import details
from ciplug.errors import ForkJob, NotFound, RecordError, UsageError
from ciplug.records.amendment import Amendment
from ciplug.records.keys import parse_amendments
from ciplug.records.last_point import LastPoint
from ciplug.records.read import amendment as read_amendment
from ciplug.records.run import Run
from ciplug.steps.amend import DELETE, amend, targets_of, view_of
from ciplug.steps.send import send
from ciplug.steps.session import open_session
from tests.project import Project, git
from tests.servers.git_http import GitServer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are killed here")

DATASET = {"name": "d", "digest": "1a2b3c4d", "source_type": "local", "source": "train.csv", "schema": '{"a": 1}'}
RESUME = """\
import sys, ciplug
with ciplug.start_run(run_id=sys.argv[1]):
    ciplug.log_param("late", 7)
    ciplug.log_metric("loss", 0.5, step=9)
    print("open", flush=True)
    sys.stdin.read(1)
"""


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", tmp_path / "remote.git", "work")
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "work", "push", "-q", "origin", "HEAD:main")
    return tmp_path / "remote.git"


@pytest.fixture
def run(origin: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run that is recorded in the store of this folder."""
    monkeypatch.chdir(origin.parent / "work")
    with ciplug.start_run(model="wine", name="one") as active:
        ciplug.log_params({"depth": 6, "kind": "a"})
        ciplug.log_metric("accuracy", 0.9)
    return active.id


def elsewhere(origin: Path, code: str) -> str:
    """Run a program on another machine, which has a clone, a cache and a spool of its own; returns what it said."""
    git(origin.parent, "clone", "-q", origin, "other")
    env = {**os.environ, "XDG_CACHE_HOME": str(origin.parent / "cache")}
    cwd = origin.parent / "other"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def shown(run: str) -> Run:
    return open_session().runs().get(run)


def amendments() -> list[Amendment]:
    store = open_session().store
    keys = [key.key for key in parse_amendments(store.keys("amend/"))]
    data = store.read(keys)
    return [read_amendment(data[key], key) for key in keys]


def test_what_a_resumed_run_logs_is_one_amendment(
    run: str, origin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From another clone that knows nothing but the store."""
    git(origin.parent, "clone", "-q", origin, "other")
    monkeypatch.setenv("XDG_CACHE_HOME", str(origin.parent / "cache"))
    monkeypatch.chdir(origin.parent / "other")
    with ciplug.start_run(run_id=run, tags={"late": "yes"}) as active:
        monkeypatch.chdir(origin.parent)
        assert (active.id, active.parent_id) == (run, None)
        ciplug.log_param("depth", "6")
        ciplug.log_params({"rate": 0.1})
        ciplug.log_metric("loss", 0.5, step=3)
        ciplug.log_input(DATASET, "training")
        ciplug.log_inputs(models=["m-0"])
        ciplug.log_outputs(["m-1"])
        monkeypatch.chdir(origin.parent / "other")
        assert amendments() == []
    assert f"run {run} (wine) was resumed, and finished: amended in branch 'ciplug' of " in capsys.readouterr().err
    (made,) = amendments()
    assert (made.params, made.tags, made.metrics, made.status) == (
        {"rate": 0.1},
        {"late": "yes"},
        {"loss": 0.5},
        "finished",
    )
    found = shown(run)
    assert (found.params, found.tags) == ({"depth": 6, "kind": "a", "rate": 0.1}, {"late": "yes"})
    assert found.metrics == {"accuracy": 0.9, "loss": 0.5} and found.ended == made.ended
    assert [(one.name, one.context) for one in found.inputs] == [("d", "training")]
    assert (found.model_inputs, [one.id for one in found.outputs]) == (("m-0",), ["m-1"])
    runs = open_session().runs()
    assert runs.series(found)["loss"].steps == (3,)
    assert runs.input_texts(found) == {found.inputs[0].schema: '{"a": 1}'}
    assert open_session().spool.sealed() == []
    with pytest.raises(ZeroDivisionError), ciplug.start_run(run_id=run):
        ciplug.log_metric("loss", 0.4, step=4)
        raise ZeroDivisionError
    assert [one.seq for one in amendments()] == [1, 2]
    assert shown(run).status == "failed"
    evidence = open_session().runs()
    assert evidence.evidence(evidence.get(run)).run.status == "failed"


def start_worker(run: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", RESUME, run], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None and process.stdout.readline() == b"open\n", process.communicate()
    return process


def test_a_point_before_the_recorded_one_changes_no_value(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's order: the highest step, then the latest time, then the highest value."""
    monkeypatch.chdir(origin.parent / "work")
    with ciplug.start_run(model="wine") as active:
        ciplug.log_metric("loss", 0.5, step=9, timestamp=1_700_000_000_123)
        ciplug.log_metric("accuracy", 0.9)
        ciplug.log_metric("once", 3.0, step=0, timestamp=1_700_000_000_123)
    last = shown(active.id).last
    assert last["loss"] == LastPoint(step=9, value=0.5, time=1_700_000_000_123)
    assert (last["accuracy"].step, last["accuracy"].value) == (0, 0.9)
    with ciplug.start_run(run_id=active.id):
        ciplug.log_metric("loss", 0.7, step=4)
        ciplug.log_metric("late", 1.0, step=2)
        ciplug.log_metric("once", 4.0, step=1)
    (made,) = amendments()
    assert made.metrics == {"late": 1.0, "once": 4.0}
    assert {name: point.step for name, point in made.last.items()} == {"late": 2, "loss": 4, "once": 1}
    runs = open_session().runs()
    found = runs.get(active.id)
    assert found.metrics == {"accuracy": 0.9, "late": 1.0, "loss": 0.5, "once": 4.0}
    assert {name: point.step for name, point in found.last.items()} == {"accuracy": 0, "late": 2, "loss": 9, "once": 1}
    series = runs.series(found)
    assert series["loss"].steps == (4, 9) and set(runs.evidence(found).changed) == {"once"}
    # Its first point is in the record alone.
    assert (series["once"].steps, series["once"].values) == ((0, 1), (3.0, 4.0))
    assert "loss: 0.5 (step 9)" in details(found, runs.changes(found))


@pytest.mark.slow
def test_a_resumed_run_whose_process_is_killed_loses_nothing(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    worker = start_worker(run)
    writer = open_session().spool.open(run)
    assert writer is not None and writer.logged().params == {"late": 7}, "another process reads it meanwhile"
    writer.release()
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=60)
    Project(open_session().cwd).ciplug("runs", "list")
    (made,) = amendments()
    assert (made.run, made.status, made.params) == (run, "killed", {"late": 7})
    assert shown(run).metrics == {"accuracy": 0.9, "loss": 0.5}


@pytest.mark.slow
def test_a_resumed_run_that_logged_nothing_before_it_was_killed_is_as_it_was(run: str) -> None:
    code = f"import os, ciplug; ciplug.start_run(run_id='{run}'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(open_session().spool.folder.glob(f"{run}.*"))) == 1
    Project(open_session().cwd).ciplug("runs", "list")
    assert amendments() == [] and not list(open_session().spool.folder.glob(f"{run}.*"))


@pytest.mark.slow
def test_the_last_of_several_processes_ends_a_resumed_run(run: str) -> None:
    first, second = start_worker(run), start_worker(run)
    first.communicate(b"\n", timeout=60)
    assert amendments() == []
    _, said = second.communicate(b"\n", timeout=60)
    assert b"was resumed, and finished: amended in" in said
    assert len(amendments()) == 1


@pytest.mark.slow
def test_it_waits_in_the_spool_where_the_store_cannot_be_reached(
    run: str, origin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(run)
    _ = open_session().runs().catalog
    shutil.move(origin, origin.with_name("away"))
    with ciplug.start_run(run_id=run):
        ciplug.log_metric("loss", 0.5)
    said = capsys.readouterr().err
    assert "is looked up in the local cache" in said and "it is kept in" in said
    with ciplug.start_run(run_id=run):
        ciplug.log_metric("loss", 0.4)
    shutil.move(origin.with_name("away"), origin)
    send(open_session())
    assert [(one.seq, dict(one.metrics)) for one in amendments()] == [(1, {"loss": 0.5}), (2, {"loss": 0.4})]


@pytest.mark.slow
def test_a_run_that_waits_to_be_sent_is_sent_with_its_amendments(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(origin.parent / "work")
    shutil.move(origin, origin.with_name("away"))
    with ciplug.start_run(model="wine") as active:
        ciplug.log_param("depth", 6)
    for value in (1, 2):
        with ciplug.start_run(run_id=active.id):
            ciplug.log_metric("loss", value)
            with pytest.raises(UsageError, match="is 6, and cannot become 7"):
                ciplug.log_param("depth", 7)
    shutil.move(origin.with_name("away"), origin)
    send(open_session())
    assert [one.seq for one in amendments()] == [1, 2]
    assert shown(active.id).metrics == {"loss": 2.0}


def late_artifact() -> None:
    Path("model.bin").write_bytes(b"1")
    ciplug.log_artifact("model.bin")


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (lambda: ciplug.log_param("depth", 7), "the parameter 'depth' of run .* is 6, and cannot become 7"),
        (late_artifact, "an artifact cannot be added to it"),
        (lambda: ciplug.log_dataset("data.csv"), "a file of data cannot be added to it"),
        (lambda: ciplug.start_run(nested=True), "a child run cannot be added to it"),
    ],
)
def test_what_would_change_evidence_is_refused_when_it_is_logged(run: str, log: Callable[[], Any], says: str) -> None:
    with ciplug.start_run(run_id=run):
        with pytest.raises(UsageError, match=says):
            log()
        ciplug.log_metric("loss", 1)
    (made,) = amendments()
    assert (made.params, made.metrics) == ({}, {"loss": 1.0})


@pytest.mark.parametrize("given", [{"seed": 7}, {"model": "beer"}, {"start_time": 1_700_000_000_000}])
def test_a_recorded_run_keeps_seed_model_and_start(run: str, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"its {next(iter(given))} cannot be changed"):
        ciplug.start_run(run_id=run, **given)
    assert not list(open_session().spool.folder.glob(f"{run}.*"))


def test_an_id_that_nobody_knows_is_refused_with_where_it_was_looked_for(run: str) -> None:
    with pytest.raises(NotFound) as refused:
        ciplug.start_run(run_id="0" * 32)
    spool = open_session().spool.folder
    assert refused.value.message == (
        f"no run {'0' * 32}: neither open on this machine ({spool}), nor recorded in {open_session().store_name}"
    )
    assert "CIPLUG_STORE=URI" in (refused.value.hint or "")


def test_a_deleted_run_is_restored_first(run: str) -> None:
    session = open_session()
    amend(session, targets_of(view := view_of(session), [view.runs.key_of(run)]), DELETE)
    with pytest.raises(RecordError, match="was deleted by") as refused:
        ciplug.start_run(run_id=run)
    assert refused.value.hint == f"first: ciplug runs restore {run[:12]}"


def test_a_forks_job_resumes_no_recorded_run(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fork = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7", "CI_PROJECT_ID": "1", "CI_COMMIT_SHA": "0" * 40}
    fork |= {"CI_MERGE_REQUEST_PROJECT_ID": "1", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"}
    for name, value in fork.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ForkJob, match="must not amend runs"):
        ciplug.start_run(run_id=run)


@pytest.mark.slow
def test_two_machines_give_a_parameter_two_values(run: str, origin: Path) -> None:
    """The one order decides; the other value is refused, and said."""
    with ciplug.start_run(run_id=run):
        ciplug.log_param("rate", 0.1)
        code = f"import ciplug\nwith ciplug.start_run(run_id='{run}'): ciplug.log_param('rate', 0.2)"
        assert "amended in" in elsewhere(origin, code)
    first, second = amendments()
    assert (first.seq, second.seq) == (1, 1)
    found = shown(run)
    assert found.params["rate"] == first.params["rate"] != second.params["rate"]
    project = Project(Path.cwd())
    said = project.ciplug("runs", "show", run).stdout
    assert f"rate={second.params['rate']} by {second.author}: it is {first.params['rate']}" in said
    refused = project.json("runs", "show", run, "--json")["refused_params"]
    assert [(one["name"], one["value"], one["kept"]) for one in refused] == [
        ("rate", second.params["rate"], first.params["rate"])
    ]


@pytest.mark.slow
def test_under_ciplug_run_it_is_sent_in_the_same_push(tmp_path: Path, git_server: GitServer) -> None:
    url = git_server.create(f"{tmp_path.name}.git")
    git(tmp_path, "clone", "-q", url, "work")
    project = Project(tmp_path / "work")
    git(project.folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(project.folder, "push", "-q", "origin", "HEAD:main")
    code = "import ciplug\nwith ciplug.start_run(): ciplug.log_metric('loss', 1)"
    done = project.ciplug("run", "--", sys.executable, "-c", code)
    (run,) = [one["id"] for one in project.json("runs", "list", "--json")]
    code = f"import ciplug\nwith ciplug.start_run(run_id='{run}'): ciplug.log_metric('late', 2)\n"
    code += "ciplug.log_metric('own', 3)"
    done = project.ciplug("run", "--", sys.executable, "-c", code)
    assert "amended in" not in done.stderr
    listed = {one["id"]: one for one in project.json("runs", "list", "--json")}
    assert listed[run]["metrics"] == {"loss": 1, "late": 2}
    assert [one["metrics"] for run_id, one in listed.items() if run_id != run] == [{"own": 3}]
