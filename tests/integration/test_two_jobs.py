"""A job that trains and may not write, and one that records and judges: `ci --hand-over` and `ci --collect`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ciplug.bundles.source import unzipped
from ciplug.records import bundle
from tests.bundles import a_run, objects_of, zipped
from tests.project import MODEL, Project, git

FORK = {"JENKINS_URL": "http://j", "CHANGE_ID": "3", "CHANGE_FORK": "eve"}
TRAIN = ("--", sys.executable, "train.py")
Spoil = Callable[[Path], object]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.with_remote(tmp_path)


@pytest.fixture
def collector(project: Project, tmp_path: Path) -> Project:
    """The checkout of the second job; the training never was in it."""
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), "second")
    return Project(tmp_path / "second")


def hand_over(project: Project, folder: Path, *options: str, code: int = 0, **env: str) -> str:
    words = ("ci", "--hand-over", "--output-dir", str(folder), *MODEL, *options, *TRAIN)
    return project.ciplug(*words, env=env, code=code).stderr


@pytest.mark.slow
def test_the_second_job_records_judges_and_keeps_the_files(
    project: Project, collector: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refs = git(project.folder, "ls-remote", "origin")
    said = hand_over(project, out)
    assert f"the files of its artifacts are in {out / 'files'}: hand over both" in said
    assert git(project.folder, "ls-remote", "origin") == refs, "the first job writes nothing"
    assert sorted(p.name for p in out.iterdir()) == ["bundle.ndjson", "files"], "nor does it judge"

    report = tmp_path / "report"
    for words in ("1 run of 1 bundle recorded", "1 run of 1 bundle was already recorded"):
        done = collector.ciplug("ci", "--collect", str(out), "--output-dir", str(report))
        assert words in done.stderr and "PASS" in done.stdout
    verdict = json.loads((report / "report.json").read_text())["sections"][0]["verdict"]
    # No run is recorded that it could be compared with.
    assert (verdict["outcome"], verdict["run"]) == ("WARN", collector.json("runs", "list", "--json")[0]["id"])
    collector.ciplug("pull", "HEAD", "--to", str(tmp_path / "pulled"))
    assert (tmp_path / "pulled/model.txt").read_bytes() == (project.folder / "model.txt").read_bytes()

    project.numbers({"accuracy": 0.5})
    project.commit("worse")
    project.push()
    git(collector.folder, "pull", "-q")
    shutil.rmtree(out)
    hand_over(project, out)
    done = collector.ciplug("ci", "--collect", str(out), "--promote-to", "staging", code=1)
    assert "FAIL" in done.stdout and "registry/" not in git(collector.folder, "ls-remote", "origin")


def test_a_training_that_fails_is_handed_over_and_fails_both_jobs(
    project: Project, collector: Project, tmp_path: Path
) -> None:
    failing = ("--", sys.executable, "-c", "import sys; sys.exit(7)")
    project.ciplug("ci", "--hand-over", "--output-dir", str(tmp_path / "out"), *failing, code=7)
    done = collector.ciplug("ci", "--collect", str(tmp_path / "out"), code=1)
    assert "failed" in done.stdout
    assert [run["status"] for run in collector.json("runs", "list", "--json")] == ["failed"]


def _other_bytes(out: Path) -> object:
    return [path.write_text("a backdoor") for path in (out / "files").iterdir()]


def _other_name(out: Path) -> object:
    return [path.rename(path.with_name("0" * 64)) for path in (out / "files").iterdir()]


def _other_place(out: Path) -> object:
    file = out / "bundle.ndjson"
    return file.write_text(file.read_text().replace('\\"store\\":\\"git:\\"', '\\"store\\":\\"s3://thief/x\\"'))


def _other_commit(out: Path) -> object:
    file = out / "bundle.ndjson"
    made = a_run("d" * 40, artifacts=())
    return file.write_bytes(bundle.pack(objects_of(made)))


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_other_bytes, 2, "beside it has other bytes"),
        (_other_name, 2, "beside it has other bytes"),
        (lambda out: shutil.rmtree(out / "files"), 2, "is neither beside it nor in the store"),
        (_other_place, 2, "is kept in 's3://thief/x', and this job keeps files in git:"),
        (_other_commit, 2, "no run of commit"),
    ],
    ids=["other bytes", "other name", "no files", "other place", "other commit"],
)
def test_files_that_are_not_those_of_the_record_are_refused(
    project: Project, collector: Project, tmp_path: Path, spoil: Spoil, code: int, words: str
) -> None:
    hand_over(project, tmp_path / "out")
    spoil(tmp_path / "out")
    assert words in collector.ciplug("ci", "--collect", str(tmp_path / "out"), code=code).stderr
    assert not [run for run in collector.json("runs", "list", "--json", code=None) if run["commit"] == project.head]
    assert "refs/ciplug/files" not in git(project.folder, "ls-remote", "origin")


@pytest.mark.slow
def test_no_byte_of_a_fork_is_kept(project: Project, collector: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "has only the digests of the artifacts, not their content" in hand_over(project, out, **FORK)
    assert not (out / "files").exists()
    (out / "files").mkdir()
    (out / "files" / ("0" * 64)).write_text("a stranger's")
    said = collector.ciplug("ci", "--collect", str(out), env=FORK).stderr
    assert "a fork's job must not write the store: the job that calls `ciplug collect` records its run" in said
    collector.ciplug("collect", "--untrusted", str(out))
    (run,) = collector.json("runs", "list", "--json")
    assert [artifact.get("store") for artifact in run["artifacts"]] == [None]
    assert "refs/ciplug/files" not in git(project.folder, "ls-remote", "origin")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--collect", "out", *TRAIN), "--collect cannot be used with a command"),
        (("--collect", "out", "--model", "x"), "--collect cannot be used with --model"),
        (("--hand-over", "--bundle", "x"), "--hand-over cannot be used with --bundle"),
        (("--hand-over", "--promote-to", "staging"), "--hand-over cannot be used with --promote-to"),
    ],
)
def test_options_that_contradict_each_other(project: Project, options: tuple[str, ...], words: str) -> None:
    assert words in project.ciplug("ci", *options, code=2).stderr


def test_an_archive_gives_its_files_to_the_bundle_beside_them() -> None:
    digits, other = "a" * 64, "b" * 64
    data = zipped({
        "x/bundle.ndjson": b"", f"x/files/{digits}": b"\0" * 9_000_000, f"files/{other}": b"", "x/files/notes.txt": b"",
    })  # fmt: skip
    [found] = unzipped("archive", data, "*bundle*.ndjson", with_files=True)
    assert {digest: len(content) for digest, content in found.files.items()} == {f"sha256:{digits}": 9_000_000}  # type: ignore[arg-type]
    [found] = unzipped("archive", data, "*bundle*.ndjson", with_files=False)
    assert found.files == {}


def test_a_base_that_does_not_exist_ends_the_first_job_before_the_training(project: Project, tmp_path: Path) -> None:
    said = hand_over(project, tmp_path / "out", "--baseline", "nosuch", code=2)
    assert "no commit, branch or tag named 'nosuch'" in said
    assert not (project.folder / "model.txt").exists()


@pytest.mark.slow
def test_of_several_models_the_runs_name_their_own(project: Project, collector: Project, tmp_path: Path) -> None:
    config = "version: 1\nmodels:\n  wine: {metrics: metrics.json}\n  beer: {metrics: metrics.json}\n"
    for one in (project, collector):
        (one.folder / "ciplug.yaml").write_text(config)
    project.commit("two models")
    project.push()
    git(collector.folder, "checkout", "-q", "--", ".")
    git(collector.folder, "pull", "-q")
    hand_over(project, tmp_path / "out", "--model", "beer")
    collector.ciplug("ci", "--collect", str(tmp_path / "out"))
    assert [run["model"] for run in collector.json("runs", "list", "--json")] == ["beer"]
