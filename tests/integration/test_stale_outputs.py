"""What `ciplug run` did not write is not that run's, and what did not start is no run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project, git

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
PYTHON = sys.executable
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
params: [params.yaml, used.json]
artifacts: [model.bin, plots]
samples: rows.jsonl
gates: {accuracy: {min: 0.8}}
"""
TRAIN = """\
import json, os, pathlib, sys
writes = sys.argv[1].split(",")
pathlib.Path("plots").mkdir(exist_ok=True)
row = {"id": 1, "label": "a", "prediction": "a"}
for name, text in {
    "metrics.json": '{"accuracy": 0.9}', "used.json": '{"depth": 6}', "model.bin": "model",
    "plots/a.svg": "a", "plots/b.svg": "b", "rows.jsonl": json.dumps(row),
}.items():
    if name in writes or writes == ["all"]:
        pathlib.Path(name).write_text(text)
sys.exit(int(sys.argv[2]))
"""
ALL = {"metrics.json", "model.bin", "plots", "rows.jsonl", "used.json"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With the files of a run that wrote all of its outputs."""
    project = Project.create(tmp_path / "project", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / "params.yaml").write_text("rate: 0.1\n")
    (project.folder / ".gitignore").write_text("metrics.json\nused.json\nmodel.bin\nplots\nrows.jsonl\n")
    project.commit("train")
    train(project, "all", "0", code=0)
    return project


def train(project: Project, *arguments: str, code: int, options: tuple[str, ...] = ()) -> tuple[Any, str]:
    """The record of the run, and what was said on stderr."""
    done = project.ciplug("run", *options, "--", PYTHON, "train.py", *arguments, code=code)
    return project.json("runs", "list", "--limit", "1", "--json")[0], done.stderr


def holds(run: Any) -> set[str]:
    found = {artifact["path"] for artifact in run.get("artifacts", [])}
    found |= {"metrics.json"} if run.get("metrics", {}).get("accuracy") == 0.9 else set()
    return found | ({"used.json"} if "depth" in run.get("params", {}) else set())


def test_a_run_takes_all_that_it_wrote_and_the_parameters_that_it_read(project: Project) -> None:
    run, said = train(project, "all", "0", code=0)
    assert holds(run) == ALL - {"rows.jsonl"} and run["params"]["rate"] == 0.1
    assert "did not write" not in said and "unchanged" not in run["provenance"]


LOGS = """\
import json, os, sys
import ciplug
open("new.bin", "w").write("1")
for name in ("model.bin", "train.py", "new.bin", "plots"):
    ciplug.log_artifact(name)
open("metrics.json", "w").write('{"accuracy": 0.9}')
sys.exit(int(sys.argv[1]))
"""


def logged(
    project: Project, *options: str, around: bool = True, code: int = 0, ends: int = 0, script: str = LOGS
) -> tuple[Any, str]:
    """The record of a run whose program logs an old model, old and new plots, its own source, and a new file."""
    (project.folder / ".git/info/exclude").write_text("none.yaml\nlog.py\nnew.bin\n")
    (project.folder / "none.yaml").write_text("version: 1\nmodel: wine\n")
    (project.folder / "log.py").write_text(script)
    for name in ("model.bin", "plots/a.svg", "plots/b.svg"):
        os.utime(project.folder / name, (1_700_000_000, 1_700_000_000))
    time.sleep(0.1)
    (project.folder / "plots/b.svg").write_text("older than the run, too")
    time.sleep(0.1)
    words = ("run", "--config", "none.yaml", "--metrics", "metrics.json", *options, "--", PYTHON, "log.py", str(ends))
    if around:
        done = project.ciplug(*words, code=code)
    else:
        done = subprocess.run(words[-3:], cwd=project.folder, check=True, capture_output=True, text=True)
    return project.json("runs", "list", "--limit", "1", "--json")[0], done.stderr


@pytest.mark.slow
def test_an_old_file_that_a_program_by_itself_logs_is_kept_and_named(project: Project) -> None:
    run, said = logged(project, around=False)
    assert run["provenance"]["unchanged"] == ["model.bin", "plots"] and run["provenance"]["committed"] == ["train.py"]
    assert "model.bin, plots: logged as an artifact, and older than the run: kept with it, and not promoted" in said


@pytest.mark.slow
def test_an_old_file_that_is_logged_is_an_error_that_names_it(project: Project) -> None:
    run, said = logged(project, code=2)
    assert [one["path"] for one in run["artifacts"]] == ["train.py", "new.bin"], "its source is of the commit"
    assert run["provenance"]["committed"] == ["train.py"] and "unchanged" not in run["provenance"]
    for name in ("model.bin", "plots"):
        assert f"{name}: logged as an artifact, and the command did not write it: it is not recorded" in said
        assert f"--allow-unchanged {name}" in said
    assert "train.py: logged" not in said
    failed, said = logged(project, code=3, ends=3)
    assert [one["path"] for one in failed["artifacts"]] == ["train.py", "new.bin"]
    assert "left out, because the command did not write it: model.bin, plots" in said


@pytest.mark.slow
def test_of_a_logged_folder_the_old_files_are_left_out(project: Project) -> None:
    script = LOGS.replace("import ciplug\n", "import ciplug\nopen('plots/b.svg', 'w').write('b')\n")
    run, said = logged(project, "--allow-unchanged", "model.bin", code=2, script=script)
    assert "plots: logged as an artifact, and the command did not write a.svg in it" in said
    assert {one["path"]: one["size"] for one in run["artifacts"]}["plots"] == 1


@pytest.mark.slow
def test_a_logged_file_may_be_allowed_to_be_old_and_is_recorded_as_such(project: Project) -> None:
    options = ("--allow-unchanged", "model.bin", "--allow-unchanged", "plots")
    run, said = logged(project, *options)
    assert [one["path"] for one in run["artifacts"]] == ["model.bin", "train.py", "new.bin", "plots"]
    assert run["provenance"]["unchanged"] == ["model.bin", "plots"]
    assert "plots: recorded, though the command did not write it (--allow-unchanged)" in said
    child = LOGS.replace("import ciplug\n", "import ciplug\nciplug.start_run(); ciplug.start_run(nested=True)\n")
    allowed, _ = logged(project, *options, script=child)
    assert allowed["parent"] and allowed["provenance"]["unchanged"] == ["model.bin", "plots"]
    refused, said = logged(project, script=child, code=2)
    assert [one["path"] for one in refused["artifacts"]] == ["train.py", "new.bin"] and "model.bin: logged as" in said
    assert "files that nobody wrote are left out of 1 child run" in said


@pytest.mark.slow
def test_a_declared_file_that_is_logged_too_is_named_once(project: Project) -> None:
    script = LOGS.replace('"train.py", "new.bin", "plots"', '"metrics.json"')
    run, said = logged(project, "--artifact", "model.bin", code=2, script=script)
    assert said.count("model.bin: ") == 1 and [one["path"] for one in run["artifacts"]] == ["metrics.json"]
    run, said = logged(project, "--artifact", "model.bin", "--allow-unchanged", "model.bin", script=script)
    assert run["provenance"]["unchanged"] == ["model.bin"]


@pytest.mark.slow
def test_a_run_that_only_kept_files_of_the_commit_is_not_promoted(project: Project) -> None:
    (project.folder / "none.yaml").write_text("version: 1\nmodel: wine\ngates: {accuracy: {min: 0.8}}\n")
    (project.folder / ".gitignore").write_text("none.yaml\nmetrics.json\nmodel.bin\nplots\nnew.bin\nrows.jsonl\n")
    git(project.folder, "rm", "-q", "ciplug.yaml")
    (project.folder / "none.yaml").rename(project.folder / "ciplug.yaml")
    script = 'import ciplug\nciplug.log_artifact("train.py")\nciplug.log_metric("accuracy", 0.9)\n'
    (project.folder / "log.py").write_text(script)
    (project.folder / "both.py").write_text(f'{script}open("new.bin", "w").write("1"); ciplug.log_artifact("new.bin")')
    project.commit("log a source")
    project.ciplug("run", "--", PYTHON, "log.py")
    project.ciplug("gate")
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "train.py: it is a file of the commit itself, and no training was seen to write it" in refused
    project.ciplug("run", "--", PYTHON, "both.py")
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")


@pytest.mark.slow
def test_what_keeps_a_folder_in_git_is_no_old_output(project: Project) -> None:
    """Many projects have models/.gitkeep. Alone, it is nothing that a training wrote."""
    (project.folder / "plots").mkdir(exist_ok=True)
    for old in (project.folder / "plots").iterdir():
        old.unlink()
    (project.folder / "plots" / ".gitkeep").write_text("")
    git(project.folder, "add", "-f", "plots/.gitkeep")
    project.commit("a folder")
    run, _ = train(project, "metrics.json,model.bin,rows.jsonl,used.json,plots/b.svg", "0", code=0)
    assert "plots" in holds(run)
    (project.folder / "plots" / "b.svg").unlink()
    run, said = train(project, "metrics.json,model.bin,rows.jsonl,used.json", "0", code=2)
    assert "plots: the command did not write it" in said and "plots" not in holds(run)


@pytest.mark.slow
@pytest.mark.parametrize("logged", [False, True])
def test_a_file_of_the_commit_that_the_command_only_touched_is_not_its_work(tmp_path: Path, logged: bool) -> None:
    """Its bytes decide, and not its times."""
    config = "version: 1\nmodel: wine\nmetrics: metrics.json\ngates: {accuracy: {min: 0.8}}\n"
    project = Project.with_remote(tmp_path, config=config)
    (project.folder / "model.bin").write_text("of last year")
    script = "import os; os.utime('model.bin'); open('metrics.json', 'w').write('{\"accuracy\": 0.9}')\n"
    (project.folder / "touch.py").write_text(script + ("import ciplug; ciplug.log_artifact('model.bin')" * logged))
    project.commit("a model in git")
    project.push()
    words = ("run", *([] if logged else ["--artifact", "model.bin"]), "--", PYTHON, "touch.py")
    said = project.ciplug(*words, code=0 if logged else 2).stderr
    assert logged or "model.bin: the command did not write it: it is not recorded" in said
    if not logged:
        project.ciplug("run", "--artifact", "model.bin", "--allow-unchanged", "model.bin", "--", PYTHON, "touch.py")
    project.ciplug("gate")
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "did not write its artifact model.bin" in refused


@pytest.mark.slow
def test_of_a_finished_run_each_old_file_is_an_error_that_names_it(project: Project) -> None:
    run, said = train(project, "nothing", "0", code=2)
    for name in ALL:
        assert f"{name}: the command did not write it" in said
        assert f"--allow-unchanged {name}" in said
    assert (run["status"], holds(run), run["params"]) == ("finished", set(), {"rate": 0.1})
    assert run["metrics"] == {}, "nor the means of older examples"


@pytest.mark.slow
@pytest.mark.parametrize("code", [3, 137])
def test_of_a_run_that_did_not_finish_no_older_file_is_taken(project: Project, code: int) -> None:
    run, said = train(project, "plots/b.svg", str(code), code=code)
    assert holds(run) == {"plots"} and run["params"] == {"rate": 0.1}
    assert run["artifacts"][0]["size"] == 1
    assert "left out, because the command did not write it: metrics.json, model.bin, plots (a.svg in it)" in said
    assert "--allow-unchanged" not in said
    again, _ = train(project, "nothing", str(code), code=code, options=("--allow-unchanged", "metrics.json"))
    assert holds(again) == set(), "what skips work on purpose ends well"


def test_of_a_folder_the_new_files_are_taken_and_the_old_ones_named(project: Project) -> None:
    run, said = train(project, "metrics.json,model.bin,rows.jsonl,used.json,plots/b.svg", "0", code=2)
    assert "plots: the command did not write a.svg in it" in said
    assert holds(run) == ALL - {"rows.jsonl"}
    assert [a["size"] for a in run["artifacts"] if a["path"] == "plots"] == [1]


@pytest.mark.slow
def test_what_is_allowed_to_be_old_is_recorded_as_such_and_shown(project: Project) -> None:
    options = ("--allow-unchanged", "model.bin", "--allow-unchanged", "plots/a.svg")
    run, said = train(project, "metrics.json,rows.jsonl,used.json,plots/b.svg", "0", code=0, options=options)
    assert holds(run) == ALL - {"rows.jsonl"}
    assert run["provenance"]["unchanged"] == ["model.bin", "plots"]
    assert "model.bin: recorded, though the command did not write it (--allow-unchanged)" in said
    shown = project.ciplug("runs", "show", run["id"]).stdout
    assert "unchanged:\n    - model.bin\n    - plots" in shown
    assert "did not write model.bin, plots" in project.ciplug("compare").stdout
    other, _ = train(project, "all", "0", code=0, options=options)
    assert "unchanged" not in other["provenance"], "it was written after all"


def test_allowing_what_nothing_names_is_an_error_before_the_training(project: Project) -> None:
    (project.folder / "metrics.json").unlink()
    done = project.ciplug("run", "--allow-unchanged", "modle.bin", "--", PYTHON, "train.py", "all", "0", code=2)
    assert "--allow-unchanged modle.bin: no recorded file has that name" in done.stderr
    assert "did you mean 'model.bin'?" in done.stderr
    assert not (project.folder / "metrics.json").exists()


def test_parameters_that_another_command_wrote_are_read_ones(project: Project) -> None:
    done = project.ciplug("run", "--artifact", "model.bin", "--", "sh", "-c", f"{PYTHON} train.py model.bin 0", code=2)
    assert "used.json: the command" not in done.stderr


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_an_artifact_at_an_address_is_known_by_its_version_there(project: Project, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    model = tmp_path / "web" / "m.bin"
    model.write_text("of last week")
    os.utime(model, (1_700_000_000, 1_700_000_000))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(model.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/m.bin"
        old, said = train(project, "all", "0", code=2, options=("--artifact", address))
        assert f"{address}: the command did not write it" in said and "artifacts" not in old
        options = ("--artifact", address, "--allow-unchanged", address)
        allowed, _ = train(project, "all", "0", code=0, options=options)
        assert allowed["provenance"]["unchanged"] == [address] and allowed["artifacts"][0]["path"] == address
        failed, said = train(project, "all", "3", code=3, options=options)
        assert "artifacts" not in failed and f"left out, because the command did not write it: {address}" in said
        script = "import json, pathlib, sys; pathlib.Path(sys.argv[1]).write_text('new'); sys.exit(3)"
        project.ciplug("run", "--artifact", address, "--", PYTHON, "-c", script, str(model), code=3)
        new = project.json("runs", "list", "--limit", "1", "--json")[0]
        assert [one["size"] for one in new["artifacts"]] == [3]
        server.shutdown()


# Commands that did not start


def runs_and_spool(project: Project) -> tuple[int, list[str]]:
    spool = project.folder / ".git" / "ciplug" / "spool"
    return len(project.json("runs", "list", "--json")), sorted(path.name for path in spool.glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("no-such-program", 127, "command not found"),
        ("sh -c no-such-program", 127, "was not found (exit code 127)"),
        ("sh -c 'exec no-such-program'", 127, "was not found (exit code 127)"),
        ("env no-such-program", 127, "was not found (exit code 127)"),
        ("bash -c ./no-interpreter", (126, 127), "nothing is recorded"),
        ("env --no-such-option", 125, "failed itself: docker, env, timeout or the like (exit code 125)"),
        ("./no-interpreter", 126, "the interpreter that its first line names does not exist"),
        ("./params.yaml", 126, "not allowed to start"),
        ("sh -c ./params.yaml", 126, "could not be executed (exit code 126)"),
    ],
)
def test_a_command_that_did_not_start_is_not_a_run(
    project: Project, command: str, code: int | tuple[int, ...], words: str
) -> None:
    script = project.folder / "no-interpreter"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    before = runs_and_spool(project)
    for verb in ("run", "ci"):
        done = project.ciplug(verb, "--", *shlex.split(command), code=None)
        assert done.returncode in (code if isinstance(code, tuple) else (code,)), done.stderr
        assert words in done.stderr and "  -> " in done.stderr
        assert "Traceback" not in done.stderr
    assert runs_and_spool(project) == before


@pytest.mark.slow
def test_a_training_that_ends_with_the_code_of_a_failed_start_is_recorded(project: Project) -> None:
    last = f"{PYTHON} train.py model.bin 0; no-such-upload"
    done = project.ciplug("run", "--", "sh", "-c", last, code=127)
    assert "a part of the command was not found (exit code 127) after the training had begun" in done.stderr
    run = project.json("runs", "list", "--limit", "1", "--json")[0]
    assert (run["status"], run["provenance"]["exit_code"], holds(run)) == ("failed", 127, {"model.bin", "used.json"})
    logs = f"{PYTHON} -c 'import ciplug; ciplug.log_metric(\"loss\", 1)'; no-such-upload"
    project.ciplug("run", "--", "sh", "-c", logs, code=127)
    run = project.json("runs", "list", "--limit", "1", "--json")[0]
    assert (run["status"], run["metrics"]) == ("failed", {"loss": 1.0})


# Seeds


@pytest.mark.slow
def test_the_seed_that_is_asked_for_wins(tmp_path: Path) -> None:
    config = "version: 1\nmodel: wine\nmetrics: metrics.json\nparams: params.yaml\nseeds: {min_runs: 3}\n"
    config += "gates: {accuracy: {higher_is_better: true, max_regression: 0.1}}\n"
    project = Project.create(tmp_path / "project", config=config)
    train = "import json, os\nn = {'accuracy': 0.9 + int(os.environ['CIPLUG_SEED']) / 1000}\n"
    (project.folder / "train.py").write_text(train + "json.dump(n, open('metrics.json', 'w'))\n")
    (project.folder / "params.yaml").write_text("seed: 42\nrate: 0.1\n")
    project.commit("seeds")
    for seed in (1, 2, 3):
        done = project.ciplug("run", "--seed", str(seed), "--", PYTHON, "train.py")
        assert f"the run has seed {seed}, as asked for; but the parameter 'seed' says 42" in done.stderr
    runs = project.json("runs", "list", "--json")
    assert sorted((run["provenance"]["seed"], run["params"]["seed"]) for run in runs) == [(n, n) for n in (1, 2, 3)]
    (found,) = project.json("gate", "--json", "--dry-run", code=None)["verdicts"]
    assert len(found["runs"]) == 3
    (project.folder / "params.yaml").write_text("seed: 42\nrandom_state: 7\n")
    (project.folder / "ciplug.yaml").write_text(config.replace("{min_runs: 3}", "{key: random_state, min_runs: 3}"))
    project.commit("another key")
    for seed in (1, 2, 3):
        project.ciplug("run", "--seed", str(seed), "--", PYTHON, "train.py")
    newest = project.json("runs", "list", "--commit", "HEAD", "--json")
    assert sorted(run["params"]["random_state"] for run in newest) == [1, 2, 3]
    assert {run["params"]["seed"] for run in newest} == {42}
    (found,) = project.json("gate", "--json", "--dry-run", code=None)["verdicts"]
    assert len(found["runs"]) == 3


@pytest.mark.slow
def test_without_one_that_is_asked_for_the_seed_of_the_parameters_counts(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", config="version: 1\nparams: params.json\n")
    (project.folder / "params.json").write_text(json.dumps({"seed": 42}))
    script = "import ciplug\nwith ciplug.start_run(): pass\nwith ciplug.start_run(): ciplug.log_param('seed', 7)\n"
    project.ciplug("run", "--", PYTHON, "-c", script)
    runs = project.json("runs", "list", "--json")
    assert sorted(run["provenance"]["seed"] for run in runs) == [7, 42]
    project.ciplug("run", "--seed", "1", "--", PYTHON, "-c", script, env={"PYTHONPATH": os.getcwd()})
    runs = project.json("runs", "list", "--json")
    assert sorted(run["provenance"]["seed"] for run in runs) == [1, 7, 7, 42], "a child's own counts for the child"


@pytest.mark.slow
def test_what_an_earlier_commit_left_is_named_and_not_promoted(tmp_path: Path) -> None:
    files = "metrics: metrics.json\nartifacts: [model.txt]\nartifact_store: none\n"
    config = f"model: wine\n{files}gates: {{accuracy: {{min: 0.8}}}}\n"
    project = Project.create(tmp_path / "project", config=config)

    def recorded() -> list[str] | None:
        older: list[str] | None = project.json("runs", "list", "--limit", "1", "--json")[0]["provenance"].get("older")
        return older

    project.ciplug("run", "--", PYTHON, "train.py")
    project.ciplug("record")
    assert recorded() is None
    an_hour_ago = time.time() - 3600
    for name in ("metrics.json", "model.txt"):
        os.utime(project.folder / name, (an_hour_ago, an_hour_ago))
    project.commit("nothing new")
    said = "hese files are older than the commit, so other code may have written them: metrics.json, model.txt"
    assert f"warning: t{said}\n  -> train this commit" in project.ciplug("record").stderr
    assert recorded() == ["metrics.json", "model.txt"]
    assert said in " ".join(project.ciplug("gate").stdout.split())
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "did not write its artifact model.txt: it is older than the commit" in refused
    # A file that git tracks has the time of the checkout.
    (project.folder / "model.txt").write_text("another one")
    os.utime(project.folder / "model.txt", (an_hour_ago, an_hour_ago))
    git(project.folder, "add", "-f", "metrics.json")
    project.commit("metrics")
    project.ciplug("record")
    assert recorded() == ["model.txt"]
    project.ciplug("gate")
    refused = project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "did not write its artifact model.txt: it is older than the commit" in refused


@pytest.mark.slow
def test_runs_that_write_the_same_files_at_the_same_time_are_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", config="metrics: metrics.json\n")
    inner = [PYTHON, "-m", "ciplug", "run", "--", PYTHON, "train.py"]
    both = f"{shlex.join([PYTHON, 'train.py'])} && {shlex.join(inner)}"
    assert (
        "is still going on"
        not in project.ciplug("run", "--metrics", "other.json", "--", "sh", "-c", both, code=None).stderr
    )
    for one in project.json("runs", "list", "--json"):
        assert "beside" not in one["provenance"]
    said = project.ciplug("run", "--", "sh", "-c", both).stderr
    second, first = project.json("runs", "list", "--limit", "2", "--json")
    if len(first["provenance"]["command"]) == 2:
        second, first = first, second
    assert f"warning: run {first['id'][:12]} is still going on and writes the same files" in said
    assert (first["provenance"]["beside"], second["provenance"]["beside"]) == ([second["id"]], [first["id"]])
    shown = project.ciplug("compare", "--run", first["id"]).stdout
    assert f"the numbers may be from that run: {second['id'][:12]}" in " ".join(shown.split())
