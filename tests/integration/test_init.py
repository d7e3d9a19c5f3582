"""`ciplug init` in real repositories: with nobody to ask, on a terminal, and in folders that it does not fit."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ciplug import cli, config
from tests.project import git
from tests.terminal import END, INTERRUPT, Terminal

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """\
import json
json.dump({"accuracy": 0.9, "train_loss": 0.1}, open("metrics.json", "w"))
"""
GITHUB = "https://github.com/acme/wine.git"
WORKFLOW = ".github/workflows/train.yml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a repository with these files, and goes there."""
    # `python` in commands is this Python.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def make(files: dict[str, str] | None = None, *, remote: str | None = GITHUB) -> Path:
        folder = tmp_path / "wine"
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        if remote:
            git(folder, "remote", "add", "origin", remote)
        for name, text in (files if files is not None else {"train.py": TRAIN}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        monkeypatch.chdir(folder)
        return folder

    return make


def files(written: config.Config) -> list[str]:
    """The files of metrics that a ciplug.yaml names."""
    return [one.file for one in written.metrics.files]


def tree(folder: Path) -> dict[str, str]:
    """All files and what they hold, and the empty folders; git's own are left out."""
    files = [p for p in sorted(folder.rglob("*")) if ".git" not in p.relative_to(folder).parts]
    return {p.relative_to(folder).as_posix(): p.read_text() if p.is_file() else "" for p in files}


def test_nobody_is_asked_and_what_is_assumed_is_said(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project({"train.py": TRAIN, "train_old.py": "", "metrics.json": '{"accuracy": 0.9, "rows": 5}'})
    assert cli.main(["init"]) == 0
    out, err = capfd.readouterr()
    assert "training: python train.py (by train.py)" in err
    assert "CI: github (by the remote)" in err
    assert "model: wine" in err
    assert "gates: accuracy (from metrics.json)" in err
    assert out.startswith(f"wrote {WORKFLOW}\nwrote ciplug.yaml\n")
    assert "1. in .github/workflows/train.yml, replace your-org/ciplug@000… with your organisation's copy" in out
    assert out.endswith("  git push -u origin HEAD\n  ciplug doctor\n")
    written = config.load(folder / "ciplug.yaml")
    assert (written.model, files(written)) == ("wine", ["metrics.json"])
    assert list(written.policy.gates) == ["accuracy"]
    assert yaml.safe_load((folder / WORKFLOW).read_text())["name"] == "train"
    assert cli.main(["policy", "check"]) == 0


def test_what_jenkins_archives_is_a_store_that_is_written_down(project: Callable[..., Path]) -> None:
    folder = project({"train.py": TRAIN, "metrics.json": '{"accuracy": 0.9}'})
    assert cli.main(["init", "--yes", "--ci", "jenkins", "--store", "jenkins:"]) == 0
    assert config.load(folder / "ciplug.yaml").store == "jenkins:"


def test_a_training_that_is_run_is_recorded_nowhere(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"{TRAIN}import ciplug, os\nciplug.log_metric('rmse', 3.0)\nassert 'CIPLUG_PUSH_TOKEN' not in os.environ\n"
    folder = project({"train.py": script, "old_metrics.json": '{"f1": 0.5}'}, remote="../absent.git")
    monkeypatch.setenv("CIPLUG_PUSH_TOKEN", "secret")
    before = tree(folder)
    assert cli.main(["init", "--yes", "--run", "--ci", "none", "--model", "red", "--store", "file:///runs"]) == 0
    written = config.load(folder / "ciplug.yaml")
    assert (written.model, written.store, files(written)) == ("red", "file:///runs", ["metrics.json"])
    assert list(written.policy.gates) == ["accuracy", "rmse"]
    assert set(tree(folder)) - set(before) == {"metrics.json", "ciplug.yaml"}
    assert git(folder, "for-each-ref") == ""
    assert not list((folder / ".git").glob("ciplug/spool/*"))
    assert "of commit" not in capfd.readouterr().err


def test_numbers_that_the_run_did_not_write_are_called_so(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project({"train.py": "", "metrics.json": '{"f1": 0.5}'})
    assert cli.main(["init", "--yes", "--run"]) == 0
    assert "the run did not write metrics.json" in capfd.readouterr().err
    assert "Proposed from metrics.json of an earlier run." in (folder / "ciplug.yaml").read_text()


def test_a_training_that_fails_ends_it_and_nothing_is_written(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project({"train.py": "raise SystemExit(7)\n"})
    before = tree(folder)
    assert cli.main(["init", "--yes", "--run"]) == 7
    assert "the training ended with 7, and nothing was written" in capfd.readouterr().err
    assert cli.main(["init", "--run", "--command", "absent-program"]) == 127
    assert cli.main(["init", "--run", "--command", "python 'x"]) == 2
    assert tree(folder) == before


def test_without_numbers_there_is_no_gate_and_it_says_how_to_get_one(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project({"train.py": "import mlflow\nimport sklearn\nmlflow.log_metric('a', 1)\n"})
    assert cli.main(["init", "--yes"]) == 0
    out, err = capfd.readouterr()
    assert "the training is not run: --run runs it" in err
    assert "write the training's metrics to" not in out  # What it logs with MLflow is read.
    assert "propose gates from its numbers: ciplug init --yes --run --force --ci none; or write them by hand" in out
    assert "write requirements.txt, which the pipeline installs: mlflow, scikit-learn" in out
    assert not config.load(folder / "ciplug.yaml").policy.gates


def test_dvc_and_a_file_that_cannot_be_recorded(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    stages = "stages: {train: {cmd: python train.py, metrics: [metrics.json], params: [lr]}}\n"
    files = {"dvc.yaml": stages, "train.py": "import sklearn", "requirements.txt": "scikit-learn\n"}
    project({**files, "params.yaml": "lr: 1\n", "metrics.json": '{"auc": 0.8, "auc": 0.9}'})
    assert cli.main(["init", "--yes"]) == 0
    out, err = capfd.readouterr()
    assert "training: dvc repro (by the stages of dvc.yaml)" in err
    assert (
        "fix what cannot be recorded: metrics.json: holds no number: 1 name is left out: 'auc' (several values)" in out
    )
    assert "`dvc pull` before the training" in out
    assert "add dvc to what `pip install -r requirements.txt` installs" in out


def test_what_is_there_is_never_overwritten(project: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    folder = project({"train.py": TRAIN, "ciplug.yaml": "version: 1\n", "metrics.json": '{"f1": 0.5}'})
    before = tree(folder)
    assert cli.main(["init", "--yes", "--ci", "none"]) == 2
    assert "ciplug.yaml already exists" in capfd.readouterr().err
    assert tree(folder) == before
    # What is missing is written all the same.
    assert cli.main(["init", "--yes"]) == 0
    assert "kept ciplug.yaml unchanged" in capfd.readouterr().out
    assert tree(folder).keys() - before.keys() == {".github", ".github/workflows", WORKFLOW}
    assert cli.main(["init", "--yes"]) == 2
    assert cli.main(["init", "--force"]) == 0
    written = tree(folder)
    assert "gates:" in written["ciplug.yaml"]
    (folder / "ciplug.yaml").unlink()
    # A workflow that is as it would be written is nobody's loss.
    assert cli.main(["init", "--yes"]) == 0
    assert tree(folder) == written
    (folder / "ciplug.yaml").unlink()
    (folder / WORKFLOW).write_text("name: mine\n")
    capfd.readouterr()
    assert cli.main(["init", "--yes"]) == 0
    out = capfd.readouterr().out
    assert f"wrote ciplug.yaml\nkept {WORKFLOW} unchanged" in out
    assert f"1. call ciplug in {WORKFLOW}" in out and "your-org" not in out
    assert (folder / WORKFLOW).read_text() == "name: mine\n"


def test_the_line_that_it_prints_undoes_nothing(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Gates are proposed later, once there are numbers; by then the pipeline has been edited."""
    folder = project({"fit.py": TRAIN, "requirements.txt": ""})
    given = ["--command", "python fit.py", "--model", "red", "--store", "file:///runs"]
    assert cli.main(["init", "--yes", *given]) == 0
    out = capfd.readouterr().out
    line = re.search(r"propose gates from its numbers: (ciplug .*);", out)
    assert line and "git add .github/workflows/train.yml ciplug.yaml fit.py requirements.txt .gitignore" in out
    edited = (folder / WORKFLOW).read_text().replace("your-org/ciplug@" + "0" * 40, "acme/ciplug@v1")
    (folder / WORKFLOW).write_text(edited)
    assert cli.main(shlex.split(line[1])[1:]) == 0
    assert (folder / WORKFLOW).read_text() == edited
    written = config.load(folder / "ciplug.yaml")
    assert (written.model, written.store, list(written.policy.gates)) == ("red", "file:///runs", ["accuracy"])
    # A later call, which keeps the workflow, still says that it is to be committed.
    (folder / "ciplug.yaml").unlink()
    capfd.readouterr()
    assert cli.main(["init", "--yes", *given]) == 0
    out = capfd.readouterr().out
    assert "git add .github/workflows/train.yml ciplug.yaml fit.py requirements.txt .gitignore" in out
    assert "To do first" not in out


def test_what_is_added_to_git(project: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    """The project, without an environment that git does not ignore."""
    files = dict.fromkeys(["lib/a.py", "my env/pyvenv.cfg", "my env/lib/b.py", "venv/c.py", "params.yaml"], "")
    project({**files, "train.py": TRAIN, "requirements-train.txt": "", ".gitignore": "data/"})
    assert cli.main(["init", "--yes", "--ci", "none"]) == 0
    out = capfd.readouterr().out
    assert "  git add .gitignore ciplug.yaml" not in out
    assert "  git add ciplug.yaml lib/a.py params.yaml requirements-train.txt train.py .gitignore\n" in out
    assert "  printf '\\nciplug-report/\\n' >> .gitignore\n" in out


def test_a_model_that_the_training_takes_away_ends_nothing(project: Callable[..., Path]) -> None:
    folder = project({"train.py": f"{TRAIN}import os\nos.remove('checkpoint.pt')\n", "checkpoint.pt": "1"})
    assert cli.main(["init", "--yes", "--run", "--ci", "none"]) == 0
    assert config.load(folder / "ciplug.yaml").artifacts == ()


def test_the_top_has_a_model_of_its_own(project: Callable[..., Path]) -> None:
    folder = project({"train.py": TRAIN, "wine/ciplug.yaml": "version: 1\nmodel: wine\n"})
    assert cli.main(["init", "--yes", "--ci", "none"]) == 0
    assert config.load(folder / "ciplug.yaml").model == "wine-top"


def test_the_model_that_the_training_writes_is_an_artifact(project: Callable[..., Path]) -> None:
    script = f"{TRAIN}open('out.joblib', 'wb').write(b'1')\nopen('base.pt', 'rb')\n"
    folder = project({"train.py": script, "base.pt": "0"})
    assert cli.main(["init", "--yes", "--ci", "none"]) == 0
    assert re.search(r"^# artifacts: .*\bout.joblib\b", (folder / "ciplug.yaml").read_text(), re.MULTILINE)
    assert cli.main(["init", "--yes", "--run", "--force", "--ci", "none"]) == 0
    assert config.load(folder / "ciplug.yaml").artifacts == ("out.joblib",)
    (folder / "train.py").write_text(script.replace("b'1'", "bytes(10_000_001)"))
    assert cli.main(["init", "--yes", "--run", "--force", "--ci", "none"]) == 0
    assert config.load(folder / "ciplug.yaml").artifacts == ()
    assert "# Not used: out.joblib: too large for git" in (folder / "ciplug.yaml").read_text()


def test_jenkins_comments_on_the_forge_of_the_remote(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project({"train.py": ""}, remote="https://gitlab.com/acme/wine")
    assert cli.main(["init", "--yes", "--ci", "jenkins"]) == 0
    assert "variable: 'CIPLUG_GITLAB_TOKEN'" in (folder / "Jenkinsfile").read_text()
    assert "add a gate before the first build: without one, the stage Gate fails" in capfd.readouterr().out


def test_a_pipeline_of_the_project_is_left_alone(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project({"train.py": TRAIN, ".gitlab-ci.yml": "test: {script: [make]}\n"}, remote=None)
    assert cli.main(["init", "--yes"]) == 0
    out, err = capfd.readouterr()
    assert "CI: gitlab (by .gitlab-ci.yml)" in err
    assert (folder / ".gitlab-ci.yml").read_text() == "test: {script: [make]}\n"
    assert (folder / ".gitlab/ciplug.yml").is_file()
    lines = out.partition("existing `include:`:\n\n")[2].partition("\n\n")[0]
    (include,) = yaml.safe_load(lines)["include"]
    assert include["inputs"]["command"] == ["python train.py"]
    assert "CIPLUG_GITLAB_TOKEN" in out
    assert "git remote add origin URL" in out


@pytest.mark.parametrize(
    ("remote", "file", "host"),
    [
        ("git@github.com:acme/wine.git", None, "github"),
        ("https://gitlab.acme.org/wine", None, "gitlab"),
        ("https://codeberg.org/acme/wine", ".github/workflows/a.yml", "gitea"),
        ("git@bitbucket.org:acme/wine.git", None, "bitbucket"),
        ("https://acme@dev.azure.com/acme/p/_git/wine", None, "azure"),
        ("git@ssh.dev.azure.com:v3/acme/p/wine", None, "azure"),
        (GITHUB, "Jenkinsfile", "jenkins"),
        ("https://gitlab.com/a/wine", ".github/workflows/a.yml", "github"),
        ("https://git.acme.org/a/wine", ".forgejo/workflows/a.yml", "gitea"),
        ("https://git.acme.org/a/wine", None, None),
        (None, None, None),
    ],
)
def test_whose_pipeline(
    remote: str | None,
    file: str | None,
    host: str | None,
    project: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = project({"train.py": TRAIN, **({file: "x"} if file else {})}, remote=remote)
    assert cli.main(["init"]) == 0
    assert f"ciplug: CI: {host or 'none'} " in capfd.readouterr().err
    assert config.load(folder / "ciplug.yaml").model == "wine"
    assert (len(tree(folder)) > 2 + bool(file)) == bool(host)


def test_the_branch_is_that_of_the_repository(project: Callable[..., Path]) -> None:
    folder = project()
    git(folder, "checkout", "-q", "-b", "master")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "checkout", "-q", "-b", "topic")
    assert cli.main(["init", "--source", "acme/ciplug@v1"]) == 0
    workflow = yaml.safe_load((folder / WORKFLOW).read_text())
    assert workflow[True]["push"]["branches"] == ["master"]


def test_files_of_all_kinds_are_found(project: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    folder = project(
        {
            "src/train.py": TRAIN,
            ".gitignore": "out/\n.venv/\n",
            "out/all_results.json": '{"eval_accuracy": 0.8, "epoch": 3}',
            "out/eval_results.json": '{"eval_accuracy": 0.7}',
            "out/2026-11-01/metrics.json": '{"eval_accuracy": 0.1}',
            "out/checkpoint-10/metrics.json": '{"eval_accuracy": 0.2}',
            ".venv/lib/metrics.json": '{"eval_accuracy": 0.3}',
            "dvclive/metrics.json": '{"val_f1": 0.6, "step": 3}',
            "metrics.csv": "step,flat_auc\n0,0.5\n1,0.5\n2,0.5\n",
            "other_metrics.json": '{"model": "forest"}',
            "params.yaml": "depth: 3\n",
            "hparams.yaml": "depth: 4\n",
        }
    )
    assert cli.main(["init"]) == 0
    written = config.load(folder / "ciplug.yaml")
    assert files(written) == ["metrics.csv", "dvclive", "out/all_results.json"]
    assert written.params == ("hparams.yaml",)
    assert list(written.policy.gates) == ["eval_accuracy", "val_f1"]
    text = (folder / "ciplug.yaml").read_text()
    assert "#   flat_auc: it is 0.5 at every step" in text
    assert "# Not used: other_metrics.json: holds no number: 'model' is the text 'forest'" in text
    assert "# Not used: params.yaml: one of its parameters has another value in hparams.yaml" in text
    assert "not used" in capfd.readouterr().err


def test_event_files_of_tensorboard_are_found_if_there_are_no_others(
    project: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Each training writes to a folder of its own: gates are proposed from the last one."""
    from tensorboardX import SummaryWriter

    folder = project({"train.py": "from torch.utils.tensorboard import SummaryWriter\n", ".gitignore": "runs/\n"})
    for number, value in enumerate((0.7, 0.9)):
        with SummaryWriter(f"runs/Nov29_10-00-0{number}_host/eval") as writer:
            writer.add_scalar("val_accuracy", value, 1)
        for file in folder.glob(f"runs/Nov29_10-00-0{number}_host/eval/*"):
            os.utime(file, (1e9 + number, 1e9 + number))
    assert cli.main(["init", "--ci", "github"]) == 0
    written = config.load(folder / "ciplug.yaml")
    assert files(written) == ["runs/**/events.out.tfevents.*"]
    assert list(written.policy.gates) == ["val_accuracy"]
    assert "`extras: tensorboard` for the GitHub action" in capfd.readouterr().out
    (folder / "metrics.json").write_text('{"accuracy": 0.8}')
    assert cli.main(["init", "--ci", "github", "--force"]) == 0
    assert files(config.load(folder / "ciplug.yaml")) == ["metrics.json"]


def test_projects_of_one_repository_have_each_a_pipeline_of_their_own(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {f"{name}/train.py": TRAIN for name in ("services/ranking", "old/ranking", "search")}
    numbers = {"search/metrics.json": '{"f1": 0.5}', "requirements.txt": "numpy\n"}
    folder = project({**files, **numbers, "search/requirements.txt": "", "train.py": "", "metrics.json": '{"auc": 1}'})
    written: dict[str, dict[str, str]] = {}
    for place in ("services/ranking", "old/ranking", "search"):
        before = tree(folder)
        monkeypatch.chdir(folder / place)
        assert cli.main(["init", "--yes"]) == 0
        written[place] = {path: text for path, text in tree(folder).items() if path not in before}
    out = capfd.readouterr().out
    models = ("ranking", "old-ranking", "search")
    for (place, files), model in zip(written.items(), models, strict=True):
        workflow = f".github/workflows/train-{model}.yml"
        assert {path for path in files if path.endswith("ml")} == {workflow, f"{place}/ciplug.yaml"}
        assert config.load(folder / place / "ciplug.yaml").model == model
        steps = yaml.safe_load(files[workflow])["jobs"]["train"]["steps"]
        assert [s["with"]["working-directory"] for s in steps if "ciplug" in s["uses" if "uses" in s else "run"]] == [
            place
        ]
    ranking, search = (yaml.safe_load(written[p][f".github/workflows/train-{p[-7:].strip('/')}.yml"])
                       for p in ("services/ranking", "search"))  # fmt: skip
    # What is installed from the top may change there, and the model with it.
    assert "../../requirements.txt" in str(ranking) and "paths" not in ranking[True]["push"]
    assert search[True]["push"]["paths"] == ["search/**", ".github/workflows/train-search.yml"]
    assert list(config.load(folder / "search/ciplug.yaml").policy.gates) == ["f1"]
    # The commands that are printed work where init was called.
    [add] = [line for line in out.splitlines() if "git add" in line and "train-search" in line]
    git(folder / "search", *add.split()[1:3], *add.split()[3:-1])
    assert ".github/workflows/train-search.yml" in git(folder, "diff", "--cached", "--name-only")
    # No second training under the name of the first, and no pipeline is written twice.
    assert cli.main(["init", "--yes", "--force", "--model", "ranking"]) == 2
    assert "services/ranking/ciplug.yaml already has the model 'ranking'" in capfd.readouterr().err
    assert cli.main(["init", "--yes", "--ci", "jenkins", "--force"]) == 0
    assert "dir('search')" in (folder / "Jenkinsfile").read_text()


def refused(folder: Path, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    before = tree(folder)
    assert cli.main(["init", *words]) == 2
    assert tree(folder) == before
    return capfd.readouterr().err


def test_what_it_does_not_fit(
    project: Callable[..., Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("bare"))
    assert "is not in a git repository" in refused(Path.cwd(), capfd)
    folder = project({"README.md": "nothing to train", "sub/a.txt": ""})
    assert "--command" in refused(folder, capfd)
    assert "--config" in refused(folder, capfd, "--config", "x.yaml")
    secret = "git+https://me:word@git.acme.org/runs.git"
    assert "word" not in (said := refused(folder, capfd, "--command", "x", "--store", secret))
    assert "credentials" in said
    assert "unsupported store" in refused(folder, capfd, "--command", "x", "--store", "ftp://x")
    assert "cannot be the name of a model" in refused(folder, capfd, "--command", "x", "--model", "a/b")
    assert "not an action" in refused(folder, capfd, "--command", "x", "--source", "ciplug")
    (folder / ".github").write_text("")
    assert "a file is in the place of a folder" in refused(folder, capfd, "--command", "x")
    (folder / ".github").unlink()
    (tmp_path / "elsewhere").mkdir()
    (folder / ".github").symlink_to(tmp_path / "elsewhere")
    assert "leads out of the repository" in refused(folder, capfd, "--command", "x")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_disk_that_breaks_off_leaves_nothing(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project()
    before = tree(folder)
    write = Path.write_text

    def full(self: Path, *args: object, **options: object) -> int:
        if "ciplug.yaml" in self.name:
            raise OSError(28, "No space left on device", str(self))
        return write(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(["init"]) == 3
    monkeypatch.undo()
    assert tree(folder) == before


def test_three_questions_at_most(project: Callable[..., Path]) -> None:
    folder = project({"train.py": TRAIN, "ciplug.yaml": "mine\n"}, remote="https://git.acme.org/a/wine.git")
    terminal = Terminal.ciplug("init", cwd=folder)
    terminal.expect(r"trains the model\? \[python train.py\] ")
    terminal.type("\n")
    terminal.expect(r"Write a pipeline.*\? \[none\] ")
    terminal.type("jenkins\n")
    terminal.expect(r"ciplug.yaml already exists. Replace it\? \[y/N\] ")
    terminal.type("y\n")
    assert terminal.end() == 0, terminal.shown
    assert terminal.shown.count("?") == 3
    # The fourth, whether to run the training, is not asked: what is assumed is said.
    assert "the training is not run: --run runs it" in terminal.shown
    assert "model: wine" in (folder / "ciplug.yaml").read_text()
    assert "-- python3 train.py || " in (folder / "Jenkinsfile").read_text()


@pytest.mark.slow
def test_the_training_is_run_if_the_person_says_so(project: Callable[..., Path]) -> None:
    folder = project()
    terminal = Terminal.ciplug("init", cwd=folder)
    terminal.expect(r"trains the model\?.*\] ")
    terminal.type("python train.py\n")
    terminal.expect(r"Run `python train.py` once now.*\? \[y/N\] ")
    terminal.type("y\n")
    assert terminal.end() == 0, terminal.shown
    assert terminal.shown.count("?") == 2
    assert list(config.load(folder / "ciplug.yaml").policy.gates) == ["accuracy"]


def test_a_file_is_kept_if_the_person_does_not_agree(project: Callable[..., Path]) -> None:
    folder = project({"train.py": TRAIN, "ciplug.yaml": "version: 1\n"})
    terminal = Terminal.ciplug("init", cwd=folder)
    terminal.expect(r"trains the model\?.*\] ")
    terminal.type("\n")
    terminal.expect(r"Replace it\? \[y/N\] ")
    terminal.type("\n")
    assert terminal.end() == 0, terminal.shown
    assert "kept ciplug.yaml unchanged" in terminal.shown
    assert (folder / "ciplug.yaml").read_text() == "version: 1\n"
    assert (folder / WORKFLOW).is_file()


@pytest.mark.parametrize(("key", "number"), [(END, 1), (INTERRUPT, 2)], ids=["^D", "^C"])
def test_who_breaks_off_has_nothing_written(project: Callable[..., Path], key: str, number: int) -> None:
    folder = project()
    before = tree(folder)
    terminal = Terminal.ciplug("init", cwd=folder)
    terminal.expect(r"\?.*\] ")
    if number == 2:
        terminal.type("\n")
        terminal.expect(r"\?.*\] ")
    terminal.type(key)
    assert terminal.end() == 130, terminal.shown
    assert "interrupted" in terminal.shown
    assert tree(folder) == before


@pytest.mark.slow
def test_a_training_that_is_interrupted_leaves_nothing_written(project: Callable[..., Path]) -> None:
    folder = project({"train.py": "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"})
    before = tree(folder)
    terminal = Terminal.ciplug("init", "--yes", "--run", cwd=folder)
    terminal.expect("begun")
    terminal.type(INTERRUPT)
    assert terminal.end() == 130, terminal.shown
    assert tree(folder) == before


SKLEARN = """\
import json
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

x, y = load_wine(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=1)
model = LogisticRegression(max_iter=5000).fit(x_train, y_train)
metrics = {
    "test_accuracy": accuracy_score(y_test, model.predict(x_test)),
    "test_log_loss": log_loss(y_test, model.predict_proba(x_test)),
    "train_accuracy": model.score(x_train, y_train),
    "rows": len(x_train),
}
json.dump(metrics, open("metrics.json", "w"))
"""


@pytest.mark.slow
def test_from_nothing_to_a_verdict(
    project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    folder = project(
        {"train.py": SKLEARN, "requirements.txt": "scikit-learn\n", ".gitignore": "metrics.json\n"},
        remote="../remote.git",
    )

    def ciplug(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-m", "ciplug", *words], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    # On a busy machine, OpenMP threads that wait by spinning make a training ten times as long.
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    out = ciplug("init", "--yes", "--run", "--ci", "github").stdout
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "A training")
    git(folder, "push", "-q", "-u", "origin", "HEAD")
    assert "git push -u origin HEAD" in out
    assert "2 gates" in ciplug("policy", "check").stdout
    ciplug("ci", "--no-comment", "--", sys.executable, "train.py")
    git(folder, "checkout", "-q", "-b", "topic")
    git(folder, "commit", "-q", "--allow-empty", "-m", "nothing changed")
    ciplug("ci", "--no-comment", "--", sys.executable, "train.py")
    (verdict,) = json.loads(ciplug("gate", "--json").stdout)["verdicts"]
    assert verdict["outcome"] == "PASS"


@pytest.mark.slow
def test_each_project_says_what_the_others_own_jobs_have_decided(
    project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    folder = project(
        {f"{name}/train.py": TRAIN.replace('"train_loss": 0.1', '"kind": "rf"') for name in ("ranking", "search")},
        remote="../remote.git",
    )
    for name in ("ranking", "search"):
        monkeypatch.chdir(folder / name)
        assert cli.main(["init", "--yes", "--run", "--ci", "none"]) == 0
    bad = folder / "ranking/ciplug.yaml"
    bad.write_text(bad.read_text().replace("min: 0.85", "min: 0.95"))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "two trainings")
    git(folder, "push", "-q", "-u", "origin", "HEAD")
    codes = []
    for name in ("ranking", "search"):
        monkeypatch.chdir(folder / name)
        codes.append(cli.main(["ci", "--no-comment", "--", "python", "train.py"]))
    assert codes == [1, 0]
    err = capfd.readouterr().err
    assert "kept as tags, because neither text nor a time is a metric: 'kind'" in err
    assert cli.main(["report", "--format", "markdown"]) == 0
    out = capfd.readouterr().out
    assert "2 models: 1 failed" in out and "0.9 is below 0.95" in out
