"""Every state that a reader must know is named in the terminal, comment, page and JSON alike, with what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from html import escape

import pytest

from ciplug.records.comparison import Side
from ciplug.records.notice import MISNAMED, UNSEEN, Kind, Notice
from ciplug.records.provenance import moved_words
from ciplug.records.selection import Reason
from ciplug.reports import comment, html, terminal
from ciplug.reports.report import Report, as_json
from ciplug.reports.untrusted import escape_markdown
from tests import report_samples as samples

RUN = "4f0c" * 8
EXAMPLES = [
    Notice(kind=Kind.FAILED, run=RUN, exit_code=4),
    Notice(kind=Kind.KILLED, run=RUN, signal="SIGKILL"),
    Notice(kind=Kind.FAILED, run=RUN, parent="b" * 32, exit_code=1),
    Notice(kind=Kind.FAILED, run=RUN, exit_code=0, detail="FAILED"),
    Notice(kind=Kind.FAILED, run=RUN, seed="seed 4", exit_code=1),
    Notice(kind=Kind.FAILED, run=RUN, by="alice", resumed="then"),
    Notice(kind=Kind.END_UNKNOWN, run=RUN),
    Notice(kind=Kind.END_UNKNOWN, run=RUN, by="alice", resumed="then"),
    Notice(kind=Kind.FORK, run=RUN),
    Notice(kind=Kind.DIRTY, run=RUN, files=("train.py", "conf/a.yaml"), count=7),
    Notice(kind=Kind.HEAD_MOVED, run=RUN, detail=moved_words("b" * 40)),
    Notice(kind=Kind.SET_ASIDE, run=RUN, files=("poetry.lock",), count=1),
    Notice(kind=Kind.BESIDE, run=RUN, runs=("b" * 32,)),
    Notice(kind=Kind.OLDER, run=RUN, files=("metrics.json", "model.txt")),
    Notice(kind=Kind.UNWRITTEN, run=RUN, files=("model.bin",)),
    Notice(kind=Kind.LEFT_OUT, run=RUN, metrics=("a",), detail="1 name is left out: 'a' (null)"),
    Notice(kind=Kind.NOT_MADE, run=RUN, files=("roc.png",), detail="1 name is left out: 'roc.png' (no file: gone)"),
    Notice(kind=Kind.NOT_RECORDED, run=RUN, files=("h.csv",), detail="it is empty"),
    Notice(kind=Kind.NOT_RECORDED, run=RUN, files=("m.json",), detail="not JSON, line 3", advice="write JSON"),
    Notice(kind=Kind.NOT_KEPT, run=RUN, files=("model.bin",), detail="the command did not write it"),
    Notice(kind=Kind.TWO_VALUES, run=RUN, metrics=("acc",), detail="'acc' (logged as 0.5)"),
    *(Notice(kind=Kind.PASSED_OVER, run=RUN, because=reason, detail="was made from a dirty tree") for reason in Reason),
    Notice(kind=Kind.MORE_PASSED_OVER, count=7),
    Notice(kind=Kind.WITHDRAWN, run=RUN, by="alice", reason="wrong labels"),
    Notice(kind=Kind.DELETED, run=RUN, of="baseline", by="bob"),
    Notice(kind=Kind.WITHDRAWN, run=RUN, of="production", model="wine", by="alice"),
    Notice(kind=Kind.UNREAD_AMENDMENT, run=RUN, path="amend/x"),
    Notice(kind=Kind.NEWER_AMENDMENT, run=RUN, of="baseline", schema=9),
    Notice(kind=Kind.AMENDED_METRIC, run=RUN, of="baseline", by="eve", metrics=("acc", "f1")),
    Notice(kind=Kind.SEEDS, runs=(RUN, "b" * 32)),
    Notice(kind=Kind.RERUNS, run=RUN, count=15, outcomes=("PASS", "FAIL", "PASS"), more=2),
    Notice(kind=Kind.FLAKY, runs=(RUN, "b" * 32), seed="1", metrics=("acc",), values=((0.81234567, 0.81234568),)),
    Notice(
        kind=Kind.VARIES,
        runs=(RUN, "b" * 32),
        seed="1",
        metrics=("acc", "f1"),
        values=((0.8, 0.9), (0.7, 0.71)),
        differs=("Python (3.11.9, 3.12.3)",),
    ),
    Notice(kind=Kind.VARIES, runs=(RUN, "b" * 32), metrics=("acc",), values=((0.8, 0.9),)),
    Notice(kind=Kind.RERUNS, run=RUN, count=1, behind=2, runs=("b" * 32,), reasons=(Reason.INCOMPLETE,)),
    Notice(kind=Kind.RERUNS, run=RUN, count=2, outcomes=("PASS",), settled=True),
    Notice(kind=Kind.NO_NUMBER_BEFORE, run=RUN, metrics=("acc", "f1"), runs=("b" * 32, "c" * 32)),
    Notice(kind=Kind.NOT_ALL_JUDGED, count=3),
    Notice(kind=Kind.FAILED_BEFORE, run=RUN, metrics=("acc",), runs=("b" * 32,)),
    Notice(kind=Kind.FAILED_WITHDRAWN, run=RUN, metrics=("acc",), runs=("b" * 32,)),
    Notice(kind=Kind.SHALLOW, of="baseline"),
    Notice(kind=Kind.NOT_FETCHED, of="baseline", detail="could not resolve host"),
    Notice(kind=Kind.NOT_PUSHED, of="baseline", name="a" * 40),
    Notice(kind=Kind.TARGET_UNKNOWN, of="baseline"),
    Notice(kind=Kind.NO_BRANCH, of="baseline", name="mian"),
    Notice(kind=Kind.NO_TAG, of="baseline", name="v9"),
    Notice(kind=Kind.NO_COMMIT, of="baseline", name="1a2b3c"),
    Notice(kind=Kind.NO_RUN, of="baseline", model="wine", name="the merge base", count=3),
    Notice(kind=Kind.NO_RUN_THERE, of="baseline", model="wine", name="v1.0"),
    Notice(kind=Kind.NO_RUN_ON_BRANCH, of="baseline", model="wine", name="main", metrics=("acc",)),
    Notice(kind=Kind.NO_ANCESTOR, of="baseline"),
    Notice(kind=Kind.HISTORY_UNKNOWN, of="baseline"),
    Notice(kind=Kind.NO_HOLDER, of="production", model="wine", name="production"),
    Notice(kind=Kind.STALE, of="baseline", run=RUN, day="2026-10-14", max_age_days=30),
    Notice(kind=Kind.OTHER_EVALUATION, of="baseline", run=RUN, path="test.csv"),
    Notice(kind=Kind.NO_EVALUATION, run=RUN, path="test.csv"),
    Notice(kind=Kind.BASE_ASKED, of="baseline", name="v1"),
    Notice(kind=Kind.UNREADABLE, of="baseline", path="runs/x", detail="runs/x: not a JSON record"),
    Notice(kind=Kind.UNSIGNED_EVENTS, model="wine", event=3, count=2),
    Notice(kind=Kind.BROKEN_LOG, of="production", model="wine", detail="it went back"),
    Notice(kind=Kind.SKIPPED_EVENT, model="wine", event=3, type="freeze"),
    Notice(kind=Kind.NO_BASE_POLICY, name="main", path="ciplug.yaml"),
    Notice(kind=Kind.LOOKS, model="wine", path="test.csv", count=214),
    Notice(kind=Kind.LOOKS, model="wine", path="test.csv", count=214, metrics=("acc",), luck=0.012),
    Notice(kind=Kind.GATED_NOT_RUN, model="wine", name="ciplug.yaml of main (1a2b3c4d)"),
    Notice(kind=Kind.GATED_DROPPED, model="wine", name="ciplug.yaml of main (1a2b3c4d)"),
    Notice(kind=Kind.RENAMED, metrics=("f1", "val_f1")),
    Notice(kind=Kind.RENAMED, metrics=("f1", "val_f1"), hindrance="known"),
    Notice(kind=Kind.RENAMED, metrics=("f1", "val_f1"), hindrance="both"),
    Notice(
        kind=Kind.READ_OTHERWISE,
        name="main",
        files=("history.csv", "metrics.json"),
        before=("take: last", "not read"),
        now=("take: best, of: val_loss", "read by default"),
    ),
    Notice(kind=Kind.NOT_JUDGED, detail="ciplug.yaml: there is no gate", advice="add one"),
]
NOTHING_TO_DO = {Kind.SEEDS, Kind.RERUNS, Kind.BASE_ASKED}
"""Kinds that are no defect."""


def test_each_kind_has_an_example() -> None:
    """A new kind needs one, and so is held to be rendered everywhere."""
    assert {one.kind for one in EXAMPLES} == set(Kind)


@pytest.mark.parametrize("notice", EXAMPLES, ids=lambda one: one.kind.value)
def test_each_rendering_names_the_state_and_what_to_do(notice: Notice) -> None:
    noted = samples.comparison(notices=(notice,))
    report = Report(sections=(samples.section(noted, samples.verdict()),))
    said = notice.line
    assert said[0].isupper() or not said[0].isalpha() or said.startswith(notice.files)
    assert said in " ".join(terminal.render(report, colour=False, width=80).split())
    assert escape_markdown(said) in comment.render(report)
    assert escape(said, quote=False) in html.render(report).replace("&#39;", "'").replace("&#34;", '"')
    (found,) = json.loads(as_json(report))["sections"][0]["comparison"]["notices"]
    assert (found["kind"], found["message"]) == (notice.kind.value, notice.message)
    assert found.get("remedy") == notice.remedy
    if notice.kind is not Kind.PASSED_OVER:
        assert bool(notice.remedy) != (notice.kind in NOTHING_TO_DO)


@pytest.mark.parametrize("kind", sorted({*MISNAMED, *UNSEEN, Kind.NO_RUN, Kind.NO_ANCESTOR}))
def test_a_baseline_that_is_not_there_is_named_once_with_what_to_do(kind: Kind) -> None:
    problem = next(one for one in EXAMPLES if one.kind is kind)
    noted = samples.comparison(baseline=Side.absent("baseline", "merge base", problem), notices=(problem,))
    report = Report(sections=(samples.section(noted, samples.verdict()),))
    for shown in (" ".join(terminal.render(report, colour=False, width=80).split()), html.render(report)):
        assert shown.replace("&#39;", "'").count(problem.clause) == 1
        assert str(problem.remedy) in shown.replace("&#39;", "'")
    body = comment.render(report)
    assert body.count(escape_markdown(problem.clause)) == 1 and escape_markdown(str(problem.remedy)) in body


def test_a_policy_that_cannot_judge_is_named_with_what_to_do() -> None:
    problem = EXAMPLES[-1]
    section = replace(samples.section(samples.comparison(), None), problem=problem)
    report = Report(sections=(section,))
    for shown in (terminal.render(report, colour=False, width=None), comment.render(report), html.render(report)):
        assert problem.clause in shown and "add one" in shown
    assert json.loads(as_json(report))["sections"][0]["problem"]["kind"] == "not_judged"


def test_numbers_are_told_apart() -> None:
    assert "'acc' 0.81234567 to 0.81234568 (by 1e-08)" in next(o for o in EXAMPLES if o.kind is Kind.FLAKY).clause


def test_a_sentence_leaves_the_name_of_a_file_as_it_is() -> None:
    notice = Notice(kind=Kind.NOT_RECORDED, files=("metrics.json",), detail="it is empty")
    assert notice.message == "metrics.json is not recorded: it is empty."
