"""Artifacts from the command line: kept, fetched back, verified; nothing is lost on the way, nothing is overwritten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciplug.records import bundle
from ciplug.records.canonical import dumps
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.send import send
from ciplug.steps.session import open_session
from ciplug.stores import open_store
from ciplug.stores.files import Tell
from ciplug.stores.git.files import GitFiles
from tests.file_samples import noise, sha
from tests.project import CONFIG, Project, git
from tests.servers.git_http import GitServer

TRAIN = """\
import pathlib, shutil
pathlib.Path("metrics.json").write_text(pathlib.Path("numbers.json").read_text())
for name in ("model.bin", "out"):
    if pathlib.Path(f"made/{name}").is_dir():
        shutil.copytree(f"made/{name}", name, dirs_exist_ok=True)
    elif pathlib.Path(f"made/{name}").exists():
        shutil.copy(f"made/{name}", name)
"""
MODEL = noise(300_000, 1)
FORK = {"GITHUB_ACTIONS": "true", "GITHUB_HEAD_REF": "topic", "GITHUB_EVENT_NAME": "pull_request"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Its training makes model.bin and the folder out."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    made = Project.create(tmp_path / "work", config=CONFIG + "artifacts: [model.bin, out]\n")
    folder = made.folder
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    (folder / "train.py").write_text(TRAIN)
    (folder / ".gitignore").write_text("metrics.json\nmodel.bin\nout\nmade\n")
    (folder / "made" / "out" / "sub").mkdir(parents=True)
    (folder / "made" / "model.bin").write_bytes(MODEL)
    (folder / "made" / "out" / "ä ü.txt").write_text("words")
    (folder / "made" / "out" / "sub" / "empty").touch()
    (folder / "made" / "out" / "sub" / "again.bin").write_bytes(MODEL)
    made.commit("a training that makes a model")
    made.push()
    return made


def record_of(project: Project, run: str) -> Any:
    return project.json("runs", "show", run, "--json")


def pulled(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_processes_send_the_same_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.folder / "model.bin").write_bytes(MODEL)
    ours, other = (open_session(cwd=project.folder) for _ in range(2))
    inputs = Inputs(artifacts=(Path("model.bin"),))
    run = finish(ours, begin(ours, inputs), inputs, status="finished").run
    batches = GitFiles.batches

    def slowly(files: GitFiles, waiting: Mapping[str, Path], tell: Tell) -> list[dict[str, Path]]:
        monkeypatch.setattr(GitFiles, "batches", batches)
        assert len(send(other)) == 1
        return batches(files, waiting, tell)

    monkeypatch.setattr(GitFiles, "batches", slowly)
    assert send(ours) == []
    assert record_of(project, run.id)["artifacts"][0]["store"] == "git:"
    assert ours.store.check() == []


ALL = {"model.bin": MODEL, "out/ä ü.txt": b"words", "out/sub/empty": b"", "out/sub/again.bin": MODEL}


@pytest.mark.slow
def test_what_a_run_made_is_pulled_into_another_folder(project: Project, tmp_path: Path) -> None:
    run = project.train()
    artifacts = {a["path"]: a for a in record_of(project, run)["artifacts"]}
    assert artifacts["model.bin"] == {"path": "model.bin", "digest": sha(MODEL), "size": len(MODEL), "store": "git:"}
    assert (artifacts["out"]["kind"], artifacts["out"]["size"]) == ("folder", len(MODEL) + 5)
    done = project.ciplug("pull", run[:8], "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL
    assert sorted(done.stdout.splitlines()) == sorted(str(tmp_path / "all" / name) for name in ALL)
    assert "files fetched: 3" in done.stderr
    # By commit, by branch; one artifact, a file of a folder, a folder of a folder.
    project.ciplug("pull", "HEAD", "model.bin", "--to", str(tmp_path / "one"))
    assert pulled(tmp_path / "one") == {"model.bin": MODEL}
    project.ciplug("pull", "main", "out/ä ü.txt", "out/sub/", "--to", str(tmp_path / "some"))
    assert pulled(tmp_path / "some") == {name: data for name, data in ALL.items() if name != "model.bin"}
    # Again: all is there, and nothing is fetched.
    again = project.ciplug("pull", run, "--to", str(tmp_path / "all"))
    assert "4 of 4 files were already there" in again.stderr
    assert "fetched" not in again.stderr


@pytest.mark.slow
def test_a_version_is_pulled_by_its_stage_and_number(project: Project, tmp_path: Path) -> None:
    run = project.train()
    project.ciplug("gate")
    assert "no version of 'wine' is in Staging" not in project.ciplug("pull", "wine@staging", code=2).stderr
    project.ciplug("promote", "wine", "--to", "staging")
    for number, name in enumerate(("wine@staging", "wine@v1", "wine@1")):
        project.ciplug("pull", name, "model.bin", "--to", str(tmp_path / str(number)))
        assert pulled(tmp_path / str(number)) == {"model.bin": MODEL}
    assert "has no version 2" in project.ciplug("pull", "wine@v2", code=2).stderr
    assert "no version of 'wine' is in Production" in project.ciplug("pull", "wine@production", code=2).stderr
    assert run


@pytest.mark.slow
def test_what_is_not_there_is_said_beside_what_is(project: Project) -> None:
    run = project.train()
    said = project.ciplug("pull", run, "modell.bin", code=2).stderr
    assert "has no artifact 'modell.bin'" in said and "it has: model.bin, out" in said
    said = project.ciplug("pull", run, "out/none", code=2).stderr
    assert "out has no file 'none'" in said and "sub/again.bin" in said
    assert "no run 'ffff'" in project.ciplug("pull", "ffff", code=2).stderr
    assert not (project.folder / ".ciplug-pull").exists()


@pytest.mark.slow
def test_a_file_that_differs_is_not_overwritten(project: Project, tmp_path: Path) -> None:
    run = project.train()
    target = project.folder / "model.bin"
    target.write_bytes(b"mine")
    assert "--force" in project.ciplug("pull", run, code=2).stderr
    assert target.read_bytes() == b"mine"
    project.ciplug("pull", run, "--force")
    assert target.read_bytes() == MODEL
    target.unlink()
    (tmp_path / "outside").write_text("outside")
    target.symlink_to(tmp_path / "outside")
    project.ciplug("pull", run, code=2)
    project.ciplug("pull", run, "--force")
    assert (tmp_path / "outside").read_text() == "outside"
    assert target.read_bytes() == MODEL and not target.is_symlink()


def test_the_same_file_is_sent_once(project: Project, tmp_path: Path) -> None:
    project.train()
    project.commit("another commit")
    project.train()
    listed = git(project.folder, "ls-remote", "origin", "refs/ciplug/files/*").splitlines()
    assert len(listed) == 1


@pytest.mark.slow
def test_a_file_above_the_limit_is_recorded_and_not_kept(project: Project, tmp_path: Path) -> None:
    done = project.ciplug("run", "--artifact-limit", "100 kB", "--", sys.executable, "train.py", code=2)
    assert "model.bin: 300,000 bytes, and the git store takes up to 100,000 a file" in done.stderr
    assert "--artifact-store" in done.stderr and "--artifact-limit" in done.stderr
    (run,) = project.json("runs", "list", "--json")
    model, out = run["artifacts"]
    assert model == {"path": "model.bin", "digest": sha(MODEL), "size": len(MODEL)}
    assert "store" not in out
    said = project.ciplug("pull", run["id"], code=2).stderr
    assert "recorded only the digests" in said and f"model.bin: {sha(MODEL)}" in said
    recorded = project.ciplug("record", "--artifact-limit", "100 kB", "--metrics", "numbers.json", code=2)
    assert "recorded in branch 'ciplug' of " in recorded.stderr
    for wrong in ("10 apples", "MB", "-1"):
        assert "a size is expected" in project.ciplug("record", f"--artifact-limit={wrong}", code=2).stderr


def test_digests_only(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(CONFIG + "artifacts: model.bin\nartifact_store: none\n")
    run = project.train()
    assert record_of(project, run)["artifacts"] == [{"path": "model.bin", "digest": sha(MODEL), "size": len(MODEL)}]
    assert git(project.folder, "ls-remote", "origin", "refs/ciplug/files/*") == ""


def test_a_place_that_cannot_be_is_said_before_the_training(project: Project) -> None:
    for wrong in ("ftp://x/y", "nothing", "s3://key:secret@bucket/x", "git+ftp://x"):
        done = project.ciplug("run", "--artifact-store", wrong, "--", sys.executable, "train.py", code=2)
        assert "secret" not in done.stderr
        assert not (project.folder / "metrics.json").exists()


@pytest.mark.slow
def test_a_folder_as_artifact_store(project: Project, tmp_path: Path) -> None:
    uri = (tmp_path / "files").as_uri()
    (project.folder / "ciplug.yaml").write_text(CONFIG + f"artifacts: [model.bin, out]\nartifact_store: {uri}\n")
    run = project.train("--artifact-limit", "1 kB")
    assert {a["store"] for a in record_of(project, run)["artifacts"]} == {uri}
    project.ciplug("pull", run, "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL
    kept = tmp_path / "files" / "files" / sha(MODEL)[7:9] / sha(MODEL)[7:]
    kept.write_bytes(MODEL[:-1] + b"?")
    done = project.ciplug("pull", run, "--to", str(tmp_path / "again"), code=3)
    assert "another digest" in done.stderr
    assert not [name for name in pulled(tmp_path / "again") if not name.startswith(".ciplug-pull")]
    kept.write_bytes(MODEL)
    project.ciplug("pull", run, "--to", str(tmp_path / "again"))
    assert pulled(tmp_path / "again") == ALL


@pytest.mark.slow
def test_another_repository_as_artifact_store(project: Project, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "files.git")
    uri = f"git+{(tmp_path / 'files.git').as_uri()}"
    run = project.train("--artifact-store", uri)
    assert {a["store"] for a in record_of(project, run)["artifacts"]} == {uri}
    project.ciplug("pull", run, "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL
    assert "refs/ciplug/files/" in git(tmp_path / "files.git", "for-each-ref")
    project.ciplug("compact", "--store", uri)
    assert "refs/ciplug/files/folded" in git(tmp_path / "files.git", "for-each-ref")


@pytest.mark.e2e
def test_a_bucket_as_store_of_runs_keeps_their_files_too(project: Project, tmp_path: Path, s3: Any) -> None:
    env = {**s3.env, "CIPLUG_STORE": f"s3://runs/{tmp_path.name}"}
    project.ciplug("run", "--", sys.executable, "train.py", env=env)
    (run,) = project.json("runs", "list", "--json", env=env)
    assert {a["store"] for a in run["artifacts"]} == {f"s3://runs/{tmp_path.name}"}
    project.ciplug("pull", run["id"], "--to", str(tmp_path / "all"), env=env)
    assert pulled(tmp_path / "all") == ALL


class TestOffline:
    """The remote is away, comes back, and finds all that was made meanwhile."""

    @pytest.fixture
    def away(self, project: Project, tmp_path: Path) -> Path:
        return (tmp_path / "remote.git").rename(tmp_path / "away.git")

    @pytest.mark.slow
    def test_a_run_waits_with_its_files(self, project: Project, tmp_path: Path, away: Path) -> None:
        done = project.ciplug("run", "--", sys.executable, "train.py", code=3)
        assert "record --spooled" in done.stderr
        # The next training writes over the files, and a cleanup takes away others.
        (project.folder / "model.bin").open("r+b").write(b"the next model")
        for path in (project.folder / "out").rglob("*.*"):
            path.unlink()
        away.rename(tmp_path / "remote.git")
        project.ciplug("record", "--spooled")
        (run,) = project.json("runs", "list", "--json")
        project.ciplug("pull", run["id"], "--to", str(tmp_path / "all"))
        assert pulled(tmp_path / "all") == ALL
        assert not list((project.folder / ".git/ciplug/spool").glob("*/*"))

    @pytest.mark.slow
    def test_a_run_is_not_held_back_by_bytes_that_are_gone(self, project: Project, tmp_path: Path, away: Path) -> None:
        project.ciplug("run", "--", sys.executable, "train.py", code=3)
        (entry,) = (project.folder / ".git/ciplug/spool").iterdir()
        (entry / "files" / sha(b"words")[7:]).unlink()
        (project.folder / "out" / "ä ü.txt").write_text("other words")
        away.rename(tmp_path / "remote.git")
        done = project.ciplug("record", "--spooled")
        assert "its content has changed since the run was recorded" in done.stderr
        (run,) = project.json("runs", "list", "--json")
        assert [a.get("store") for a in run["artifacts"]] == ["git:", None]
        said = project.ciplug("pull", run["id"], "--to", str(tmp_path / "some"), code=2).stderr
        assert "out: only its digest was recorded" in said
        assert pulled(tmp_path / "some") == {"model.bin": MODEL}

    def test_a_run_can_be_sent_without_its_files(self, project: Project, tmp_path: Path, away: Path) -> None:
        project.ciplug("run", "--", sys.executable, "train.py", code=3)
        away.rename(tmp_path / "remote.git")
        project.ciplug("record", "--spooled", "--artifact-store", "none")
        (run,) = project.json("runs", "list", "--json")
        assert not [a for a in run["artifacts"] if "store" in a]

    def test_files_are_sent_where_they_were_meant_to_go(self, project: Project, tmp_path: Path, away: Path) -> None:
        uri = (tmp_path / "files").as_uri()
        project.ciplug("run", "--artifact-store", uri, "--", sys.executable, "train.py", code=3)
        away.rename(tmp_path / "remote.git")
        project.ciplug("record", "--spooled")
        assert git(project.folder, "ls-remote", "origin", "refs/ciplug/files/*") == ""
        (run,) = project.json("runs", "list", "--json")
        project.ciplug("pull", run["id"], "--to", str(tmp_path / "all"))
        assert pulled(tmp_path / "all") == ALL

    @pytest.mark.parametrize("kind", ["git", "object store"])
    def test_files_go_along_to_another_store(self, project: Project, tmp_path: Path, away: Path, kind: str) -> None:
        git(tmp_path, "init", "-q", "--bare", "new.git")
        options = () if kind == "git" else ("--store", (tmp_path / "store").as_uri())
        address = (tmp_path / "remote.git").as_uri() + "#ciplug"
        project.ciplug("run", "--", sys.executable, "train.py", code=3)
        git(project.folder, "remote", "set-url", "origin", str(tmp_path / "new.git"))
        project.ciplug("record", "--spooled", "--from", address, *options)
        (run,) = project.json("runs", "list", "--json", *options)
        assert {a["store"] for a in run["artifacts"]} == {options[1] if options else "git:"}
        project.ciplug("pull", run["id"], "--to", str(tmp_path / "all"), *options)
        assert pulled(tmp_path / "all") == ALL

    @pytest.mark.slow
    def test_a_bundle_has_the_files_beside_it(self, project: Project, tmp_path: Path, away: Path) -> None:
        project.ciplug("run", "--", sys.executable, "train.py", code=3)
        (entry,) = (project.folder / ".git/ciplug/spool").glob("*/")
        file, given_up = tmp_path / "bundle.ndjson", tmp_path / "none" / "bundle.ndjson"
        said = project.ciplug("run", "--bundle", str(file), "--", sys.executable, "train.py").stderr
        assert f"the files of its artifacts are in {tmp_path / 'files'}: hand over both" in said
        assert (entry / "sealed.json").exists(), "a bundle is of the run that was asked for"
        assert len(bundle.unpack(file.read_bytes(), "bundle")) == 1
        project.ciplug("record", "--spooled", "--bundle", str(file))
        assert len(bundle.unpack(file.read_bytes(), "bundle")) == 2 and not entry.exists()
        project.ciplug("run", "--", sys.executable, "train.py", code=3)
        (entry,) = (project.folder / ".git/ciplug/spool").glob("*/")
        said = project.ciplug("record", "--spooled", "--bundle", str(given_up), "--artifact-store", "none").stderr
        assert f"{entry.name}: handed over without the content" in said and not entry.exists()
        assert not (given_up.parent / "files").exists()
        away.rename(tmp_path / "remote.git")
        project.ciplug("collect", str(file), str(given_up))
        kept = [[a.get("store") for a in run["artifacts"]] for run in project.json("runs", "list", "--json")]
        assert sorted(kept, key=str) == [["git:", "git:"], ["git:", "git:"], [None, None]]
        newest = next(r["id"] for r in project.json("runs", "list", "--json") if r["artifacts"][0].get("store"))
        project.ciplug("pull", newest, "--to", str(tmp_path / "all"))
        assert pulled(tmp_path / "all") == ALL


def test_a_forks_job_sends_nothing(project: Project) -> None:
    done = project.ciplug("run", "--", sys.executable, "train.py", env=FORK)
    assert "fork" in done.stderr and "files sent" not in done.stderr
    (entry,) = (project.folder / ".git/ciplug/spool").iterdir()
    assert not (entry / "files").exists()
    assert git(project.folder, "ls-remote", "origin", "refs/ciplug/*") == ""


@pytest.mark.slow
def test_killed_while_its_files_are_sent(project: Project, tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("slow")
    git(project.folder, "remote", "set-url", "origin", git_server.url("slow"))
    git_server.latency = 0.5
    worker = subprocess.Popen(
        [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "train.py"],
        cwd=project.folder,
        env=dict(os.environ),
        start_new_session=True,
    )
    spool = project.folder / ".git/ciplug/spool"
    while not list(spool.glob("*/sealed.json")):
        time.sleep(0.02)
        assert worker.poll() is None
    time.sleep(0.7)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    git_server.latency = 0
    project.ciplug("record", "--spooled")
    (run,) = project.json("runs", "list", "--json")
    assert run["status"] == "finished"
    project.ciplug("pull", run["id"], "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "fault", "pushes"),
    [
        ({}, None, 1),
        ({}, "after", 1),  # What was carried out is found there by the next try.
        pytest.param({}, "half", 2, marks=pytest.mark.slow),
        # Both are asked for once more by the names that this host takes.
        ({"custom_refs": False}, None, 2),
        pytest.param({"atomic": False}, None, 2, marks=pytest.mark.slow),
    ],
)
def test_a_run_and_its_files_are_one_push(
    project: Project, tmp_path: Path, git_server: GitServer, host: dict[str, bool], fault: Any, pushes: int
) -> None:
    git_server.create("one", **host)
    git(project.folder, "remote", "set-url", "origin", git_server.url("one"))
    project.push()
    git_server.requests.clear()
    if fault:
        git_server.fail_next(fault)
    run = project.train()
    sent = [r for r in git_server.requests if r.service == "receive-pack" and r.method == "POST" and r.bytes_in > 4]
    assert len(sent) == pushes
    project.ciplug("pull", run, "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL
    assert len(project.json("runs", "list", "--json")) == 1


@pytest.mark.slow
def test_a_record_whose_files_are_refused_is_not_there(project: Project, tmp_path: Path, git_server: GitServer) -> None:
    """No reader sees a record without the bytes that it names, in one push and in two."""
    hook = git_server.create("strict") / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in *files*) echo "no files here" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    git(project.folder, "remote", "set-url", "origin", git_server.url("strict"))
    project.push()
    done = project.ciplug("run", "--", sys.executable, "train.py", code=3)
    assert "no files here" in done.stderr and "allow pushes to refs/ciplug/files/*" in done.stderr
    assert "ciplug" not in git(project.folder, "ls-remote", "origin")
    hook.unlink()
    project.ciplug("record", "--spooled")
    (run,) = project.json("runs", "list", "--json")
    project.ciplug("pull", run["id"], "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL


def test_what_python_logs_is_kept(project: Project, tmp_path: Path) -> None:
    (project.folder / "train.py").write_text(
        TRAIN + "import ciplug\nciplug.log_artifact('numbers.json')\nciplug.log_artifact('made/model.bin')\n"
    )
    run = project.train("--artifact", "out", "--allow-unchanged", "made/model.bin")
    project.ciplug("pull", run, "--to", str(tmp_path / "all"))
    assert set(pulled(tmp_path / "all")) == {"numbers.json", "made/model.bin", *(set(ALL) - {"model.bin"})}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("hf://org/model", "unsupported address"),
        ("https://x.example/m?sig=secret", "would be recorded"),
        ("https://user:secret@x.example/m", "would be recorded"),
        # It is tried for 20 s.
        pytest.param("http://127.0.0.1:9/m.bin", "127.0.0.1:9/m.bin", marks=pytest.mark.slow),
    ],
)
def test_an_artifact_that_lies_elsewhere_is_recorded_by_its_address(project: Project, wrong: str, says: str) -> None:
    done = project.ciplug("record", "--metrics", "numbers.json", "--artifact", wrong, code=2)
    assert says in done.stderr and "secret" not in done.stderr


@pytest.mark.e2e
def test_an_address_in_a_bucket_is_pulled_and_verified(project: Project, tmp_path: Path, s3: Any) -> None:
    from ciplug.stores.bucket.opening import open_bucket

    bucket = open_bucket(f"s3://runs/{tmp_path.name}", s3.env)
    bucket.put("models/m.bin", MODEL)
    address = f"s3://runs/{tmp_path.name}/models/m.bin"
    project.ciplug("record", "--metrics", "numbers.json", "--artifact", address, env=s3.env)
    (run,) = project.json("runs", "list", "--json")
    assert run["artifacts"] == [{"path": address, "digest": sha(MODEL), "size": len(MODEL)}]
    project.ciplug("pull", run["id"], "m.bin", "--to", str(tmp_path / "all"), env=s3.env)
    assert pulled(tmp_path / "all") == {"m.bin": MODEL}
    bucket.put("models/m.bin", b"another")
    done = project.ciplug("pull", run["id"], "--to", str(tmp_path / "again"), env=s3.env, code=3)
    assert "another digest" in done.stderr
    assert not (tmp_path / "again" / "m.bin").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".git/config", None),
        ("a/../../x", "folder"),
        ("a//b", None),
        ("out", "folder"),
        ("a\0b", None),
    ],
)
def test_hostile_records_write_nothing(project: Project, tmp_path: Path, path: str, kind: str | None) -> None:
    """Records that somebody has written by hand, with all the rights of a writer of the store."""
    run = project.train()
    record = record_of(project, run)
    content = f"{sha(MODEL)} ../../escaped\n".encode() if kind else MODEL
    place = tmp_path / "files"
    for data in (content, MODEL):
        kept = place / "files" / sha(data)[7:9] / sha(data)[7:]
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
    record |= {"id": "f" * 32}
    artifact = {"path": path, "digest": sha(content), "size": len(MODEL), "store": place.as_uri()}
    record["artifacts"] = [{**artifact, "kind": kind} if kind else artifact]
    store = open_store(f"git+{(tmp_path / 'remote.git').as_uri()}", None)
    store.add({f"runs/{record['commit']}-{record['id']}.json": dumps(record)})
    target = tmp_path / "a" / "b" / "to"
    before = pulled(tmp_path / "a") if (tmp_path / "a").exists() else {}
    done = project.ciplug("pull", "f" * 32, "--to", str(target), code=3)
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    left = {name for name in pulled(tmp_path / "a") if ".ciplug-pull/" not in name}
    assert left == set(before)
    assert json.dumps(sorted(p.name for p in target.iterdir())) in ('[".ciplug-pull"]', "[]")


@pytest.mark.slow
def test_no_token_goes_where_a_record_says(project: Project, tmp_path: Path, git_server: GitServer) -> None:
    """Whoever writes a record must not learn the token of who pulls it."""
    git_server.create("evil")
    git_server.token = "any"
    run = project.train("--artifact-store", "none")
    record = record_of(project, run) | {"id": "f" * 32}
    uri = "git+" + git_server.url("evil")
    record["artifacts"] = [{"path": "model.bin", "digest": sha(MODEL), "size": len(MODEL), "store": uri}]
    store = open_store(f"git+{(tmp_path / 'remote.git').as_uri()}", None)
    store.add({f"runs/{record['commit']}-{record['id']}.json": dumps(record)})
    token = {"CIPLUG_PUSH_TOKEN": "any"}
    project.ciplug("pull", "f" * 32, "--to", str(tmp_path / "all"), env=token, code=2)
    assert not git_server.requests
    # The same place, named by the user, is reached with the token, if that is for its host.
    token["CIPLUG_PUSH_TOKEN_HOST"] = git_server.origin
    (project.folder / "ciplug.yaml").write_text(CONFIG + f"artifact_store: {uri}\n")
    project.ciplug("pull", "f" * 32, "--to", str(tmp_path / "all"), env=token, code=3)
    assert 200 in {r.status for r in git_server.requests}


def test_two_pulls_into_one_folder_do_not_mix(project: Project, tmp_path: Path) -> None:
    from ciplug.steps.placing import coming

    run = project.train()
    (tmp_path / "all").mkdir()
    with coming(tmp_path / "all"):
        said = project.ciplug("pull", run, "--to", str(tmp_path / "all"), code=2).stderr
    assert "another process is fetching files" in said
    project.ciplug("pull", run, "--to", str(tmp_path / "all"))
    assert pulled(tmp_path / "all") == ALL
