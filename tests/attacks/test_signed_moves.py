"""Level 2: no event of the registry counts without the signature of an allowed signer, whatever its type."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import PromotionRefused, Refusal
from ciplug.records.registry_deployment import Deploy, SmokeTested
from ciplug.records.registry_event import Payload
from ciplug.records.registry_labels import (
    Create,
    DeleteAlias,
    DeleteModel,
    DeleteVersion,
    Describe,
    MovedTo,
    SetAlias,
    Tag,
    Untag,
)
from ciplug.records.registry_moves import Archive, Demote, MoveFreely, Rollback, Yank
from ciplug.registry import ledger
from ciplug.registry.events import wrap
from ciplug.steps.promotion import labels, moves
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session
from ciplug.steps.vouch import vouch
from tests.attacks.test_signed import make_key
from tests.team import STAMP, Team, team_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs and verifies"),
]

FORGED: list[Payload] = [
    Rollback(version=1, run="1".zfill(32), stage="Production", reason="x", passed="registry/wine/000003.json"),
    Demote(version=2, stage="None"),
    Archive(version=2),
    Yank(version=2),
    MoveFreely(version=1, stage="Production", archive=True),
    Deploy(version=1, target="prod", kind="oci", state="deployed", reference="x"),
    SmokeTested(version=1, target="prod", deployed=1, outcome="passed"),
    Create(description="x"),
    Describe(description="x"),
    Tag(key="a", value="b"),
    Untag(key="team"),
    SetAlias(alias="champion", version=1),
    DeleteAlias(alias="champion"),
    DeleteVersion(version=2),
    DeleteModel(),
    MovedTo(other="red"),
]


def test_every_type_of_event_needs_a_signature(tmp_path: Path) -> None:
    key = make_key(tmp_path, "ci")
    team = team_in(tmp_path)
    for number in (1, 2):
        team.promote(run=team.judged(accuracy=0.9 + number / 100).id)
        team.promote("production", version=number)
    labels.set_alias(team.session.refreshed(), "wine", "champion", 2)
    labels.set_tag(team.session.refreshed(), "wine", None, "team", "a")
    team.policy(f"signers: {{ci: {key.public}}}\n")
    with_key = replace(team.session, env={**team.session.env, **key.env})
    stranger = make_key(tmp_path, "stranger")
    with pytest.raises(PromotionRefused) as nobody:
        vouch(replace(team.session, env={**team.session.env, **stranger.env}).refreshed(), "wine")
    assert nobody.value.reason is Refusal.NO_SIGNING_KEY
    vouch(with_key.refreshed(), "wine")
    assert not vouch(with_key.refreshed(), "wine"), "every event counts already"
    before = state(team)
    assert before[0] == ("Archived", "Production")
    for forged in FORGED:
        log = team.session.refreshed().log
        ledger.append(log, ledger.read(log, "wine"), wrap(forged, model="wine", created=STAMP))
        assert state(team) == before, forged.type
    steps: list[Callable[[Session], Any]] = [
        lambda session: roll_back(session, "wine", "production", "it times out"),
        lambda session: moves.demote(session, "wine", start="production", to="none"),
        lambda session: labels.set_alias(session, "wine", "champion", 1),
        lambda session: labels.set_tag(session, "wine", None, "team", "b"),
    ]
    for step in steps:
        with pytest.raises(PromotionRefused) as caught:
            step(team.session.refreshed())
        assert caught.value.reason is Refusal.NO_SIGNING_KEY
    for step in steps:
        step(with_key.refreshed())
    assert state(team) == (("None", "Archived"), {"champion": 1}, {"team": "b"}, {}, True)


def state(team: Team) -> tuple[object, ...]:
    model = read_model(team.session.refreshed(), "wine")
    stages = tuple(version.stage for version in model.versions)
    return stages, dict(model.aliases), dict(model.tags), dict(model.deployed), model.exists
