"""`keep:` in ciplug.yaml: what `ciplug compact` drops, and what it never does; and what `ciplug fsck` says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar

import pytest

from ciplug import config
from ciplug.cli import main
from ciplug.config import Keep
from ciplug.errors import ConfigError
from ciplug.git.objects import object_id
from ciplug.registry import ledger
from ciplug.registry.events import EVENT_TYPES, EventType, wrap
from ciplug.steps.drop_old_runs import runs_to_drop
from ciplug.steps.session import open_session
from ciplug.stores.git import folding
from ciplug.stores.git.objects import BLOB, LooseObjects
from tests.file_samples import sha
from tests.project import CONFIG, Project, git, measured
from tests.team import STAMP, team_in

STAGED = "promote wine --to staging"
ALLOWED = ("--allow-unchanged", "model.bin", "--allow-unchanged", "out")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.with_remote(tmp_path)


def trained(project: Project, accuracy: float, message: str) -> str:
    """A run of a new commit, judged; returns its id."""
    project.numbers({"accuracy": accuracy})
    project.commit(message)
    project.push()
    run = project.train()
    project.ciplug("gate", code=None)
    return run


def keep(project: Project, rules: str) -> None:
    (project.folder / "ciplug.yaml").write_text(f"{CONFIG}keep: {rules}\n")
    project.commit("keep")


def runs_of(project: Project) -> set[str]:
    return {run["id"] for run in project.json("runs", "list", "--limit", "0", "--json")}


@pytest.mark.slow
def test_versions_and_baselines_stay_and_the_rest_goes(project: Project) -> None:
    keep(project, "{last: 2}")
    ids = [trained(project, 0.85, "first")]
    project.ciplug(*STAGED.split())
    # Each is the baseline of the next; of those that stay, the one before the last two is needed.
    ids += [trained(project, 0.85 + number / 1000, f"{number}") for number in range(1, 6)]
    said = project.ciplug("compact", "--dry-run").stderr
    assert said.count("would drop") == 2
    assert runs_of(project) == set(ids)
    said = project.ciplug("compact").stderr
    assert "dropped 2 runs (4 objects); the rule is keep: last 2" in said
    assert "2 older runs are kept: versions, baselines, or what counts for a commit" in said
    assert runs_of(project) == {ids[0], *ids[3:]}
    assert "nothing to drop" in project.ciplug("compact").stderr
    assert "0 problems" not in project.ciplug("fsck").stderr
    assert "4 runs, 1 models in the registry, no problem" in project.ciplug("fsck").stderr
    project.ciplug("compare")


@pytest.mark.slow
def test_the_runs_of_a_window_stay(project: Project) -> None:
    gate = "accuracy: {higher_is_better: true, max_regression: 0.01, baseline: {ref: best, last: 3}}"
    config = f"version: 1\nmodel: wine\nmetrics: metrics.json\nkeep: {{last: 1}}\ngates:\n  {gate}\n"
    (project.folder / "ciplug.yaml").write_text(config)
    ids = []
    for accuracy in (0.95, 0.9, 0.8, 0.7):
        project.commit(f"{accuracy}")
        ids.append(project.train(env=measured({"accuracy": accuracy}), code=None))
    project.push()
    assert "dropped 1 runs" in project.ciplug("compact").stderr
    assert runs_of(project) == set(ids[1:])
    git(project.folder, "checkout", "-q", "-b", "next")
    project.commit("next")
    project.train(env=measured({"accuracy": 0.85}), code=None)
    (judged,) = project.json("gate", "--json")["verdicts"]
    # One number beside the best of several may be worse by luck alone.
    assert (judged["outcome"], judged["gates"][0]["baseline"]) == ("INCONCLUSIVE", 0.9)


@pytest.mark.slow
def test_the_run_that_counts_for_a_commit_stays_while_the_commit_has_a_run(project: Project) -> None:
    """A later run that lacks a gated metric does not count, whichever of them is young."""
    (project.folder / "ciplug.yaml").write_text(
        CONFIG.replace("gates:", "keep: {last: 1}\ngates:\n  f1: {higher_is_better: true, max_regression: 0.01}")
    )
    project.commit("two gates")
    whole, half = ({"accuracy": 0.9, "f1": 0.8}, {"accuracy": 0.9})
    project.train(env=measured(whole))
    counts = project.train(env=measured(whole))
    later = project.train(env=measured(half))
    project.commit("next")
    project.push()
    last = project.train(env=measured({}), code=None)
    project.ciplug("compact")
    # The last one has nothing to compare, so it is no baseline: the one before it is.
    assert runs_of(project) == {counts, later, last}


SWEEP = """\
import pathlib, ciplug
with ciplug.start_run():
    pathlib.Path("metrics.json").write_text('{"accuracy": 0.9}')
