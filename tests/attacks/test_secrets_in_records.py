"""Passwords and tokens that a training is given do not get into git; what slipped through is removed for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.conftest import Scene
from tests.project import CONFIG, Project, git

SECRET = "hunter2-of-the-team"
TOKEN = "ghp_" + "a1B2" * 9
LOGS = f"""\
import ciplug, json, pathlib, sys
with ciplug.start_run() as run:
    ciplug.log_params({{"db_password": {SECRET!r}, "lr": 0.1, "pad_token": "<pad>", "patient": "ann"}})
    ciplug.set_tags({{"note": "pushed with {TOKEN}"}})
pathlib.Path("metrics.json").write_text('{{"accuracy": 0.9}}')
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.with_remote(tmp_path, config=CONFIG + "redact: [patient]\n")
    (made.folder / "train.py").write_text(LOGS)
    made.commit("log secrets")
    made.push()
    return made


def everywhere(repository: Path) -> str:
    """Every object of a repository, reachable or not."""
    listed = ["git", "cat-file", "--batch-all-objects", "--batch"]
    done = subprocess.run(listed, cwd=repository, capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


@pytest.mark.slow
def test_what_looks_like_a_secret_is_masked_and_named(project: Project, tmp_path: Path) -> None:
    command = (sys.executable, "train.py", "--token=XYZ-1234-XYZ", "--password", SECRET, "JOB=from-the-job-7")
    done = project.ciplug("run", "--", *command, env={"DEPLOY_TOKEN": "from-the-job-7"})
    for name in ("option --token", "option --password", "parameter db_password", "parameter patient", "tag note"):
        assert name in done.stderr
    (run,) = project.json("runs", "list", "--json")
    assert run["params"] == {"db_password": "***", "lr": 0.1, "pad_token": "<pad>", "patient": "***"}
    assert run["tags"]["note"] == "pushed with ***"
    assert run["provenance"]["command"][2:] == ["--token=***", "--password", "***", "JOB=***"]
    pushed = everywhere(tmp_path / "remote.git")
    for secret in ("XYZ-1234-XYZ", SECRET, TOKEN, "from-the-job-7", '"ann"'):
        assert secret not in pushed.replace(LOGS, "")
    said = project.ciplug("runs", "tag", run["id"], f"api_key={SECRET}").stderr
    assert "tag api_key" in said
    assert SECRET not in everywhere(tmp_path / "remote.git").replace(LOGS, "")


def test_secrets_with_unusual_names_are_masked_too(project: Project, tmp_path: Path) -> None:
    """Joined names, elements of lists, addresses, cookies, short options, and values of variables."""
    secret = "Q4h7Kd92mXw-"
    params = f'{{"PGPASSWORD": "{secret}A", "l": ["--token", "{secret}B"], "opt.auth.bearer": "{secret}C"}}'
    params_file = f'words: ["--token", "{secret}D"]\n'
    code = (
        f"import ciplug, json\nciplug.log_params({params})\njson.dump({{'accuracy': 0.9}}, open('metrics.json', 'w'))\n"
        f"open('params.yaml', 'w').write({params_file!r})\n"
    )
    (tmp_path / "logs.py").write_text(code)
    line = f": PGPASSWORD={secret}E -u ann:{secret}F; : mysql -p{secret}G; {sys.executable} {tmp_path / 'logs.py'}"
    tags = {"u": f"https://h/x?X-Amz-Signature={secret}H", "cookie": f"session={secret}I", "t": f"with {secret}K"}
    options = [word for name, value in tags.items() for word in ("--tag", f"{name}={value}")]
    env = {"PGPASSWORD": f"{secret}J", "MYTOK_TOKEN": f"{secret}K"}
    run = ("run", "--name", f"n {secret}J", "--params", "params.yaml", *options, "--", "sh", "-c", line)
    said = project.ciplug(*run, env=env).stderr
    assert "parameter PGPASSWORD" in said and "tag cookie" in said
    (kept,) = project.json("runs", "list", "--json")
    assert kept["params"]["l"] == "['--token', '***']" and kept["params"]["words/1"] == "***"
    assert secret not in str(kept) and secret not in everywhere(tmp_path / "remote.git")


def test_the_run_of_a_killed_program_is_masked_too(project: Project, tmp_path: Path) -> None:
    dies = "    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n    ciplug.set_tags"
    killed = LOGS.replace("    ciplug.set_tags", dies)
    subprocess.run([sys.executable, "-c", killed], cwd=project.folder, check=False)
    said = project.ciplug("record", "--spooled").stderr
    assert "parameter db_password" in said
    (run,) = project.json("runs", "list", "--json")
    assert (run["status"], run["params"]["db_password"]) == ("killed", "***")


@pytest.mark.slow
def test_what_slipped_through_is_erased(project: Project, tmp_path: Path) -> None:
    slipped = "the-name-of-a-patient"
    (project.folder / "train.py").write_text(LOGS.replace('"lr": 0.1', f'"who": {slipped!r}'))
    project.commit("a name that nothing masks")
    project.push()
    other = project.train("--tag", "keep=me")
    project.ciplug("run", "--", sys.executable, "train.py")
    (run,) = (one["id"] for one in project.json("runs", "list", "--json") if one["id"] != other)
    project.ciplug("gate", "--run", run, code=None)
    project.ciplug("runs", "tag", run, f"seen={slipped}")
    project.ciplug("compact")
    erase = ("runs", "withdraw", run[:12], "--reason", "a patient's name")
    done = project.ciplug(*erase, "--erase")
    assert "erased" in done.stderr and "clones" in done.stderr
    assert [one["id"] for one in project.json("runs", "list", "--all", "--json")] == [other]
    assert f"no run '{run}'" in project.ciplug("runs", "show", run, code=2).stderr
    # Gone from the history of the host once it cleans up, and from this machine now.
    remote = tmp_path / "remote.git"
    git(remote, "reflog", "expire", "--expire=now", "--all")
    git(remote, "gc", "-q", "--prune=now")
    left = everywhere(remote)
    assert run not in left and other in left and f"seen={slipped}" not in left
    for file in (project.folder / ".git/ciplug").rglob("*"):
        assert not file.is_file() or run.encode() not in file.read_bytes(), file
    assert project.ciplug("fsck").returncode == 0


@pytest.mark.slow
def test_an_erased_run_that_is_pushed_again_is_not_read(project: Project, tmp_path: Path) -> None:
    """Who has kept the ref pushes it again; a clone of a colleague has the run in its spool, too."""
    run = project.train()
    remote = tmp_path / "remote.git"
    kept = {
        ref: oid
        for oid, ref in (
            line.split() for line in git(remote, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
        )
        if "/inbox/" in ref
    }
    git(tmp_path, "clone", "-q", "--mirror", str(remote), "kept.git")
    project.ciplug("runs", "withdraw", run, "--reason", "a password", "--erase")
    assert git(remote, "for-each-ref", *kept) == ""
    for ref in kept:
        git(tmp_path / "kept.git", "push", "-q", str(remote), ref)
    assert project.json("runs", "list", "--all", "--json") == []
    assert "an erased run, which nobody reads" in project.ciplug("fsck", code=3).stdout
    assert "objects of erased runs" in project.ciplug("runs", "list").stderr
    assert "erased" not in project.ciplug("compact").stderr
    assert git(remote, "for-each-ref", *kept) == ""
    git(remote, "reflog", "expire", "--expire=now", "--all")
    git(remote, "gc", "-q", "--prune=now")
    assert run not in everywhere(remote)
    assert project.ciplug("fsck").stdout == ""


@pytest.mark.slow
def test_a_version_of_the_registry_is_not_erased(project: Project) -> None:
    (project.folder / "train.py").write_text(LOGS + "pathlib.Path('model.txt').write_text('model')\n")
    project.commit("a model")
    project.push()
    run = project.train("--artifact", "model.txt")
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    done = project.ciplug("runs", "withdraw", run, "--reason", "x", "--erase", code=2)
    assert "is named by event 1 of 'wine' in the registry" in done.stderr
    assert project.json("runs", "show", run, "--json")["id"] == run


def test_the_words_of_amendments_and_of_the_registry_are_masked(project: Project, tmp_path: Path) -> None:
    """The log of the registry never changes: nothing could take a token out of it."""
    (project.folder / "train.py").write_text(
        "import pathlib; pathlib.Path('metrics.json').write_text('{\"a\": 0.9}')\n"
    )
    project.commit("train")
    project.push()
    run = project.train()
    for command in (
        ("runs", "rename", run, f"with {TOKEN}"),
        ("runs", "tag", run, f"{TOKEN}=x"),
        ("runs", "withdraw", run, "--reason", f"it has {TOKEN}"),
        ("runs", "restore", run, "--reason", f"HF_TOKEN={SECRET}"),
    ):
        assert "masked" in project.ciplug(*command).stderr, command
    assert TOKEN not in everywhere(tmp_path / "remote.git").replace(LOGS, "")


@pytest.mark.slow
def test_the_words_of_a_promotion_are_masked(scene: Scene) -> None:
    project = scene.project
    for command in (
        ("registry", "describe", "wine", f"pushed with {TOKEN}"),
        ("registry", "tag", "wine", f"api_key={SECRET}"),
        ("demote", "wine", "--from", "production", "--to", "none", "--reason", f"password={SECRET}"),
    ):
        assert "masked" in project.ciplug(*command).stderr, command
    shown = project.ciplug("registry", "history", "wine", "--json").stdout
    assert TOKEN not in shown and SECRET not in shown and "***" in shown
