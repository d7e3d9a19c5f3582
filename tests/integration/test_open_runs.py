"""Open runs: several processes log to one run, any of them may die, and child runs are runs of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import ciplug
from ciplug.capture import events
from ciplug.capture.spool import LEASE_SECONDS, read_bundle
from ciplug.errors import UsageError
from ciplug.records.run import Run
from ciplug.records.series import decode
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.recover import recover
from ciplug.steps.session import Session, open_session
from tests.project import Project, git
from tests.servers.git_http import GitServer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are killed here")

WRITER = """\
import sys, ciplug
with ciplug.start_run(run_id=sys.argv[1]):
    print("open", flush=True)
    for step in range(int(sys.argv[3])):
        ciplug.log_metrics({"loss": step, sys.argv[2]: step * 0.5}, step=step)
        if sys.argv[4:]:
            print(step, flush=True)
    sys.stdin.read(1)
"""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), "work")
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "work", "push", "-q", "origin", "HEAD:main")
    monkeypatch.chdir(tmp_path / "work")
    return open_session()


def python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdin=pipe, stdout=pipe, stderr=pipe)


def wait_for(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == line, process.stderr and process.stderr.read().decode()


def end(process: subprocess.Popen[bytes]) -> str:
    """Let it go on to its end; what it said."""
    _, said = process.communicate(b"\n", timeout=60)
    assert process.returncode == 0, said.decode()
    return said.decode()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def recorded(session: Session | None = None) -> dict[str, Run]:
    runs = (session or open_session()).runs()
    return {run.id: run for run in runs.load(runs.recorded())}


# Several processes, one run


@pytest.mark.slow
def test_processes_append_to_one_run_while_another_reads_it(session: Session) -> None:
    entry = begin(session, Inputs(model="wine"))
    writers = [python(WRITER, entry.id, name, 200) for name in ("a", "b", "c")]
    for writer in writers:
        wait_for(writer, b"open\n")
    reader = session.spool.open(entry.id)
    assert reader is not None
    sizes = []
    deadline = time.monotonic() + 60
    while sum(len(one.steps) for one in reader.logged().series.values()) < 3 * 2 * 200:
        sizes.append(len(reader.logged().series))
        assert time.monotonic() < deadline
    for writer in writers:
        end(writer)
    assert entry.is_open, "those who resumed it leave it to the process that began it"
    logged = reader.logged()
    assert logged == entry.logged()
    assert {name: one.steps for name, one in logged.series.items() if name != "loss"} == {
        name: tuple(range(200)) for name in "abc"
    }
    assert logged.series["loss"].steps == tuple(step for step in range(200) for _ in range(3))
    assert (logged.metrics, logged.torn) == ({"a": 99.5, "b": 99.5, "c": 99.5, "loss": 199.0}, 0)
    reader.release()
    finished = finish(session, entry, Inputs(), status="finished").run
    assert dict(finished.metrics) == dict(logged.metrics)


def test_nothing_is_appended_to_a_run_that_has_ended(session: Session) -> None:
    entry = begin(session, Inputs(model="wine"))
    other = session.spool.open(entry.id)
    assert other is not None
    other.append(events.metric("loss", 1.0))
    sealed = finish(session, entry, Inputs(), status="finished").sealed
    for writer in (entry, other):
        with pytest.raises(UsageError, match=f"run {entry.id} has ended: nothing more can be logged to it"):
            writer.append(events.metric("loss", 2.0))
    assert session.spool.open(entry.id) is None
    sealed.discard()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        subprocess.run([sys.executable, "-c", WRITER, entry.id, "a", "1"], check=True, capture_output=True)
    assert f"no run {entry.id}: neither open on this machine".encode() in refused.value.stderr
    with pytest.raises(UsageError, match="has ended"):
        other.append(events.metric("loss", 3.0))


@pytest.mark.slow
def test_what_append_returned_from_is_in_the_record(session: Session) -> None:
    """A process that logs as fast as it can, while another seals the run."""
    code = (
        "import sys, ciplug\nfrom ciplug.errors import UsageError\n"
        "with ciplug.start_run(run_id=sys.argv[1]):\n"
        "    step = 0\n"
        "    try:\n"
        "        while True:\n"
        "            ciplug.log_metric('loss', 1.0, step=step)\n"
        "            step += 1\n"
        "            if step == 10: print('open', flush=True)\n"
        "    except UsageError: print(step, flush=True)\n"
    )
    for _ in range(3):
        entry = begin(session, Inputs(model="wine"))
        writer = python(code, entry.id)
        wait_for(writer, b"open\n")
        sealed = finish(session, entry, Inputs(), status="finished").sealed
        assert writer.stdout is not None
        count = int(writer.stdout.readline())
        end(writer)
        (series,) = (decode(data)["loss"] for key, data in sealed.objects.items() if key.endswith(".series"))
        assert count <= len(series.steps) <= count + 1, "the last one was refused, and may be in it all the same"


# Who dies when


@pytest.mark.slow
def test_a_run_whose_creator_is_killed_goes_on_in_another_process(session: Session) -> None:
    creator = python("import ciplug, sys\nprint(ciplug.start_run(model='wine').id, flush=True)\nsys.stdin.read(1)")
    assert creator.stdout is not None
    run_id = creator.stdout.readline().decode().strip()
    second = python(WRITER, run_id, "second", 50)
    wait_for(second, b"open\n")
    kill(creator)
    assert not any(recover(session)), "a process has it open"
    assert session.spool.open(run_id) is not None
    end(second)
    run = recorded()[run_id]
    assert (run.status, run.metrics) == ("finished", {"loss": 49.0, "second": 24.5})


@pytest.mark.slow
def test_the_last_of_several_processes_ends_a_run(session: Session) -> None:
    entry = begin(session, Inputs(model="wine"))
    writers = [python(WRITER, entry.id, name, 1) for name in "abc"]
    for writer in writers:
        wait_for(writer, b"open\n")
    entry.release()
    for writer in writers:
        assert recorded() == {}
        end(writer)
    assert recorded()[entry.id].metrics == {"a": 0.0, "b": 0.0, "c": 0.0, "loss": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 4))])
def test_all_are_killed_at_random_moments_and_nothing_is_lost(session: Session, number: int) -> None:
    draw = random.Random(number)
    entry = begin(session, Inputs(model="wine"))
    writers = {name: python(WRITER, entry.id, name, 100_000, "tell") for name in "abc"}
    for writer in writers.values():
        wait_for(writer, b"open\n")
    entry.release()
    told: dict[str, int] = {}
    for name, writer in writers.items():
        assert writer.stdout is not None
        for _ in range(draw.randrange(40)):
            told[name] = int(writer.stdout.readline())
        kill(writer)
    (found,) = recover(open_session()).runs
    assert (found.run.id, found.run.status) == (entry.id, "killed")
    for name, step in told.items():
        assert found.run.metrics[name] >= step * 0.5
    assert set(found.run.metrics) <= {"loss", *writers}


def test_a_run_of_a_server_is_never_called_killed_before_a_long_silence(session: Session) -> None:
    leased = session.spool.create("a" * 32, {"run": {}, "owner": "server"})
    leased.append(events.metric("loss", 1.0))
    leased.release()
    assert session.spool.abandoned() == []
    again = session.spool.open("a" * 32)
    assert again is not None and again.logged().metrics == {"loss": 1.0}
    again.release()
    old = time.time() - LEASE_SECONDS - 60
    for path in leased.folder.iterdir():
        os.utime(path, (old, old))
    assert [entry.id for entry in session.spool.abandoned()] == ["a" * 32]


@pytest.mark.parametrize("run_id", ["", "../../etc", "x" * 32, "A" * 32])
def test_what_is_not_an_id_of_a_run_is_refused(session: Session, run_id: str) -> None:
    with pytest.raises(UsageError, match="cannot be the id of a run"):
        ciplug.start_run(run_id=run_id)
    with pytest.raises(UsageError, match=f"no run {'0' * 32}: neither open on this machine"):
        ciplug.start_run(run_id="0" * 32)


# Child runs


SWEEP = """\
import ciplug
with ciplug.start_run(tags={"kind": "sweep"}) as sweep:
    ciplug.log_metric("best", 0.9)
