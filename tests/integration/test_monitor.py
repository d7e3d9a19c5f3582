"""`ciplug monitor`: predictions and late labels of a version in production, judged by the same gates, and recorded."""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ciplug import ci
from ciplug.console import Nobody, Note
from ciplug.errors import ConfigError, InputError, NotFound, UsageError
from ciplug.forges import Lack, NoForge, open_forge
from ciplug.records.canonical import digest
from ciplug.records.provenance import Context
from ciplug.records.run import File, Run
from ciplug.records.verdict import outcomes_of
from ciplug.registry import ledger
from ciplug.steps.judge import judge_runs
from ciplug.steps.monitoring import alerts as telling
from ciplug.steps.monitoring import recorded, rollback, watched_version
from ciplug.steps.monitoring.monitor import MonitoredWindow, monitor_window
from ciplug.steps.monitoring.recorded import monitor_runs
from ciplug.steps.monitoring.watched_version import Request
from ciplug.steps.promotion import writing
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registered_model import read_model
from ciplug.steps.select import select_runs
from ciplug.tracking.run_objects import run_objects
from tests.attacks.test_signed import make_key
from tests.servers.gitea_api import GiteaApi
from tests.servers.webhook import WebhookReceiver
from tests.team import POLICY, Team, team_in

NIGHT = datetime(2026, 11, 30, 4, tzinfo=timezone.utc)
MONITOR = """\
monitor:
  predictions: predictions/*
  labels: labels.jsonl
  reference: train.csv
  gates: [accuracy]
  consecutive: 2
"""


OF_ALL = "monitor: {predictions: predictions/*, labels: labels.jsonl}\n"


