"""The Python API in programs of their own: real processes, a real remote."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ciplug.steps.session import Session, open_session
from tests.project import git

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", tmp_path / "remote.git", "work")
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "work", "push", "-q", "origin", "HEAD:main")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def script(code: str, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done.stderr


def recorded(session: Session) -> list[Any]:
    runs = session.runs()
    return runs.load(runs.recorded())


@pytest.mark.parametrize("store", ["git:", "folder"])
def test_the_example_of_the_readme_ends_at_exit_and_keeps_its_artifact(folder: Path, store: str) -> None:
    """No thread can be started while the interpreter ends, which is when this run is sent."""
    (example,) = re.findall(r"```python\n(import ciplug\n.*?)```", README.read_text(encoding="utf-8"), re.S)
    (folder / "model.joblib").write_bytes(b"a model")
    if store == "folder":
        (folder / "ciplug.yaml").write_text(f"version: 1\nstore: {(folder.parent / 'store').as_uri()}\n")
    said = script(f"train = lambda: [0.5, 0.25]\n{example}")
    assert "recorded in" in said, said
    session = open_session()
    (run,) = recorded(session)
    assert (run.status, run.metrics, run.params) == ("finished", {"loss": 0.25}, {"depth": 6})
    (artifact,) = run.artifacts
    assert artifact.path == "model.joblib" and artifact.store is not None
    assert session.files is not None
    (folder / "back").mkdir()
    session.files_at(artifact.store).get([artifact.digest], folder / "back", lambda count: None, 10)
    assert session.spool.sealed() == [] and session.spool.abandoned() == []


LATE = """\
import atexit, threading, time, ciplug
atexit.register(lambda: ciplug.log_metric("at_exit", 1.0))
ciplug.log_metric("accuracy", 0.9)
def log_on():
    while True: ciplug.log_metric("late", 1.0); time.sleep(0.001)
threading.Thread(target=log_on, daemon=True, name="beat").start()
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", "finished"),
        ("sys.exit()", "finished"),
        pytest.param("sys.exit(0)", "finished", marks=pytest.mark.slow),
        pytest.param("exit(False)", "finished", marks=pytest.mark.slow),
        ("sys.exit(1)", "failed"),
        pytest.param("sys.exit('no data')", "failed", marks=pytest.mark.slow),
        pytest.param("quit(2)", "failed", marks=pytest.mark.slow),
        # What whoever started the program sees of it.
        ("sys.exit(256)", "finished"),
        pytest.param("sys.exit(0.0)", "failed", marks=pytest.mark.slow),
        ("sys.exit('')", "failed"),
        pytest.param(
            "import argparse; argparse.ArgumentParser().parse_args(['--no-such-option'])",
            "failed",
            marks=pytest.mark.slow,
        ),
        ("raise ValueError('no')", "failed"),
        ("raise KeyboardInterrupt", "killed"),
        pytest.param("threading.Thread(target=sys.exit, args=(1,)).start()", "finished", marks=pytest.mark.slow),
        ("try: sys.exit(1)\nexcept SystemExit: pass", "finished"),
        ("try: sys.exit(1)\nexcept SystemExit: ciplug.log_metric('b', 2)", "finished"),
        pytest.param("import atexit; atexit._run_exitfuncs()", "finished", marks=pytest.mark.slow),
        ("try: sys.exit(1)\nfinally: ciplug.active_run()", "failed"),
        # What an earlier cell, or a debugger, has left; and an interactive session, in which no error is an end.
        ("sys.ps1 = '> '; sys.last_value = ValueError()", "finished"),
    ],
)
def test_a_program_that_ends_without_with_is_recorded_as_it_ended(folder: Path, end: str, status: str) -> None:
    code = f"import sys, threading\nsys.last_value = KeyError()\nimport ciplug\nciplug.log_metric('a', 1)\n{end}\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, capture_output=True, text=True)
    (run,) = recorded(open_session(cwd=folder))
    assert run.status == status and "SystemExit, whose code" not in done.stderr
    assert (done.returncode == 0) == (status == "finished")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["raise SystemExit(1)", "raise SystemExit", "leave(1)"])
