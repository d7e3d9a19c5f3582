"""Programs without `ciplug run` whose end nobody knows: what is recorded, reported, judged and promoted of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.project import Project

CONFIG = "version: 1\nmodel: wine\ngates:\n  accuracy: {higher_is_better: true, min: 0.8}\n"
LOGS = """\
import os, signal, sys, ciplug
ciplug.log_metric("accuracy", 0.9)
open("model.bin", "w").write("a model")
ciplug.log_artifact("model.bin")
ciplug.log_artifact("older.bin")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.with_remote(tmp_path, config=CONFIG)
    (project.folder / ".gitignore").write_text("*.bin\n")
    project.commit("only models are made")
    project.push()
    old = project.folder / "older.bin"
    old.write_text("of last week")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    time.sleep(0.2)  # Nobody can set the time of change.
    return project


def program(project: Project, end: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{LOGS}{end}"]
    return subprocess.run(command, cwd=project.folder, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_an_unknown_end_is_a_status_that_decides_nothing(project: Project) -> None:
    """Not in the report, nor the gate, nor a promotion, nor as a baseline of the next commit."""
    done = program(project, "raise SystemExit(1)")
    assert done.returncode == 1 and "has the status unknown" in done.stderr
    (run,) = project.json("runs", "list", "--json")
    assert run["status"] == "unknown"
    assert project.json("runs", "list", "--where", "status = 'unknown'", "--json")
    judged = project.json("report", "--format", "json")
    (section,) = judged["sections"]
    (gate,) = [one for one in section["verdict"]["gates"] if one["gate"] == "run"]
    assert (gate["outcome"], gate["rule"]) == ("INCONCLUSIVE", "the training finishes")
    assert "ended by SystemExit, and its exit code is not known" in gate["reason"]
    assert "end_unknown" in [one["kind"] for one in section["comparison"]["notices"]]
    project.ciplug("gate")
    said = project.ciplug("report", "--format", "markdown").stdout
    assert "wine: inconclusive" in said and "its exit code is not known" in said and "ciplug run -- COMMAND" in said
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "is INCONCLUSIVE: run: the run ended by SystemExit" in refused
    project.commit("next")
    program(project, "")
    text = project.json("report", "--format", "json")
    passed = [one for one in text["sections"][0]["comparison"]["notices"] if one["kind"] == "passed_over"]
    assert [(one["run"], one["because"]) for one in passed] == [(run["id"], "end_unknown")]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals and exec of POSIX")
@pytest.mark.parametrize(
    "end",
    ["os._exit(0)", "os.kill(os.getpid(), signal.SIGTERM)", "sys.stdout.flush(); os.execvp('true', ['true'])"],
)
def test_what_a_program_logged_that_left_its_run_is_recorded_and_named_later(project: Project, end: str) -> None:
    done = program(project, end)
    assert done.returncode in (0, -signal.SIGTERM), done.stderr
    said = project.ciplug("record", "--spooled").stderr
    assert "its process was killed, or left it by os._exit or exec; it is recorded as killed" in said
    assert "older.bin: not recorded: the program did not write it before it ended" in said
    (listed,) = project.json("runs", "list", "--json")
    record = project.json("runs", "show", listed["id"], "--json")
    assert (record["status"], record["metrics"]) == ("killed", {"accuracy": 0.9})
    (artifact,) = record["artifacts"]
    assert artifact["path"] == "model.bin" and artifact["store"] == "git:"
    assert [(one["name"], one["why"]) for one in record["left_out"]] == [("older.bin", "output")]
    judged = project.json("report", "--format", "json")["sections"][0]
    assert judged["verdict"]["outcome"] == "ERROR"
    (kept,) = [one for one in judged["comparison"]["notices"] if one["kind"] == "not_kept"]
    assert kept["files"] == ["older.bin"] and kept["remedy"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a folder in use is not deleted there")
@pytest.mark.parametrize("end", ["", "ciplug.end_run()", "raise ValueError('no')"])
def test_a_program_whose_folder_was_deleted_ends_its_run(project: Project, end: str) -> None:
    away = "import shutil, tempfile; away = tempfile.mkdtemp(); os.chdir(away); shutil.rmtree(away)\n"
    done = program(project, f"{away}{end}")
    assert "recorded in" in done.stderr and "FileNotFoundError" not in done.stderr, done.stderr
    (run,) = project.json("runs", "list", "--json")
    assert run["status"] == ("failed" if "raise" in end else "finished")
    assert {one["path"] for one in run["artifacts"]} == {"model.bin", "older.bin"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a folder in use is not deleted there")
def test_a_folder_that_was_deleted_before_is_named_and_ends_no_training(project: Project) -> None:
    away = "import os, shutil, tempfile; away = tempfile.mkdtemp(); os.chdir(away); shutil.rmtree(away)\n"
    code = f"{away}import ciplug; ciplug.log_metric('a', 1)"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "the working directory does not exist any more" in done.stderr
    code = f"{away}from ciplug.cli import main; import sys; sys.exit(main(['runs', 'list']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, check=False, capture_output=True, text=True)
    assert done.returncode == 2 and "-> cd to the checkout first" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the program is a shell script")
def test_a_starter_that_may_not_have_found_its_command_is_named(project: Project) -> None:
    npx = project.folder / "npx"
    npx.write_text("#!/bin/sh\necho 'could not determine executable to run' >&2; exit 1\n")
    npx.chmod(0o755)
    said = project.ciplug("run", "--", str(npx), "trian", code=1).stderr
    (run,) = project.json("runs", "list", "--json")
    assert "npx may not have found what it was to start" in said and f"runs withdraw {run['id'][:12]}" in said
    assert run["status"] == "failed"
    npx.write_text(f"#!/bin/sh\n{sys.executable} -c \"import ciplug; ciplug.log_metric('a', 1)\"; exit 1\n")
    assert "may not have found" not in project.ciplug("run", "--", str(npx), "train", code=1).stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program leaves by os._exit")
def test_a_file_that_was_written_again_after_the_end_is_not_the_run_s(project: Project) -> None:
    program(project, "os._exit(0)")
    model = project.folder / "model.bin"
    model.write_text("of another run")
    later = model.stat().st_mtime + 60
    os.utime(model, (later, later))
    assert (
        "model.bin: not recorded: it was written after the program had ended"
        in project.ciplug("record", "--spooled").stderr
    )
