"""Amendments as a user makes them: over the git store, with what gates, promotion, lists and retention make of them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ciplug.git.cache import cache_folder
from ciplug.git.workspace import discover
from ciplug.records.amendment import LAST_SEQ, Amendment
from ciplug.records.inputs import DatasetInput, ModelOutput
from ciplug.records.keys import RunKey, amendment_object, parse_amendment, parse_runs
from ciplug.records.series import Series
from ciplug.steps.amend import RequestedChange, amend, targets_of, view_of
from ciplug.steps.session import open_session
from ciplug.stores import Store
from tests.project import CONFIG, Project, git

FORK = {
    "GITLAB_CI": "true",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "origin.git")
    return Project.create(tmp_path / "work", remote=tmp_path / "origin.git")


def store_of(project: Project) -> Store:
    return open_session(cwd=project.folder).store


def late(project: Project, run: str, **metrics: float) -> None:
    """Log metrics late, as a resumed run does."""
    session = open_session(cwd=project.folder)
    series = {name: Series((5,), (value,)) for name, value in metrics.items()}
    amend(
        session,
        targets_of(view := view_of(session), [view.runs.key_of(run)]),
        RequestedChange(metrics=metrics, series=series),
    )


@pytest.mark.slow
def test_tags_and_name(project: Project) -> None:
    first, second = project.train(), project.train()
    done = project.ciplug("runs", "tag", first[:12], second, "team=red", "note=a=b")
    assert f"run {first[:12]} (wine): tag note=a=b, tag team=red" in done.stderr
    done = project.ciplug("runs", "tag", first, "team=blue", "--remove", "note", "--remove", "none")
    assert "tag team=blue (was red), tag note removed" in done.stderr
    assert "as it was" in project.ciplug("runs", "tag", first, "team=blue").stderr
    project.ciplug("runs", "rename", first, "the good one")
    shown = project.json("runs", "show", first, "--json")
    assert (shown["name"], shown["tags"]) == ("the good one", {"team": "blue"})
    assert [one["seq"] for one in shown["amendments"]] == [1, 2, 3]
    listed = project.json("runs", "list", "--where", "tags.team = 'blue' AND run_name = 'the good one'", "--json")
    assert [run["id"] for run in listed] == [first]
    history = project.ciplug("runs", "show", first).stdout
    assert "tag team=blue, tag note removed" in history and "test@example.com" in history
    assert project.json("runs", "show", second, "--json")["tags"] == {"team": "red", "note": "a=b"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tag", "RUN"), "no tag is named"),
        (("tag", "a=b"), "no run is named"),
        (("tag", "RUN", "a=b", "--remove", "a"), "both set and removed"),
        (("tag", "RUN", "=b"), "an empty name"),
        (("tag", "none", "a=b"), "no run 'none'"),
        (("withdraw", "RUN"), "--reason"),
        (("withdraw", "RUN", "--reason", " "), "a text is expected"),
    ],
)
def test_what_cannot_be_is_refused(project: Project, words: tuple[str, ...], says: str) -> None:
    run = project.train()
    done = project.ciplug("runs", *(run if word == "RUN" else word for word in words), code=2)
    assert says in done.stderr
    assert not store_of(project).keys("amend/")


@pytest.mark.slow
def test_two_processes_tag_one_run_at_once_and_nothing_is_lost(project: Project, tmp_path: Path) -> None:
    run = project.train()

    def tag(number: int) -> None:
        env = {**os.environ, "CIPLUG_SPOOL": str(tmp_path / f"spool-{number}")}
        words = ["runs", "tag", run, f"tag{number}=x", f"both={number}"]
        subprocess.run([sys.executable, "-m", "ciplug", *words], cwd=project.folder, env=env, check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tag, range(2)))
    tags = project.json("runs", "show", run, "--json")["tags"]
    assert {"tag0", "tag1", "both"} == tags.keys()
    amendments = [parse_amendment(key) for key in store_of(project).keys("amend/")]
    last = max(filter(None, amendments), key=lambda key: key.order)
    data = json.loads(store_of(project).read([last.key])[last.key])
    assert tags["both"] == data["tags"]["both"], "the last in the order of all readers"


@pytest.mark.slow
def test_a_withdrawn_run_is_neither_candidate_nor_baseline_and_is_not_promoted(project: Project) -> None:
    base = project.train()
    project.branch("good", {"accuracy": 0.86})
    project.push()
    run = project.train()
    project.ciplug("gate")
    project.ciplug("runs", "withdraw", base[:10], "--reason", "wrong labels")
    done = project.ciplug("gate", "--run", run)
    assert "wrong labels" in done.stdout, "it says why the merge base's run is not compared with"
    assert "no baseline to compare with" in done.stdout
    project.ciplug("runs", "restore", base)
    assert "no baseline to compare with" not in project.ciplug("gate", "--run", run).stdout
    project.ciplug("runs", "withdraw", run, "--reason", "trained on the test set")
    words = "withdrawn by test@example.com: trained on the test set"
    assert words in project.ciplug("gate", code=2).stderr
    assert words in project.ciplug("gate", "--run", run, code=1).stdout
    assert words in project.ciplug("promote", "wine", "--to", "staging", "--run", run, code=1).stderr
    assert words in project.ciplug("promote", "wine", "--to", "staging", code=2).stderr
    done = project.ciplug("runs", "list")
    assert "finished, withdrawn" in done.stdout
    assert project.ciplug("leaderboard", "--metric", "accuracy").stdout.count("0.8") == 1
    assert words in project.ciplug("runs", "show", run).stdout
    done = project.ciplug("runs", "restore", run, "--reason", "it was not")
    assert f"restored; it was {words}" in done.stderr
    project.ciplug("gate", "--run", run)
    project.ciplug("promote", "wine", "--to", "staging", "--run", run)


@pytest.mark.slow
def test_the_children_of_a_withdrawn_run_count_as_little_as_it_does(project: Project) -> None:
    sweep = (
        "import ciplug\n"
        "with ciplug.start_run(): ciplug.log_metric('accuracy', 0.9)\n"
        "with ciplug.start_run(name='trial'): ciplug.log_metric('accuracy', 0.99)\n"
    )
    project.ciplug("run", "--", sys.executable, "-c", sweep, code=2)  # There is no metrics.json.
    parent, child = sorted(project.json("runs", "list", "--json"), key=lambda run: "parent" in run)
    assert child["parent"] == parent["id"]
    project.ciplug("runs", "withdraw", parent["id"], "--reason", "trained on the test set")
    none = project.ciplug("gate", code=2).stderr
    assert f"run {child['id'][:12]} was started by a run that was withdrawn by" in none
    project.ciplug("promote", "wine", "--to", "staging", "--run", child["id"], code=1)
    assert "not counted: started by a run that was withdrawn" in project.ciplug("runs", "show", child["id"]).stdout
    project.numbers({"accuracy": 0.5})
    project.commit("next")
    project.train()
    side = project.json("compare", "--format", "json")["comparisons"][0]["baseline"]
    assert side.get("run") is None
    project.ciplug("runs", "restore", parent["id"])
    side = project.json("compare", "--format", "json")["comparisons"][0]["baseline"]
    assert side["run"] == parent["id"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["withdraw", "delete"])
def test_a_withdrawn_run_that_is_in_a_stage_is_named_with_it(project: Project, verb: str) -> None:
    run, other = project.train(), project.train()
    project.ciplug("gate", "--run", run)
    project.ciplug("promote", "wine", "--to", "staging", "--run", run)
    project.ciplug("promote", "cellar.wine", "--to", "staging", "--run", run)
    assert "warning" not in project.ciplug("pull", "wine@staging", "--to", "out").stderr
    assert "stays in" not in project.ciplug("runs", "tag", run, "a=b").stderr
    assert "stays in" not in project.ciplug("runs", verb, other, "--reason", "a twin").stderr
    told = f"""warning: version 1 of 'wine' comes from run {run[:12]} and stays in staging
  -> promote another run: ciplug promote wine --to staging --run ID"""
    for _ in range(2):
        said = project.ciplug("runs", verb, run, "--reason", "bad").stderr
        assert told in said and f"version 1 of 'cellar.wine' comes from run {run[:12]} and stays in staging" in said
    state = {"withdraw": "withdrawn", "delete": "deleted"}[verb]
    warning = f"warning: run {run[:12]}, version 1 of 'wine', was {state} by test@example.com: bad"
    assert warning in project.ciplug("pull", "wine@staging", "--to", "out").stderr
    assert f"warning: run {run[:12]} was {state}" in project.ciplug("pull", run, "--to", "out").stderr
    project.ciplug("runs", "restore", run)
    assert "warning" not in project.ciplug("pull", "wine@staging", "--to", "out").stderr


@pytest.mark.slow
def test_a_deleted_run_is_hidden_and_comes_back(project: Project) -> None:
    kept, gone = project.train(), project.train()
    project.ciplug("runs", "delete", gone, "--reason", "a trial")
    done = project.ciplug("runs", "list", "--format", "csv")
    assert kept in done.stdout and gone not in done.stdout
    assert "1 deleted: --all lists them too" in done.stderr
    assert gone in project.ciplug("runs", "list", "--all").stdout.replace(gone[:12], gone)
    assert "finished, deleted" in project.ciplug("runs", "list", "--where", "lifecycle = 'deleted'").stdout
    assert "deleted by test@example.com: a trial already" in project.ciplug("runs", "delete", gone).stderr
    assert project.json("gate", "--dry-run", "--json")["verdicts"][0]["run"] == kept
    project.ciplug("runs", "restore", gone)
    assert project.json("gate", "--dry-run", "--json")["verdicts"][0]["run"] == gone


@pytest.mark.slow
def test_what_is_added_late_counts_and_what_is_changed_is_an_error(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(
        "version: 1\nmodel: wine\nmetrics: metrics.json\ngates:\n"
        "  accuracy: {higher_is_better: true, min: 0.8}\n  auc: {higher_is_better: true, min: 0.5, on_missing: fail}\n"
    )
    project.commit("a gate on auc")
    run = project.train()
    assert "has no metric 'auc'" in project.ciplug("gate", code=1).stdout
    late(project, run, auc=0.7)
    verdict = project.json("gate", "--json")["verdicts"][0]
    assert verdict["outcome"] == "PASS"
    assert [parse_amendment(key) is not None for key in sorted(verdict["judged"])] == [True, False]
    late(project, run, accuracy=0.99)
    done = project.ciplug("gate", code=1)
    words = " ".join(done.stdout.split())
    assert f"'accuracy' was changed after the end of run {run[:12]}, by test@example.com" in words
    assert project.json("runs", "show", run, "--json")["metrics"] == {"accuracy": 0.99, "auc": 0.7}
    runs = open_session(cwd=project.folder).runs()
    shown = runs.get(run)
    assert runs.evidence(shown).run.metrics == {"accuracy": 0.85, "auc": 0.7}
    assert runs.series(shown)["auc"].steps == (5,)


def resumed(project: Project, run: str, **fields: Any) -> None:
    """Amend a run as one that is resumed and ends again does."""
    session = open_session(cwd=project.folder)
    amend(
        session,
        targets_of(view := view_of(session), [view.runs.key_of(run)]),
        RequestedChange(ended="2026-12-01T00:00:00.000Z", **fields),
    )


@pytest.mark.slow
def test_no_amendment_makes_evidence_of_a_run_that_did_not_finish(project: Project) -> None:
    training = "import pathlib; pathlib.Path('metrics.json').write_text('{\"accuracy\": 0.9}'); raise SystemExit(1)"
    project.ciplug("run", "--", sys.executable, "-c", training, code=1)
    (failed,) = [run["id"] for run in project.json("runs", "list", "--json")]
    resumed(project, failed, status="finished")
    assert project.json("runs", "show", failed, "--json")["status"] == "finished"
    listed = project.json("runs", "list", "--where", "status = 'finished' AND end_time >= '2026-12-01'", "--json")
    assert [run["id"] for run in listed] == [failed]
    words = " ".join(project.ciplug("gate", "--run", failed, code=1).stdout.split())
    assert "the run failed (exit code 1) before it was resumed: its numbers decide nothing" in words
    project.ciplug("promote", "wine", "--to", "staging", "--run", failed, code=1)
    project.commit("next")
    run = project.train()
    assert "no baseline to compare with" in project.ciplug("gate", "--run", run).stdout
    resumed(project, run, status="killed")
    words = " ".join(project.ciplug("gate", "--run", run, code=1).stdout.split())
    assert "the run was resumed by test@example.com and then was killed: its numbers decide nothing" in words


@pytest.mark.slow
def test_late_parameters_and_inputs_decide_nothing(project: Project) -> None:
    """Neither which runs are grouped by their seed, nor what the evaluation was made on."""
    (project.folder / "ciplug.yaml").write_text(
        "version: 1\nmodel: wine\nmetrics: metrics.json\ndatasets: test.csv\nevaluation: test.csv\n"
        "seeds: {key: seed, min_runs: 2}\n"
        "gates:\n  accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}\n"
    )
    (project.folder / "test.csv").write_text("a,b\n1,2\n")
    project.commit("seeds")
    first, second = (project.train("--seed", str(seed)) for seed in (1, 2))
    before = project.json("gate", "--run", second, "--json")["verdicts"][0]
    assert sorted(before["runs"]) == sorted([first, second])
    resumed(project, first, params={"depth": 7})
    resumed(project, second, params={"seed": 9})
    other = DatasetInput(name="test.csv", digest="sha256:0", source_type="local", source="test.csv")
    resumed(project, second, inputs=(other,), outputs=(ModelOutput(id="m-1"),), model_inputs=("m-0",))
    after = project.json("gate", "--run", second, "--json")["verdicts"][0]
    assert (after["runs"], after["gates"]) == (before["runs"], before["gates"])
    shown = project.ciplug("runs", "show", second).stdout
    for words in ("parameter seed=9", "input test.csv (sha256:0)", "model input m-0", "output m-1"):
        assert words in shown
    listed = project.json("runs", "list", "--where", "datasets.digest = 'sha256:0' AND params.seed = 9", "--json")
    assert [run["id"] for run in listed] == [second]
    done = project.ciplug("runs", "list", "--where", "datasets.planet = 'Mars'", code=2)
    assert "unknown field 'planet' of a dataset" in done.stderr
    done = project.ciplug("runs", "list", "--order-by", "datasets.name", code=2)
    assert "a run may have several datasets" in done.stderr


@pytest.mark.slow
def test_an_amendment_of_a_newer_ciplug_is_said(project: Project) -> None:
    run = project.train()
    made = Amendment(run=run, model="wine", commit=project.head, seq=1, created="2026-12-01T00:00:00Z", schema=2)
    key, data = amendment_object(made)
    store_of(project).add({key.key: data})
    words = f"amendment 1 of run {run[:12]}: written by a newer ciplug (schema 2, this one knows 1)"
    for command in (("list",), ("show", run), ("list", "--json")):
        assert words in project.ciplug("runs", *command).stderr
    words = f"run {run[:12]} was amended by a newer ciplug (schema 2), and this ciplug understands only a part of it"
    assert words in " ".join(project.ciplug("compare").stdout.split()).replace("Run", "run")
    runs = open_session(cwd=project.folder).runs()
    assert [one.seq for one in runs.changes(runs.get(run)).newer] == [1] == [one.seq for one in runs.newer]


def newer_amendment(project: Project, run: str) -> None:
    """Amend a run as a newer ciplug would, with what this one does not understand."""
    key = recorded_key(project, run)
    made = Amendment(run=run, model="wine", commit=key.commit, seq=1, created="2026-12-01T00:00:00Z", schema=2)
    name, data = amendment_object(made)
    store_of(project).add({name.key: data})


def test_gates_do_not_pass_a_run_that_a_newer_ciplug_may_have_withdrawn(project: Project) -> None:
    newer_amendment(project, project.train())
    verdict = project.json("gate", "--json")["verdicts"][0]
    (result,) = (gate for gate in verdict["gates"] if gate["gate"] == "run")
    assert (verdict["outcome"], result["outcome"], result["advice"]) == ("INCONCLUSIVE",) * 2 + ("upgrade ciplug",)
    assert "amended by a newer ciplug (schema 2), and this ciplug understands only a part of it" in result["reason"]
    assert "it may have been withdrawn" in result["reason"]


@pytest.mark.slow
def test_a_baseline_that_a_newer_ciplug_may_have_withdrawn_decides_nothing(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace(" min: 0.8,", ""))
    project.commit("compare")
    base = project.train()
    project.commit("next")
    project.train()
    assert project.json("gate", "--json")["verdicts"][0]["outcome"] == "PASS"
    newer_amendment(project, base)
    (result,) = project.json("gate", "--json")["verdicts"][0]["gates"]
    assert result["outcome"] == "INCONCLUSIVE" and result["advice"] == "upgrade ciplug"
    assert f"the baseline's run {base[:12]} was amended by a newer ciplug" in result["reason"]


@pytest.mark.slow
def test_offline_shows_what_this_machine_has_sent(project: Project, tmp_path: Path) -> None:
    first = project.train()
    project.ciplug("runs", "list")
    (catalog,) = (cache_folder(discover(project.folder), os.environ) / "catalog").glob("*.sqlite")
    os.utime(catalog, (1_700_000_000, 1_700_000_000))
    project.ciplug("runs", "tag", first, "team=red")
    second = project.train()
    (tmp_path / "origin.git").rename(tmp_path / "away.git")
    listed = project.ciplug("runs", "list", "--offline", "--format", "csv", "--columns", "tags.team")
    rows = {row["run"]: row["tags.team"] for row in csv.DictReader(listed.stdout.splitlines())}
    assert rows == {first: "red", second: ""}


@pytest.mark.slow
def test_offline_it_waits_in_the_spool_and_is_sent_later(project: Project, tmp_path: Path) -> None:
    run = project.train()
    project.ciplug("runs", "list")
    (tmp_path / "origin.git").rename(tmp_path / "away.git")
    done = project.ciplug("runs", "tag", run[:12], "team=red", code=3)
    assert "looked up in the local cache" in done.stderr and "it is kept in" in done.stderr
    done = project.ciplug("runs", "tag", run[:12], "team=blue", code=3)
    (tmp_path / "away.git").rename(tmp_path / "origin.git")
    assert project.json("runs", "show", run, "--json")["tags"] == {"team": "blue"}
    assert len(store_of(project).keys("amend/")) == 2


@pytest.mark.slow
def test_what_is_said_of_a_deleted_run_that_is_withdrawn(project: Project) -> None:
    run = project.train()
    project.ciplug("runs", "delete", run, "--reason", "a test")
    said = project.ciplug("runs", "withdraw", run, "--reason", "wrong labels").stderr
    assert f"run {run[:12]} (wine): withdrawn; it is still deleted by " in said and said.rstrip().endswith(": a test")


def test_a_forks_job_amends_nothing(project: Project) -> None:
    run = project.train()
    env = {**FORK, "CI_COMMIT_SHA": project.head}
    assert "a fork's job must not amend runs" in project.ciplug("runs", "tag", run, "a=b", code=2, env=env).stderr
    assert not store_of(project).keys("amend/")


@pytest.mark.slow
def test_retention_keeps_amendments_with_their_run_and_drops_them_with_it(project: Project) -> None:
    with (project.folder / "ciplug.yaml").open("a") as file:
        file.write("keep: {last: 1}\n")
    project.commit("keep one")
    old, bad, new = project.train(), project.train(), project.train()
    project.ciplug("runs", "tag", old, new, "a=b")
    project.ciplug("runs", "withdraw", new, "--reason", "bad")
    project.ciplug("compact")
    runs = {run.id for run in parse_runs(store_of(project).keys("runs/"))}
    assert runs == {bad, new}, "the last that counts is kept, and what is withdrawn takes no place"
    amended = {key.run for key in map(parse_amendment, store_of(project).keys("amend/")) if key}
    assert amended == {new}


@pytest.mark.slow
def test_fsck_names_amendments_that_are_wrong(project: Project) -> None:
    run = project.train()
    assert "no problem" in project.ciplug("fsck").stderr
    store = store_of(project)
    key, data = amendment_object(Amendment(run="f" * 32, model="wine", seq=1, created="2026-11-28T00:00:00Z"))
    (recorded,) = parse_runs(store.keys("runs/"))
    assert recorded.id == run
    damaged = f"{recorded.amendments}7-aaaaaaaa.json"
    store.add({recorded.inputs: b"no texts", recorded.series: b"no series", recorded.examples: b"no examples"})
    store.add({key.key: data})
    store.add({damaged: b'{"run":1}\n'})
    done = project.ciplug("fsck", code=3)
    assert f"{key.key}: its run is not in the store" in done.stdout
    assert f"{damaged}: " in done.stdout
    assert f"problem: {recorded.inputs}: not the schemas and profiles of a run, or damaged" in done.stdout
    assert f"problem: {recorded.series}: " in done.stdout and f"problem: {recorded.examples}: " in done.stdout
    assert "cannot be read" in project.ciplug("gate", code=2).stderr, "it may be a withdrawal"


def recorded_key(project: Project, run: str) -> RunKey:
    (key,) = (key for key in parse_runs(store_of(project).keys("runs/")) if key.id == run)
    return key


@pytest.mark.slow
def test_a_withdrawal_after_the_highest_number_takes_effect(project: Project) -> None:
    run = project.train()
    commit = recorded_key(project, run).commit
    made = Amendment(run=run, model="wine", commit=commit, seq=LAST_SEQ, created="2026-11-28T00:00:00Z", name="x")
    key, data = amendment_object(made)
    store_of(project).add({key.key: data})
    assert "the highest number" in project.ciplug("runs", "tag", run, "a=b", code=3).stderr
    project.ciplug("runs", "withdraw", run, "--reason", "wrong labels")
    assert "wrong labels" in project.ciplug("gate", "--run", run, code=1).stdout
    assert project.json("runs", "show", run, "--json")["lifecycle"] == "withdrawn"
    assert "only be withdrawn or deleted" in project.ciplug("runs", "restore", run, code=3).stderr


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["7-aaaaaaaa.json", "1000000000000000-aaaaaaaa.json"])
def test_a_run_with_an_unreadable_amendment_does_not_count(project: Project, rest: str) -> None:
    run = project.train()
    stray = recorded_key(project, run).amendments + rest
    store_of(project).add({stray: b"{}\n"})
    gate = project.ciplug("gate", "--run", run, code=1).stdout
    assert stray in gate and "ciplug fsck" in gate and "runs restore" not in gate
    assert "runs restore" not in project.ciplug("gate", code=2).stderr
    assert "runs restore" not in project.ciplug("promote", "wine", "--to", "staging", "--run", run, code=1).stderr
    done = project.ciplug("runs", "list")
    assert "finished, amendment unreadable" in done.stdout and stray in done.stderr
    assert project.json("runs", "list", "--json")[0]["unread_amendments"] == [stray]
    board = project.ciplug("leaderboard", "--metric", "accuracy")
    assert run[:12] not in board.stdout and "with an amendment that cannot be read" in board.stderr
    refused = project.ciplug("runs", "restore", run, code=3).stderr
    assert "cannot be restored" in refused and stray in refused
    assert stray in project.ciplug("fsck", code=3).stdout


@pytest.mark.slow
def test_a_restoration_undoes_one_state_at_a_time(project: Project) -> None:
    run = project.train()
    project.ciplug("runs", "withdraw", run, "--reason", "wrong labels")
    project.ciplug("runs", "delete", run, "--reason", "a twin")
    first = project.ciplug("runs", "restore", run).stderr
    assert "it was deleted by" in first and "it is still withdrawn by" in first
    assert project.json("runs", "show", run, "--json")["lifecycle"] == "withdrawn"
    assert "it is still" not in project.ciplug("runs", "restore", run).stderr
    assert project.json("runs", "show", run, "--json")["lifecycle"] == "active"
