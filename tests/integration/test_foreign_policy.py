"""The policy of another repository must not speak for a model: whoever promotes, and whoever reads, notices it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.console import Nobody, Note
from ciplug.errors import Refusal, StoreError
from ciplug.registry.evidence_chain import Fault
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.promotion import promote as promoting
from ciplug.steps.promotion.labels import set_alias
from ciplug.steps.promotion.moves import move_freely
from ciplug.steps.promotion.promote import PromotionRequest, promote
from ciplug.steps.pull import pull, version_name
from ciplug.steps.registry_checks import check_model
from ciplug.steps.session import Session, open_session
from tests.project import Project, git
from tests.team import Team, team_in

LOOSE = "version: 1\nmodel: wine\ngates:\n  accuracy: {higher_is_better: true, min: 0.1}\n"
OTHERS = LOOSE.replace("wine", "beer")


class Heard(Nobody):
    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, notes: Iterable[Note], /) -> None:
        self.words += [note.message for note in notes]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A team with version 1 in production."""
    team = team_in(tmp_path)
    team.judged()
    team.promote()
    team.promote("production")
    return team


def elsewhere(team: Team, folder: Path, config: str) -> Team:
    """Another repository, on the same store."""
    project = Project.create(folder, config=config)
    return Team(project, open_session(cwd=project.folder, env=team.session.env), team.recorded)


def pulled(session: Session, folder: Path, name: str = "wine@staging") -> tuple[str, ...]:
    return pull(session, version_name(name), folder, lock=folder.with_suffix(".lock")).notes


def test_another_repository_promotes_nothing_and_frees_no_stage(team: Team, tmp_path: Path) -> None:
    other = elsewhere(team, tmp_path / "other", LOOSE)
    bad = team.judged(accuracy=0.2)
    other.verdict(bad)
    refusal = other.refused(run=bad.id)
    assert refusal.reason is Refusal.OTHER_POLICY
    assert f"ciplug.yaml of commit {team.project.head[:12]}, as event 3 says" in refusal.message
    # Without gates of its own for the model, it moves nothing by the back door.
    ungated = elsewhere(team, tmp_path / "ungated", OTHERS).session
    for move in (
        lambda: move_freely(ungated, "wine", 1, "Staging"),
        lambda: set_alias(ungated, "wine", "production", 1),
    ):
        with pytest.raises(type(refusal)) as caught:
            move()
        assert caught.value.reason is Refusal.OTHER_POLICY
    # A repository that goes on for the first one has its history.
    git(other.project.folder, "fetch", "-q", str(team.project.folder))
    assert other.promote(run=bad.id).version == 2


def test_promotions_whose_verdicts_are_lost_let_no_other_repository_in(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type(team.session.store)
    lost, read = set(team.session.refreshed().store.keys("verdicts/")), store.read
    other = elsewhere(team, tmp_path / "other", LOOSE)
    bad = team.judged(accuracy=0.2)
    other.verdict(bad)
    monkeypatch.setattr(
        store, "read", lambda self, keys: {key: data for key, data in read(self, keys).items() if key not in lost}
    )
    refusal = other.refused(run=bad.id)
    assert refusal.reason is Refusal.OTHER_POLICY and "does not have the verdict of event 3" in refusal.message


def test_readers_say_of_such_a_promotion_what_verify_says(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pulled(team.session.refreshed(), tmp_path / "a", "wine@production") == ()
    other = elsewhere(team, tmp_path / "other", LOOSE)
    bad = team.judged(accuracy=0.2)
    other.verdict(bad)
    monkeypatch.setattr(promoting, "check_own_policy", lambda *_: None)
    other.promote(run=bad.id)
    session = team.session.refreshed()
    with pytest.raises(StoreError, match="a policy that is not this repository's") as caught:
        pulled(session, tmp_path / "b")
    broken = verify(session, Request("wine@staging", fetch=True)).broken
    assert broken and broken.fault is Fault.POLICY_CHANGED
    assert caught.value.exit_code == broken.fault.exit_code == 3
    (problem,) = check_model(session, "wine").problems
    assert "event 5 of 'wine' was judged by a policy that is not this repository's" in problem.what
    # To who names the store of others with --store, their policy is unknown; what is left is still verified.
    consumer = elsewhere(team, tmp_path / "consumer", OTHERS).session
    consumer = replace(consumer, options=consumer.options._replace(store=consumer.store_uri))
    assert pulled(consumer, tmp_path / "c") == () and not check_model(consumer, "wine").problems


def test_a_shallow_clone_fetches_the_commit_of_the_policy(team: Team, tmp_path: Path) -> None:
    team.policy("waivers: []\nstages: {staging: {}}\n")
    git(tmp_path, "clone", "-q", "--depth=1", team.project.folder.as_uri(), "shallow")
    session = open_session(cwd=tmp_path / "shallow", env=team.session.env)
    assert pulled(session, tmp_path / "a", "wine@production") == ()
    assert not check_model(session, "wine").problems
    run = team.judged()
    assert promote(session, PromotionRequest("wine", "staging", run=run.id)).version == 2
    # Where the remote cannot be asked, nobody knows; a person is told.
    (team.project.folder).rename(tmp_path / "away")
    (note,) = pulled(session.refreshed(), tmp_path / "b", "wine@production")
    assert "was not compared" in note
    assert any("was not compared" in note for note in check_model(session.refreshed(), "wine").notes)


def test_the_first_promotion_of_a_run_of_another_repository_is_told(team: Team, tmp_path: Path) -> None:
    other = elsewhere(team, tmp_path / "other", LOOSE)
    bad = team.run(accuracy=0.2)
    other.verdict(bad)
    heard = Heard()
    promote(replace(other.session.refreshed(), listener=heard), PromotionRequest("wine-b", "staging", run=bad.id))
    words = f"is of commit {str(bad.commit)[:12]}, which this repository does not have; from now on, "
    assert any(words in message for message in heard.words)
    # A run of this repository, or without a commit, is of no other one.
    for name, commit in (("wine-c", other.project.head), ("wine-d", None)):
        run = other.run(accuracy=0.2, commit=commit)
        other.verdict(run)
        heard.words.clear()
        promote(replace(other.session.refreshed(), listener=heard), PromotionRequest(name, "staging", run=run.id))
        assert heard.words == []