def stamp(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def rows(
    night: datetime = NIGHT, count: int = 400, *, shift: float = 0.0, version: Any = 1, seed: int = 1, **more: Any
) -> list[dict[str, Any]]:
    """Predictions of the day before a night."""
    draw = random.Random(f"{seed} {night}")
    return [
        {
            "id": f"{night:%d}-{seed}-{n}",
            "ts": stamp(night - timedelta(minutes=n + 1)),
            "version": version,
            "inputs": {"alcohol": draw.gauss(shift, 1), "country": draw.choice("abc")},
            "prediction": draw.randrange(2),
            **more,
        }
        for n in range(count)
    ]


def right(predicted: Iterable[Mapping[str, Any]], share: float = 0.9) -> list[dict[str, Any]]:
    """Labels, so many of which are as predicted."""
    return [
        {"id": one["id"], "label": one["prediction"] if n % 100 < share * 100 else 1 - one["prediction"]}
        for n, one in enumerate(predicted)
    ]


class Clock:
    """The time of the steps, which goes on by a second with each look at it."""

    def __init__(self) -> None:
        self.time = NIGHT - timedelta(days=2)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (watched_version, recorded, rollback, writing):
        monkeypatch.setattr(module, "now", clock)
    return clock


@pytest.fixture
def team(tmp_path: Path, clock: Clock) -> Team:
    """A team with version 1 in production, whose run has recorded its training data."""
    team = team_in(tmp_path)
    team.session = replace(team.session, listener=Ears())
    draw = random.Random(7)
    table = "alcohol,country,label\n" + "".join(
        f"{draw.gauss(0, 1)},{draw.choice('abc')},{draw.randrange(2)}\n" for _ in range(2000)
    )
    (team.project.folder / "train.csv").write_text(table)
    team.policy(MONITOR)
    first = team.run(datasets=(File(path="train.csv", digest=digest(table.encode()), size=len(table)),))
    team.verdict(first)
    team.promote(run=first.id)
    team.promote("production", version=1)
    (team.project.folder / "predictions").mkdir()
    return team


class Ears(Nobody):
    """Hears what the steps say."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def tell(self, notes: Iterable[Note]) -> None:
        self.notes += notes


def heard(team: Team) -> list[str]:
    """What was said since the last question."""
    ears = team.session.listener
    assert isinstance(ears, Ears)
    notes, ears.notes = ears.notes, []
    return [note.message for note in notes]


Watch = Callable[..., MonitoredWindow]


@pytest.fixture
def watch(team: Team, clock: Clock) -> Watch:
    def watch(
        predicted: Iterable[Mapping[str, Any]] = (),
        labels: Iterable[Mapping[str, Any]] = (),
        night: datetime = NIGHT,
        **request: Any,
    ) -> MonitoredWindow:
        folder = team.project.folder
        (folder / "predictions/log.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in predicted))
        (folder / "labels.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in labels))
        clock.time = max(clock.time, night)
        wanted = {"name": "models:/wine@production", "until": stamp(night), **request}
        return monitor_window(team.session.refreshed(), Request(**wanted))

    return watch


def test_a_night_without_drift_passes_by_the_same_gates(team: Team, watch: Watch) -> None:
    predicted = rows()
    done = watch(predicted, right(predicted))
    assert outcomes_of(done.verdict) == {"accuracy": "PASS", "drift": "PASS"}
    assert done.run.metrics["accuracy"] == pytest.approx(0.9)
    assert (done.seen.rows, done.seen.due, done.seen.labelled) == (400, 400, 400)
    assert 0 < done.run.metrics["drift.alcohol.psi"] < 0.1
    # Recorded apart: of no commit, so that it counts for none, and is no baseline.
    (recorded,) = team.session.refreshed().runs().of_commits([None]).values()
    assert recorded == [done.run] and done.run.kind == "monitor"
    session = team.session.refreshed()
    assert select_runs(session, session.runs(), team.project.head)["wine"].chosen != done.run.id


def test_what_does_not_count_is_counted_and_named(team: Team, watch: Watch) -> None:
    """Rows of other versions and windows, without a time, unreadable; labels that are late, changed, of nobody."""
    predicted = rows()
    night_before = rows(NIGHT - timedelta(days=1), 3)
    extra = [
        *rows(version=2, count=5, seed=2),
        *rows(version=None, count=1, seed=3),
        *rows(count=2),
        *night_before,
        *rows(NIGHT + timedelta(days=2), 1),
        {"id": "x", "ts": "yesterday", "version": 1},
        {"ts": predicted[0]["ts"], "version": "v1"},
    ]
    labels = right(predicted[:250])
    labels += [{"id": labels[0]["id"], "label": 1 - labels[0]["label"]}, {"id": "nobody", "label": 1}]
    folder = team.project.folder
    (folder / "predictions/torn.jsonl").write_text('{"id": "y", "ts": "2026-11-29T12:0\n\n')
    (folder / "predictions/empty.jsonl").write_text("")
    done = watch([*predicted, *extra], labels)
    assert dict(done.seen.left_out) == {
        "lines that cannot be read": 1,
        "predictions of other versions": 5,
        "predictions without a version": 1,
        "predictions with the id of an earlier one": 2,
        "predictions outside the window": 4,
        "predictions without a time": 1,
        "predictions without an id": 1,
        "labels unlike an earlier one of the same id": 1,
        "labels without a prediction in the window": 1,
    }
    assert "1 line that cannot be read (the first: torn.jsonl:1)" in done.left_out
    assert "5 predictions of other versions (2)" in done.left_out
    assert (done.seen.rows, done.seen.labelled) == (400, 250)
    assert outcomes_of(done.verdict) == {"accuracy": "PASS", "drift": "PASS"}
    # Fewer labels than asked for decide nothing, however good or bad they are.
    few = watch(predicted, right(predicted[:150], 0.2))
    assert outcomes_of(few.verdict)["accuracy"] == "INCONCLUSIVE"
    assert "150 of 400 predictions have a label, and min_coverage asks for 50%" in few.verdict.gates[0].reason


def test_an_empty_window_and_a_missing_file_never_pass(team: Team, watch: Watch) -> None:
    done = watch(rows(version=2), ())
    (window, accuracy) = done.verdict.gates
    assert (window.gate, window.outcome, done.seen.performance) == ("window", "INCONCLUSIVE", "INCONCLUSIVE")
    assert "no prediction of version 1 from 2026-11-29T04:00:00.000Z" in window.reason
    assert "400 predictions of other versions" in window.reason
    assert "no prediction that labels are due for" in accuracy.reason
    with pytest.raises(InputError, match=r"no file of predictions matches 'gone\.jsonl'"):
        watch(predictions=["gone.jsonl"])
    (team.project.folder / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match=r"no file of predictions matches 'folder\.jsonl'"):
        watch(predictions=["folder.jsonl"])
    with pytest.raises(InputError, match=r"labels\.jsonl: there is no column 'id': it has 'ident', 'label'"):
        watch(rows(), [{"ident": "a", "label": 1}])
    with pytest.raises(InputError, match=r"log\.jsonl: there is no column 'ts'"):
        watch([{"id": "a", "when": stamp(NIGHT), "version": 1}])
    with pytest.raises(NotFound, match="no stage or alias 'champion'"):
        watch(name="wine@champion")
    team.policy("monitor: {predictions: predictions/*, labels: gone.csv}\n")
    with pytest.raises(InputError, match=r"no file of labels matches 'gone\.csv'") as gone:
        watch(rows())
    assert gone.value.hint == "are the labels written there, and fetched before this step?"
    team.policy("")
    with pytest.raises(ConfigError, match="nothing says where the predictions of 'wine' are"):
        watch()


def test_drift_is_named_by_its_column_and_a_changed_reference_decides_nothing(team: Team, watch: Watch) -> None:
    predicted = rows(shift=0.5)
    done = watch(predicted, right(predicted))
    assert outcomes_of(done.verdict) == {"accuracy": "PASS", "drift": "FAIL"}
    (drift,) = (gate for gate in done.verdict.gates if gate.gate == "drift")
    assert "alcohol" in drift.reason and "country" not in drift.reason
    assert (done.seen.outcome, done.seen.performance, done.seen.failed) == ("FAIL", "PASS", ("drift",))
    (team.project.folder / "train.csv").write_text("alcohol,country,label\n1,a,0\n")
    changed = watch(predicted, right(predicted))
    assert outcomes_of(changed.verdict)["drift"] == "INCONCLUSIVE"
    assert "not the one that was recorded with version 1" in changed.verdict.gates[-1].reason


@pytest.mark.slow
def test_labels_alone_are_judged(team: Team, watch: Watch) -> None:
    """Without a reference and a dataset, nothing is compared by columns."""
    second_version(team)
    team.policy("monitor: {predictions: predictions/*, labels: labels.jsonl}\n")
    predicted = rows(version=2)
    done = watch(predicted, right(predicted))
    assert outcomes_of(done.verdict) == {"accuracy": "PASS"}


def test_the_inputs_of_a_reference_are_spread(team: Team, watch: Watch) -> None:
    """A sample of a smoke test has its features in one column, as a log of predictions has."""
    sample = team.project.folder / "sample.jsonl"
    sample.write_text("".join(f"{json.dumps(one)}\n" for one in rows(count=1000, seed=9)))
    predicted = rows()
    done = watch(predicted, right(predicted), reference="sample.jsonl")
    assert outcomes_of(done.verdict) == {"accuracy": "PASS", "drift": "PASS"}
    assert done.run.metrics["drift.alcohol.psi"] < 0.1


REGRESSION = """\
version: 1
model: wine
gates:
  accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.02}
  f1: {higher_is_better: true, max_regression: 5%}
  latency: {metric: latency_ms, higher_is_better: false, max: 50}
  size: {metric: model_mb, higher_is_better: false, max: 100}
  drift: {kind: drift, reference: train.csv, current: train.csv, columns: [alcohol], severity: warning}