for number in range(4):
    with ciplug.start_run():
        ciplug.log_metric("accuracy", 0.6)
"""


@pytest.mark.slow
def test_a_sweep_uses_one_place_and_stays_the_baseline(project: Project) -> None:
    keep(project, "{last: 3}")
    (project.folder / "sweep.py").write_text(SWEEP)
    project.commit("sweep")
    project.push()
    project.ciplug("run", "--", sys.executable, "sweep.py")
    (parent,) = (run["id"] for run in project.json("runs", "list", "--json", "--where", "metrics.accuracy > 0.8"))
    assert "nothing to drop" in project.ciplug("compact").stderr
    assert len(runs_of(project)) == 5
    git(project.folder, "checkout", "-q", "-b", "worse")
    project.numbers({"accuracy": 0.7})
    project.commit("worse")
    project.train()
    (compared,) = project.json("compare", "--format", "json")["comparisons"]
    assert compared["baseline"]["run"] == parent


@dataclass(frozen=True, kw_only=True)
class Instead:
    """A toy event of the registry, which names a run in a field that no other event has."""

    type: ClassVar[str] = "instead"

    instead_of: str

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.instead_of,)


def test_a_run_that_an_event_of_any_type_names_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENT_TYPES, Instead.type, EventType(Instead, lambda model, event, payload: model))
    team = team_in(tmp_path)
    runs = [team.run(commit=team.project.commit(f"{number}")).id for number in range(4)]
    event = wrap(Instead(instead_of=runs[1]), model="wine", created=STAMP)
    ledger.append(team.session.log, ledger.read(team.session.log, "wine"), event)
    old = runs_to_drop(team.session.refreshed(), Keep(last=1))
    assert {run.id for run in old.runs} == {runs[0], runs[2]}


@pytest.mark.slow
def test_young_runs_stay(project: Project) -> None:
    keep(project, "{last: 1, days: 30}")
    for number in range(3):
        trained(project, 0.85 + number / 1000, f"{number}")
    assert "nothing to drop" in project.ciplug("compact").stderr


@pytest.mark.slow
def test_without_a_rule_nothing_is_dropped(project: Project) -> None:
    ids = {trained(project, 0.85 + number / 1000, f"{number}") for number in range(2)}
    said = project.ciplug("compact").stderr
    assert "drop" not in said
    assert runs_of(project) == ids


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("{last: 0}", "keep.last: a whole number from 1 up is expected"),
        ("{last: 2.5}", "keep.last: a whole number from 1 up is expected"),
        ("{lats: 5}", "did you mean 'last'?"),
        ("{days: -1}", "keep.days: -1 is below 0: a number from 0 up is expected"),
        ("{}", "keep: a rule is needed: last, days or both"),
        ("{days: .nan}", "a finite number is expected"),
        ("5", "keep: a mapping is expected, like {last: 1000, days: 365}"),
    ],
)
def test_a_mistake_in_the_rules_is_named(rules: str, words: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        config.parse(f"keep: {rules}\n", Path("ciplug.yaml"))
    assert words in f"{wrong.value} {wrong.value.hint}"


@pytest.mark.slow
def test_retention_in_segments(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 2)
    keep(project, "{last: 1}")
    ids = [trained(project, 0.85 + number / 1000, f"{number}") for number in range(4)]
    monkeypatch.chdir(project.folder)
    assert main(["compact"]) == 0
    assert runs_of(project) == set(ids[2:])
    project.ciplug("fsck")


@pytest.mark.slow
def test_fsck_names_what_is_wrong_and_mends_what_it_can(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    trained(project, 0.85, "first")
    project.ciplug("compact")
    old = git(remote, "rev-parse", "ciplug")
    run = trained(project, 0.86, "second")
    project.ciplug("compact")
    git(remote, "update-ref", "refs/heads/ciplug", old)
    found = project.ciplug("fsck", code=3)
    assert "moved back, replaced or deleted" in found.stdout
    assert "ciplug fsck --repair" in found.stderr
    assert project.json("fsck", "--json", code=3)["problems"][0]["repairable"] is True
    assert run in runs_of(project)
    assert project.ciplug("fsck", "--repair").stdout.startswith("repaired: refs/heads/ciplug")
    assert project.ciplug("fsck").stdout == ""
    fork = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REPOSITORY": "acme/demo"}
    event = tmp_path / "event.json"
    event.write_text(
        '{"pull_request": {"number": 1, "head": {"sha": "' + project.head + '", "ref": "x", "repo": {"full_name": '
        '"stranger/demo", "fork": true}}, "base": {"ref": "main", "repo": {"full_name": "acme/demo"}}}}'
    )
    fork["GITHUB_EVENT_PATH"] = str(event)
    assert "fork" in project.ciplug("fsck", "--repair", env=fork, code=2).stderr


def with_files(project: Project, **files: bytes) -> str:
    """A run of a new commit with the artifacts model.bin and out/, which holds these files; returns its id."""
    folder = project.folder / "out"
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (project.folder / "model.bin").write_bytes(files["own"])
    project.commit(repr(files))
    project.push()
    project.ciplug("record", "--metrics", "numbers.json", "--artifact", "model.bin", "--artifact", "out")
    return str(project.json("runs", "list", "--commit", "HEAD", "--json")[0]["id"])


@pytest.mark.slow
def test_files_that_only_dropped_runs_name_are_gone_a_day_later(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(project, "{last: 1}")
    old, last = (with_files(project, own=name, shared=b"shared") for name in (b"old", b"last"))
    blobs = {data: object_id("blob", data, "sha1") for data in (b"old", b"last", b"shared")}

    def compact(days: int) -> str:
        moment = datetime.now(timezone.utc) + timedelta(days=days)
        monkeypatch.setattr("ciplug.steps.drop_old_files.now", lambda: moment)
        assert main(["compact"]) == 0
        return capsys.readouterr().err

    def held() -> set[bytes]:
        listed = git(tmp_path / "remote.git", "rev-list", "--objects", "--glob=refs/ciplug/*")
        return {data for data, oid in blobs.items() if oid in listed}

    monkeypatch.chdir(project.folder)
    # A file of one run, the list of its folder, and nothing of what the other names too.
    assert "would set 2 files aside" in project.ciplug("compact", "--dry-run").stderr
    said = compact(days=0)
    assert "set 2 files aside that only these runs name" in said and "dropped 1 runs" in said
    assert held() == set(blobs)
    assert "nothing to drop" in compact(days=0)
    assert "dropped 2 files that no run names" in compact(days=2)
    assert held() == {b"last", b"shared"}
    project.ciplug("pull", last, "--to", str(tmp_path / "all"))
    assert (tmp_path / "all" / "out" / "shared").read_bytes() == b"shared"
    assert "no run" in project.ciplug("pull", old, code=2).stderr
    # A record that cannot be read may name any file.
    with_files(project, own=b"next", shared=b"shared")
    open_session(cwd=project.folder).store.add({f"runs/{'0' * 40}-{'0' * 32}.json": b"{}"})
    assert "no file is dropped: 1 record cannot be read" in compact(days=0)
    assert held() == {b"last", b"shared"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["store", "artifact_store"])
def test_files_of_dropped_runs_leave_a_bucket_too(
    project: Project, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = tmp_path / "bucket"
    keep(project, f"{{last: 1, artifact_store: true}}\n{place}: {bucket.as_uri()}")
    old, last = (with_files(project, own=name, shared=b"shared") for name in (b"old", b"last"))

    def held() -> dict[str, str]:
        return {path.name: path.parent.name for path in (bucket / "files").rglob("*") if path.is_file()}

    def compact(days: int) -> None:
        moment = datetime.now(timezone.utc) + timedelta(days=days)
        monkeypatch.setattr("ciplug.steps.drop_old_files.now", lambda: moment)
        assert main(["compact"]) == 0

    monkeypatch.chdir(project.folder)
    before = held()
    compact(days=0)
    assert runs_of(project) == {last} != {old}
    moved = {name for name, folder in held().items() if len(folder) > 2}
    assert len(moved) == 2 and sha(b"old")[7:] in moved, "the file, and the list of its folder"
    compact(days=2)
    assert held().keys() == before.keys() - moved
    project.ciplug("pull", last, "--to", str(tmp_path / "all"))
    # Where nobody says that the place has no other user, its files stay.
    if place == "artifact_store":
        keep(project, f"{{last: 1}}\n{place}: {bucket.as_uri()}")
        with_files(project, own=b"next", shared=b"shared")
        compact(days=3)
        assert sha(b"last")[7:] in held()


@pytest.mark.slow
def test_fsck_misses_the_bytes_of_an_artifact(project: Project, tmp_path: Path) -> None:
    (project.folder / "model.bin").write_bytes(b"a model")
    project.train("--artifact", "model.bin", "--allow-unchanged", "model.bin")
    project.ciplug("fsck")
    remote = tmp_path / "remote.git"
    (ref,) = git(remote, "for-each-ref", "--format=%(refname)", "refs/ciplug/files").split()
    git(remote, "update-ref", "-d", ref)
    assert "model.bin: its bytes are missing from the store" in project.ciplug("fsck", code=3).stdout


@pytest.mark.slow
def test_fsck_names_each_file_with_a_changed_byte(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    contents = {"model.bin": b"M" * 3_000_000, "out/a.txt": b"words"}
    for path, data in contents.items():
        (project.folder / path).parent.mkdir(exist_ok=True)
        (project.folder / path).write_bytes(data)
    run = project.train("--artifact", "model.bin", "--artifact", "out", *ALLOWED)
    assert "files read: 2 (3.0 MB" in project.ciplug("fsck").stderr
    written = LooseObjects(remote, "sha1")
    wrong = {sha(data)[7:]: (BLOB, written.blob(data[:-1] + b"?")) for data in contents.values()}
    (ref,) = git(remote, "for-each-ref", "--format=%(refname)", "refs/ciplug/files").split()
    entries = git(remote, "ls-tree", ref).splitlines()
    others = {line.split("\t")[1]: (BLOB, line.split()[2]) for line in entries}
    git(remote, "update-ref", ref, written.commit(written.tree({**others, **wrong}), (), "other bytes", 0))
    found = project.ciplug("fsck", code=3).stdout
    assert [f"{run}.json: {path}: the store has other bytes" in found for path in contents] == [True, True]
    project.ciplug("fsck", "--no-files")


@pytest.mark.slow
def test_fsck_names_each_artifact_whose_bytes_are_gone(project: Project, tmp_path: Path) -> None:
    runs = [with_files(project, own=b"%d" % number, shared=b"shared") for number in range(2)]
    project.ciplug("compact")
    project.ciplug("fsck")
    remote = tmp_path / "remote.git"
    tip = git(remote, "rev-parse", "refs/ciplug/files/folded").strip()
    git(remote, "update-ref", "-d", "refs/ciplug/files/folded")
    found = project.json("fsck", "--json", code=3)["problems"]
    assert (found[0]["where"], tip in found[0]["what"]) == ("refs/ciplug/files/folded", True)
    named = {
        (run, problem["where"].rpartition(": ")[2]) for problem in found for run in runs if run in problem["where"]
    }
    assert named == {(run, name) for run in runs for name in ("model.bin", "out")}
    assert "its bytes are missing from the store" in found[1]["what"]
    # What the words say puts them back.
    with_files(project, own=b"0", shared=b"shared")
    found = project.json("fsck", "--json", code=3)["problems"]
    assert {runs[1] in problem["where"] for problem in found[1:]} == {True}
    git(remote, "update-ref", "refs/ciplug/files/folded", tip)
    project.ciplug("fsck")
