"""The state of a model, folded from events; what this ciplug does not know is skipped and noted."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import NotFound, RecordError
from ciplug.records.registry_event import SCHEMA, Promote, Register, RegistryEvent
from ciplug.registry import events as table
from ciplug.registry.events import EVENT_TYPES, EventType, skipped
from ciplug.registry.evidence_chain import broken_moves
from ciplug.registry.ladder import ARCHIVED, NO_STAGE, Ladder
from ciplug.registry.model import Model, SkippedEvent, Version
from ciplug.registry.replay import fold
from tests.registry_samples import EVENTS, STAMP, event

LADDER = Ladder(("Staging", "Production"))
STAGES = (NO_STAGE, *LADDER.stages, ARCHIVED)


def stages(model: Model) -> list[str]:
    return [v.stage for v in model.versions]


@pytest.mark.parametrize(
    ("number", "due"),
    [
        (0, []),
        (1, ["None"]),
        (2, ["Staging"]),
        (3, ["Production"]),
        (4, ["Production", "None"]),
        (5, ["Production", "Staging"]),
        (6, ["Archived", "Production"]),
    ],
)
def test_the_state_after_each_event(number: int, due: list[str]) -> None:
    model = fold("wine", EVENTS[:number])
    assert stages(model) == due
    assert model.name == "wine"
    assert model.skipped == ()
    assert model.notes == ()


def test_a_version_is_what_was_registered() -> None:
    (version,) = fold("wine", [event(1, Register(version=1, run="r", commit="c", files={"m": "sha256:1"}))]).versions
    made = Version(1, "r", "c", "None", STAMP, {"m": "sha256:1"}, registered="registry/wine/000001.json", updated=STAMP)
    assert version == made


def test_the_sequence_counts_and_no_clock() -> None:
    backwards = [replace(e, created=f"2026-11-{30 - e.seq:02d}T00:00:00Z") for e in EVENTS]
    assert stages(fold("wine", backwards)) == ["Archived", "Production"]


def test_holders() -> None:
    model = fold("wine", EVENTS[:5])
    production, staging = model.holder("Production"), model.holder("Staging")
    assert production is not None and staging is not None
    assert (production.number, staging.number) == (1, 2)
    assert fold("wine", EVENTS[:1]).holder("Production") is None


def test_what_was_registered_never_changes() -> None:
    first = event(1, Register(version=1, run="run-1", files={"model.bin": "sha256:1"}, commit="c1"))
    forged = event(3, Register(version=1, run="another", files={"model.bin": "sha256:2"}, commit="c2"))
    (version,) = fold("wine", [first, EVENTS[1], forged]).versions
    assert (version.run, version.commit, version.files) == ("run-1", "c1", {"model.bin": "sha256:1"})
    assert version.stage == "Staging"


@pytest.mark.parametrize("stage", [NO_STAGE, ARCHIVED])
def test_a_version_that_leaves_the_ladder_moves_no_other(stage: str) -> None:
    start = [EVENTS[0], event(2, Register(version=2, run="run-2"))]
    model = fold("wine", [*start, event(3, Promote(version=1, run="", stage=stage))])
    assert stages(model) == [stage, "None"]
    model = fold("wine", [*start, *(event(n, Promote(version=n, run="", stage=stage)) for n in (1, 2))])
    assert stages(model) == [stage, stage]


def test_a_team_s_own_stages_are_held_by_one_version_each() -> None:
    moves = [event(n, Promote(version=v, run="", stage="canary")) for n, v in ((3, 1), (4, 2))]
    assert stages(fold("wine", [EVENTS[0], EVENTS[3], *moves])) == ["Archived", "canary"]


def test_an_event_on_a_version_that_does_not_exist_moves_nothing() -> None:
    assert stages(fold("wine", [*EVENTS[:3], event(4, Promote(version=9, run="", stage="Production"))])) == [
        "Production"
    ]


def test_versions_are_in_the_order_of_their_numbers() -> None:
    model = fold("wine", [event(n, Register(version=v, run=f"run-{v}")) for n, v in ((1, 2), (2, 7), (3, 1))])
    assert [(v.number, v.run) for v in model.versions] == [(1, "run-1"), (2, "run-2"), (7, "run-7")]
    assert model.next_version == 8
    with pytest.raises(NotFound) as caught:
        model.version(3)
    assert caught.value.hint == "versions: 1 to 7"


def test_a_missing_version_between_others_moves_nothing() -> None:
    registered = [event(n, Register(version=n, run="r")) for n in (1, 3)]
    before = [*registered, event(4, Promote(version=1, run="r", stage="Production"))]
    assert stages(fold("wine", [*before, event(5, Promote(version=2, run="r", stage="Production"))])) == [
        "Production",
        "None",
    ]


def test_who_replaces_a_holder_leaves_the_other_stages_alone() -> None:
    registered = [event(n, Register(version=n, run="r")) for n in (1, 2, 3)]
    moves = [(1, "Production"), (2, "Staging"), (3, "Production"), (1, "Staging")]
    model = fold("wine", [*registered, *(event(9, Promote(version=v, run="r", stage=stage)) for v, stage in moves[:3])])
    assert stages(model) == ["Archived", "Staging", "Production"]
    model = fold("wine", [*registered, *(event(9, Promote(version=v, run="r", stage=stage)) for v, stage in moves)])
    assert stages(model) == ["Staging", "Archived", "Production"]


@pytest.mark.parametrize(
    "fact", [Model("wine"), Version(1, "r", None, "None", ""), SkippedEvent(1, "x"), EVENTS[0], EVENT_TYPES["promote"]]
)
def test_nothing_of_it_is_changed_in_place(fact: object) -> None:
    with pytest.raises(FrozenInstanceError):
        fact.name = "other"  # type: ignore[attr-defined]


def test_looking_versions_up() -> None:
    model = fold("wine", EVENTS)
    assert model.version(2).run == "run-2"
    version = model.of_run("run-1")
    assert version is not None and version.number == 1
    second = model.of_run("run-2")
    assert second is not None and second.number == 2
    assert [model.of_run(run) for run in ("", "none", "run-3")] == [None, None, None]
    assert model.next_version == 3
    with pytest.raises(NotFound, match="'wine' has no version 3") as caught:
        model.version(3)
    assert caught.value.hint == "versions: 1 to 2"
    with pytest.raises(NotFound) as caught:
        Model("wine").version(1)
    assert caught.value.hint == "versions: none"
    assert [fold("wine", EVENTS[:n]).next_version for n in (0, 3, 4)] == [1, 2, 3]


@given(
    st.lists(
        st.tuples(st.sampled_from(["register", "promote"]), st.integers(1, 4), st.sampled_from(STAGES)), max_size=20
    )
)
def test_no_two_versions_share_staging_or_production(moves: list[tuple[str, int, str]]) -> None:
    model = fold(
        "wine",
        [
            event(
                n,
                Register(version=version, run="r")
                if kind == "register"
                else Promote(version=version, run="r", stage=stage),
            )
            for n, (kind, version, stage) in enumerate(moves)
        ],
    )
    assert stages(model).count("Production") <= 1 and stages(model).count("Staging") <= 1


# What a newer ciplug has written


FUTURE = RegistryEvent(seq=4, type="freeze", model="wine", payload={"version": 1, "stage": "Archived"})


def test_an_event_of_an_unknown_type_is_skipped_and_noted() -> None:
    model = fold("wine", [*EVENTS[:3], FUTURE, *EVENTS[3:]])
    assert stages(model) == ["Archived", "Production"]
    assert [(s.seq, s.type, s.newer_schema) for s in model.skipped] == [(4, "freeze", None)]
    assert model.notes == ("event 4 of 'wine' has type 'freeze', which this ciplug does not know: upgrade ciplug",)


def test_an_event_that_has_a_stage_and_is_not_a_promotion_moves_nothing() -> None:
    assert stages(fold("wine", [*EVENTS[:3], FUTURE])) == ["Production"]


def test_a_known_type_in_a_newer_schema_is_skipped_and_noted() -> None:
    model = fold("wine", [*EVENTS[:2], replace(EVENTS[2], schema=SCHEMA + 1)])
    assert stages(model) == ["Staging"]
    assert model.notes == ("event 3 of 'wine' was written by a newer ciplug (schema 2) and is skipped: upgrade ciplug",)


def test_an_older_schema_is_read() -> None:
    model = fold("wine", [*EVENTS[:2], replace(EVENTS[2], schema=SCHEMA - 1)])
    assert (stages(model), model.skipped) == (["Production"], ())
    assert skipped(replace(FUTURE, schema=SCHEMA - 1)).newer_schema is None


def test_every_skipped_event_has_its_note() -> None:
    model = fold("wine", [FUTURE, replace(FUTURE, seq=5, type="melt\x1b[2J" + "x" * 99)])
    assert len(model.notes) == 2
    shown = "'melt\\x1b[2J" + "x" * 52 + "'"
    assert model.notes[1] == f"event 5 of 'wine' has type {shown}, which this ciplug does not know: upgrade ciplug"


def test_an_unknown_field_of_a_known_event_is_ignored() -> None:
    extended = replace(EVENTS[2], payload={**EVENTS[2].payload, "canary_percent": 5, "nested": {"a": [1]}})
    model = fold("wine", [*EVENTS[:2], extended])
    assert stages(model) == ["Production"]
    assert model.skipped == ()


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "version"),
        ({"version": "1", "run": "r", "stage": "Staging"}, "version"),
        ({"version": 1, "run": "r"}, "stage"),
    ],
)
def test_a_known_event_that_lacks_a_field_is_an_error(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(RecordError, match=f"^event 2 of 'wine': {field}: "):
        fold("wine", [EVENTS[0], replace(EVENTS[1], payload=payload)])


# The recipe of CONTRIBUTING.md, followed


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A toy: a version is frozen out of all stages."""

    type: ClassVar[str] = "freeze"

    version: int
    from_stage: str | None = None
    instead_of: str = ""
    """A run."""

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.instead_of,)