"""


@pytest.mark.slow
def test_a_loss_is_measured_from_the_run_of_the_version(team: Team, watch: Watch) -> None:
    """Its examples are others than those in production: what is compared is two samples, not pairs."""
    (team.project.folder / "ciplug.yaml").write_text(REGRESSION + OF_ALL)
    team.project.commit("compare with the version")
    predicted = rows(count=1000, latency_ms=60, shift=1)
    worse = watch(predicted, right(predicted, 0.8))
    by_rule = {(gate.gate, gate.rule): gate for gate in worse.verdict.gates}
    lost = by_rule["accuracy", "at most 0.02 worse than the baseline"]
    assert (lost.outcome, lost.candidate, lost.baseline, lost.baseline_label) == ("FAIL", 0.8, 0.9, "version 1")
    assert lost.baseline_run == worse.watched.run.id and "is taken as exact" in lost.notes[-1]
    assert {name: outcome for name, outcome in outcomes_of(worse.verdict).items() if name != "accuracy"} == {
        "f1": "WARN",  # The version's run has none: there is no baseline.
        "latency": "FAIL",
        "drift": "WARN",
    }
    assert worse.verdict.notes == ("not measured here, so not judged: size",)
    same = watch(predicted, right(predicted, 0.9))
    assert outcomes_of(same.verdict)["accuracy"] in ("PASS", "INCONCLUSIVE")


def test_results_of_other_tools_are_judged_and_old_ones_decide_nothing(team: Team, watch: Watch) -> None:
    gates = """\