@pytest.mark.parametrize("around", [False, True])
def test_a_code_that_is_not_known_is_said_to_be_so(folder: Path, end: str, around: bool) -> None:
    code = f"from sys import exit as leave\nimport ciplug\nciplug.log_metric('a', 1)\n{end}\n"
    words = [sys.executable, "-m", "ciplug", "run", "--"] if around else []
    command = [*words, sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    (run,) = recorded(open_session(cwd=folder))
    assert run.status == ("failed" if done.returncode else "finished") if around else run.status == "unknown"
    warned = f"ended by SystemExit, whose code is not known: run {run.id[:12]} has the status unknown\n  -> start"
    assert (warned in done.stderr) is not around


@pytest.mark.slow
def test_under_ciplug_run_the_exit_code_of_the_command_decides(folder: Path) -> None:
    """The program itself ends well."""
    program = [sys.executable, "-c", "import ciplug; ciplug.log_metric('a', 1); raise SystemExit(0)"]
    around = [sys.executable, "-m", "ciplug", "run", "--", "sh", "-c", f"{shlex.join(program)}; exit 3"]
    assert subprocess.run(around, cwd=folder, check=False).returncode == 3
    (run,) = recorded(open_session(cwd=folder))
    assert (run.status, run.metrics) == ("failed", {"a": 1.0})


def test_a_thread_that_logs_while_the_program_ends_starts_no_run(folder: Path) -> None:
    said = script(LATE)
    (run,) = recorded(open_session())
    assert (run.status, run.metrics["accuracy"]) == ("finished", 0.9) and "at_exit" not in run.metrics
    assert said.count("beat logged after the program had ended its run") == 1, said
    assert said.count("a function called at exit logged after") == 1, said


# What a program gets wrong


MISTAKES = """\
import sys, ciplug
from ciplug.errors import UsageError
with ciplug.start_run(model="wine") as run:
    ciplug.log_metrics({"a\\nb": 1, "": 2, " loss ": 3, "ok": 4, "x" * 10_000: 5})
    ciplug.log_metric("a\\nb", 5)
    for wrong in (
        lambda: ciplug.log_metric("ok", 1, timestamp=1_790_000_000),
        lambda: ciplug.end_run(end_time=1_790_000_000),
        lambda: ciplug.start_run(run_id=run.id, nested=True, model="beer"),
        lambda: ciplug.start_run(run_id="0" * 32, nested=True),
    ):
        try: wrong()
        except UsageError as problem: print(problem, file=sys.stderr)
    assert ciplug.active_run() is run
    ciplug.log_metric("ok", 5, step=1)
ciplug.start_run(model="a/b")
"""


def test_mistakes_are_named_with_what_to_do_and_the_training_goes_on(folder: Path) -> None:
    said = script(MISTAKES, expect=1)
    assert said.count("the name 'a\\nb' cannot be used for a metric: not recorded") == 1
    assert "the name '' cannot be used for a metric" in said
    assert f"the name '{'x' * 80}…' (10,000 characters) cannot be used" in said and "x" * 81 not in said
    assert "the name ' loss ' begins or ends with a space, and is kept unchanged" in said
    assert said.count("the timestamp 1790000000 is in seconds: milliseconds are expected") == 2
    assert "is of the model 'wine', and cannot become one of 'beer'\n  -> leave 'model' out" in said
    assert f"neither open on this machine ({open_session().spool.folder})" in said
    # The traceback of the last one has its hint.
    assert "'a/b' cannot be the name of a model\n  -> up to 120 characters" in said
    (run,) = recorded(open_session())
    assert run.metrics == {" loss ": 3.0, "ok": 5.0}


GIVEN = """\
import ciplug
with ciplug.start_run(tags={"a": 1}) as run:
    ciplug.log_text("so it went", "notes/why.txt")
    ciplug.log_table({"x": [1, 2]}, "table.json")
    ciplug.log_metrics({"accuracy": "high", "f1": True})
    ciplug.set_tags({"b": 2, "c": 3})
"""


def test_files_that_the_training_gives_to_its_run_are_artifacts(folder: Path) -> None:
    said = script(GIVEN)
    assert "1 name is left out: 'accuracy' (the text 'high')" in said
    session = open_session()
    (run,) = recorded(session)
    assert run.tags == {"a": "1", "b": "2", "c": "3"}
    assert run.metrics["f1"] == 1.0 and run.metrics["accuracy"] != run.metrics["accuracy"]
    assert [(one.name, one.why) for one in run.left_out] == [("accuracy", "text")]
    files = {one.path: one for one in run.artifacts}
    assert files.keys() == {"notes/why.txt", "table.json"}
    (folder / "back").mkdir()
    why = files["notes/why.txt"]
    session.files_at(str(why.store)).get([why.digest], folder / "back", lambda count: None, 100)
    assert (folder / "back" / why.digest.removeprefix("sha256:")).read_text() == "so it went"


WORKERS = """\
import multiprocessing, sys
import ciplug

def work(number):
    ciplug.log_metric(f"of the parent {number}", number)
    ciplug.end_run()
    with ciplug.start_run(nested=True, name=f"worker {number}") as run:
        ciplug.log_metric("loss", number)
    return run.parent_id

def pool(kind):
    if kind == "joblib":
        import joblib
        return joblib.Parallel(n_jobs=2)(joblib.delayed(work)(n) for n in range(2))
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        return workers.map(work, range(2))

if __name__ == "__main__":
    with ciplug.start_run(name="first"):
        with ciplug.start_run(nested=True, name="inner") as inner:
            assert pool(sys.argv[1]) == [inner.id] * 2
    # The workers of joblib are still those of the first run.
    with ciplug.start_run(name="second") as second:
        assert pool(sys.argv[1]) == [second.id] * 2
    try:
        pool(sys.argv[1])
    except Exception as problem:
        print(problem, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spawn", pytest.param("joblib", marks=pytest.mark.slow)])
def test_workers_find_the_run_of_the_process_that_started_them(folder: Path, kind: str) -> None:
    if kind == "joblib":
        pytest.importorskip("joblib")
    (folder / "sweep.py").write_text(WORKERS)
    done = subprocess.run([sys.executable, "sweep.py", kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "which started this worker, has no open run\n  -> start the parent run first" in done.stderr
    runs = {run.id: run for run in recorded(open_session())}
    names = {run.name: run for run in runs.values() if not (run.name or "").startswith("worker")}
    workers = [run for run in runs.values() if (run.name or "").startswith("worker")]
    assert {"first", "inner", "second"} <= names.keys()
    assert sorted(str(runs[run.parent or ""].name) for run in workers) == ["inner"] * 2 + ["second"] * 2
    assert names["second"].metrics == {"of the parent 0": 0.0, "of the parent 1": 1.0}


@pytest.mark.slow
def test_a_model_that_is_asked_for_is_not_changed_by_the_training(folder: Path) -> None:
    (folder / "ciplug.yaml").write_text("version: 1\nmodel: wine\n")
    training = [sys.executable, "-c", "import ciplug; ciplug.start_run(model='beer', name='mine')"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ciplug", "run", *options, "--", *training]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    from_file = run("--name", "theirs")
    assert "the run is of the model 'beer', as the training says, not of 'wine'" in from_file.stderr
    assert "keeps its name 'theirs'; 'mine' is ignored" in from_file.stderr
    asked = run("--model", "wine")
    assert asked.returncode == 1 and "is of the model 'wine', and cannot become one of 'beer'" in asked.stderr
    assert {(one.model, one.name, one.status) for one in recorded(open_session())} == {
        ("beer", "theirs", "finished"),
        ("wine", None, "failed"),
    }