for number in range(20):
    with ciplug.start_run(name=f"trial {number}") as trial:
        ciplug.log_param("depth", number)
        ciplug.log_metric("loss", 1 / (number + 1), step=number)
        assert trial.parent_id == sweep.id
"""


@pytest.mark.slow
def test_a_sweep_is_a_run_and_its_children_and_one_push(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("demo")
    config = "version: 1\nmodel: wine\n"
    project = Project.create(tmp_path / "work", remote=git_server.url("demo"), config=config)
    (project.folder / "train.py").write_text(SWEEP)
    project.commit("sweep")
    git_server.requests.clear()
    done = project.ciplug("run", "--tag", "a=1", "--", sys.executable, "train.py")
    assert "1 metric, 20 child runs, recorded in branch 'ciplug' of " in done.stderr
    pushes = [r for r in git_server.requests if r.service == "receive-pack" and r.method == "POST"]
    assert len(pushes) == 1
    runs = recorded(open_session(cwd=project.folder))
    (parent,) = (run for run in runs.values() if run.parent is None)
    children = [run for run in runs.values() if run.parent == parent.id]
    assert len(children) == 20 and len(runs) == 21
    assert (parent.metrics, parent.tags) == ({"best": 0.9}, {"a": "1", "kind": "sweep"})
    assert {run.name: run.metrics["loss"] for run in children} == {f"trial {n}": 1 / (n + 1) for n in range(20)}
    assert {(run.model, run.commit, run.status) for run in children} == {("wine", project.head, "finished")}
    assert {run.provenance.command for run in children} == {parent.provenance.command}
    assert all(run.provenance.packages and run.provenance.hardware.cores for run in children)
    # The parent counts for the commit, though children ended later.
    (compared,) = project.json("compare", "--format", "json")["comparisons"]
    assert compared["candidate"]["run"] == parent.id


@pytest.mark.slow
def test_a_finished_child_waits_for_its_parent_also_when_that_is_killed(session: Session) -> None:
    code = (
        "import sys, ciplug\n"
        "top = ciplug.start_run(name='top')\n"
        "with ciplug.start_run(name='nested', nested=True):\n"
        "    with ciplug.start_run(name='inner', nested=True): ciplug.log_metric('loss', 1)\n"
        "print(top.id, flush=True)\n"
        "sys.stdin.read(1)\n"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "-c", code]
    sweep = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    assert sweep.stdout is not None
    top = sweep.stdout.readline().decode().strip()

    def listed() -> dict[str, Any]:
        runs = [sys.executable, "-m", "ciplug", "runs", "list", "--json"]
        done = subprocess.run(runs, check=True, capture_output=True, text=True)
        return {run["name"]: run for run in json.loads(done.stdout)}

    assert listed() == {} and recorded() == {}
    assert session.store.keys("runs/") == []
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate(timeout=60)
    assert recorded() == {}
    assert listed().keys() == {"top", "nested", "inner"}
    assert open_session().spool.sealed() == []
    runs = {run.name: run for run in recorded().values()}
    assert (runs["top"].id, runs["top"].status) == (top, "killed")
    assert (runs["nested"].parent, runs["inner"].parent) == (top, runs["nested"].id)


@pytest.mark.slow
def test_workers_start_child_runs_of_their_own(session: Session) -> None:
    """Processes as joblib starts them, forked ones, and nested runs; one of them is killed."""
    code = (
        "import os, subprocess, sys, ciplug\n"
        "top = ciplug.start_run(name='top')\n"
        'worker = \'import ciplug\\nwith ciplug.start_run(name="worker"): ciplug.log_metric("loss", 1)\\n\'\n'
        "workers = [subprocess.Popen([sys.executable, '-c', worker]) for _ in range(4)]\n"
        "assert [w.wait() for w in workers] == [0] * 4\n"
        "if not os.fork():\n"
        "    with ciplug.start_run(name='forked') as run: ciplug.log_metric('loss', 2)\n"
        "    assert run.parent_id == top.id\n"
        "    ciplug.log_metric('of the parent', 3)\n"
        "    os._exit(0)\n"
        "assert os.wait()[1] == 0\n"
        "with ciplug.start_run(name='nested', nested=True) as nested:\n"
        "    with ciplug.start_run(name='inner', nested=True) as inner:\n"
        "        ciplug.log_metric('loss', 4)\n"
        "    assert inner.parent_id == nested.id and ciplug.active_run() is nested\n"
        "dying = worker.replace('1)', '5); import os; os.kill(os.getpid(), 9)').replace('worker', 'dying')\n"
        "subprocess.run([sys.executable, '-c', dying])\n"
        "ciplug.log_metric('of the parent too', 6)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    runs = recorded()
    by_name: dict[Any, list[Run]] = {}
    for run in runs.values():
        by_name.setdefault(run.name, []).append(run)
    (top,) = by_name["top"]
    assert top.parent is None and top.metrics == {"of the parent": 3.0, "of the parent too": 6.0}
    assert [run.parent for run in by_name["worker"]] == [top.id] * 4
    (forked,), (nested,), (inner,), (dying,) = (by_name[name] for name in ("forked", "nested", "inner", "dying"))
    assert (forked.parent, forked.metrics) == (top.id, {"loss": 2.0})
    assert (nested.parent, inner.parent) == (top.id, nested.id)
    assert (dying.parent, dying.status, dying.metrics) == (top.id, "killed", {"loss": 5.0})
    assert len(runs) == 9
    assert open_session().spool.sealed() == [], "all went with the parent"


@pytest.mark.slow
def test_logging_without_start_run_goes_to_the_run_around_from_every_process(session: Session) -> None:
    code = (
        "import subprocess, sys, ciplug\n"
        "worker = 'import sys, ciplug; ciplug.log_metric(sys.argv[1], 1)'\n"
        "for name in 'ab': subprocess.run([sys.executable, '-c', worker, name], check=True)\n"
        "ciplug.log_metric('c', 1)\n"
        "ciplug.end_run()\n"
        "with ciplug.start_run(): ciplug.log_metric('d', 1)\n"
    )
    command = [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True)
    runs = recorded().values()
    assert sorted((run.parent is None, sorted(run.metrics)) for run in runs) == [
        (False, ["d"]),
        (True, ["a", "b", "c"]),
    ]


@pytest.mark.slow
def test_a_child_keeps_the_files_that_it_wrote(session: Session) -> None:
    """Each trial writes over the model of the one before."""
    code = (
        "import ciplug, pathlib\n"
        "for number in range(3):\n"
        "    with ciplug.start_run(name=str(number)):\n"
        "        pathlib.Path('model.bin').write_bytes(b'model %d' % number)\n"
        "        ciplug.log_artifact('model.bin')\n"
        "        if number: pathlib.Path('model.bin').unlink\n"
    )
    command = [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = {run.name: run for run in recorded().values()}
    digests = {name: run.artifacts[0].digest for name, run in runs.items()}
    assert digests["1"] == f"sha256:{sha256(b'model 1').hexdigest()}"
    assert digests["2"] == f"sha256:{sha256(b'model 2').hexdigest()}"


@pytest.mark.slow
def test_without_ciplug_run_nested_runs_are_sent_with_their_parent(session: Session) -> None:
    code = (
        "import ciplug\nfrom datetime import datetime, timezone\n"
        "with ciplug.start_run(model='wine', start_time=datetime(2026, 1, 1, tzinfo=timezone.utc)) as top:\n"
        "    for number in range(3):\n"
        "        with ciplug.start_run(nested=True, seed=number, start_time=1_700_000_000_000):\n"
        "            ciplug.log_metric('loss', number)\n"
        "    ciplug.end_run(end_time=1_790_000_000_000)\n"
        "with ciplug.start_run(): pass\n"
        "try: ciplug.start_run(); ciplug.start_run()\n"
        "except ciplug.errors.UsageError as problem: print(problem.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "is active" in done.stdout, done.stderr
    runs = recorded().values()
    (top,) = (run for run in runs if run.model == "wine" and run.parent is None)
    children = [run for run in runs if run.parent == top.id]
    assert len(runs) == 6 and len(children) == 3
    assert (top.started, top.ended) == ("2026-01-01T00:00:00.000Z", "2026-09-21T14:13:20.000Z")
    assert {(run.model, run.provenance.seed, run.started) for run in children} == {
        ("wine", number, "2023-11-14T22:13:20.000Z") for number in range(3)
    }


@pytest.mark.slow
def test_a_fork_s_child_runs_are_in_its_bundle(session: Session, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_REPOSITORY": "team/wine",
        "GITHUB_SHA": session.head or "",
    }
    event = tmp_path / "event.json"
    head = {"sha": session.head, "ref": "x", "repo": {"full_name": "stranger/wine", "fork": True}}
    base = {"ref": "main", "sha": session.head, "repo": {"full_name": "team/wine"}}
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": head, "base": base}, "number": 7}))
    env["GITHUB_EVENT_PATH"] = str(event)
    code = "import ciplug\nwith ciplug.start_run(): pass\nfor n in range(3):\n    with ciplug.start_run(): pass\n"
    bundle = tmp_path / "bundle.ndjson"
    command = [sys.executable, "-m", "ciplug", "run", "--bundle", str(bundle), "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert len([key for key in read_bundle(bundle) if key.endswith(".json")]) == 4
    assert open_session().spool.sealed() == [] and recorded() == {}
