"""Promotion as Python calls it: what it returns, and every reason for which it is refused."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import Cause, ConfigError, Conflict, NotFound, PromotionRefused, Refusal, StoreError, UsageError
from ciplug.records.canonical import digest
from ciplug.records.keys import run_key, verdict_object
from ciplug.records.provenance import Context
from ciplug.records.registry_event import Promote, Register
from ciplug.records.registry_labels import Tag, Untag
from ciplug.records.run import File, Run
from ciplug.registry import ledger
from ciplug.registry.events import payload_of, wrap
from ciplug.registry.model import Model
from ciplug.registry.reading import read_model
from ciplug.registry.replayed_rules import model_digest
from ciplug.steps.judge import judge_runs
from ciplug.steps.promotion import writing
from ciplug.steps.promotion.imported import import_alias, import_stage
from ciplug.steps.promotion.judging_section import gated_stage
from ciplug.steps.promotion.labels import set_tag
from ciplug.steps.promotion.masked import masked
from ciplug.steps.promotion.promote import Promotion, PromotionRequest, promote
from ciplug.steps.promotion.required_verdict import last_verdict
from ciplug.steps.session import now, open_session, stamp
from tests.project import git
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.team import MODEL, STAMP, Team, team_in


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return team_in(tmp_path)


# What it returns, and what it writes


def test_a_run_is_registered_and_promoted(team: Team) -> None:
    run = team.run()
    key = team.verdict(run)
    done = team.promote(" Staging", run=run.id, reason="A/B test")
    with pytest.raises(FrozenInstanceError):
        done.version = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        PromotionRequest("wine", "staging").run = run.id  # type: ignore[misc]
    assert done == Promotion("wine", 1, "Staging", None, run, 2, 0, from_stage="None")
    registered, promoted = ledger.read(team.session.refreshed().log, "wine").events
    assert payload_of(registered) == Register(
        version=1,
        run=run.id,
        commit=run.commit,
        files={MODEL.path: MODEL.digest},
        digest=model_digest({MODEL.path: MODEL.digest}),
        metrics=run.metrics,
        record=digest(team.session.refreshed().store.read([run_key(run).key])[run_key(run).key]),
    )
    data = team.session.refreshed().store.read([key])[key]
    found = payload_of(promoted)
    assert found == Promote(
        version=1, run=run.id, commit=run.commit, stage="Staging", from_stage="None", reason="A/B test",
        policy_digest=found.policy_digest, verdict=key, verdict_digest=digest(data),
        approvals=("clean tree",), ladder=("Staging", "Production"),
        trust="open", trust_shown_by=found.trust_shown_by, outcome="PASS", gates=found.gates,
    )  # fmt: skip
    assert found.gates[0].startswith("accuracy: PASS, ")
    assert found.policy_digest.startswith("sha256:")
    assert (registered.actor, registered.actor_source) == ("test@example.com", "git configuration")
    assert (promoted.actor, promoted.actor_source) == ("test@example.com", "git configuration")
    assert promoted.ciplug and promoted.created > "2026"


@pytest.mark.parametrize("host", ["gitlab_ci", "zuul"])
def test_the_ci_host_names_the_actor(team: Team, host: str) -> None:
    team.judged()
    session = team.with_context(host=host, actor="tanuki", run_url="https://gitlab.example.com/1")
    team.promote(session=session)
    (_, event) = ledger.read(team.session.refreshed().log, "wine").events
    assert (event.actor, event.actor_source, event.run_url) == ("tanuki", host, "https://gitlab.example.com/1")


def test_an_unknown_actor_has_no_source(team: Team) -> None:
    team.judged()
    team.promote(session=team.with_context(actor=None))
    (_, event) = ledger.read(team.session.refreshed().log, "wine").events
    assert (event.actor, event.actor_source) == (None, None)


def test_a_version_replaces_the_one_in_its_stage(team: Team) -> None:
    first, second = team.judged(), team.judged(accuracy=0.95)
    team.promote(run=first.id)
    done = team.promote(run=second.id)
    assert (done.version, done.replaced, done.event) == (2, 1, 4)
    done = team.promote("production", version=2)
    assert (done.version, done.replaced, done.event) == (2, None, 5)
    versions = read_model(team.session.refreshed().log, "wine").versions
    assert [(v.number, v.stage) for v in versions] == [(1, "Archived"), (2, "Production")]
    event = ledger.read(team.session.refreshed().log, "wine").events[-1]
    assert payload_of(event).from_stage == "Staging"


def test_a_stage_s_rules_are_judged_recorded_and_kept_as_evidence(team: Team) -> None:
    team.policy("stages: {staging: {gates: [accuracy], require: [clean_tree]}}\n")
    run = team.run()
    gate = team.verdict(run)
    team.promote(run=run.id)
    event = payload_of(ledger.read(team.session.refreshed().log, "wine").events[-1])
    assert event.approvals == ("clean tree",)
    assert event.verdict != gate
    recorded, recorded_digest = team.session.refreshed().runs().verdicts(run)[event.verdict]
    assert recorded.stage == "staging" and recorded_digest == event.verdict_digest
    assert {g.gate for g in recorded.gates} == {"accuracy"}


def test_names_that_mean_nothing(team: Team) -> None:
    with pytest.raises(UsageError, match="unknown stage 'moon'"):
        team.promote("moon")
    with pytest.raises(NotFound, match="no run 'ffff'"):
        team.promote(run="ffff")
    with pytest.raises(NotFound, match="'wine' has no version 1"):
        team.promote(version=1)
    with pytest.raises(NotFound, match="no run of 'wine'"):
        team.promote()
    # No step on the way to production would help.
    run = team.run(model="beer")
    with pytest.raises(ConfigError, match="its gates are for the model 'wine'"):
        promote(team.session.refreshed(), PromotionRequest("beer", "production", run=run.id))


# Who asks


def test_a_fork_s_job(team: Team) -> None:
    team.judged()
    assert team.refused(session=team.with_context(trusted=False)).reason is Refusal.FORK_JOB


@pytest.mark.parametrize("where", [{"pull_request": 7}, {"target_branch": "main"}])
def test_a_pull_request_s_job(team: Team, where: dict[str, Any]) -> None:
    team.judged()
    assert team.refused(session=team.with_context(**where)).reason is Refusal.PULL_REQUEST_JOB


# What is asked for


def test_a_log_with_unknown_events(team: Team) -> None:
    run = team.judged()
    team.promote(run=run.id)
    log = team.session.refreshed().log
    entries = ledger.read(log, "wine")
    for kind in ("freeze", "yank"):
        entries = ledger.append(log, entries, replace(entries.events[-1], type=kind))
    refusal = team.refused("production", run=run.id)
    assert refusal.reason is Refusal.UNKNOWN_EVENTS
    assert "event 3 of 'wine' has type 'freeze'" in refusal.message and "upgrade" in (refusal.hint or "")


def test_a_fork_s_run(team: Team) -> None:
    run = team.judged(provenance={"context": Context(trusted=False)})
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.FORK_RUN and refusal.message.startswith(f"run {run.id[:12]} was recorded by")


def test_a_run_that_was_withdrawn_and_restored(team: Team) -> None:
    run = team.judged()
    env = {"CIPLUG_STORE": team.session.store_uri}
    team.project.ciplug("runs", "withdraw", run.id, "--reason", "wrong labels", env=env)
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.WITHDRAWN and "wrong labels" in refusal.message
    assert refusal.message.startswith(f"run {run.id[:12]} was ")
    assert (refusal.hint or "").endswith(f"if this run is correct after all: ciplug runs restore {run.id[:12]}")
    team.project.ciplug("runs", "restore", run.id, env=env)
    assert team.promote(run=run.id).version == 1


def test_a_run_that_a_newer_ciplug_has_amended(team: Team) -> None:
    run = team.judged()
    team.amend(run, schema=2)
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.UNKNOWN_AMENDMENTS and "schema 2" in refusal.message


def test_an_amendment_that_names_another_model_changes_nothing(team: Team) -> None:
    run = team.judged()
    team.amend(run, model="beer", seq=7, withdrawn=True, tags={"a": "b"}, reason="mine now")
    runs = team.session.refreshed().runs()
    assert runs.get(run.id, run.commit) == run and runs.changes(run).counts
    assert "names the model 'beer', and the run is of another one: ignored" in runs.notes[-1]
    assert runs.catalog.entries([0])[0].standing == "active" and not runs.catalog.entries([0])[0].tags
    assert runs.catalog.changes(run_key(run).key).next_seq == 8
    assert sum("'beer'" in note for note in runs.notes) == 1
    assert team.promote(run=run.id).version == 1


def test_a_stage_that_it_is_in_or_that_is_not_next(team: Team) -> None:
    run = team.judged()
    refusal = team.refused("production", run=run.id)
    assert refusal.reason is Refusal.NOT_ADJACENT and "is not a version yet" in refusal.message
    team.promote(run=run.id)
    assert team.refused(run=run.id).reason is Refusal.SAME_STAGE
    team.promote("production", run=run.id)
    assert team.refused(version=1).reason is Refusal.NOT_ADJACENT


# The evidence


def test_no_verdict(team: Team) -> None:
    run = team.run()
    refusal = team.refused(run=run.id)
    assert refusal.message == f"run {run.id[:12]} has no verdict"
    assert refusal.reason is Refusal.NO_VERDICT and refusal.hint == f"judge it: ciplug gate --run {run.id[:12]}"


@pytest.mark.parametrize("recorded_first", [True, False])
def test_the_verdict_of_another_run_of_the_commit_that_stands_under_the_keys_of_this_one(
    team: Team, recorded_first: bool
) -> None:
    pair = team.run(), team.run()
    other, asked = pair if recorded_first else pair[::-1]
    team.verdict(other)
    team.verdict(other, key_of=asked)
    runs = team.session.refreshed().runs()
    assert not runs.verdicts(asked)
    (problem,) = runs.problems.values()
    assert f"it holds a verdict on the run '{other.id}'" in problem
    assert team.refused(run=asked.id).reason is Refusal.NO_VERDICT


def test_the_verdict_of_a_promotion_is_not_a_verdict_of_the_run(team: Team) -> None:
    run = team.run()
    team.verdict(run, stage="production")
    assert team.refused(run=run.id).reason is Refusal.NO_VERDICT


@pytest.mark.parametrize("policy_digest", ["sha256:0", "sha256:z"])
def test_a_verdict_by_another_policy(team: Team, policy_digest: str) -> None:
    run = team.run()
    team.verdict(run, policy_digest=policy_digest)
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.OTHER_POLICY
    assert refusal.message.startswith(f"run {run.id[:12]} has verdicts only by other policies")


def test_a_dry_run(team: Team) -> None:
    run = team.run()
    team.verdict(run, dry_run=True)
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.DRY_RUN
    assert refusal.message == f"run {run.id[:12]} was judged in dry runs only"
    assert refusal.hint == f"judge it: ciplug gate --run {run.id[:12]}"


@pytest.mark.parametrize("outcome", ["FAIL", "ERROR", "INCONCLUSIVE"])
def test_a_verdict_that_did_not_pass(team: Team, outcome: Any) -> None:
    run = team.run()
    team.verdict(run, outcome=outcome)
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.NOT_PASSED
    assert refusal.message == f"the verdict of run {run.id[:12]} is {outcome}: {outcome}"


def test_a_refusal_names_the_gates_that_decided(team: Team) -> None:
    run = team.run()
    (judged,) = judge_runs(team.session, team.session.runs(), [run])
    assert judged.verdict is not None
    accuracy, size = (replace(gate, reason=f"because of {gate.gate}") for gate in judged.verdict.gates)
    decisive = [replace(size, gate=f"gate-{n}", outcome="INCONCLUSIVE", reason="why") for n in range(7)]
    team.verdict(run, gates=(replace(accuracy, outcome="FAIL"), size, *decisive), outcome="INCONCLUSIVE")
    named = "; ".join(f"gate-{n}: why" for n in range(5))
    assert team.refused(run=run.id).message.endswith(f"is INCONCLUSIVE: {named}")


def test_a_verdict_without_a_gate_that_decided(team: Team) -> None:
    run = team.run()
    team.verdict(run, gates=(), outcome="ERROR")
    assert team.refused(run=run.id).message.endswith("is ERROR: ERROR")


def test_a_warning_allows_it(team: Team) -> None:
    run = team.run()
    team.verdict(run, outcome="WARN")
    assert team.promote(run=run.id).version == 1


def test_the_last_verdict_counts_and_not_the_first(team: Team) -> None:
    passed_first, failed_first = team.run(), team.run()
    for run, outcomes in ((passed_first, ("PASS", "FAIL")), (failed_first, ("FAIL", "PASS"))):
        for number, outcome in enumerate(outcomes):
            last = team.verdict(run, outcome=outcome, created=f"2026-11-2{number}T00:00:00.000Z")
    # A time that is still to come is what a writer says: a failure of that time would stand until then.
    for soon in ("9999-01-01T00:00:00.000Z", stamp(now() + timedelta(hours=1))):
        team.verdict(failed_first, outcome="FAIL", created=soon)
    assert team.refused(run=passed_first.id).reason is Refusal.NOT_PASSED
    team.promote(run=failed_first.id)
    event = payload_of(ledger.read(team.session.refreshed().log, "wine").events[-1])
    assert event.verdict == last


def test_of_two_verdicts_of_one_moment_the_worse_counts(team: Team) -> None:
    run = team.run()
    for outcome in ("PASS", "FAIL"):
        team.verdict(run, outcome=outcome, created=STAMP)
    assert team.refused(run=run.id).reason is Refusal.NOT_PASSED


def test_a_later_dry_run_does_not_count(team: Team) -> None:
    run = team.judged()
    team.verdict(run, outcome="FAIL", dry_run=True, created="2036-01-01T00:00:00.000Z")
    assert team.promote(run=run.id).version == 1


@pytest.mark.parametrize("rules", ["", "stages: {staging: {gates: [accuracy]}}\n"])
def test_what_passed_and_does_not_pass_today(team: Team, rules: str) -> None:
    team.policy(rules)
    run = team.run(accuracy=0.7)
    good = team.run()
    (judged,) = judge_runs(team.session, team.session.runs(), [good])
    assert judged.verdict is not None
    team.session.store.add(dict([verdict_object(replace(judged.verdict, run=run.id))]))
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.NOT_PASSED_TODAY
    assert refusal.message.startswith(f"run {run.id[:12]} passed when it was judged")
    assert refusal.hint == f"judge it: ciplug gate --run {run.id[:12]}"
    assert "accuracy: 0.7 is below 0.8" in refusal.message
    assert ("by the rules of staging" in refusal.message) == bool(rules)


def test_a_stage_looks_at_its_own_gates_in_the_recorded_verdict(team: Team) -> None:
    team.policy("stages: {staging: {gates: [accuracy]}, production: {gates: [size]}}\n")
    run = team.run()
    (judged,) = judge_runs(team.session, team.session.runs(), [run])
    assert judged.verdict is not None
    gates = tuple(replace(g, outcome="FAIL") if g.gate == "size" else g for g in judged.verdict.gates)
    team.verdict(run, gates=gates, outcome="FAIL")
    team.promote(run=run.id)
    assert team.refused("production", run=run.id).reason is Refusal.NOT_PASSED


# What a stage requires


def stage_of(team: Team, rules: str) -> None:
    team.policy(f"stages: {{staging: {{{rules}}}}}\n")


@pytest.mark.parametrize("stages", ["", "stages: {staging: {}}\n", "stages: {staging: {require: [clean_tree]}}\n"])
@pytest.mark.parametrize(
    ("dirty", "reason", "words"),
    [
        (True, Refusal.DIRTY_TREE, "was made with uncommitted changes"),
        (None, Refusal.TREE_UNKNOWN, "did not record whether its tree was clean"),
    ],
)
def test_every_stage_requires_a_clean_tree(
    team: Team, stages: str, dirty: bool | None, reason: Refusal, words: str
) -> None:
    team.policy(stages)
    refusal = team.refused(run=team.judged(provenance={"dirty": dirty}).id)
    assert refusal.reason is reason and words in refusal.message


def test_files_that_the_policy_in_force_does_not_set_aside(team: Team) -> None:
    run = team.judged(provenance={"dirty": False, "ignored_files": ("train.py", "poetry.lock")})
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.SET_ASIDE and "train.py, poetry.lock" in refusal.message
    team.policy("clean: {ignore: ['*.lock']}\n")
    refusal = team.refused(
        run=team.judged(provenance={"dirty": False, "ignored_files": run.provenance.ignored_files}).id
    )
    assert refusal.reason is Refusal.SET_ASIDE and "train.py" in refusal.message and "poetry" not in refusal.message
    lock = team.judged(provenance={"dirty": False, "ignored_files": ("poetry.lock",)})
    team.promote(run=lock.id)
    event = payload_of(ledger.read(team.session.refreshed().log, "wine").events[-1])
    assert event.approvals == ("clean tree, with changed files set aside: poetry.lock",)


@pytest.mark.parametrize("dirty", [True, None, False])
def test_a_stage_that_takes_any_tree_and_the_next_that_does_not(team: Team, dirty: bool | None) -> None:
    stage_of(team, "clean_tree: false")
    run = team.judged(provenance={"dirty": dirty})
    assert team.promote(run=run.id).exemptions == ("clean_tree",)
    event = payload_of(ledger.read(team.session.refreshed().log, "wine").events[-1])
    assert event.exemptions == ("clean_tree",) and event.approvals == ()
    (version,) = read_model(team.session.refreshed().log, "wine").versions
    assert version.exemptions == ("clean_tree",)
    if dirty is False:
        assert team.promote("production", run=run.id).exemptions == ()
        assert read_model(team.session.refreshed().log, "wine").version(1).exemptions == ()
    else:
        assert team.refused("production", run=run.id).reason in (Refusal.DIRTY_TREE, Refusal.TREE_UNKNOWN)


def test_an_empty_file(team: Team) -> None:
    empty = File(path="model.bin", digest=f"sha256:{hashlib.sha256(b'').hexdigest()}", size=0)
    notes = File(path="notes.txt", digest="sha256:" + "2" * 64, size=3)
    refusal = team.refused(run=team.judged(artifacts=(notes, empty)).id)
    assert refusal.reason is Refusal.EMPTY_FILE and "model.bin" in refusal.message


@pytest.mark.parametrize(
    ("name", "refused"), [("model.bin", True), ("pkg/__init__.py", False), ("_SUCCESS", False), ("train.log", False)]
)
def test_an_empty_file_in_a_folder(team: Team, name: str, refused: bool) -> None:
    readme, empty = team.keep(b"x", "README"), team.keep(b"", "empty")
    folder = team.keep(f"{readme.digest} README\n{empty.digest} {name}\n".encode(), "out", "folder")
    run = team.judged(artifacts=(folder,))
    if refused:
        refusal = team.refused(run=run.id)
        assert refusal.reason is Refusal.EMPTY_FILE and "out/model.bin" in refusal.message
    else:
        assert team.promote(run=run.id).version == 1


def test_a_file_that_no_store_has(team: Team) -> None:
    digest_only = File(path="model.bin", digest="sha256:" + "2" * 64, size=3)
    lost = replace(digest_only, path="lost.bin", store=team.session.store_uri)
    folder = team.keep(f"{digest_only.digest} weights.bin\n".encode(), "out", "folder")
    for file, name in ((digest_only, "model.bin"), (lost, "lost.bin"), (folder, "out/weights.bin")):
        refusal = team.refused(run=team.judged(artifacts=(MODEL, file)).id)
        assert refusal.reason is Refusal.FILE_NOT_KEPT and f"content of {name} of run" in refusal.message
    elsewhere = replace(digest_only, path="https://models.example.com/model.bin")
    assert team.promote(run=team.judged(artifacts=(elsewhere,)).id).version == 1


def test_a_file_that_is_older_than_the_commit(team: Team) -> None:
    refusal = team.refused(run=team.judged(provenance={"older": ("metrics.json", "model.bin")}).id)
    assert refusal.reason is Refusal.FILE_NOT_WRITTEN and "older than the commit" in refusal.message


def test_a_run_without_a_file(team: Team) -> None:
    refusal = team.refused(run=team.judged(artifacts=()).id)
    assert refusal.reason is Refusal.NO_FILE and "no file to deploy" in refusal.message


@pytest.mark.parametrize("unchanged", ["model.bin", "out", "out/weights/1.bin"])
def test_a_file_that_the_run_did_not_write(team: Team, unchanged: str) -> None:
    files = (MODEL, replace(MODEL, path="out/weights", kind="folder"))
    run = team.judged(artifacts=files, provenance={"unchanged": ("metrics.json", unchanged), "command": ("python",)})
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.FILE_NOT_WRITTEN and "the training did not write it" in refusal.message


@pytest.mark.parametrize("pointer", [False, True])
def test_a_file_of_the_commit_that_no_training_was_seen_to_write(team: Team, pointer: bool) -> None:
    hexed = hashlib.sha256(b"an old model").hexdigest()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hexed}\nsize 12\n" if pointer else "an old model"
    (team.project.folder / "a model.bin").write_text(text)
    team.project.commit("model")
    team.session = team.session.refreshed()
    old = File(path="a model.bin", digest=f"sha256:{hexed}", size=12)
    command = ("python", "train.py")
    for origin in ({}, {"command": command}):  # The second: a program that logs by itself, which ciplug did not start.
        refusal = team.refused(run=team.judged(artifacts=(old,), provenance=origin).id)
        assert refusal.reason is Refusal.FILE_NOT_WRITTEN and "a file of the commit itself" in refusal.message
    team.keep(b"an old model", "a model.bin")
    written = team.judged(artifacts=(old,), provenance={"command": command, "exit_code": 0})
    assert team.promote(run=written.id).version == 1


def test_a_version_that_was_registered_with_other_files_than_its_run_has(team: Team) -> None:
    run = team.judged()
    registration = Register(version=1, run=run.id, commit=run.commit, files={MODEL.path: "sha256:" + "2" * 64})
    log = ledger.read(team.session.log, "wine")
    ledger.append(team.session.log, log, wrap(registration, model="wine", created=STAMP))
    assert team.refused(version=1).reason is Refusal.OTHER_FILES


def test_a_commit_that_is_not_signed(team: Team) -> None:
    stage_of(team, "require: [signature]")
    assert team.refused(run=team.judged().id).reason is Refusal.NOT_SIGNED


@pytest.mark.parametrize("rules", ["require: [signature]", "approvals: {not_author: true}"])
def test_a_run_without_a_commit(team: Team, rules: str) -> None:
    stage_of(team, rules)
    assert team.refused(run=team.judged(commit=None).id).reason is Refusal.NO_COMMIT


@pytest.mark.parametrize(
    ("host", "origin"),
    [("local", "recorded on a person's machine"), ("mlflow_import", "imported from another system")],
)
def test_a_run_of_no_pipeline(team: Team, host: str, origin: str) -> None:
    run = team.run(provenance={"context": Context(actor="octocat", host=host)})
    team.verdict(run)
    team.policy("record: ci\n")
    refusal = team.refused(run=run.id)
    assert refusal.reason is Refusal.NOT_OF_PIPELINE and f"run {run.id[:12]} was {origin}" in refusal.message


def test_the_runs_of_others_are_named(team: Team) -> None:
    """Those of the same person are not, nor those of a fork, which anybody can make."""
    run = team.judged()
    of_fork = Context(actor="fork", trusted=False)
    for context in (Context(actor="mallory"), Context(), of_fork, Context(actor="octocat")):
        team.run(provenance={"context": context})
    (sentence,) = (one for one in team.promote(run=run.id).reruns if "of others" in one)
    twelve = "0" * 12
    assert sentence == (
        f"Run {twelve} is of octocat, and the commit has runs of others: {twelve} by mallory, {twelve} by nobody"
    )


def test_a_verdict_of_the_next_day_counts_if_it_passed_or_is_signed(team: Team) -> None:
    """Clocks differ. What somebody else dates ahead orders nothing."""
    run = team.run()
    team.verdict(run, outcome="FAIL", created="2026-11-20T00:00:00.000Z")
    passed = team.verdict(run, created=stamp(now() + timedelta(hours=1)))
    failed = team.verdict(run, outcome="FAIL", created=stamp(now() + timedelta(hours=2)))
    verdicts = team.session.refreshed().runs().verdicts(run)
    today, tomorrow = stamp(now()), stamp(now() + timedelta(days=1))
    assert last_verdict(verdicts, today, tomorrow, signed=False)[0] == passed
    assert last_verdict(verdicts, today, tomorrow, signed=True)[0] == failed


def test_another_environment(team: Team) -> None:
    stage_of(team, "approvals: {environment: live}")
    team.judged()
    assert team.refused(session=team.with_context(environment="test")).reason is Refusal.OTHER_ENVIRONMENT
    assert team.refused(session=team.with_context(environment="live")).reason is Refusal.ENVIRONMENT_UNKNOWN


def test_an_environment_that_nobody_knows(team: Team) -> None:
    stage_of(team, "approvals: {environment: live}")
    assert team.refused(run=team.judged().id).reason is Refusal.ENVIRONMENT_UNKNOWN


@pytest.mark.parametrize("actor", ["test@example.com", "TEST PERSON", "octocat", "Octocat"])
def test_the_author(team: Team, actor: str) -> None:
    stage_of(team, "approvals: {not_author: true}")
    team.judged()
    assert team.refused(session=team.with_context(actor=actor)).reason is Refusal.ACTOR_IS_AUTHOR


def test_the_author_by_the_address_that_github_gives(team: Team) -> None:
    stage_of(team, "approvals: {not_author: true}")
    git(
        team.project.folder,
        "-c",
        "user.email=12+mona@users.noreply.github.com",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    )
    team.session = team.session.refreshed()
    team.judged()
    assert team.refused(session=team.with_context(actor="mona")).reason is Refusal.ACTOR_IS_AUTHOR


def test_nobody_knows_who_promotes(team: Team) -> None:
    stage_of(team, "approvals: {not_author: true}")
    team.judged()
    assert team.refused(session=team.with_context(actor=None)).reason is Refusal.ACTOR_UNKNOWN


def test_nobody_knows_the_author(team: Team) -> None:
    stage_of(team, "approvals: {not_author: true}")
    run = team.judged(commit="f" * 40)
    refusal = team.refused(run=run.id, session=team.with_context(actor="bob"))
    assert refusal.reason is Refusal.AUTHOR_UNKNOWN and refusal.hint == f"fetch it: git fetch origin {'f' * 40}"


def test_an_environment_that_gitlab_protects(team: Team, gitlab_api: GitLabApi) -> None:
    stage_of(team, "approvals: {environment: live}")
    run = team.judged()
    session = team.with_context(host="gitlab_ci", repository="acme/demo", api_url=gitlab_api.api_url)
    tokens = {"CI_JOB_TOKEN": "of-job", "CIPLUG_GITLAB_TOKEN": "of-project"}
    session = replace(session, env={**session.env, **tokens, "CI_API_V4_URL": gitlab_api.api_url})
    gitlab_api.add_token("of-project", "project_bot")
    job = gitlab_api.start_job("of-job", "bob")

    def refusal() -> tuple[Refusal, str]:
        refused = team.refused(run=run.id, session=replace(session))
        return refused.reason, f"{refused.message}; {refused.hint}"

    reason, words = refusal()
    assert reason is Refusal.OTHER_ENVIRONMENT and "knows no deployment to it by this job" in words
    deployment = {"id": 1, "environment": "live", "status": "running", "deployable": {"id": job}, "approvals": []}
    gitlab_api.deployments.append(deployment)
    reason, words = refusal()
    assert reason is Refusal.ENVIRONMENT_UNKNOWN and "give CIPLUG_GITLAB_TOKEN the role Maintainer" in words
    gitlab_api.add_token("of-project", "project_bot", role="maintainer")
    reason, words = refusal()
    assert reason is Refusal.NOT_APPROVED and "everybody who may run a job may deploy to it" in words
    gitlab_api.protected_environments.add("live")
    team.promote(run=run.id, session=replace(session))
    deployment["approvals"] = [{"status": "approved", "user": {"username": "cyd"}}]
    team.promote(run=team.judged().id, session=replace(session))
    events = ledger.read(team.session.refreshed().log, "wine").events
    given = [payload.approvals for payload in map(payload_of, events) if isinstance(payload, Promote)]
    assert given == [
        ("clean tree", "environment live, which GitLab protects"),
        ("clean tree", "environment live, approved by cyd"),
    ]


def test_an_environment_that_only_the_author_has_approved(team: Team, github_api: GitHubApi) -> None:
    stage_of(team, "approvals: {environment: live, not_author: true}")
    run = team.judged()
    github_api.add_token("reader", "github-actions[bot]", app=True, permissions={"actions": "read"})
    github_api.authors[team.project.head] = "octocat"
    session = team.with_context(
        host="github_actions", repository="acme/demo", actor="octocat", api_url=github_api.url,
        server_url="https://github.com", run_url="https://github.com/acme/demo/actions/runs/42",
    )  # fmt: skip
    session = replace(session, env={**session.env, "GITHUB_TOKEN": "reader", "GITHUB_API_URL": github_api.url})
    refusal = team.refused(run=run.id, session=session)
    assert refusal.reason is Refusal.NOT_APPROVED and "nobody has given one" in refusal.message
    github_api.reviews[42] += [("octocat", "approved", "live"), ("bob", "approved", "test")]
    refusal = team.refused(run=run.id, session=replace(session))
    assert refusal.reason is Refusal.NOT_APPROVED and "only its author has given one (octocat)" in refusal.message
    github_api.reviews[42].append(("bob", "approved", "live"))
    team.promote(run=run.id, session=replace(session))
    event = payload_of(ledger.read(team.session.refreshed().log, "wine").events[-1])
    assert event.approvals == ("clean tree", "environment live, approved by bob")
    last = ledger.read(team.session.refreshed().log, "wine").events[-1]
    assert (last.actor, last.actor_confirmed) == ("octocat", False), "GitHub knows no such workflow run"
    github_api.start_run(42, "cyd")
    again = team.judged()
    team.promote(run=again.id, session=replace(session))
    last = ledger.read(team.session.refreshed().log, "wine").events[-1]
    assert (last.actor, last.actor_source, last.actor_confirmed) == ("cyd", "GitHub", True)


def test_the_policy_of_a_folder_of_the_repository_is_its_own(team: Team) -> None:
    folder = team.project.folder / "models" / "wine"
    folder.mkdir(parents=True)
    (folder / "ciplug.yaml").write_text("version: 1\nmodel: wine\ngates: {accuracy: {min: 0.95}}\n")
    team.project.commit("policy of a folder")
    team.session = open_session(cwd=folder, env=team.session.env)
    assert team.refused(run=team.judged(accuracy=0.94).id).reason is Refusal.NOT_PASSED
    run = team.judged(accuracy=0.96)
    assert team.promote(run=run.id).version == 1
    ((verdict, _),) = team.session.refreshed().runs().verdicts(run).values()
    assert verdict.policy_file == "models/wine/ciplug.yaml"


# Races


def rival(team: Team, monkeypatch: pytest.MonkeyPatch, times: int, before: Callable[[], None]) -> None:
    """Let another process be first, so many times, right before an event is appended."""
    append, left = ledger.append, [times]

    def late(log: Any, entries: ledger.Ledger, event: Any, sign: Any = None) -> ledger.Ledger:
        if left[0]:
            left[0] -= 1
            before()
        return append(log, entries, event, sign)

    monkeypatch.setattr("ciplug.steps.promotion.promote.ledger.append", late)


def register_another(team: Team) -> Callable[[], None]:
    append, numbers = ledger.append, iter(range(100, 200))

    def other() -> None:
        log = team.session.refreshed().log
        entries = ledger.read(log, "wine")
        number = read_model(log, "wine").next_version
        append(log, entries, wrap(Register(version=number, run=f"{next(numbers)}"), model="wine", created=STAMP))

    return other


def test_who_loses_a_race_reads_again_and_is_judged_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    run = team.judged()
    rival(team, monkeypatch, 3, register_another(team))
    done = team.promote(run=run.id)
    assert (done.version, done.lost_races) == (4, 3)
    events = ledger.read(team.session.refreshed().log, "wine").events
    assert [event.type for event in events] == ["register"] * 4 + ["promote"]


def test_who_loses_every_race_gives_up(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    run = team.judged()
    monkeypatch.setattr(writing, "PATIENCE", 0.5)
    rival(team, monkeypatch, 99, register_another(team))
    with pytest.raises(StoreError, match=r"another event was appended first in each of \d+ attempts") as caught:
        team.promote(run=run.id)
    # Not the exit code of a gate that failed.
    assert (caught.value.exit_code, caught.value.cause) == (3, Cause.CONFLICT)
    versions = read_model(team.session.refreshed().log, "wine").versions
    assert {v.stage for v in versions} == {"None"} and run.id not in {v.run for v in versions}
    # The rival has registered one in each.
    assert f"in each of {len(versions)} attempts" in caught.value.message
    with pytest.raises(StoreError, match=r"another event was appended first in each of \d+ attempts"):
        set_tag(team.session.refreshed(), "wine", None, "team", "a")


def test_who_loses_a_race_for_the_stage_is_judged_beside_the_new_holder(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = team.judged()

    def same() -> None:
        monkeypatch.undo()
        team.promote(run=run.id)

    rival(team, monkeypatch, 1, same)
    with pytest.raises(PromotionRefused) as caught:
        team.promote(run=run.id)
    assert caught.value.reason is Refusal.SAME_STAGE


def test_promoters_that_race_have_one_winner_each_time(team: Team) -> None:
    for _ in range(3):
        run = team.judged()
        outcomes: list[object] = []

        def race(run: Run = run, outcomes: list[object] = outcomes) -> None:
            try:
                outcomes.append(team.promote(run=run.id).version)
            except PromotionRefused as refusal:
                outcomes.append(refusal.reason)

        racers = [threading.Thread(target=race) for _ in range(3)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(map(str, outcomes)) == [str(team.recorded), *["Refusal.SAME_STAGE"] * 2]
    promoted = [e for e in ledger.read(team.session.refreshed().log, "wine").events if e.type == "promote"]
    assert [e.payload["version"] for e in promoted] == [1, 2, 3]


def test_a_conflict_in_the_store_of_verdicts_is_not_a_lost_race(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    stage_of(team, "gates: [accuracy]")
    run = team.judged()

    def conflict(*_: object) -> None:
        raise Conflict("other bytes under the same key")

    monkeypatch.setattr("ciplug.steps.promotion.required_verdict.store_objects", conflict)
    with pytest.raises(Conflict):
        team.promote(run=run.id)


def test_a_gated_stage_is_found_by_its_whole_name_in_any_case(team: Team) -> None:
    team.policy("stages: {qa: {gates: [accuracy]}, dev: {gates: [accuracy]}, staging: {gates: [size]}}\n")
    names = ("QA", " dev", "Staging", "stag", "none")
    assert [gated_stage(team.session, Model("wine"), name) for name in names] == ["qa", "dev", "Staging", None, None]


def test_of_a_tag_the_value_is_masked_and_nothing_is_added(team: Team) -> None:
    secret = masked(team.session, Tag(key="api_key", value="s3cr3t-w0rd"))
    assert secret.key == "api_key" and "s3cr3t" not in secret.value
    for harmless in (Tag(key="api_key", value=""), Untag(key="api_key")):
        assert masked(team.session, harmless) == harmless


def test_an_import_sets_what_no_gate_judges(team: Team) -> None:
    team.judged()
    team.promote()
    free = import_alias(team.session, "wine", "champion", 1, {}), import_stage(team.session, "wine", 1, "Archived", {})
    gated = import_alias(team.session, "wine", "staging", 1, {}), import_stage(team.session, "wine", 1, "Staging", {})
    assert free == (True, True) and gated == (False, False)
    model = read_model(team.session.refreshed().log, "wine")
    assert model.aliases == {"champion": 1} and model.versions[0].stage.casefold() == "staging"
