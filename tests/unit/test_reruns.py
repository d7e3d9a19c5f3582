"""Several runs of one commit: which are re-runs, where their numbers differ, and what they do to the verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ciplug.comparison.command_lines import experiment
from ciplug.comparison.reruns import others_of, same_settings, spreads
from ciplug.comparison.run_that_counts import Facts, Rules
from ciplug.gates.reruns import RERUNS, failed_gates, gates_without_number, with_reruns
from ciplug.git.history import same_files
from ciplug.records import canonical, read
from ciplug.records.notice import Kind
from ciplug.records.provenance import Context, Hardware, Provenance
from ciplug.records.rerun_notices import notices
from ciplug.records.run import File, Run
from ciplug.records.selection import Reason
from ciplug.records.verdict import GateResult, Outcome, Rerun, Reruns, Spread, SpreadMetric, Verdict

CI = Provenance(context=Context(host="github_actions"), seed=1, python="3.12.3", command=("python", "train.py"))


def run(id: str, value: float = 0.9, origin: Provenance = CI, **more: Any) -> Run:
    return Run(
        **{  # type: ignore[arg-type]
            "id": id,
            "model": "m",
            "commit": "c",
            "status": "finished",
            "started": "",
            "ended": "",
            "metrics": {"acc": value},
            "provenance": origin,
            **more,
        }
    )


def seen(*runs: Run, key: str = "seed") -> list[tuple[bool, str | None, list[str]]]:
    return [(one.flaky, one.seed, [each.what for each in one.differs]) for one in spreads(runs, key)]


def test_the_same_seed_with_other_numbers_is_flaky() -> None:
    (spread,) = spreads([run("a", 0.81), run("b", 0.84), run("c", 0.82)], "seed")
    assert (spread.flaky, spread.seed, spread.runs) == (True, "1", ("a", "b", "c"))
    assert spread.metrics == (SpreadMetric(metric="acc", least=0.81, most=0.84),)


@pytest.mark.parametrize(
    ("one", "other", "flaky"),
    [
        ("runs/a", "runs/b", True),
        ("20261128_101500", "20261129_093000", True),
        ("2026-11-28 10:15", "2026-11-29 09:30", True),
        ("runs/a", "adam", False),
        ("adam", "sgd", False),
        (0.1, 0.2, False),
    ],
)
def test_no_parameter_makes_another_experiment_of_the_same_command(one: Any, other: Any, flaky: bool) -> None:
    """A training logs its process, its host or an id of its own: a re-run until it passes must not hide behind it."""
    runs = [run("a", 0.5, params={"p": one, "lr": 0.1}), run("b", 0.9, params={"p": other, "lr": 0.1})]
    assert same_settings(*runs, "seed")
    assert seen(*runs) == ([(True, "1", [])] if flaky else [])
    by_hand = replace(runs[1], provenance=replace(CI, command=("python", "other.py")))
    assert not same_settings(runs[0], by_hand, "seed")
    assert same_settings(runs[0], replace(by_hand, params=runs[0].params), "seed")


def test_merges_of_one_head_with_other_tips_of_its_target_are_other_code() -> None:
    one, other = (replace(CI, context=replace(CI.context, merge_commit=digit * 40)) for digit in "ab")
    assert seen(run("a", 0.7, one), run("b", 0.9, other)) == [(False, "1", ["merge commit"])]
    assert seen(run("a", 0.7, one), run("b", 0.9, one)) == [(True, "1", [])]


def test_jobs_of_a_matrix_are_told_apart_by_their_parameters() -> None:
    """Their command is the same, and a variable of the matrix says what each of them trains."""
    a, b = run("a", 0.5, params={"lr": 0.1}), run("b", 0.9, params={"lr": 0.2})

    def job(one: Run, **changes: Any) -> Run:
        return replace(one, provenance=replace(CI, context=replace(CI.context, **changes)))

    assert not same_settings(job(a, leg="lr=0.1"), job(b, leg="lr=0.2"), "seed")
    assert not same_settings(job(a, job_id="1"), job(b, job_id="2"), "seed")
    assert same_settings(job(a, job_id="1", attempt=1), job(b, job_id="2", attempt=2), "seed")


def test_only_runs_with_numbers_gave_different_numbers() -> None:
    text, lacking = run("c", metrics={"n": 1.0}), run("d", metrics={})
    (spread,) = spreads([run("a", 0.81), run("b", 0.84), text, lacking], "seed")
    assert spread.runs == ("a", "b")
    elsewhere = replace(CI, python="3.11.9")
    (varies,) = spreads([run("a", 0.81), run("b", 0.84, elsewhere), replace(text, provenance=GPU)], "seed")
    assert (varies.runs, [one.what for one in varies.differs]) == (("a", "b"), ["Python"])


GPU = replace(CI, hardware=Hardware(gpus=("A100",)))


@pytest.mark.parametrize(
    ("what", "other", "expected"),
    [
        ("equal numbers", run("b", 0.9), []),
        ("rounding", run("b", 0.9 * (1 + 1e-12)), []),
        ("another seed", run("b", 0.8, replace(CI, seed=2)), []),
        ("another seed among the parameters", run("b", 0.8, params={"seed": 2}), []),
        ("other parameters", run("b", 0.8, params={"lr": 0.1}), []),
        ("a run that failed", run("b", 0.8, status="failed"), []),
        ("no common metric", run("b", metrics={"other": 1.0}), []),
        ("another Python", run("b", 0.8, replace(CI, python="3.11.9")), [(False, "1", ["Python"])]),
        ("a GPU", run("b", 0.8, GPU), [(False, "1", ["GPU"])]),
        ("a laptop", run("b", 0.8, replace(CI, context=Context())), [(False, "1", ["host"])]),
        ("another leg", run("b", 0.8, replace(CI, context=replace(CI.context, job="b"))), [(False, "1", ["job"])]),
        ("another command", run("b", 0.8, replace(CI, command=("x",))), [(False, "1", ["command"])]),
        ("another library", run("b", 0.8, replace(CI, packages={"np": "2"})), [(False, "1", ["package np"])]),
        (
            "other data",
            run("b", 0.8, datasets=(File(path="d.csv", digest="sha256:1", size=1),)),
            [(False, "1", ["dataset d.csv"])],
        ),
        ("NaN", run("b", math.nan), [(True, "1", [])]),
    ],
)
def test_what_is_not_flaky(what: str, other: Run, expected: list[object]) -> None:
    assert seen(run("a", 0.9), other) == expected, what


def test_without_a_recorded_seed_numbers_vary_and_may_well_do_so() -> None:
    unseeded = replace(CI, seed=None)
    assert seen(run("a", 0.9, unseeded), run("b", 0.8, unseeded)) == [(False, None, [])]


def test_the_parameter_that_the_policy_names_is_the_seed() -> None:
    one, other = run("a", 0.9, params={"fold": 1}), run("b", 0.8, params={"fold": 2})
    assert seen(one, other, key="fold") == []
    assert seen(one, replace(other, params={"fold": 1}), key="fold") == [(True, "1", [])]


def test_flaky_within_one_environment_also_where_others_differ() -> None:
    elsewhere = replace(CI, python="3.11.9")
    (spread,) = spreads([run("a", 0.9), run("b", 0.8), run("c", 0.7, elsewhere)], "seed")
    assert (spread.flaky, spread.runs) == (True, ("a", "b"))


def job(attempt: int, id: str, **more: Any) -> Provenance:
    return replace(CI, context=replace(CI.context, run_url="u", attempt=attempt, job_id=id, job="train", **more))


def test_legs_of_a_matrix_that_look_alike_are_no_re_runs() -> None:
    one, other = run("a", 0.9, job(1, "x")), run("b", 0.8, job(1, "y"))
    assert seen(one, other) == [(False, "1", ["job"])]
    (spread,) = spreads([one, other], "seed")
    assert spread.differs[0].values == ("x", "y")
    assert seen(one, other, run("c", 0.7, job(2, "z"))) == [(False, "1", ["job"])], "of whichever leg"
    assert seen(one, run("c", 0.7, job(1, "x"))) == [(True, "1", [])], "twice in one job"
    assert seen(one, run("c", 0.7, job(2, "z"))) == [(True, "1", [])], "the job again"


def test_legs_that_are_named_are_told_apart_and_their_re_runs_are_seen() -> None:
    one, other = run("a", 0.9, job(1, "x", leg="lib=a")), run("b", 0.8, job(1, "y", leg="lib=b"))
    assert seen(one, other) == [(False, "1", ["leg of the matrix"])]
    (spread,) = spreads([one, other, run("c", 0.7, job(2, "z", leg="lib=a"))], "seed")
    assert (spread.flaky, spread.runs) == (True, ("a", "c"))


def test_what_measures_the_machine_is_not_a_metric_of_the_model() -> None:
    slow, fast = (replace(CI, wall_seconds=seconds) for seconds in (9.0, 1.0))
    one = run("a", origin=slow, metrics={"acc": 0.9, "run.wall_seconds": 9.0})
    other = run("b", origin=fast, metrics={"acc": 0.9, "run.wall_seconds": 1.0})
    assert seen(one, other) == []


def test_runs_that_must_not_count_take_no_part() -> None:
    def facts(id: str, **more: Any) -> Facts:
        return Facts(**{"id": id, "dirty": False, "pipeline": True, "started": id, **more})

    shown = facts("z")
    recorded = [
        shown,
        facts("dirty", dirty=True),
        facts("unknown", dirty=None),
        facts("fork", trusted=False),
        facts("withdrawn", objection="withdrawn by alice"),
        facts("child", parent="z"),
        facts("b"),
        facts("failed", finished=False),
        facts("laptop", pipeline=False),
        facts("a"),
    ]
    assert [one.id for one in others_of(shown, recorded, Rules())] == ["laptop", "failed", "b", "a"]
    assert [one.id for one in others_of(shown, recorded, Rules(pipelines_only=True))] == ["failed", "b", "a"]
    assert others_of(recorded[1], recorded, Rules()) == []


def result(outcome: Outcome = "PASS", gate: str = "acc", candidate: float | None = 0.9) -> GateResult:
    return GateResult(gate=gate, metric=gate, rule="r", outcome=outcome, reason="x", candidate=candidate)


def verdict(*gates: GateResult, outcome: Outcome = "PASS") -> Verdict:
    return Verdict(
        run="z", model="m", outcome=outcome, gates=gates, created="", policy_digest="d", policy_file="ciplug.yaml"
    )


def rerun(id: str = "a", outcome: Outcome | None = "PASS", *failed: str, weighs: bool = True) -> Rerun:
    return Rerun(run=id, host="github_actions", status="finished", outcome=outcome, failed=failed, weighs=weighs)


@pytest.mark.parametrize(
    ("trees", "base", "target", "expected"),
    [
        ("e:1 d:1 c:2 b:1 a:1", "a", "a", "d b"),  # an empty commit, and a revert of a revert
        ("b:1 a:1", "a", "a", ""),  # the files of the merge base
        ("c:1 b:1 a:1", None, "c b a", ""),  # on the target itself
        ("d:1 c:1 b:1 a:1", "x", "x b a", "c"),  # the target was merged into the branch
        ("", "a", "a", ""),  # the commit is not here
    ],
)
def test_which_earlier_commits_are_the_same_try(trees: str, base: str | None, target: str, expected: str) -> None:
    line = dict(one.split(":") for one in trees.split())
    assert same_files(line, base, target.split()) == tuple(expected.split())


def reruns(*others: Rerun, spreads: tuple[Spread, ...] = ()) -> Reruns:
    return Reruns(total=1 + len(others), judged=rerun("z"), others=others, spreads=spreads)


FLAKY = Spread(flaky=True, seed="1", runs=("z", "a"), metrics=(SpreadMetric(metric="acc", least=0.8, most=0.9),))


@pytest.mark.parametrize(
    ("what", "found", "outcome"),
    [
        ("one run", None, "PASS"),
        ("all agree", reruns(rerun()), "PASS"),
        ("one failed the gate", reruns(rerun("b"), rerun("a", "FAIL", "acc")), "WARN"),
        ("one of a laptop failed the gate", reruns(rerun("a", "FAIL", "acc", weighs=False)), "PASS"),
        ("flaky in a gated metric", reruns(rerun(), spreads=(FLAKY,)), "WARN"),
        ("flaky in another metric", reruns(rerun(), spreads=(replace(FLAKY, metrics=()),)), "PASS"),
        ("flaky on a laptop", reruns(rerun(weighs=False), spreads=(FLAKY,)), "PASS"),
        ("another environment", reruns(rerun(), spreads=(replace(FLAKY, flaky=False),)), "PASS"),
    ],
)
def test_the_luckiest_run_never_passes_in_silence(what: str, found: Reruns | None, outcome: Outcome) -> None:
    judged = with_reruns(verdict(result()), found, {"acc"})
    assert judged.outcome == outcome, what
    assert judged.reruns == found
    # Judged again with what the store holds later, nothing is counted twice.
    assert with_reruns(judged, found, {"acc"}) == judged
    assert bool([gate for gate in judged.gates if gate.gate == RERUNS]) == (outcome == "WARN")


def test_the_record_of_a_verdict_names_the_runs() -> None:
    """A promotion names this record as its evidence."""
    spread = replace(FLAKY, metrics=(SpreadMetric(metric="acc", least=math.nan, most=0.9),))
    made = with_reruns(verdict(result()), reruns(rerun(), rerun("b", "FAIL", "acc"), spreads=(spread,)), {"acc"})
    back = read.verdict(canonical.dumps(made), "key")
    assert back.reruns is not None and made.reruns is not None
    assert (back.reruns.total, back.reruns.others) == (3, made.reruns.others)
    assert canonical.dumps(back) == canonical.dumps(made)


def test_a_withdrawn_run_that_failed_is_named_even_alone() -> None:
    alone = replace(reruns(), withdrawn=(rerun("a", "ERROR", "acc"),))
    made = with_reruns(verdict(result()), alone, {"acc"})
    assert (made.outcome, read.verdict(canonical.dumps(made), "key")) == ("WARN", made)
    assert [one.kind for one in notices("z", alone, made)] == [Kind.FAILED_WITHDRAWN]


def test_a_failure_stays_a_failure() -> None:
    failed = verdict(result("FAIL"), outcome="FAIL")
    assert with_reruns(failed, reruns(rerun(), rerun("b", "FAIL", "acc")), {"acc"}).outcome == "FAIL"


def test_a_missing_metric_is_not_a_worse_number() -> None:
    assert failed_gates(verdict(result("FAIL"), result("ERROR", "b"), result("FAIL", "c", None))) == ("acc", "b")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("python train.py", "python ./train.py", True),
        ("python train.py", "/usr/bin/python train.py", True),
        ("python /home/a/1/train.py", "python /home/a/2/train.py", True),
        ("python train.py --output /tmp/x", "python train.py --output /tmp/y", True),
        ("python train.py --output=/tmp/x", "python train.py --output=/tmp/y", True),
        ("python train.py --log-dir runs/a -o a", "python train.py --log-dir runs/b -o b", True),
        ("python train.py --save_path=a", "python train.py --save_path=b", True),
        ("python train.py --name 2026-11-28", "python train.py --name 2026-11-29", True),
        ("python train.py C:\\runs\\a", "python train.py D:\\runs\\b", True),
        ("python train.py", "python eval.py", False),
        ("python a/train.py", "python b/train.py", False),
        ("python train.py --lr 0.1", "python train.py --lr 0.2", False),
        ("python train.py --config conf/a.yaml", "python train.py --config conf/b.yaml", False),
        ("python train.py --config /x/a.yaml", "python train.py --config /x/b.yaml", False),
        ("python train.py --dropout 0.1", "python train.py --dropout 0.2", False),
        ("python train.py --logistic", "python train.py --no-log", False),
        ("python train.py --output --fast", "python train.py --output --slow", False),
        ("python train.py --output x", "python train.py --input x", False),
    ],
)
def test_where_and_when_make_no_other_command(one: str, other: str, same: bool) -> None:
    assert (experiment(one.split()) == experiment(other.split())) is same


def test_a_rerun_that_writes_elsewhere_is_a_rerun() -> None:
    """Its training logs the path as a parameter, too."""
    first = run("a", 0.7, replace(CI, command=("python", "train.py", "--output", "/tmp/x")))
    again = run("b", 0.9, replace(CI, command=("python", "./train.py", "--output", "/tmp/y")))
    first = replace(first, params={**first.params, "output": "/tmp/x"})
    again = replace(again, params={**again.params, "output": "/tmp/y"})
    assert same_settings(again, first, "seed")
    assert [one.flaky for one in spreads([first, again], "seed")] == [True]
    other = replace(again, provenance=replace(CI, command=("python", "train.py", "--lr", "1")))
    assert same_settings(again, other, "seed") and not same_settings(first, other, "seed")


def lacking(id: str, *gates: str, weighs: bool = True, same_command: bool = True) -> Rerun:
    made = rerun(id, "ERROR", weighs=weighs)
    return replace(made, without_number=gates, same_command=same_command, behind=Reason.INCOMPLETE)


@pytest.mark.parametrize(
    ("what", "other", "outcome"),
    [
        ("the same command has no number", lacking("a", "acc"), "WARN"),
        ("another command gives other metrics", lacking("a", "acc", same_command=False), "PASS"),
        ("one of a laptop", lacking("a", "acc", weighs=False), "PASS"),
        ("a gate that was not asked of the judged one", lacking("a", "run"), "PASS"),
    ],
)
def test_a_rerun_without_a_number_is_not_silence(what: str, other: Rerun, outcome: Outcome) -> None:
    judged = with_reruns(verdict(result()), reruns(other), {"acc"})
    assert judged.outcome == outcome, what
    if outcome == "WARN":
        (gate,) = (gate for gate in judged.gates if gate.gate == RERUNS)
        said = "'acc' was an error on run a of this commit, which has no number for it"
        assert gate.reason == f"{said}, and did not fail on the judged run"


def test_runs_that_nobody_judged_are_not_silence() -> None:
    found = replace(reruns(rerun("a")), more=3, unjudged=2)
    judged = with_reruns(verdict(result()), found, {"acc"})
    (gate,) = (gate for gate in judged.gates if gate.gate == RERUNS)
    assert (judged.outcome, gate.reason.split(" of ")[0]) == ("WARN", "2 earlier runs")
    assert with_reruns(verdict(result()), replace(found, unjudged=0), {"acc"}).outcome == "PASS"


def test_a_gate_without_a_number_is_told_apart_from_one_that_failed() -> None:
    of = verdict(result("ERROR", "run", None), result("FAIL"), result("ERROR", "acc", None), result("WARN", "b", None))
    assert (failed_gates(of), gates_without_number(of)) == (("acc",), ("run",))


def test_the_report_names_all_of_it() -> None:
    found = reruns(rerun("b" * 32), rerun("a" * 32, "FAIL", "acc"), spreads=(FLAKY,))
    said = list(notices("z" * 32, found, with_reruns(verdict(result()), found, {"acc"})))
    assert [one.kind for one in said] == [Kind.FAILED_BEFORE, Kind.FLAKY, Kind.RERUNS]
    assert said[0].clause.startswith(f"'acc' failed on run {'a' * 12} of this commit")
    flaky = "FLAKY: 2 runs of this commit with seed 1 gave different numbers: 'acc' 0.8 to 0.9 (by 0.1)"
    assert said[1].clause == flaky
    shown = f"3 runs of this commit could count: run {'z' * 12} counts; the others: 1 PASS, 1 FAIL"
    assert said[2].clause == shown
    *_, last = notices("z" * 32, found, None, counts=False)
    assert last.clause == (
        f"run {'z' * 12} does not count for this commit, another run does; the others: 1 PASS, 1 FAIL"
    )