def freeze(model: Model, event: RegistryEvent, payload: Freeze) -> Model:
    return model.with_stage(payload.version, ARCHIVED)


def test_a_new_type_is_a_dataclass_a_function_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = table.wrap(Freeze(version=1), model="wine", created="2026-11-23T12:00:00.000Z")
    assert stages(fold("wine", [*EVENTS[:3], frozen])) == ["Production"]
    monkeypatch.setitem(EVENT_TYPES, Freeze.type, EventType(Freeze, freeze, lambda payload: ARCHIVED))
    model = fold("wine", [*EVENTS[:3], frozen])
    assert stages(model) == ["Archived"]
    assert model.skipped == ()
    assert table.payload_of(frozen) == Freeze(version=1)
    (version,) = model.versions
    own = [(1, Register(version=1, run="r", commit="c")), (2, Freeze(version=1, from_stage="None"))]
    assert list(broken_moves(version, own, LADDER)) == []
    assert [seq for seq, _ in broken_moves(version, [*own, (3, Freeze(version=1))], LADDER)] == [3]
    assert (frozen.seq, frozen.previous) == (0, None), "the ledger fills them in"


def test_the_table_names_each_type_by_its_dataclass() -> None:
    assert {name: row.payload.type for name, row in EVENT_TYPES.items()} == {name: name for name in EVENT_TYPES}
    moves = {"deploy", "smoke_test", "promote", "demote", "rollback", "archive", "yank", "stage"}
    labels = {"create", "describe", "tag", "untag", "alias", "unalias", "delete_version", "delete_model"}
    assert set(EVENT_TYPES) >= {"register", "vouch", "moved_from", "moved_to", *moves, *labels}
