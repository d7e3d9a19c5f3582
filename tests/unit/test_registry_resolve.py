"""The names of versions."""

from __future__ import annotations

import pytest

from ciplug.errors import UsageError
from ciplug.records.registry_event import Register
from ciplug.records.registry_labels import SetAlias
from ciplug.records.registry_moves import Yank
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model
from ciplug.registry.replay import fold
from ciplug.registry.resolve import VersionName, find_version, no_model, parse_version_name
from tests.registry_samples import EVENTS, event

LADDER = Ladder(("Staging", "Production"))


@pytest.mark.parametrize(
    ("name", "due"),
    [
        ("wine@production", ("wine", "production")),
        ("wine@v3", ("wine", "v3")),
        ("a@b@3", ("a@b", "3")),
        ("models:/wine/3", ("wine", "3")),
        ("models:/wine/Production", ("wine", "Production")),
        ("models:/wine@production", ("wine", "production")),
        ("models:/team/wine@production", ("team/wine", "production")),
        ("models://wine/latest", ("wine", "latest")),
        ("3f9a", None),
        ("main", None),
        ("feature/models", None),
    ],
)
def test_names(name: str, due: tuple[str, str] | None) -> None:
    assert parse_version_name(name) == (VersionName(*due) if due else None)


@pytest.mark.parametrize("name", ["models:/", "models:/wine", "models:/wine/", "models:/wine@", "models:"])
def test_a_uri_that_names_no_version(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' does not name a version"):
        parse_version_name(name)


@pytest.mark.parametrize(
    ("selector", "number"),
    [("v1", 1), ("2", 2), ("production", 1), ("STAGING", 2), ("latest", 3)],
)
def test_versions(selector: str, number: int) -> None:
    model = fold("wine", [*EVENTS[:5], event(6, Register(version=3, run="run-3"))])
    named = parse_version_name(f"models:/wine/{selector}")
    assert named is not None
    assert find_version(model, named.selector, LADDER).number == number


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ("v9", "'wine' has no version 9"),
        ("production", "no version of 'wine' is in Production"),
        ("moon", "'wine' has no stage or alias 'moon'"),
        ("v", "'wine' has no stage or alias 'v'"),
        ("1234567890", "has no stage or alias"),
    ],
)
def test_versions_that_do_not_exist(selector: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        find_version(fold("wine", EVENTS[:2]), selector, LADDER)


def test_aliases() -> None:
    named = [event(7, SetAlias(alias="champion", version=1)), event(8, SetAlias(alias="staging", version=1))]
    model = fold("wine", [*EVENTS[:5], *named])
    assert find_version(model, "champion", LADDER).number == 1
    assert find_version(model, "staging", LADDER).number == 2, "a stage comes first"
    with pytest.raises(UsageError, match="did you mean 'champion'"):
        find_version(model, "champoin", LADDER)


def test_the_latest_version_is_not_a_yanked_one() -> None:
    assert find_version(fold("wine", [*EVENTS, event(7, Yank(version=2))]), "latest", LADDER).number == 1


def test_a_model_that_does_not_exist() -> None:
    said = no_model(Model("wnie"), ["beer", "wine"])
    assert (said.message, said.hint) == ("the registry has no model 'wnie'", "did you mean 'wine'?")
    assert no_model(Model("rum"), ["beer", "wine"]).hint == "one of: beer, wine"
    assert "promote a run first" in str(no_model(Model("rum"), []).hint)
    moved = no_model(Model("wine", moved_to="vino"), ["vino"])
    assert moved.message == "the registry has no model 'wine'; it is called 'vino' now"
    with pytest.raises(UsageError, match="'beer' has no version"):
        find_version(Model("beer"), "1", LADDER)


def test_a_stage_of_a_team_s_own() -> None:
    with pytest.raises(UsageError, match="is in live"):
        find_version(fold("wine", EVENTS), "Live", Ladder(("qa", "live")))
