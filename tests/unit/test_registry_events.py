"""What each type of event does to a model, and which events no ciplug would have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ciplug.errors import BrokenLog, Conflict
from ciplug.records import registry_labels as labels
from ciplug.records import registry_moves as moves
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.records.registry_event import Payload, Promote, Register, RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.events import wrap
from ciplug.registry.model import Model
from ciplug.registry.reading import read_model
from ciplug.registry.replay import Renaming, fold
from ciplug.registry.replayed_rules import broken_rules
from ciplug.registry.tags import tags_of
from ciplug.stores.base import Head
from tests.registry_samples import STAMP, event

LADDER = ("Staging", "Production")


def promoted(version: int, stage: str, start: str, replaces: int | None = None) -> Promote:
    of = {"version": version, "run": f"run-{version}", "stage": stage, "from_stage": start, "replaces": replaces}
    return Promote(**of, ladder=LADDER, verdict="v", verdict_digest="d", outcome="PASS")  # type: ignore[arg-type]


THREE: list[Payload] = [
    Register(version=1, run="run-1"),
    promoted(1, "Staging", "None"),
    promoted(1, "Production", "Staging"),
    Register(version=2, run="run-2"),
    promoted(2, "Staging", "None"),
    promoted(2, "Production", "Staging", 1),
    Register(version=3, run="run-3"),
    promoted(3, "Staging", "None"),
    promoted(3, "Production", "Staging", 2),
]
"""Three versions that were in production, one after the other; the third is."""


def made(payloads: Sequence[Payload]) -> list[RegistryEvent]:
    return [event(number, payload) for number, payload in enumerate(payloads, 1)]


def after(*more: Payload) -> Model:
    return fold("wine", made([*THREE, *more]))


def wrong(*more: Payload, gated: Sequence[str] = LADDER) -> list[str]:
    """What breaks the rules in the events after the three versions."""
    return [words for _, words in broken_rules("wine", made([*THREE, *more]), LADDER, gated=gated)]


def rolled_back(version: int, start: str, replaces: int | None, passed: int, **other: Any) -> moves.Rollback:
    return moves.Rollback(
        version=version,
        run=f"run-{version}",
        stage=other.pop("stage", "Production"),
        from_stage=start,
        replaces=replaces,
        reason=other.pop("reason", "it times out"),
        passed=f"registry/wine/{passed:06d}.json",
        ladder=LADDER,
        **other,
    )


BACK_TO_2 = rolled_back(2, "Archived", 3, 6)


def test_a_rollback_brings_back_the_holder_before_and_then_the_one_before_that() -> None:
    assert after().before("Production") == after().version(2)
    model = after(BACK_TO_2)
    assert [v.stage for v in model.versions] == ["Archived", "Production", "Archived"]
    before = model.before("Production")
    assert before and before.number == 1, "not the version that was just rolled back from"
    model = after(BACK_TO_2, rolled_back(1, "Archived", 2, 3))
    assert [v.stage for v in model.versions] == ["Production", "Archived", "Archived"]
    assert model.before("Production") is None
    assert wrong(BACK_TO_2, rolled_back(1, "Archived", 2, 3), rolled_back(3, "Archived", 1, 9)) == []


def test_a_yanked_or_deleted_version_does_not_come_back_by_itself() -> None:
    for gone in (moves.Yank(version=2, reason="leaks"), labels.DeleteVersion(version=2)):
        before = after(gone).before("Production")
        assert before and before.number == 1
    assert after(moves.Yank(version=2), moves.Yank(version=2, undo=True)).version(2).yanked is None


def test_an_empty_stage_gets_its_last_holder_back() -> None:
    model = after(moves.Demote(version=3, stage="Staging", from_stage="Production"))
    assert (model.version(3).stage, model.holder("Production")) == ("Staging", None)
    before = model.before("Production")
    assert before and before.number == 2


def test_labels() -> None:
    model = after(
        labels.Create(description="taken for nothing: the model exists"),
        labels.Describe(description="reds"),
        labels.Describe(version=2, description="second"),
        labels.Tag(key="team", value="a"),
        labels.Tag(key="team", value="b"),
        labels.Tag(version=2, key="x", value="1"),
        labels.Tag(version=2, key="y", value="2"),
        labels.Untag(version=2, key="x"),
        labels.SetAlias(alias="champion", version=2),
        labels.SetAlias(alias="old", version=1),
        labels.DeleteAlias(alias="old", replaces=1),
        labels.Tag(version=9, key="x", value="1"),
    )
    assert (model.description, model.tags, model.aliases) == ("reds", {"team": "b"}, {"champion": 2})
    assert (model.version(2).description, model.version(2).tags) == ("second", {"y": "2"})
    assert model.aliases_of(2) == ("champion",)


def test_a_deleted_version_leaves_its_stage_and_aliases_and_never_gives_its_number_away() -> None:
    model = after(labels.SetAlias(alias="champion", version=3), labels.DeleteVersion(version=3))
    assert (model.holder("Production"), model.aliases, model.next_version) == (None, {}, 4)
    assert [v.number for v in model.versions] == [1, 2]
    assert model.of_run("run-3") is None


def test_a_model_that_is_created_again_goes_on_with_its_numbers() -> None:
    model = after(labels.Tag(key="team", value="a"), labels.DeleteModel())
    assert not model.exists and model.versions == () and model.holder("Production") is None
    again = after(labels.Tag(key="team", value="a"), labels.DeleteModel(), labels.Create(description="new"))
    assert (again.exists, again.description, again.tags, again.next_version) == (True, "new", {}, 4)
    registered = after(labels.DeleteModel(), Register(version=4, source="s3://bucket/model"))
    assert registered.exists and [v.number for v in registered.versions] == [4]


def test_a_stage_without_a_policy_may_have_several_versions() -> None:
    both = after(moves.MoveFreely(version=1, stage="Production", from_stage="Archived"))
    holder = both.holder("Production")
    assert both.in_stage["Production"] == (3, 1) and holder and holder.number == 1
    alone = after(moves.MoveFreely(version=1, stage="Production", from_stage="Archived", archive=True))
    assert alone.in_stage["Production"] == (1,)


GOOD: list[Payload] = [
    BACK_TO_2,
    moves.Demote(version=3, stage="Staging", from_stage="Production"),
    moves.Demote(version=3, stage="None", from_stage="Production"),
    moves.Archive(version=1, from_stage="Archived"),
    moves.Yank(version=1),
    labels.SetAlias(alias="champion", version=3),
    labels.Tag(key="a", value="b"),
    labels.Describe(version=1, description="x"),
    labels.DeleteVersion(version=1),
    Register(version=4, run="run-3", source="runs:/run-3/other"),
]


@pytest.mark.parametrize("payload", GOOD, ids=lambda one: one.type)
def test_an_event_that_a_ciplug_writes_breaks_no_rule(payload: Payload) -> None:
    assert wrong(payload) == []


BAD: list[tuple[Payload, str]] = [
    (replace(BACK_TO_2, replaces=1), "replaces version 1 in Production, and version 3 holds it"),
    (replace(BACK_TO_2, passed="registry/wine/000003.json"), "names registry/wine/000003.json as its evidence, but"),
    (replace(BACK_TO_2, reason=" "), "without a reason"),
    (replace(BACK_TO_2, run="run-1"), "brings back another run"),
    (replace(BACK_TO_2, from_stage="None"), "moves version 2 from None, and it is in Archived"),
    (replace(BACK_TO_2, version=9), "brings back version 9, which is not registered"),
    (rolled_back(3, "Production", 3, 9), "brings back version 3, which is in Production"),
    (rolled_back(1, "Archived", None, 2, stage="canary"), "to canary, where it was never promoted to"),
    (moves.Demote(version=2, stage="Staging", from_stage="Archived"), "demotes version 2, which is in no stage"),
    (moves.Demote(version=3, stage="Production", from_stage="Production"), "which is not below Production"),
    (moves.Demote(version=9, stage="None"), "demotes version 9, which is not registered"),
    (moves.Archive(version=3, from_stage="Production"), "archives version 3, which is in Production"),
    (moves.Archive(version=9), "archives version 9, which is not registered"),
    (moves.Yank(version=3), "yanks version 3, which is in Production"),
    (moves.Yank(version=9), "yanks version 9, which is not registered"),
    (moves.MoveFreely(version=1, stage="Production", from_stage="Archived"), "to Production without evidence"),
    (moves.MoveFreely(version=3, stage="None", from_stage="Production"), "to None without evidence"),
    (moves.MoveFreely(version=9, stage="None"), "moves version 9, which is not registered"),
    (labels.SetAlias(alias="champion", version=9), "gives an alias to version 9, which is not registered"),
    (labels.SetAlias(alias="production", version=1), "gives the name of the stage production as an alias"),
    (labels.SetAlias(alias="champion", version=1, replaces=2), "takes the alias champion from version 2, and it names"),
    (labels.DeleteAlias(alias="champion", replaces=2), "takes the alias champion from version 2, and it names none"),
    (labels.DeleteVersion(version=3), "deletes version 3, which is in Production"),
    (labels.DeleteVersion(version=9), "deletes version 9, which is not registered"),
    (labels.DeleteModel(), "deletes a model with a version in Production"),
    (labels.MovedTo(other="red"), "renames a model with a version in Production"),
    (labels.MovedFrom(other="red", until=1, digest="d"), "takes over the versions of 'red', and has versions"),
    (Register(version=4, run="run-3"), "registers the run of version 3 again"),
    (Register(version=3, run="run-4"), "registers version 3, and the next one is 4"),
    (Register(version=4, run="run-4", files={"m": "sha256:1"}, digest="sha256:2"), "is not that of its files"),
]


@pytest.mark.parametrize(("payload", "words"), BAD, ids=[f"{n}-{one.type}" for n, (one, _) in enumerate(BAD)])
def test_an_event_that_no_ciplug_writes_is_found(payload: Payload, words: str) -> None:
    assert any(words in clause for clause in wrong(payload)), wrong(payload)


def test_a_yanked_version_is_neither_promoted_nor_brought_back_nor_named() -> None:
    yanked = moves.Yank(version=2)
    assert any("which is yanked" in words for words in wrong(yanked, BACK_TO_2))
    assert any("which is yanked" in words for words in wrong(yanked, promoted(2, "Staging", "Archived")))
    assert any("which is yanked" in words for words in wrong(yanked, labels.SetAlias(alias="a", version=2)))


def test_a_free_move_is_found_only_where_a_policy_gates_the_stage() -> None:
    move = moves.MoveFreely(version=1, stage="Production", from_stage="Archived")
    assert wrong(move, gated=()) == []


def test_the_stages_in_force_then_decide() -> None:
    own = replace(promoted(2, "qa", "Archived"), ladder=("qa", "live"))
    assert wrong(own) == []
    assert any("not one of the stages Staging, Production" in words for words in wrong(replace(own, ladder=())))


def test_a_renaming_brings_no_stage_without_evidence() -> None:
    event = made([labels.MovedFrom(other="red", until=1, digest="d")])
    taken = after(labels.SetAlias(alias="Staging", version=1), labels.SetAlias(alias="champion", version=2))
    found = broken_rules("wine", event, LADDER, gated=LADDER, origin=lambda name, payload: Renaming(taken))
    assert [words for _, words in found] == [
        "takes over a version of 'red' in Production without evidence",
        "takes over the name of the stage Staging as an alias",
    ]


def test_a_version_holds_a_stage_once_the_last_holder_last() -> None:
    model = after()
    assert model.held["Production"] == (1, 2, 3)
    assert model.with_holder("Production", 1).held["Production"] == (2, 3, 1)
    assert model.with_holder("Production", 1, without=3).held["Production"] == (2, 1)
    assert model.with_holder("Production", 9) is model


def test_a_version_that_comes_and_one_that_leaves_have_their_tags() -> None:
    first, second = "a" * 40, "b" * 40
    log: list[Payload] = [
        Register(version=1, run="run-1", commit=first),
        promoted(1, "Staging", "None"),
        Register(version=2, run="run-2", commit=second),
        promoted(2, "Staging", "None", 1),
        labels.DeleteVersion(version=2),
        Register(version=3, run="run-3", commit=first),
        promoted(3, "Staging", "None"),
    ]
    states = [fold("wine", made(log[:count])) for count in range(len(log) + 1)]
    tags = [tags_of(before, now, seq) for seq, (before, now) in enumerate(pairwise(states), 1)]
    assert [[(tag.name, tag.commit[0]) for tag in one] for one in tags] == [
        [("wine@v1", "a"), ("wine@v1.0.0", "a")],
        [("wine#staging#2", "a")],
        [("wine@v2", "b"), ("wine@v2.0.0", "b")],
        [("wine#staging#4", "b"), ("wine#staging!#4", "a")],
        [("wine#staging!#5", "b")],
        [("wine@v3", "a")],
        [],
    ]


# Renaming: two logs


class Logs:
    """Logs in memory."""

    def __init__(self) -> None:
        self.held: dict[str, list[bytes]] = {}

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return self.held.get(log, [])[after:until]

    def head(self, log: str) -> Head | None:
        held = self.held.get(log)
        return Head(len(held), digest(held[-1])) if held else None

    def logs(self, prefix: str) -> list[str]:
        return sorted(self.held)

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        if self.head(log) != expected:
            raise Conflict("moved on")
        self.held.setdefault(log, []).append(entry)
        return Head(len(self.held[log]), digest(entry))

    def write(self, model: str, *payloads: Payload) -> None:
        for payload in payloads:
            ledger.append(self, ledger.read(self, model), wrap(payload, model=model, created=STAMP))

    def moved_from(self, other: str) -> labels.MovedFrom:
        head = self.head(log_of(other))
        assert head
        return labels.MovedFrom(other=other, until=head.seq, digest=head.digest)


@pytest.fixture
def logs() -> Logs:
    logs = Logs()
    logs.write("wine", *THREE, labels.Tag(key="team", value="a"))
    return logs


def test_a_model_is_renamed_by_two_events_that_name_each_other(logs: Logs) -> None:
    logs.write("red", logs.moved_from("wine"))
    half = read_model(logs, "red")
    assert (half.versions, half.awaits) == ((), "wine")
    assert len(read_model(logs, "wine").versions) == 3, "the second event decides"
    logs.write("wine", labels.MovedTo(other="red"))
    model, old = read_model(logs, "red"), read_model(logs, "wine")
    assert [v.stage for v in model.versions] == ["Archived", "Archived", "Production"]
    assert (model.name, model.tags, model.awaits, model.exists) == ("red", {"team": "a"}, None, True)
    assert model.version(3).passed["Production"] == "registry/wine/000009.json", "the event stays in its log"
    assert (old.versions, old.exists, old.moved_to, old.next_version) == ((), False, "red", 4)
    logs.write("red", rolled_back(2, "Archived", 3, 6))
    assert read_model(logs, "red").version(2).stage == "Production"


def test_a_renaming_that_lost_its_race_never_counts(logs: Logs) -> None:
    logs.write("red", logs.moved_from("wine"))
    logs.write("wine", labels.Tag(key="team", value="b"), labels.MovedTo(other="red"))
    assert read_model(logs, "red").versions == ()
    assert read_model(logs, "red").awaits is None


def test_a_model_may_take_its_old_name_again(logs: Logs) -> None:
    for other, name in (("wine", "red"), ("red", "wine")):
        logs.write(name, logs.moved_from(other))
        logs.write(other, labels.MovedTo(other=name))
    assert len(read_model(logs, "wine").versions) == 3 and read_model(logs, "red").moved_to == "wine"


def test_renamings_in_a_circle_are_refused(logs: Logs) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        first = wrap(labels.MovedFrom(other=other, until=1, digest="d"), model=name, created=STAMP)
        logs.held[log_of(name)] = [dumps(replace(first, seq=1))]
    for name, other in (("a", "b"), ("b", "a")):
        head = Head(1, digest(logs.held[log_of(name)][0]))
        second = replace(wrap(labels.MovedTo(other=other), model=name, created=STAMP), seq=2, previous=head.digest)
        logs.held[log_of(name)].append(dumps(second))
    # No log can hold the digest of an entry that holds its own: whoever tries has the wrong digest in one of them.
    assert read_model(logs, "a").versions == ()
    with pytest.raises(BrokenLog):
        ledger.read(logs, "a", Head(1, "sha256:other"))