gates:
  auc: {metric: nannyml/roc_auc_value, higher_is_better: true, min: 0.9}
  suite: {metric: evidently/tests/failed, higher_is_better: false, max: 0}
monitor: {results: results/*.json}
"""
    folder = team.project.folder
    (folder / "ciplug.yaml").write_text(f"version: 1\nmodel: wine\n{gates}")
    team.project.commit("results")
    (folder / "results").mkdir()
    (folder / "results/suite.json").write_text('{"tests": [{"status": "SUCCESS"}], "summary": {}}')

    def chunk(end: str) -> dict[str, str]:
        row = {"chunk_key": "k", "chunk_period": "analysis", "chunk_end_date": end, "roc_auc_value": 0.8}
        (folder / "results/nanny.json").write_text(json.dumps([row]))
        return dict(outcomes_of(watch().verdict))

    assert chunk("2026-11-30T03:59:59") == {"auc": "FAIL", "suite": "PASS"}
    assert chunk("2026-11-28T03:59:59") == {"auc": "INCONCLUSIVE", "suite": "PASS"}
    # A name that no result has is a missing metric. No training measures it: its verdict leaves the gate out.
    other = "  other: {metric: nannyml/roc_auc_vale, higher_is_better: true, min: 0.9}\n"
    team.policy(f"{other}monitor: {{results: results/*.json}}\n")
    assert chunk("2026-11-30T03:59:59") == {"other": "FAIL"}
    (judged,) = judge_runs(team.session, team.session.runs(), [team.run()], named=True)
    assert judged.verdict is not None
    assert outcomes_of(judged.verdict) == {"accuracy": "PASS", "size": "PASS"}
    assert "judged by 'ciplug monitor' alone: other" in judged.verdict.notes


@pytest.mark.slow
def test_failures_in_a_row_are_counted_by_windows(team: Team, watch: Watch) -> None:
    """A job that is started again is the same window; an undecided night is passed over; a good one ends it."""

    said = []

    def night(number: int, share: float = 0.9, hours: int = 0, count: int = 400) -> list[str]:
        when = NIGHT + timedelta(days=number, hours=hours)
        predicted = rows(when, count)
        done = watch(predicted, right(predicted, share), when)
        assert done.streak is not None
        said.append(done.failures_in_words)
        return [run.monitor.until[8:13] for run in done.streak.failures if run.monitor]

    assert night(-3, 0.5) == [], "it ended before the version came into the stage"
    assert night(0, 0.9) == []
    assert night(1, 0.5) == ["01T04"]
    assert night(1, 0.5, hours=1) == ["01T05"]
    assert not any("nobody is told" in one for one in heard(team))
    assert night(2, 0.5, count=0) == ["01T05"]
    assert night(3, 0.5) == ["03T04", "01T05"]
    assert "nobody is told of the failure: 'on_fail' is 'warn', which sends nothing" in heard(team)
    assert night(4, 0.9) == []
    one = "1 window failed; 2 in a row confirm the failure"
    assert said == [None, None, one, one, None, "confirmed: 2 windows in a row failed", None]
    with pytest.raises(UsageError, match="this time is in the future"):
        watch(until=stamp(NIGHT + timedelta(days=90)))


@pytest.mark.slow
def test_the_command_prints_records_and_is_listed_apart(team: Team, watch: Watch) -> None:
    predicted = rows(shift=0.5)
    watch(predicted, right(predicted))
    project = team.project
    env = {name: team.session.env[name] for name in ("CIPLUG_STORE", "CIPLUG_SPOOL")}
    options = ("models:/wine@production", "--until", stamp(NIGHT), "--dry-run")
    done = project.ciplug("monitor", *options, env=env, code=1)
    assert "wine version 1 in Production: FAIL" in done.stdout
    assert (
        "400 predictions from 2026-11-29T04:00 to 2026-11-30T04:00 UTC; 400 of 400 have a label (100%)" in done.stdout
    )
    assert "FAIL         drift: no drift from train.csv" in done.stdout
    assert project.json("monitor", *options, "--fail-on", "never", "--json", env=env)["run"]["monitor"]["rows"] == 400
    by_number = ("models:/wine/1", *options[1:], "--fail-on", "never")
    assert project.ciplug("monitor", *by_number, env=env).stdout.startswith("wine version 1: FAIL")
    listed = project.ciplug("runs", "list", env=env)
    assert "1 run of `ciplug monitor` not listed" in listed.stderr and len(listed.stdout.splitlines()) == 3
    monitors = project.ciplug("runs", "list", "--where", "kind = 'monitor'", env=env).stdout
    assert "finished, monitor" in monitors and len(monitors.splitlines()) == 3


# What follows failures in a row

ROLLBACK = MONITOR + "  on_fail: rollback\n  cool_down: 0h\n"


@pytest.fixture
def api(gitea_api: GiteaApi, monkeypatch: pytest.MonkeyPatch) -> GiteaApi:
    """A Gitea that the jobs may speak to."""
    context = Context(
        host="gitea", repository=gitea_api.repository, server_url=gitea_api.url, api_url=gitea_api.api_url
    )
    forge = open_forge(context, {"CIPLUG_GITEA_TOKEN": "user-token"}, None)
    monkeypatch.setattr(telling, "forge_of", lambda session: forge)
    return gitea_api


def issues(api: GiteaApi) -> list[tuple[int, str]]:
    return [(number, one["state"]) for number, one in api.issues.items()]


def second_version(team: Team) -> Run:
    second = team.judged(artifacts=(team.keep(b"second", "model.bin"),))
    team.promote(run=second.id)
    team.promote("production", version=2)
    return second


def holder(team: Team) -> int | None:
    found = read_model(team.session.refreshed(), "wine").holder("Production")
    return found.number if found else None


@pytest.mark.slow
def test_one_issue_lives_from_the_confirmed_failure_to_the_first_good_night(
    team: Team, watch: Watch, api: GiteaApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drift opens it, and rolls nothing back. What comes from the data means only itself there."""
    team.policy(MONITOR + "  on_fail: open_issue\n")
    page = team.project.folder.parent / "summary.md"
    monkeypatch.setattr(ci.local, "write_summary", lambda env, text: page.write_text(text()) > 0)
    evil = "@everyone <!-- x --> |\n::error::"

    def night(number: int, shift: float) -> list[tuple[int, str]]:
        when = NIGHT + timedelta(days=number)
        predicted = rows(when, shift=shift)
        for one in predicted:
            one["inputs"][evil] = 1
        watch(predicted, right(predicted), when)
        return issues(api)

    assert night(0, 1.0) == []
    assert page.read_text().startswith("## ❌ FAIL: version 1 of wine in Production\n\n| outcome | gate | why |")
    assert "@everyone" not in page.read_text()
    ((number, state),) = night(1, 1.0)
    assert state == "open" and api.issues[number]["title"] == "'wine' in Production fails its gates"
    body = api.issues[number]["body"]
    assert "has failed its gates in 2 windows in a row" in body and "| 2026-12-01 04:00 | FAIL | drift | 400 |" in body
    assert "@everyone" not in body and "::error" not in body and body.count("<!--") == 1
    assert night(2, 1.0) == [(number, "open")]
    assert "in 3 windows in a row" in api.issues[number]["body"]
    assert night(3, 0.0) == [(number, "closed")]
    assert "passes its gates again" in api.issues[number]["body"]
    assert holder(team) == 1


@pytest.mark.slow
def test_failures_on_labels_bring_the_version_before_back(
    team: Team, watch: Watch, api: GiteaApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After as many as are asked for, and after the cool-down; drift alone never does, nor a run by an older policy."""
    second_version(team)

    def night(number: int, share: float, shift: float = 0.0) -> int | None:
        when = NIGHT + timedelta(days=number)
        predicted = rows(when, shift=shift, version=2)
        watch(predicted, right(predicted, share), when)
        return holder(team)

    team.policy(MONITOR + "  on_fail: rollback\n")
    assert (night(0, 0.9, 1), night(1, 0.9, 1), night(2, 0.5), night(3, 0.5)) == (2, 2, 2, 2)
    assert "cool_down asks to wait until 2026-12-05T04:00 UTC" in " ".join(heard(team))
    # What is checked out decides nothing: the policy of the default branch does.
    team.policy(MONITOR)
    (team.project.folder / "ciplug.yaml").write_text(POLICY + ROLLBACK)
    assert night(4, 0.5) == 2
    assert "policy of the default branch does not say" in " ".join(heard(team))
    team.policy(ROLLBACK)
    (team.project.folder / "ciplug.yaml").write_text(POLICY + ROLLBACK + "  redeploy: true\n")
    monkeypatch.setattr("ciplug.steps.monitoring.rollback.redeploy", lambda *_, **__: pytest.fail("it deploys"))
    assert night(5, 0.5) == 1
    (event,) = [one for one in ledger.read(team.session.refreshed().log, "wine").events if one.type == "rollback"]
    looks = monitor_runs(team.session.refreshed(), "wine", 2, "Production")
    assert event.payload["reason"] == (
        "ciplug monitor: version 2 failed on labels in 2 windows in a row (accuracy); "
        f"runs {looks[0].id[:12]}, {looks[1].id[:12]}"
    )
    ((_, state),) = issues(api)
    assert state == "open" and "Version 1 was brought back to Production" in next(iter(api.issues.values()))["body"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen makes the key")
def test_a_look_that_does_not_count_rolls_nothing_back(team: Team, watch: Watch, api: GiteaApi) -> None:
    """One by other gates, of a fork's job, withdrawn, from an earlier stay, or without the signature of the policy."""
    second = second_version(team)

    def night(number: int) -> int | None:
        when = NIGHT + timedelta(days=number)
        predicted = rows(when, version=2)
        watch(predicted, right(predicted, 0.5), when)
        return holder(team)

    def counted() -> list[str]:
        return [run.id for run in monitor_runs(team.session.refreshed(), "wine", 2, "Production")]

    team.policy(ROLLBACK)
    assert night(0) == 2
    (own,) = monitor_runs(team.session.refreshed(), "wine", 2, "Production")
    forked = replace(own.provenance, context=replace(own.provenance.context, trusted=False))
    team.session.store.add(run_objects(replace(own, id="f" * 32, provenance=forked)))
    withdrawn = replace(own, id="e" * 32)
    team.session.store.add(run_objects(withdrawn))
    team.amend(withdrawn, withdrawn=True)
    assert counted() == [own.id]
    team.policy(ROLLBACK + "stages: {production: {gates: [accuracy]}}\n")
    assert night(1) == 2, "the previous run was by another policy"
    assert len(counted()) == 2 and night(2) == 1
    # It comes back: what was seen before that does not count again.
    team.verdict(second)
    team.promote(version=2)
    team.promote("production", version=2)
    assert (night(3), night(4)) == (2, 1)
    team.policy(ROLLBACK + f"signers: {{ci: {make_key(team.project.folder.parent, 'ci').public}}}\n")
    assert counted() == []


def test_of_two_jobs_that_race_one_rolls_back(team: Team, watch: Watch) -> None:
    second_version(team)
    session = team.session.refreshed()
    assert roll_back(session, "wine", "production", "bad", expected=2).written.payload is not None
    assert roll_back(session.refreshed(), "wine", "production", "bad", expected=2).written.payload is None
    assert holder(team) == 1


@pytest.mark.slow
def test_a_webhook_tells_of_failure_and_recovery(team: Team, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("standardwebhooks")
    monkeypatch.setattr(telling, "forge_of", lambda session: NoForge(Lack.SUPPORT, "no forge"))
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    team.policy(MONITOR + "  on_fail: open_issue\n")
    with WebhookReceiver() as receiver:
        env = {**team.session.env, "CIPLUG_WEBHOOK_URL": receiver.origin, "CIPLUG_WEBHOOK_SECRET": secret}
        team.session = replace(team.session, env=env)
        for number, share in enumerate((0.5, 0.5, 0.5, None, 0.9, None, 0.9)):
            when = NIGHT + timedelta(days=number)
            predicted = rows(when if share else when - timedelta(days=30))
            result = watch(predicted, right(predicted, share or 0.9), when)
            assert share or result.verdict.outcome == "INCONCLUSIVE"
        # Corrected labels: of two windows that failed, the last one passes after all.
        for number, share in ((7, 0.5), (8, 0.5), (8, 0.9), (9, 0.9)):
            when = NIGHT + timedelta(days=number)
            predicted = rows(when)
            watch(predicted, right(predicted, share), when)
        messages = receiver.verified(secret)
        ids = [headers["webhook-id"] for _, headers, _ in receiver.requests]
    told = ["failing", "failing", "recovered", "failing", "recovered"]
    assert [one["type"] for one in messages] == [f"monitor.{one}" for one in told]
    assert messages[0]["data"]["failed"] == ["accuracy"] and messages[1]["data"]["failures"] == 3
    assert ids[0] == ids[1] != ids[2]
