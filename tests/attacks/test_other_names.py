"""A run is registered under another name than its model's: no way around the gates of either."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import ConfigError, Conflict, NotFound, PromotionRefused, Refusal
from ciplug.records.canonical import digest
from ciplug.records.keys import run_key
from ciplug.records.registry_event import Promote, Register
from ciplug.records.run import Run
from ciplug.registry import ledger
from ciplug.registry.events import payload_of, wrap
from ciplug.registry.evidence_chain import Fault
from ciplug.registry.replayed_rules import model_digest
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.promotion import labels, models, moves
from ciplug.steps.promotion.promote import Promotion, PromotionRequest, promote
from ciplug.steps.promotion.registration import registration_of
from ciplug.steps.pull import pull, version_name
from ciplug.steps.registered_model import read_model
from ciplug.steps.registry_checks import check_model
from tests.team import STAMP, Team, team_in, with_whole_ids

POLICY = """\
version: 1
models:
  wine:
    gates: {accuracy: {higher_is_better: true, min: 0.8}}
  sandbox:
    gates: {accuracy: {higher_is_better: true, min: 0.1}}
    clean: {ignore: [train.py]}
  prod.wine:
    gates: {accuracy: {higher_is_better: true, min: 0.95}}
    stages: {live: {}}
  twin:
    gates: {accuracy: {higher_is_better: true, min: 0.8}}
  compared:
    gates:
      accuracy: {higher_is_better: true, max_regression: 0.01, baseline: production, on_no_baseline: warn}
"""


@pytest.fixture
def team(tmp_path: Path) -> Team:
    team = team_in(tmp_path)
    (team.project.folder / "ciplug.yaml").write_text(POLICY)
    team.project.commit("policy")
    team.session = team.session.refreshed()
    return team


def promoted(team: Team, name: str, to: str = "staging", **request: Any) -> Promotion:
    return promote(team.session.refreshed(), PromotionRequest(name, to, **request))


def refused(team: Team, name: str, to: str = "staging", **request: Any) -> PromotionRefused:
    with pytest.raises(PromotionRefused) as caught:
        promoted(team, name, to, **request)
    assert not read_model(team.session.refreshed(), name).stages
    return with_whole_ids(caught.value)


def register(team: Team, name: str, run: Run | None) -> int:
    """Register a version under a name, as MLflow's client does."""
    session = team.session.refreshed()
    record = session.runs().digests([run])[run_key(run).key] if run else ""
    payload = registration_of(run, 0, record) if run else Register(version=0)
    return models.register_version(session, name, payload).model.last_number


def last(team: Team, name: str) -> Any:
    return payload_of(ledger.read(team.session.refreshed().log, name).events[-1])


def whole(team: Team, name: str, version: str) -> Any:
    """What `registry verify`, `pull` and `verify` say of a version: the first broken link."""
    assert not check_model(team.session.refreshed(), name).problems
    folder = team.project.folder.parent / "pulled"
    pull(team.session.refreshed(), version_name(version), folder, lock=folder.with_suffix(".lock"), force=True)
    return verify(team.session.refreshed(), Request(version)).broken


def test_a_name_without_gates_of_its_own_goes_by_those_of_the_run_s_model(team: Team) -> None:
    bad = team.run(accuracy=0.5)
    assert refused(team, "wine-classifier", run=bad.id).reason is Refusal.NO_VERDICT
    team.verdict(bad)
    assert refused(team, "wine-classifier", run=bad.id).reason is Refusal.NOT_PASSED
    team.project.commit("better")
    done = promoted(team, "wine-classifier", run=team.judged().id)
    assert (done.model, done.version, done.gates_of) == ("wine-classifier", 1, "wine")
    event = last(team, "wine-classifier")
    assert (event.run_model, event.gates_of, event.outcome) == ("wine", "wine", "PASS")
    assert whole(team, "wine-classifier", "wine-classifier@staging") is None
    shown = team.project.ciplug(
        "registry", "history", "wine-classifier", env={"CIPLUG_STORE": team.session.store_uri}
    ).stdout
    assert "None → Staging, run of wine" in shown


