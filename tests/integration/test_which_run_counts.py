"""Which run of a commit counts, for gates, reports, baselines and promotions, over a real repository."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ciplug.comparison.run_that_counts import Facts
from ciplug.errors import ConfigError, NotFound, PromotionRefused, Refusal
from ciplug.records.keys import verdict_object
from ciplug.records.provenance import Context
from ciplug.records.run import Run
from ciplug.records.selection import Reason
from ciplug.records.verdict import Verdict
from ciplug.registry.reading import read_model
from ciplug.reports.formats import FORMATS, render
from ciplug.reports.report import Report
from ciplug.steps.judge import judge_runs
from ciplug.steps.named_run import find_run
from ciplug.steps.promotion.merge_approval import Wanted
from ciplug.steps.promotion.proposed import Proposal
from ciplug.steps.promotion.required_verdict import gather_evidence
from ciplug.steps.reporting.report import judged_for_report, report_of
from ciplug.steps.select import candidates, counting
from ciplug.steps.session import Session, open_session
from ciplug.tracking.runs import Runs
from tests import generated
from tests.histories import commits, objects_of
from tests.project import Project, git
from tests.team import Team

PIPELINE = Context(host="github_actions", actor="octocat")
POLICY = """\
version: 1
model: wine
baseline: {branch: main}
gates:
  accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}
  loss: {higher_is_better: false, max_regression: 0.02, on_missing: warn}
  tip: {metric: accuracy, higher_is_better: true, max_regression: 0.05, baseline: {ref: target, branch: main}}
  best: {metric: accuracy, higher_is_better: true, max_regression: 0.1, baseline: {ref: best, branch: main}}
