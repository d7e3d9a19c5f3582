"""Deployments of the team's model, for the tests of targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import CiplugError
from ciplug.steps import history
from ciplug.steps.deployment.deploy import Done, deploy
from ciplug.steps.deployment.status import State, Status, statuses
from tests.team import Team, team_in


def team_with_two_versions(folder: Path, targets: str, *, model_file: str = "model/MLmodel") -> Team:
    """A team with version 1 in production, and version 2, a model and a note, in staging."""
    team = team_in(folder)
    team.policy(targets)
    team.promote(run=team.judged().id)
    team.promote("production", version=1)
    second = team.judged(artifacts=(team.keep(b"second", model_file), team.keep(b"notes", "README.md")))
    team.promote(run=second.id)
    return team


def deployed(team: Team, name: str = "wine@production", to: str = "prod") -> Done:
    return deploy(team.session.refreshed(), name, to)


def refused(team: Team, error: type[CiplugError], name: str = "wine@production", to: str = "prod") -> Any:
    """The refusal, which says what to do next."""
    with pytest.raises(error) as caught:
        deployed(team, name, to)
    assert caught.value.hint
    return caught.value


def status_of(team: Team) -> Status:
    """Of the only deployment."""
    (found,) = statuses(team.session.refreshed(), "wine")
    assert found.state.exit_code == 0 or found.problem or found.state is State.NOT_CONFIGURED
    return found


def state_of(team: Team) -> State:
    return status_of(team).state


def events(team: Team) -> list[tuple[str, int]]:
    """State and version of each event on a target."""
    found = history.stored(team.session.refreshed(), "wine")
    return [(one["payload"]["state"], one["payload"]["version"]) for one in found if one["type"] == "deploy"]


def change(team: Team, old: str, new: str) -> None:
    """Commit other settings."""
    file = team.project.folder / "ciplug.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    team.project.commit("settings")
    team.session = team.session.refreshed()