def test_it_stays_with_the_model_of_its_first_promotion_however_lax_another_s_gates_are(team: Team) -> None:
    promoted(team, "wine-classifier", run=team.judged().id)
    lax = team.judged(model="sandbox", accuracy=0.2)
    with pytest.raises(PromotionRefused, match=r"by the gates of 'wine', and run \w+ is of 'sandbox'") as caught:
        promoted(team, "wine-classifier", run=lax.id)
    assert caught.value.reason is Refusal.OTHER_POLICY
    session = team.session.refreshed()
    number = register(team, "wine-classifier", None)
    with pytest.raises(PromotionRefused):
        moves.move_freely(session, "wine-classifier", number, "Staging", archive_others=True)
    assert read_model(team.session.refreshed(), "wine-classifier").in_stage["Staging"] == (1,)


def test_no_free_move_and_no_alias_leads_a_judged_run_into_a_stage(team: Team) -> None:
    bad = team.judged(accuracy=0.5)
    number = register(team, "new-name", bad)
    session = team.session.refreshed()
    with pytest.raises(PromotionRefused) as caught:
        moves.move_freely(session, "new-name", number, "Production")
    assert caught.value.reason is Refusal.GATED_STAGE
    with pytest.raises(PromotionRefused):
        labels.set_alias(session, "new-name", "staging", number)
    assert refused(team, "new-name", version=number).reason is Refusal.NOT_PASSED
    labels.set_alias(session, "new-name", "champion", number)
    unrecorded = models.register_version(session, "new-name", Register(version=0, run="f" * 32)).model.last_number
    with pytest.raises(PromotionRefused, match="is not recorded"):
        moves.move_freely(session, "new-name", unrecorded, "Production")


def test_a_name_and_a_model_that_nothing_judges_are_free_and_never_promoted(team: Team) -> None:
    free = team.run(model="notebook")
    number = register(team, "notes", free)
    moves.move_freely(team.session.refreshed(), "notes", number, "Production")
    with pytest.raises(ConfigError, match="no gate for the model 'notebook'"):
        promoted(team, "notes", run=team.run(model="notebook").id)


def test_the_gates_of_the_registered_name_judge_a_run_of_a_laxer_model(team: Team) -> None:
    lax, good = team.judged(model="sandbox", accuracy=0.9), team.judged(accuracy=0.97)
    assert (
        "does not pass the gates of 'prod.wine': accuracy: 0.9 is below 0.95"
        in refused(team, "prod.wine", "live", run=lax.id).message
    )
    done = promoted(team, "prod.wine", "live", run=good.id)
    assert done.gates_of == "prod.wine"
    event = last(team, "prod.wine")
    assert (event.run_model, event.gates_of) == ("wine", None)
    verdict = team.session.refreshed().runs().verdicts(good)[event.verdict][0]
    assert (verdict.model, verdict.stage, verdict.policy_digest) == ("wine", "live", event.policy_digest)
    assert whole(team, "prod.wine", "prod.wine@live") is None
    # What the promotion recorded is no judgement of the run by its own model.
    assert promoted(team, "wine", run=good.id).version == 1


def test_a_verdict_by_the_same_gates_counts_for_another_name(team: Team) -> None:
    """The gates of 'twin' are those of 'wine', so a run that failed them has failed here, until it is judged again."""
    run = team.run(accuracy=0.9)
    team.verdict(run, outcome="FAIL")
    refusal = refused(team, "twin", run=run.id)
    assert refusal.reason is Refusal.NOT_PASSED and f"the verdict of run {run.id[:12]} is FAIL" in refusal.message
    team.verdict(run)
    assert promoted(team, "twin", run=run.id).version == 1


def test_what_a_laxer_model_sets_aside_is_not_set_aside_for_the_registered_name(team: Team) -> None:
    run = team.judged(model="sandbox", accuracy=0.97, provenance={"ignored_files": ("train.py",)})
    assert refused(team, "prod.wine", "live", run=run.id).reason is Refusal.SET_ASIDE


def test_the_baseline_is_that_of_the_registered_name(team: Team) -> None:
    promoted(team, "compared", run=team.judged(model="compared", accuracy=0.9).id)
    promoted(team, "compared", "production", version=1)
    worse = team.judged(model="sandbox", accuracy=0.6)
    with pytest.raises(PromotionRefused, match="does not pass the gates of 'compared'"):
        promoted(team, "compared", run=worse.id)