"""


@pytest.fixture
def team(tmp_path: Path) -> Team:
    project = Project.create(tmp_path / "work", config=POLICY)
    git(project.folder, "checkout", "-q", "-b", "topic")
    project.commit("topic")
    made = Team(project, open_session(cwd=project.folder, env={"CIPLUG_STORE": (tmp_path / "store").as_uri()}))
    made.keep(b"abc", "model.bin")
    return made


def text_of(report: Report, form: Any) -> str:
    content = render(report, form)
    return content.decode() if isinstance(content, bytes) else content


def dirty(*files: str) -> dict[str, Any]:
    return {"dirty": True, "dirty_files": files or ("train.py",), "dirty_count": len(files) or 1, "context": PIPELINE}


def judged(team: Team, **options: Any) -> Verdict:
    """The verdict on the run of the head."""
    session = team.session.refreshed()
    runs = session.runs()
    (found,) = judge_runs(session, runs, candidates(session, runs, session.need_head()), **options)
    assert found.verdict is not None
    return found.verdict


# --- dirty runs


def test_a_dirty_run_stands_for_no_commit_whatever_its_numbers(team: Team) -> None:
    base = team.run(commit=git(team.project.folder, "rev-parse", "main"), accuracy=0.85)
    clean = team.run(accuracy=0.85)
    before = judged(team)
    assert (before.run, before.outcome, before.baseline_run) == (clean.id, "WARN", base.id)  # There is no loss.
    for commit in (team.project.head, base.commit):
        for accuracy in (0.1, 0.999):
            team.run(commit=commit, accuracy=accuracy, provenance=dirty())
    after = judged(team)
    assert (after.run, after.baseline_run) == (clean.id, base.id)
    assert [(g.outcome, g.baseline) for g in after.gates] == [(g.outcome, g.baseline) for g in before.gates]


def test_the_report_names_what_was_passed_over_in_every_form(team: Team) -> None:
    base = team.run(commit=git(team.project.folder, "rev-parse", "main"), accuracy=0.85)
    clean, other = team.run(), team.run(provenance=dirty("train.py", "conf/a.yaml"))
    below = team.run(commit=base.commit, provenance=dirty())
    session = team.session.refreshed()
    runs = session.runs()
    found = judged_for_report(session, runs, candidates(session, runs, session.need_head()))
    report = report_of(session, found)
    assert report.sections[0].run.id == clean.id
    texts = {form: text_of(report, form) for form in FORMATS if form not in ("line", "openmetrics")}
    for form, text in texts.items():
        assert other.id[:12] in text and below.id[:12] in text, form
        assert "train.py, conf/a.yaml differed" in text or form == "json", form
    sections = json.loads(texts["json"])["sections"]
    passed = sections[0]["comparison"]["candidate"]["passed_over"]
    assert [(one["run"], one["reason"], one["files"]) for one in passed] == [
        (other.id, "dirty", ["train.py", "conf/a.yaml"])
    ]


def test_where_every_run_is_dirty_that_is_said_first_and_nothing_is_judged(team: Team) -> None:
    """A pipeline that rewrites tracked files: neither silence, nor a wall of text."""
    many = tuple(f"gen/{number}.py" for number in range(40))
    team.run(accuracy=0.1, provenance=dirty(*many))
    last = team.run(accuracy=0.99, provenance=dirty(*many[:3]))
    verdict = judged(team)
    (only,) = verdict.gates
    assert (verdict.outcome, verdict.run, only.gate, only.rule) == (
        "INCONCLUSIVE",
        last.id,
        "run",
        "the run counts for its commit",
    )
    assert only.reason.endswith("gen/0.py, gen/1.py, gen/2.py differed from the commit; its numbers decide nothing")
    assert only.advice and only.advice.endswith("add: clean: {ignore: [gen/0.py, gen/1.py, gen/2.py]}")
    session = team.session.refreshed()
    runs = session.runs()
    report = report_of(session, judged_for_report(session, runs, candidates(session, runs, session.need_head())))
    for form in ("markdown", "html", "line"):
        text = text_of(report, form)
        assert "INCONCLUSIVE" in text.upper() and len(text) < (200_000 if form == "html" else 8_000), form
    assert "gen/12.py" not in text_of(report, "markdown")


def test_with_on_inconclusive_fail_a_dirty_pipeline_fails(team: Team) -> None:
    policy = (team.project.folder / "ciplug.yaml").read_text()
    (team.project.folder / "ciplug.yaml").write_text(f"{policy}defaults: {{on_inconclusive: fail}}\n")
    team.project.commit("stricter")
    team.run(provenance=dirty())
    assert judged(team).outcome == "FAIL"


def test_a_dirty_run_is_judged_by_its_id_and_nothing_else_takes_it(team: Team) -> None:
    run = team.run(provenance=dirty())
    runs = team.session.runs()
    (found,) = judge_runs(team.session, runs, [run], named=True)
    assert found.verdict and (found.verdict.outcome, found.verdict.gates[0].outcome) == ("WARN", "WARN")
    assert {gate.gate for gate in found.verdict.gates} == {"run", "accuracy", "loss", "tip", "best"}
    with pytest.raises(NotFound, match=f"counts: run {run.id[:12]} was made from a dirty tree: train.py differed"):
        find_run(team.session, runs, team.project.head)
    with pytest.raises(NotFound, match="was made from a dirty tree") as none:
        team.promote()
    assert none.value.hint == "record another run of this commit, from a clean checkout"


def test_a_run_of_unknown_state_counts_as_little(team: Team) -> None:
    team.run(provenance={"dirty": None})
    (only,) = judged(team).gates
    assert only.outcome == "INCONCLUSIVE" and "did not record whether its files were those of" in only.reason


# --- child runs


@pytest.mark.parametrize("status", ["failed", "killed"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_child_of_a_run_that_did_not_finish_is_an_error_by_its_id_too(team: Team, status: str, depth: int) -> None:
    top = team.run(status=status, provenance={"exit_code": 3})
    above = top if depth == 1 else team.run(parent=top.id)
    child = team.run(parent=above.id)
    runs = team.session.refreshed().runs()
    (found,) = judge_runs(team.session, runs, [child], named=True)
    assert found.verdict and found.verdict.outcome == "ERROR"
    reasons = [gate.reason for gate in found.verdict.gates if gate.outcome == "ERROR"]
    word = "failed" if status == "failed" else "was killed"
    said = f"the run was started by run {top.id[:12]}, which {word} (exit code 3)"
    assert reasons == [f"{said}: its numbers decide nothing"]
    assert any(notice.clause.startswith(said) for notice in found.section.comparison.notices)
    team.verdict(child)
    assert said in str(team.refused(run=child.id))
    # Nor by a verdict from before its parent ended.
    team.verdict(child, outcome="PASS", gates=(), created="2999-01-01T00:00:00.000Z")
    assert said in str(team.refused(run=child.id))


def test_a_child_of_a_run_that_finished_is_promoted_by_its_id(team: Team) -> None:
    child = team.run(parent=team.run().id)
    team.verdict(child)
    done = team.promote(run=child.id)
    (version,) = read_model(team.session.refreshed().log, "wine").versions
    assert (version.run, version.stage, done.run.id) == (child.id, "Staging", child.id)


# --- seeds


def test_a_seed_whose_run_failed_is_an_error_until_it_is_run_again_or_withdrawn(team: Team) -> None:
    team.policy("seeds: {key: seed, min_runs: 3}\n")
    git(team.project.folder, "branch", "-qf", "main")

    def train(seed: int, status: str = "finished", **provenance: Any) -> Run:
        return team.run(status=status, provenance={"seed": seed, **provenance})

    for seed in (1, 2, 3):
        last = train(seed)
    assert judged(team).outcome == "PASS"
    # Runs that must not count change no verdict.
    train(4, "failed", dirty=True)
    withdrawn = train(5, "failed")
    team.amend(withdrawn, withdrawn=True, by="alice")
    assert judged(team).outcome == "PASS"
    lost = train(4, "failed", exit_code=1)
    verdict = judged(team)
    assert (verdict.outcome, len(verdict.runs)) == ("ERROR", 3)
    (gate,) = (gate for gate in verdict.gates if gate.outcome == "ERROR")
    assert gate.reason == "the run of seed 4 failed (exit code 1): its numbers decide nothing"
    assert gate.advice and f"ciplug runs withdraw {lost.id[:12]}" in gate.advice
    team.verdict(last)
    assert "the run of seed 4 failed" in str(team.refused(run=last.id))
    again = train(4)
    assert (judged(team).outcome, len(judged(team).runs)) == ("PASS", 4)
    team.amend(again, withdrawn=True, by="alice")
    assert judged(team).outcome == "ERROR"
    team.amend(lost, withdrawn=True, by="alice")
    assert judged(team).outcome == "PASS"
    team.verdict(last)
    team.promote(run=last.id)


# --- runs of CI only


def test_with_source_ci_a_laptop_is_not_a_baseline(team: Team) -> None:
    policy = (team.project.folder / "ciplug.yaml").read_text()
    main = git(team.project.folder, "rev-parse", "main")
    laptop = team.run(commit=main, accuracy=0.99)
    team.run(accuracy=0.85)
    assert judged(team).outcome == "FAIL"
    (team.project.folder / "ciplug.yaml").write_text(policy.replace("{branch: main}", "{branch: main, source: ci}"))
    session = team.session.refreshed()
    runs = session.runs()
    (found,) = judge_runs(session, runs, candidates(session, runs, session.need_head()))
    side = found.section.comparison.baseline
    assert side.run is None and [(one.run, one.reason) for one in side.passed_over] == [(laptop.id, Reason.LAPTOP)]
    assert found.verdict and {g.outcome for g in found.verdict.gates if g.gate in ("accuracy", "loss")} == {
        "PASS",
        "WARN",
    }
    assert any("on a person's machine" in notice.message for notice in found.section.comparison.notices)
    pipeline = team.run(commit=main, accuracy=0.85, provenance={"context": PIPELINE})
    assert judged(team).baseline_run == pipeline.id


def test_with_record_ci_only_pipelines_speak(team: Team) -> None:
    policy = (team.project.folder / "ciplug.yaml").read_text()
    (team.project.folder / "ciplug.yaml").write_text(f"{policy}record: ci\n")
    team.project.commit("pipelines only")
    git(team.project.folder, "branch", "-qf", "main")
    laptop = team.run()
    for named in (False, True):
        (only,) = judged(team, named=named).gates
        assert only.outcome == "INCONCLUSIVE" and "was recorded on a person's machine" in only.reason
    with pytest.raises(NotFound, match="was recorded on a person's machine") as none:
        team.promote()
    assert none.value.hint == "record one in a pipeline: with 'record: ci' no other run counts"
    assert team.refused(run=laptop.id).reason is Refusal.NOT_OF_PIPELINE
    pipeline = team.run(accuracy=0.85, provenance={"context": PIPELINE})
    assert judged(team).run == pipeline.id


def test_a_dirty_run_of_a_pipeline_beside_a_clean_one_of_a_laptop(team: Team) -> None:
    laptop, pipeline = team.run(accuracy=0.85), team.run(accuracy=0.99, provenance=dirty())
    session = team.session.refreshed()
    runs = session.runs()
    (found,) = judged_for_report(session, runs, candidates(session, runs, session.need_head()))
    passed = found.section.comparison.candidate.passed_over
    assert (found.run.id, [(one.run, one.reason) for one in passed]) == (laptop.id, [(pipeline.id, Reason.DIRTY)])
    (team.project.folder / "ciplug.yaml").write_text(f"{POLICY}record: ci\n")
    team.project.commit("pipelines only")
    team.run(accuracy=0.85)
    team.run(accuracy=0.99, provenance=dirty())
    assert judged(team).outcome == "INCONCLUSIVE"
    clean = team.run(accuracy=0.85, provenance={"context": PIPELINE})
    assert judged(team).run == clean.id


# --- generated histories


@pytest.fixture(scope="module", params=["", "seeds: {min_runs: 2}\n"], ids=["one run", "seeds"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """main with two commits, a branch that merged one of them, and a policy with every kind of baseline."""
    folder = tmp_path_factory.mktemp("histories")
    project = Project.create(folder / "work", config=POLICY + request.param)
    project.branch("topic")
    git(project.folder, "checkout", "-q", "main")
    project.commit("main goes on")
    git(project.folder, "checkout", "-q", "topic")
    git(project.folder, "merge", "-q", "--no-ff", "-m", "take in main", "main")
    project.commit("topic goes on")
    return open_session(cwd=project.folder, env={"CIPLUG_STORE": (folder / "store").as_uri()})


PLACES = ("HEAD", "main", "main~1")


def recorded(session: Session, at: dict[str, list[Facts]]) -> dict[str, bytes]:
    objects: dict[str, bytes] = {}
    for name, runs in at.items():
        commit = session.remember(("commit", name), lambda name=name: git(session.cwd, "rev-parse", name))
        objects |= objects_of(runs, commit)
    return objects


def verdict_of(session: Session, at: dict[str, list[Facts]]) -> Verdict | str | None:
    """The verdict on the run of the head; why it cannot be judged; None where there is no run."""
    runs = Runs(session.store, recorded(session, at))
    try:
        (judged,) = judge_runs(session, runs, candidates(session, runs, session.need_head()))
    except NotFound:
        return None
    except ConfigError as no_gate_matches:
        return no_gate_matches.message
    assert judged.verdict is not None
    return replace(judged.verdict, created="", judged={})


def placed(never: bool | None, prefix: str) -> st.SearchStrategy[dict[str, list[Facts]]]:
    return st.fixed_dictionaries(
        {name: commits(never=never, prefix=f"{prefix}{at}", most=4) for at, name in enumerate(PLACES)}
    )


@settings(
    max_examples=generated.examples(25),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=placed(None, "1"), added=placed(True, "2"))
def test_runs_that_must_not_count_change_no_verdict(
    repository: Session, before: dict[str, list[Facts]], added: dict[str, list[Facts]]
) -> None:
    without = verdict_of(repository, before)
    together = verdict_of(repository, {name: [*before[name], *added[name]] for name in PLACES})
    if without is None or (isinstance(without, Verdict) and without.gates[0].rule == "the run counts for its commit"):
        assert together is None or (isinstance(together, Verdict) and together.outcome in ("INCONCLUSIVE", "ERROR"))
        return
    assert together == without


def promotion_of(session: Session, at: dict[str, list[Facts]]) -> tuple[Run, Refusal | str | None] | None:
    """The run that `promote` takes for the head, once it is judged, and the reason against it."""
    objects = recorded(session, at)
    try:
        (run,) = counting(session, Runs(session.store, objects), session.need_head(), "wine")
    except NotFound:
        return None
    try:
        (judged,) = judge_runs(session, Runs(session.store, objects), [run], named=True)
    except ConfigError as no_gate_matches:
        return run, no_gate_matches.message
    assert judged.verdict is not None
    key, data = verdict_object(judged.verdict)
    wanted = Wanted(Proposal("wine", "staging", None, run.id))
    try:
        gather_evidence(session, Runs(session.store, {**objects, key: data}), run, "staging", wanted)
    except PromotionRefused as refused:
        return run, refused.reason
    return run, None


@settings(
    max_examples=generated.examples(15),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=placed(None, "1"), added=placed(True, "2"))
def test_runs_that_must_not_count_change_no_promotion(
    repository: Session, before: dict[str, list[Facts]], added: dict[str, list[Facts]]
) -> None:
    """Whatever the hosts of the runs; and none that must not count is promoted."""
    without = promotion_of(repository, before)
    assert promotion_of(repository, {name: [*before[name], *added[name]] for name in PLACES}) == without
    if without is not None and without[1] is None:
        run, _ = without
        assert (run.status, run.provenance.dirty) == ("finished", False)
