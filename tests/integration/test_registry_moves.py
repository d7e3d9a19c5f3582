"""Demotion, rollback, archive, yank, aliases, tags, deletion and renaming, as commands and Python call them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import CiplugError, NotFound, PromotionRefused, Refusal, StoreError, UsageError
from ciplug.records.registry_event import Register
from ciplug.records.registry_moves import Demote, Rollback
from ciplug.registry.model import Model
from ciplug.steps import history
from ciplug.steps.fetch import fetch
from ciplug.steps.promotion import labels, models, moves
from ciplug.steps.promotion.held_stages import held_stages
from ciplug.steps.promotion.promote import Promotion
from ciplug.steps.promotion.registration import registration_of
from ciplug.steps.promotion.rollback import change_of, roll_back
from ciplug.steps.promotion.writing import Written
from ciplug.steps.registered_model import read_model
from ciplug.steps.registry_checks import check_model
from tests.team import Team, team_in

Change = Callable[..., Written[Any]]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return team_in(tmp_path)


@pytest.fixture
def served(team: Team) -> Team:
    """Versions 1 and 2 were in production, one after the other; the files of each are their own."""
    for number in (1, 2):
        file = team.keep(b"model %d" % number, "model.bin")
        run = team.judged(accuracy=0.9 + number / 100, artifacts=(file,))
        team.promote(run=run.id)
        team.promote("production", version=number)
    return team


def stages(team: Team, name: str = "wine") -> list[str]:
    return [version.stage for version in model_of(team, name).versions]


def model_of(team: Team, name: str = "wine") -> Model:
    return read_model(team.session.refreshed(), name)


def change(team: Team, step: Change, *args: Any, **named: Any) -> Any:
    """Change the registry; the rules hold afterwards."""
    done = step(team.session.refreshed(), "wine", *args, **named)
    assert check_model(team.session.refreshed(), "wine").problems == []
    return done


def refused(team: Team, step: Callable[..., Any], *args: Any, **named: Any) -> PromotionRefused:
    """The refusal, which names the next command; the log is as it was before."""
    before = len(history.stored(team.session.refreshed(), "wine"))
    with pytest.raises(PromotionRefused) as caught:
        step(team.session.refreshed(), "wine", *args, **named)
    assert len(history.stored(team.session.refreshed(), "wine")) == before
    assert caught.value.hint
    return caught.value


# Rollback


def test_a_rollback_brings_the_holder_before_back_and_needs_no_gate(served: Team) -> None:
    served.policy("stages: {production: {require: [signature], approvals: {not_author: true}}}\n")
    text = (served.project.folder / "ciplug.yaml").read_text()
    (served.project.folder / "ciplug.yaml").write_text(text.replace("min: 0.8", "min: 0.99"))
    served.project.commit("no version would pass today")
    done = roll_back(served.session.refreshed(), "wine", "production", "it times out")
    payload = done.written.payload
    assert isinstance(payload, Rollback)
    assert (payload.version, payload.replaces, payload.files, payload.outcome) == (1, 2, 1, "PASS")
    assert payload.passed == "registry/wine/000003.json"
    assert stages(served) == ["Production", "Archived"]
    assert check_model(served.session.refreshed(), "wine").problems == []
    assert refused(served, roll_back, "production", "again").reason is Refusal.NOBODY_BEFORE
    roll_back(served.session.refreshed(), "wine", "Production", "it was the network", version=2)
    assert stages(served) == ["Archived", "Production"]


def test_a_rollback_is_refused_where_the_bytes_do_not_verify(served: Team) -> None:
    lost = served.project.folder.parent / "store" / "files" / hashlib.sha256(b"model 1").hexdigest()
    (path,) = (one for one in (served.project.folder.parent / "store").rglob(f"*{lost.name}*") if one.is_file())
    path.write_bytes(b"model x")
    refusal = refused(served, roll_back, "production", "it times out")
    assert refusal.reason is Refusal.FILE_NOT_KEPT and "do not verify" in refusal.message
    assert stages(served) == ["Archived", "Production"]


def test_rollbacks_that_have_no_evidence(served: Team) -> None:
    third = served.judged()
    served.promote(run=third.id)
    assert refused(served, roll_back, "production", "x", version=3).reason is Refusal.NEVER_PASSED
    assert refused(served, roll_back, "production", "x", version=2).reason is Refusal.SAME_STAGE
    change(served, moves.yank, 1, "leaks")
    assert refused(served, roll_back, "production", "x", version=1).reason is Refusal.YANKED
    assert refused(served, roll_back, "production", "x").reason is Refusal.NOBODY_BEFORE
    with pytest.raises(UsageError, match="needs a reason"):
        roll_back(served.session, "wine", "production", " ")
    with pytest.raises(UsageError, match="unknown stage"):
        roll_back(served.session, "wine", "moon", "x")
    with pytest.raises(NotFound, match="no model 'beer'"):
        roll_back(served.session, "beer", "production", "x")


def test_a_rollback_of_a_lower_stage_does_not_empty_a_higher_one(served: Team) -> None:
    """Version 2 was in staging on its way to production, where it serves now."""
    roll_back(served.session.refreshed(), "wine", "staging", "x")
    assert stages(served) == ["Staging", "Production"]
    refusal = refused(served, roll_back, "staging", "x", version=2)
    assert refusal.reason is Refusal.IN_USE and "ciplug demote 'wine' --from production" in (refusal.hint or "")
    refusal = refused(served, roll_back, "staging", "x")
    assert refusal.reason is Refusal.NOBODY_BEFORE and "held Staging before" in refusal.message
    roll_back(served.session.refreshed(), "wine", "production", "x")
    assert stages(served) == ["Production", "Archived"]


def test_a_rollback_of_an_empty_stage_names_the_versions_that_were_there(served: Team) -> None:
    roll_back(served.session.refreshed(), "wine", "production", "x")
    change(served, moves.demote, start="production", to="none")
    served.promote(run=served.judged().id)
    refusal = refused(served, roll_back, "production", "x")
    assert refusal.message == "no version of 'wine' is left that comes back to Production"
    assert "(v1, v2): ciplug rollback 'wine' --to production --version N" in (refusal.hint or "")
    assert "demote" not in (refusal.hint or "")


# Demotion, archive, yank


def test_a_rollback_of_a_version_that_has_left_by_then_writes_nothing(served: Team) -> None:
    """Whoever found it bad did not find the one bad that is there now."""

    def rolled_back(expected: int) -> bool:
        return roll_back(served.session.refreshed(), "wine", "production", "bad", expected=expected).written.event > 0

    assert not rolled_back(1)
    change(served, moves.demote, version=2, to="none")
    assert not rolled_back(2)
    assert stages(served) == ["Archived", "None"]
    served.promote(version=2)
    served.promote("production", version=2)
    assert rolled_back(2)
    assert stages(served) == ["Production", "Archived"]


def test_demotions(served: Team) -> None:
    done = change(served, moves.demote, start="production", reason="slow").payload
    assert isinstance(done, Demote) and (done.version, done.stage, done.reason) == (2, "Staging", "slow")
    assert stages(served) == ["Archived", "Staging"]
    change(served, moves.demote, version=2)
    assert stages(served) == ["Archived", "None"]
    assert refused(served, moves.demote, version=2).reason is Refusal.SAME_STAGE
    roll_back(served.session.refreshed(), "wine", "production", "empty")
    assert stages(served) == ["Production", "None"]
    change(served, moves.demote, version=1, to="archived")
    assert stages(served) == ["Archived", "None"]
    with pytest.raises(NotFound, match="no version of 'wine' is in Production"):
        moves.demote(served.session.refreshed(), "wine", start="production")


def test_an_archived_version_is_promoted_again_from_the_lowest_stage(served: Team) -> None:
    with pytest.raises(PromotionRefused) as caught:
        served.promote("production", version=1)
    assert caught.value.reason is Refusal.NOT_ADJACENT and "ciplug rollback" in (caught.value.hint or "")
    served.promote(version=1)
    assert stages(served) == ["Staging", "Production"]
    assert check_model(served.session.refreshed(), "wine").problems == []


def test_a_demotion_takes_nobody_s_place(served: Team) -> None:
    served.promote(run=served.judged().id)
    refusal = refused(served, moves.demote, start="production")
    assert refusal.reason is Refusal.IN_USE and "--to none" in (refusal.hint or "")
    assert refused(served, moves.demote, version=3, to="production").reason is Refusal.NOT_ADJACENT
    change(served, moves.demote, start="production", to="none")
    assert stages(served) == ["Archived", "None", "Staging"]


def test_a_version_in_use_is_neither_archived_nor_yanked_nor_deleted(served: Team) -> None:
    for step in (moves.archive, moves.yank, models.delete_version):
        assert refused(served, step, 2).reason is Refusal.IN_USE
    change(served, labels.set_alias, "old", 1)
    for step in (moves.archive, moves.yank):
        assert refused(served, step, 1).reason is Refusal.IN_USE
    assert refused(served, models.delete_model).reason is Refusal.IN_USE
    with pytest.raises(PromotionRefused) as caught:
        models.rename_model(served.session.refreshed(), "wine", "red")
    assert caught.value.reason is Refusal.IN_USE


def test_what_is_told_of_moves_that_name_too_little(served: Team) -> None:
    for named in ({}, {"version": 1, "start": "production"}):
        with pytest.raises(UsageError, match="name the version to demote"):
            moves.demote(served.session.refreshed(), "wine", **named)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a rollback needs a reason"):
        roll_back(served.session.refreshed(), "wine", "production", " ")
    with pytest.raises(UsageError, match="a tag needs a name"):
        labels.set_tag(served.session.refreshed(), "wine", None, " ", "x")
    with pytest.raises(NotFound, match="no version of 'wine' is in Staging"):
        moves.demote(served.session.refreshed(), "wine", start="staging")
    with pytest.raises(PromotionRefused, match="the registry has a model 'wine'") as caught:
        models.create_model(served.session.refreshed(), "wine")
    assert caught.value.reason is Refusal.NAME_TAKEN
    for name in ("", " ", "a" * 257, "a\nb"):
        with pytest.raises(UsageError, match="cannot be the name of a model"):
            models.create_model(served.session.refreshed(), name)
    change(served, labels.set_alias, "champion", 1)
    for alias, other in (("chаmpion", "champion"), ("Prоduction", "Production")):
        with pytest.raises(UsageError, match=f"looks like '{other}'"):
            labels.set_alias(served.session.refreshed(), "wine", alias, 1)


def test_a_version_is_archived_once(served: Team) -> None:
    assert change(served, moves.archive, 1).payload is None, "the second one has taken its place"
    third = served.judged()
    models.register_version(served.session.refreshed(), "wine", replace(registration_of(third, 0, ""), record=None))
    done = change(served, moves.archive, 3, "old").payload
    assert (done.version, done.from_stage, done.reason) == (3, "None", "old")
    assert stages(served) == ["Archived", "Production", "Archived"]
    assert change(served, moves.archive, 3).payload is None


def test_the_stages_that_runs_hold(served: Team) -> None:
    """Versions in no stage are not named, nor those of other runs."""
    runs = [version.run or "" for version in model_of(served).versions]
    assert [(one.model, one.version.number) for one in held_stages(served.session.refreshed(), runs)] == [("wine", 2)]
    assert held_stages(served.session.refreshed(), runs[:1]) == []
    change(served, moves.demote, start="production", to="none")
    assert held_stages(served.session.refreshed(), runs) == []


def test_a_rollback_is_told_with_what_it_replaced(served: Team) -> None:
    done = roll_back(served.session.refreshed(), "wine", "production", "slow")
    told = change_of("wine", done)
    first = model_of(served).version(1)
    assert told is not None and (told.kind, told.version, told.stage) == ("rolled_back", 1, "Production")
    assert (told.replaced, told.from_stage, told.run, told.commit) == (2, "Archived", first.run, first.commit)
    assert told.event == len(history.stored(served.session.refreshed(), "wine"))
    nothing = roll_back(served.session.refreshed(), "wine", "production", "slow", expected=2)
    assert change_of("wine", nothing) is None


def test_a_yanked_version_is_used_no_more(served: Team) -> None:
    change(served, moves.yank, 1, "leaks")
    assert change(served, moves.yank, 1).payload is None
    assert refused(served, labels.set_alias, "champion", 1).reason is Refusal.YANKED
    with pytest.raises(PromotionRefused) as caught:
        served.promote(version=1)
    assert caught.value.reason is Refusal.YANKED and "leaks" in caught.value.message
    change(served, moves.yank, 1, undo=True)
    change(served, labels.set_alias, "champion", 1)


# Words and names


def test_aliases_and_the_alias_that_is_a_stage(served: Team) -> None:
    change(served, labels.set_alias, "champion", 2)
    change(served, labels.set_alias, "champion", 1)
    assert model_of(served).aliases == {"champion": 1}
    assert change(served, labels.set_alias, "champion", 1).payload is None
    third = served.judged()
    models.register_version(served.session.refreshed(), "wine", replace(registration_of(third, 0, ""), record=None))
    assert refused(served, labels.set_alias, "Production", 3).reason is Refusal.NOT_ADJACENT
    fourth = served.judged(accuracy=0.95)
    served.promote(run=fourth.id)
    done = change(served, labels.set_alias, "production", 4)
    assert isinstance(done, Promotion) and done.stage == "Production"
    assert refused(served, labels.delete_alias, "production").reason is Refusal.GATED_STAGE
    change(served, labels.delete_alias, "champion")
    assert change(served, labels.delete_alias, "champion").payload is None
    for name in ("latest", "v3", "12", "a b", ""):
        with pytest.raises(UsageError, match="cannot be an alias"):
            labels.set_alias(served.session.refreshed(), "wine", name, 1)


def test_a_version_without_a_run_is_never_promoted(served: Team) -> None:
    change(served, models.register_version, Register(version=0, source="s3://models/wine"))
    with pytest.raises(PromotionRefused) as caught:
        served.promote(version=3)
    assert caught.value.reason is Refusal.NO_RUN
    assert refused(served, moves.move_freely, 3, "Production").reason is Refusal.GATED_STAGE
    assert refused(served, moves.move_freely, 2, "Archived").reason is Refusal.GATED_STAGE


def test_tags_and_words(served: Team) -> None:
    change(served, labels.set_tag, None, "team", "a")
    change(served, labels.set_tag, 2, "x", "1")
    change(served, labels.describe, 2, "second")
    assert change(served, labels.describe, 2, "second").payload is None
    change(served, labels.delete_tag, 2, "x")
    model = model_of(served)
    assert (model.tags, model.version(2).tags, model.version(2).description) == ({"team": "a"}, {}, "second")
    with pytest.raises(NotFound, match="no version 9"):
        labels.set_tag(served.session.refreshed(), "wine", 9, "x", "1")


def test_a_model_is_renamed_with_its_history(served: Team) -> None:
    change(served, moves.demote, start="production", to="none")
    models.rename_model(served.session.refreshed(), "wine", "red")
    assert stages(served, "red") == ["Archived", "None"] and model_of(served).moved_to == "red"
    for name in ("wine", "red"):
        assert check_model(served.session.refreshed(), name).problems == []
    with pytest.raises(NotFound, match="it is called 'red' now"):
        moves.archive(served.session.refreshed(), "wine", 1)
    gone = models.delete_version(served.session.refreshed(), "red", 1, "leaks")
    assert gone.payload is not None and gone.payload.reason == "leaks"
    assert stages(served, "red") == ["None"]
    models.create_model(served.session.refreshed(), "wine", "another one")
    with pytest.raises(PromotionRefused) as caught:
        models.rename_model(served.session.refreshed(), "red", "wine")
    assert caught.value.reason is Refusal.NAME_TAKEN


def test_a_renaming_brings_nothing_without_evidence_into_a_stage_that_is_judged(served: Team) -> None:
    """A name that no policy judges is no way around: not for a version in a stage, nor for an alias called as one."""
    session = served.session.refreshed
    models.create_model(session(), "free")
    models.register_version(session(), "free", Register(version=0, source="s3://models/wine"))
    change(served, moves.demote, start="production", to="none")
    models.rename_model(session(), "wine", "old")
    moves.move_freely(session(), "free", 1, "Production")
    with pytest.raises(PromotionRefused, match="so it is not renamed to 'wine'") as caught:
        models.rename_model(session(), "free", "wine")
    assert caught.value.hint == "ciplug demote 'free' --from production --to none"
    moves.demote(session(), "free", start="production", to="none")
    labels.set_alias(session(), "free", "Production", 1)
    with pytest.raises(PromotionRefused, match="is called as a stage of 'wine'") as caught:
        models.rename_model(session(), "free", "wine")
    assert caught.value.hint == "ciplug registry alias delete 'free' 'Production'"
    labels.delete_alias(session(), "free", "Production")
    models.rename_model(session(), "free", "wine")
    assert stages(served) == ["None"] and check_model(session(), "wine").problems == []


def test_a_renaming_by_hand_that_brings_a_version_into_a_stage_is_named(
    served: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = served.session.refreshed
    models.create_model(session(), "free")
    models.register_version(session(), "free", Register(version=0, source="s3://models/wine"))
    change(served, moves.demote, start="production", to="none")
    models.rename_model(session(), "wine", "old")
    moves.move_freely(session(), "free", 1, "Production")
    labels.set_alias(session(), "free", "staging", 1)
    monkeypatch.setattr(models, "_check_names", lambda *_: None)
    models.rename_model(session(), "free", "wine")
    found = [problem.what for problem in check_model(session(), "wine").problems]
    assert any("takes over a version of 'free' in Production without evidence" in one for one in found)
    assert any("the name of the stage staging as an alias" in one for one in found)


def test_a_renaming_that_was_cut_off_is_finished_by_the_same_call(
    served: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(served, moves.demote, start="production", to="none")
    write = models.write

    def cut(session: Any, name: str, make: Any, **named: Any) -> Any:
        if name == "wine":
            raise StoreError("the connection was cut")
        return write(session, name, make, **named)

    monkeypatch.setattr(models, "write", cut)
    with pytest.raises(StoreError):
        models.rename_model(served.session.refreshed(), "wine", "red")
    monkeypatch.undo()
    assert len(model_of(served).versions) == 2 and not model_of(served, "red").exists
    with pytest.raises(PromotionRefused, match="is being renamed"):
        models.create_model(served.session.refreshed(), "red")
    models.rename_model(served.session.refreshed(), "wine", "red")
    assert len(model_of(served, "red").versions) == 2


def test_nothing_is_written_by_a_fork_or_a_pull_request(served: Team) -> None:
    for session in (served.with_context(trusted=False), served.with_context(pull_request=7)):
        steps: list[Callable[[], Any]] = [
            lambda s=session: roll_back(s, "wine", "production", "x"),  # type: ignore[misc]
            lambda s=session: moves.demote(s, "wine", start="production"),  # type: ignore[misc]
            lambda s=session: moves.archive(s, "wine", 1),  # type: ignore[misc]
            lambda s=session: moves.yank(s, "wine", 1),  # type: ignore[misc]
            lambda s=session: labels.set_alias(s, "wine", "champion", 1),  # type: ignore[misc]
            lambda s=session: labels.delete_alias(s, "wine", "champion"),  # type: ignore[misc]
            lambda s=session: labels.set_tag(s, "wine", None, "a", "b"),  # type: ignore[misc]
            lambda s=session: labels.describe(s, "wine", None, "b"),  # type: ignore[misc]
            lambda s=session: models.create_model(s, "beer"),  # type: ignore[misc]
            lambda s=session: models.register_version(s, "wine", Register(version=0)),  # type: ignore[misc]
            lambda s=session: models.delete_model(s, "wine"),  # type: ignore[misc]
            lambda s=session: models.rename_model(s, "wine", "red"),  # type: ignore[misc]
        ]
        for step in steps:
            with pytest.raises(PromotionRefused) as caught:
                step()
            assert caught.value.reason in (Refusal.FORK_JOB, Refusal.PULL_REQUEST_JOB)


# The command line


@pytest.mark.slow
def test_the_commands(served: Team, tmp_path: Path) -> None:
    env = {"CIPLUG_STORE": served.session.store_uri, "CIPLUG_SPOOL": str(tmp_path / "spool")}

    def ciplug(*words: str, code: int = 0) -> Any:
        return served.project.ciplug(*words, env=env, code=code)

    done = ciplug("rollback", "wine", "--to", "production", "--reason", "it times out")
    assert "1 file of version 1 verified" in done.stderr
    assert "wine version 1 is in Production, in place of version 2 (event 7)" in done.stderr
    ciplug("registry", "alias", "set", "wine", "champion", "v2")
    ciplug("registry", "tag", "wine", "team=a", "stage=x", "--remove", "stage")
    ciplug("registry", "describe", "wine", "the second", "--version", "2")
    ciplug("demote", "wine", "--from", "production", "--to", "none")
    ciplug("registry", "archive", "wine", "1", "--reason", "old")
    ciplug("registry", "yank", "wine", "1", "--reason", "leaks")
    ciplug("registry", "yank", "wine", "1", "--undo")
    shown = ciplug("registry", "history", "wine").stdout
    for words in ("Archived → Production, in place of v2", "PASS", "it times out", "champion", "team=a", "leaks"):
        assert words in shown
    assert len(ciplug("registry", "history", "wine", "--limit", "3").stdout.splitlines()) == 5
    evidence = ciplug("registry", "history", "wine", "--event", "3").stdout
    assert "accuracy: PASS" in evidence and "clean tree" in evidence and "claimed by git configuration" in evidence
    assert "champion" in ciplug("registry", "list").stdout
    (model,) = json.loads(ciplug("registry", "list", "--json").stdout)
    assert (model["aliases"], model["tags"]) == ({"champion": 2}, {"team": "a"})
    assert "16 events verified" in ciplug("registry", "verify").stderr
    at = json.loads(ciplug("registry", "history", "wine", "--json").stdout)[6]["created"]
    (then,) = json.loads(ciplug("registry", "at", at, "wine", "--json").stdout)
    assert (then["event"], [v["stage"] for v in then["versions"]]) == (7, ["Production", "Archived"])
    assert "the registry was empty" in ciplug("registry", "at", "2020-01-01").stderr
    refusal = ciplug("registry", "delete", "wine", "--version", "9", code=2).stderr
    assert "no version 9" in refusal
    assert "is not a time" in ciplug("registry", "at", "yesterday", code=2).stderr
    folder = tmp_path / "to"
    assert ciplug("pull", "models:/wine@champion", "--to", str(folder)).returncode == 0
    assert (folder / "model.bin").read_bytes() == b"model 2"
    assert "no stage or alias 'champoin'" in ciplug("pull", "wine@champoin", code=2).stderr


def test_fetching_is_what_a_rollback_does(served: Team, tmp_path: Path) -> None:
    run = served.session.refreshed().runs().get("1".zfill(32))
    assert fetch(served.session.refreshed(), run, tmp_path / "x").written == 1
    with pytest.raises(CiplugError):
        fetch(served.session.refreshed(), run, tmp_path / "x", ["other"])