def test_a_better_run_does_not_hide_the_others_of_its_commit(team: Team) -> None:
    runs = [team.run(model="sandbox", accuracy=accuracy) for accuracy in (0.2, 0.97)]
    for run in runs:
        team.verdict(run)
    done = promoted(team, "prod.wine", "live", run=runs[1].id)
    assert f"'accuracy' failed on run {runs[0].id[:12]} of this commit" in done.reruns[0]
    assert last(team, "prod.wine").outcome == "WARN"


def forged(team: Team, run: Run, verdict: str, **fields: Any) -> None:
    """Append by hand a promotion to prod.wine that names a verdict of another section."""
    session = team.session.refreshed()
    data = session.store.read([verdict])[verdict]
    judged = session.runs().verdicts(run)[verdict][0]
    payload = Promote(
        version=register(team, "prod.wine", run), run=run.id, commit=run.commit, stage="live", from_stage="None",
        ladder=("live",), policy_digest=judged.policy_digest, verdict=verdict, verdict_digest=digest(data),
        outcome="PASS", **fields,
    )  # fmt: skip
    log = team.session.refreshed().log
    event = wrap(payload, model="prod.wine", created=STAMP, actor="me")
    ledger.append(log, ledger.read(log, "prod.wine"), event)


def test_verify_finds_a_verdict_of_a_laxer_section_in_a_log_that_was_written_by_hand(team: Team) -> None:
    lax = team.run(model="sandbox", accuracy=0.5)
    forged(team, lax, team.verdict(lax), run_model="sandbox", gates_of="sandbox")
    broken = verify(team.session.refreshed(), Request("prod.wine@live")).broken
    assert broken is not None and broken.fault is Fault.POLICY_CHANGED


def test_the_model_of_the_run_is_part_of_the_evidence(team: Team) -> None:
    run = team.run(accuracy=0.97)
    forged(team, run, team.verdict(run))
    (problem,) = check_model(team.session.refreshed(), "prod.wine").problems
    assert "which is on run" in problem.what and "of 'wine'" in problem.what


def test_a_copy_into_a_judged_name_is_a_promotion_to_its_first_stage(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = team.judged(), team.judged(accuracy=0.99)
    files = {file.path: file.digest for file in good.artifacts}

    def copy_of(run: Run) -> Register:
        record = team.session.refreshed().runs().digests([run])[run_key(run).key]
        return replace(registration_of(run, 0, record), source="models:/dev.wine/1", digest=model_digest(files))

    assert refused(team, "prod.wine", "live", run=bad.id, registration=copy_of(bad)).reason is Refusal.NOT_PASSED
    assert not read_model(team.session.refreshed(), "prod.wine").versions
    other = replace(copy_of(good), files={"model.bin": f"sha256:{'0' * 64}"})
    assert refused(team, "prod.wine", "live", run=good.id, registration=other).reason is Refusal.OTHER_FILES
    append, calls = ledger.append, itertools.count(1)

    def late(*args: Any) -> ledger.Ledger:
        if next(calls) == 2:
            raise Conflict("another event was appended first")
        return append(*args)

    monkeypatch.setattr(ledger, "append", late)
    # The version that was registered before the lost race is promoted, and no second one.
    done = promoted(team, "prod.wine", "live", run=good.id, registration=copy_of(good))
    assert (done.version, done.stage, done.lost_races) == (1, "live", 1)
    assert whole(team, "prod.wine", "prod.wine@live") is None


def test_a_renamed_model_keeps_its_evidence_and_stays_promotable(team: Team) -> None:
    run = team.judged()
    promoted(team, "wine", run=run.id)
    moves.demote(team.session.refreshed(), "wine", version=1, to="none")
    models.rename_model(team.session.refreshed(), "wine", "red-wine")
    done = promoted(team, "red-wine", run=run.id)
    assert (done.version, done.gates_of) == (1, "wine")
    promoted(team, "red-wine", "production", version=1)
    assert whole(team, "red-wine", "red-wine@production") is None


def test_without_a_run_the_error_names_the_other_models_of_the_commit(team: Team) -> None:
    team.judged()
    with pytest.raises(NotFound, match="no run of 'bottles' is recorded") as caught:
        promoted(team, "bottles")
    assert caught.value.hint == "one of: wine; a run of another model is named by --run ID"
