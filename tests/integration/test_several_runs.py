"""Several runs of one commit, by the command line: each is judged, and the luckiest one never passes in silence."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciplug.steps.reporting.report import judged_for_report
from ciplug.steps.select import counting
from ciplug.steps.session import open_session
from tests.project import Project, git

TRAIN = """\
import json, os, pathlib
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": float(os.environ["VALUE"])}))
"""
LACKS = "has fewer of the metrics that the gates use"
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
gates:
  accuracy: {min: 0.8}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path / "work", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / ".gitignore").write_text("metrics.json\nrep/\n")
    project.commit("train")
    return project


def train(project: Project, value: float, *args: str) -> str:
    return project.train(*args, env={"VALUE": str(value)})


def gate(project: Project, code: int = 0) -> Any:
    (verdict,) = project.json("gate", "--json", code=code)["verdicts"]
    return verdict


def notices(project: Project) -> Mapping[str, Any]:
    report = json.loads(project.ciplug("report", "--format", "json").stdout)
    return {one["kind"]: one for one in report["sections"][0]["comparison"]["notices"]}


@pytest.mark.slow
def test_the_price_of_a_gate_does_not_grow_with_the_runs_of_a_commit(project: Project, tmp_path: Path) -> None:
    reads = []
    train(project, 0.9, "--seed", "1")
    for count in (2, 3):
        train(project, 0.9, "--seed", "1")
        trace = tmp_path / f"trace {count}"
        project.json("gate", "--json", env={"GIT_TRACE": str(trace)})
        reads.append(trace.read_text().count("built-in: git cat-file"))
    assert reads[0] == reads[1] > 0


@pytest.mark.slow
def test_run_until_it_passes(project: Project) -> None:
    """The third attempt with the same seed passes the gate: a warning that names the run that failed it."""
    bad = train(project, 0.79, "--seed", "1")
    assert gate(project, 1)["outcome"] == "FAIL"
    lucky = train(project, 0.81, "--seed", "1")

    verdict = gate(project)
    assert verdict["run"] == lucky
    assert (verdict["outcome"], verdict["reruns"]["total"]) == ("WARN", 2)
    (other,) = verdict["reruns"]["others"]
    assert (other["run"], other["outcome"], other["failed"], other["seed"]) == (bad, "FAIL", ["accuracy"], 1)
    assert [g["outcome"] for g in verdict["gates"] if g["gate"] == "reruns"] == ["WARN", "WARN"]

    said = notices(project)
    assert said["failed_before"]["runs"] == [bad] and said["failed_before"]["metrics"] == ["accuracy"]
    assert said["flaky"]["metrics"] == ["accuracy"] and said["flaky"]["values"] == [[0.79, 0.81]]
    assert "FLAKY" in said["flaky"]["message"] and "seeds:" in said["flaky"]["remedy"]
    for form in ("markdown", "html"):
        shown = project.ciplug("report", "--format", form).stdout
        assert shown.count("FLAKY: 2 runs of this commit with seed 1") == 1 and bad[:12] in shown
        assert shown.count("and did not fail on the judged run") == 1
    assert said["flaky"]["elsewhere"] and said["failed_before"]["elsewhere"]
    assert "2 runs of this commit: " in project.ciplug("report", "--format", "markdown").stdout
    terminal = project.ciplug("gate").stdout
    assert terminal.count("FLAKY") == 1 and bad[:12] in terminal and "could count" in " ".join(terminal.split())

    project.ciplug("runs", "withdraw", bad, "--reason", "bad luck")
    verdict = gate(project)
    assert (verdict["run"], verdict["outcome"]) == (lucky, "WARN")
    assert verdict["gates"][-1]["reason"].startswith(f"'accuracy' failed on run {bad[:12]} of this commit, which was w")
    shown = [line.split() for line in project.ciplug("gate").stdout.splitlines() if line.startswith(bad[:12])]
    assert shown == [[bad[:12], "local", "1", "finished,", "withdrawn", "ERROR", "accuracy"]]


@pytest.mark.slow
def test_a_run_that_is_withdrawn_stays_a_look(project: Project) -> None:
    """Its number decides nothing, but the error rate is that of somebody who has seen it."""
    gate_of_shares = "{higher_is_better: true, max_regression: 0.01, n: rows}"
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace("{min: 0.8}", gate_of_shares))
    (project.folder / "train.py").write_text(TRAIN.replace('{"accuracy"', '{"rows": 1000, "accuracy"'))
    project.commit("shares of 1000 rows")
    train(project, 0.9)
    project.branch("topic")
    bad = train(project, 0.88)
    train(project, 0.9)
    project.ciplug("runs", "withdraw", bad, "--reason", "bad luck")
    result = gate(project)["gates"][0]
    assert any(
        note.startswith("2 runs of this commit were compared: this one is judged at α = ") for note in result["notes"]
    )


@pytest.mark.slow
def test_all_runs_of_a_commit_enter_the_verdict_on_the_last(project: Project) -> None:
    """0.88, then 0.895 beside 0.90: as numbers, the second passes; both runs together do not tell."""
    (project.folder / "ciplug.yaml").write_text(
        CONFIG.replace("{min: 0.8}", "{higher_is_better: true, max_regression: 0.01}")
    )
    project.commit("compare")
    train(project, 0.9)
    project.branch("topic")
    bad = train(project, 0.88)
    assert gate(project, 1)["gates"][0]["outcome"] == "FAIL"
    train(project, 0.895)
    result = gate(project)["gates"][0]
    assert (result["outcome"], result["method"]) == ("INCONCLUSIVE", "noise between 2 runs of the commit")
    assert result["notes"][0] == "the interval is about the mean of the 2 runs of this commit, 0.8875"
    assert any(
        note.startswith("2 runs of this commit were compared: this one is judged at α = ") for note in result["notes"]
    )
    # Withdrawn, its number decides nothing; that somebody has seen it, it does.
    project.ciplug("runs", "withdraw", bad, "--reason", "bad luck")
    verdict = gate(project)
    assert (verdict["outcome"], verdict["gates"][0]["outcome"]) == ("WARN", "PASS")
    project.ciplug("runs", "restore", bad)
    # The same number once more is not another look.
    train(project, 0.895)
    assert gate(project)["gates"][0]["notes"][0] == result["notes"][0]

    # Nor does it help to train the baseline again until it is bad enough.
    project.branch("other", {"lr": 0.2})
    train(project, 0.882)
    assert gate(project, 1)["gates"][0]["baseline"] == 0.9
    git(project.folder, "checkout", "-q", "main")
    train(project, 0.885)
    git(project.folder, "checkout", "-q", "other")
    (result,) = gate(project)["gates"]
    assert (result["outcome"], result["baseline"]) == ("WARN", 0.885)
    assert (
        "the baseline's commit has 2 runs, whose mean is 0.8925, and compared with their mean the loss is too large"
        in result["reason"]
    )


@pytest.mark.slow
def test_the_same_files_in_another_commit_are_no_new_try(project: Project) -> None:
    """An empty commit and a revert of a revert: the runs before count. What has the files of main starts anew."""
    (project.folder / "ciplug.yaml").write_text(
        CONFIG.replace("{min: 0.8}", "{higher_is_better: true, max_regression: 0.01}")
    )
    project.commit("compare")
    train(project, 0.9)
    project.branch("topic", {"lr": 0.1})
    bad, first = train(project, 0.88), project.head
    assert gate(project, 1)["gates"][0]["outcome"] == "FAIL"
    git(project.folder, "revert", "--no-edit", "HEAD")
    train(project, 0.9)
    verdict = gate(project)
    assert verdict["outcome"] == "PASS" and "reruns" not in verdict, "its files are those of main"
    for change in (("revert", "--no-edit", "HEAD"), ("commit", "-q", "--allow-empty", "-m", "again")):
        git(project.folder, *change)
        train(project, 0.895)
        verdict = gate(project)
        result = verdict["gates"][0]
        assert (result["outcome"], result["baseline"]) == ("INCONCLUSIVE", 0.9)
        assert result["notes"][0] == "the interval is about the mean of the 2 runs of this commit, 0.8875"
        (other,) = [one for one in verdict["reruns"]["others"] if one["run"] == bad]
        assert (other["commit"], other["outcome"]) == (first, "FAIL")
    assert f", {first[:8]}, which have the same files" in notices(project)["reruns"]["message"]
    assert f"{bad[:12]} of {first[:8]}" in project.ciplug("gate").stdout


@pytest.mark.slow
def test_a_job_says_which_run_its_comment_shows(project: Project) -> None:
    """Its own, or another one: that counts, or comes nearest to it where none of the commit counts."""
    job = {"JENKINS_URL": "https://ci.example.com/", "BUILD_URL": "https://ci.example.com/job/1/"}
    here = ("ci", "--no-comment", "--", sys.executable, "train.py")

    def said(**env: str) -> str:
        return project.ciplug(*here, env={"VALUE": "0.9", **env}).stderr

    assert "the comment shows" not in said(**job)
    (best,) = project.json("runs", "list", "--json")
    assert f"the comment shows run {best['id'][:12]} of 'wine', which counts for this commit" in said()
    project.commit("next")
    (project.folder / "train.py").write_text(f"{TRAIN}# an experiment\n")
    assert "the comment shows" not in said(**job)
    best = project.json("runs", "list", "--limit", "1", "--json")[0]
    words = f"no run of 'wine' counts for this commit; the comment shows run {best['id'][:12]}"
    assert words in said()


def test_the_last_fails_and_an_earlier_one_passed(project: Project) -> None:
    train(project, 0.81, "--seed", "1")
    train(project, 0.79, "--seed", "1")
    assert gate(project, 1)["outcome"] == "FAIL"


GATE = "{higher_is_better: true, max_regression: 0.01, baseline: BASELINE}"


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["target", "mean", "best", "merge-base", "'commit:HEAD'", "'tag:v2'"])
def test_a_training_that_is_run_again_is_not_compared_with_its_own_failure(project: Project, baseline: str) -> None:
    """On the target branch itself, where the runs of the commit are the last ones there are."""
    (project.folder / "ciplug.yaml").write_text(
        f"version: 1\nmodel: wine\nmetrics: metrics.json\ngates:\n  accuracy: {GATE.replace('BASELINE', baseline)}\n"
    )
    project.commit("gates")
    good = train(project, 0.95)
    project.commit("worse")
    git(project.folder, "tag", "v2")
    runs = [train(project, value) for value in (0.80, 0.80)]
    for _ in range(2):
        verdict = gate(project, 1)
        (result,) = [one for one in verdict["gates"] if one["gate"] == "accuracy"]
        assert (verdict["run"], verdict["outcome"], result["baseline"]) == (runs[-1], "FAIL", 0.95)
        others = verdict["reruns"]["others"]
        assert [(one["run"], one["outcome"]) for one in others] == [(run, "FAIL") for run in runs[-2::-1]]
        report = json.loads(project.ciplug("report", "--format", "json").stdout)
        (comparison,) = (section["comparison"] for section in report["sections"])
        assert comparison["target"]["run"] == good
        assert [one["history"] for one in comparison["metrics"] if one["metric"] == "accuracy"] == [[0.95]]
        runs.append(train(project, 0.96))
        verdict = gate(project)
        # The best and the mean of a branch are no evaluations that were chosen before their numbers were known.
        expected = "WARN" if baseline in ("best", "mean") else "INCONCLUSIVE"
        assert verdict["outcome"] == expected, "a luckier run"
        assert {one["outcome"] for one in verdict["reruns"]["others"]} == {"FAIL"}
        project.ciplug("runs", "withdraw", runs.pop(), "--reason", "a test")
    project.ciplug("promote", "wine", "--to", "staging", code=1)


@pytest.mark.slow
def test_a_first_commit_with_several_runs_has_no_baseline(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(
        f"version: 1\nmodel: wine\nmetrics: metrics.json\ngates:\n  accuracy: {GATE.replace('BASELINE', 'target')}\n"
        f"  mean: {GATE.replace('{', '{metric: accuracy, ').replace('BASELINE', 'mean')}\n"
    )
    project.commit("gates")
    first, _ = train(project, 0.95), train(project, 0.80)
    verdict = gate(project)
    assert verdict["outcome"] == "WARN"
    reasons = {one["gate"]: one["reason"] for one in verdict["gates"]}
    assert "no run of 'wine' on main apart from those of this commit" in reasons["accuracy"]
    assert "no run of 'wine' with 'accuracy' on main apart from those of this commit" in reasons["mean"]
    # A person may name it to see the difference.
    (comparison,) = project.json("compare", "HEAD", "--format", "json")["comparisons"]
    assert comparison["baseline"]["run"] == first


@pytest.mark.slow
def test_the_previous_run_may_be_of_the_same_commit(project: Project) -> None:
    """The same code is evaluated each night on other data: a night that failed stays failed the night after."""
    (project.folder / "ciplug.yaml").write_text(
        f"version: 1\nmodel: wine\nmetrics: metrics.json\ngates:\n  accuracy: {GATE.replace('BASELINE', 'previous')}\n"
    )
    project.commit("gates")
    train(project, 0.90)
    assert "apart from those of this commit" in gate(project)["gates"][0]["reason"]
    nights = [train(project, 0.895), train(project, 0.85)]
    verdict = gate(project, 1)
    assert (verdict["outcome"], verdict["gates"][0]["baseline"]) == ("FAIL", 0.895)
    nights.append(train(project, 0.85))
    verdict = gate(project)
    assert (verdict["outcome"], verdict["gates"][0]["baseline_run"]) == ("WARN", nights[1])
    assert [one["outcome"] for one in verdict["reruns"]["others"]] == ["FAIL", "PASS", "WARN"]
    project.commit("other code")
    train(project, 0.8)
    assert gate(project, 1)["gates"][0]["baseline_run"] == nights[-1]


@pytest.mark.slow
def test_the_previous_seeds_are_none_of_those_that_are_judged(project: Project) -> None:
    """Each night trains the same commit with the same seeds: a night is compared with the one before."""
    (project.folder / "ciplug.yaml").write_text(
        "version: 1\nmodel: wine\nmetrics: metrics.json\nseeds: {min_runs: 2}\n"
        "gates: {accuracy: {higher_is_better: true, max_regression: 0.01, baseline: previous}}\n"
    )
    project.commit("gates")
    before = {train(project, value, "--seed", str(seed)) for seed, value in enumerate((0.90, 0.91, 0.92))}
    now = {train(project, value, "--seed", str(seed)) for seed, value in enumerate((0.80, 0.81, 0.82))}
    (verdict,) = project.json("gate", "--json", code=None)["verdicts"]
    assert verdict["outcome"] != "PASS" and set(verdict["runs"]) == now
    (found,) = [one for one in verdict["gates"] if one["gate"] == "accuracy"]
    assert found["baseline"] == pytest.approx(0.91) and found["baseline_run"] in before


@pytest.mark.slow
def test_a_promotion_records_what_the_other_runs_decided(project: Project) -> None:
    bad = project.train("--seed", "1", env={"VALUE": "0.79"})
    (project.folder / "model.txt").write_text("a model")
    write = ("import pathlib; exec(open('train.py').read()); pathlib.Path('model.txt').write_text('m')",)
    project.ciplug(
        "run", "--seed", "1", "--artifact", "model.txt", "--", sys.executable, "-c", *write,
        env={"VALUE": "0.81"},
    )  # fmt: skip
    assert gate(project)["outcome"] == "WARN"
    said = project.ciplug("promote", "wine", "--to", "staging").stderr
    event = project.json("registry", "history", "wine", "--json")[-1]["payload"]
    before, summary = event["reruns"][0], event["reruns"][-1]
    assert before.startswith(f"'accuracy' failed on run {bad[:12]} of this commit") and f"warning: {before}" in said
    assert "2 runs of this commit could count" in summary and "the others: 1 FAIL" in summary


@pytest.mark.slow
def test_a_later_run_of_another_command_without_the_number_is_named(project: Project) -> None:
    """It is passed over as incomplete, and not in silence."""
    good = project.train(env={"VALUE": "0.9"})
    other = "import pathlib; pathlib.Path('metrics.json').write_text('{\"loss\": 1}')"
    project.ciplug("run", "--", sys.executable, "-c", other)
    later = project.json("runs", "list", "--json")[0]["id"]
    verdict = gate(project)
    assert (verdict["run"], verdict["outcome"], verdict["reruns"]["behind"]) == (good, "PASS", 1)
    words = (
        f"1 run of this commit could count: run {good[:12]} counts; 1 more run could not count ({later[:12]} {LACKS})"
    )
    assert words in notices(project)["reruns"]["message"]
    for shown in (project.ciplug("gate").stdout, project.ciplug("report", "--format", "markdown").stdout):
        assert f"1 more run could not count ({later[:12]} {LACKS})" in " ".join(shown.split()).replace("`", "")
        rows = [line for line in shown.splitlines() if later[:12] in line]
        assert any("accuracy" in row for row in rows), "the table says what it lacks"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["good", "bad"])
@pytest.mark.parametrize("numbers", ['{"accuracy": "diverged", "n": 1}', '{"loss": 1}'], ids=["text", "lacking"])
def test_a_rerun_without_the_gated_number(project: Project, numbers: str, first: str) -> None:
    """The same command, in both orders: the run that has a number is judged, and the other is named."""
    (project.folder / "train.py").write_text(
        "import os, pathlib\npathlib.Path('metrics.json').write_text(os.environ['NUMBERS'])\n"
    )
    project.commit("numbers")
    order = {"good": '{"accuracy": 0.95}', "bad": numbers}
    runs = {
        name: project.train("--seed", "1", env={"NUMBERS": order[name]})
        for name in sorted(order, reverse=first != "bad")
    }
    verdict = gate(project)
    assert (verdict["run"], verdict["outcome"]) == (runs["good"], "WARN")
    reruns = verdict["reruns"]
    (other,) = reruns["others"]
    assert (reruns["total"], reruns["behind"], other["without_number"]) == (1, 1, ["accuracy"])
    assert other["outcome"] in ("FAIL", "ERROR") and "spreads" not in reruns
    (reason,) = (one["reason"] for one in verdict["gates"] if one["gate"] == "reruns")
    assert reason.startswith(f"'accuracy' was an error on run {runs['bad'][:12]} of this commit")
    said = notices(project)
    assert said["no_number_before"]["runs"] == [runs["bad"]]
    assert "1 run of this commit could count" in said["reruns"]["message"]
    assert "1 more run could not count" in said["reruns"]["message"]
    row = next(line for line in project.ciplug("gate").stdout.splitlines() if line.startswith(runs["bad"][:12]))
    assert row.split()[-1] == "accuracy"
    project.ciplug("runs", "withdraw", runs["bad"], "--reason", "a broken disk")
    assert gate(project)["outcome"] == "PASS"


@pytest.mark.slow
def test_runs_that_agree_or_differ_in_their_seed_change_nothing(project: Project) -> None:
    train(project, 0.81, "--seed", "1")
    train(project, 0.81, "--seed", "1")
    train(project, 0.83, "--seed", "2")
    verdict = gate(project)
    assert (verdict["outcome"], verdict["reruns"]["total"]) == ("PASS", 3)
    assert "spreads" not in verdict["reruns"]
    assert {"flaky", "varies", "failed_before"}.isdisjoint(notices(project))


@pytest.mark.slow
def test_a_run_of_other_code_is_not_a_rerun(project: Project) -> None:
    """A dirty run that failed every gate changes no verdict."""
    (project.folder / "train.py").write_text(TRAIN + "\n")
    train(project, 0.1, "--seed", "1")
    (project.folder / "train.py").write_text(TRAIN)
    train(project, 0.81, "--seed", "1")
    verdict = gate(project)
    assert (verdict["outcome"], "reruns" in verdict) == ("PASS", False)


@pytest.mark.slow
def test_the_number_of_judged_runs_is_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run that failed is not pushed out of sight by luckier ones."""
    monkeypatch.setattr("ciplug.steps.reruns.JUDGED_MOST", 2)
    for accuracy in (0.1, 0.81, 0.81, 0.81):
        train(project, accuracy, "--seed", "1" if accuracy > 0.5 else "2")
    session = open_session(cwd=project.folder)
    runs = session.runs()
    (judged,) = judged_for_report(session, runs, counting(session, runs, project.head))
    assert judged.verdict and judged.verdict.reruns
    reruns = judged.verdict.reruns
    assert (reruns.total, len(reruns.others), reruns.more, reruns.unjudged) == (4, 2, 1, 1)
    assert judged.verdict.outcome == "WARN"
    assert [gate.reason for gate in judged.verdict.gates if gate.gate == "reruns"] == [
        "1 earlier run of this commit could also count, and were not judged: only the last ones are"
    ]
