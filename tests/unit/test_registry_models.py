from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import Conflict, PromotionRefused, StoreError, UsageError
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.ladder import ARCHIVED, MLFLOW_STAGES, NO_STAGE
from ciplug.registry.state import Model, fold
from ciplug.stores.base import Head


def event(seq: int, type: Any, version: int, stage: str | None = None, **more: Any) -> RegistryEvent:
    facts: dict[str, Any] = {"run": f"run-{version}", "created": "2026-11-23T12:00:00.000Z", **more}
    return RegistryEvent(seq=seq, type=type, model="wine", version=version, stage=stage, **facts)


def stages(model: Model) -> list[str]:
    return [v.stage for v in model.versions]


STAGES = (NO_STAGE, *MLFLOW_STAGES.stages, ARCHIVED)
EVENTS = [
    event(1, "register", 1),
    event(2, "promote", 1, "Staging"),
    event(3, "promote", 1, "Production"),
    event(4, "register", 2),
    event(5, "promote", 2, "Staging"),
    event(6, "promote", 2, "Production"),
]


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
    first = event(1, "register", 1, files={"model.bin": "sha256:1"}, commit="c1")
    forged = event(3, "register", 1, run="another", files={"model.bin": "sha256:2"}, commit="c2")
    (version,) = fold("wine", [first, EVENTS[1], forged]).versions
    assert (version.run, version.commit, version.files) == ("run-1", "c1", {"model.bin": "sha256:1"})
    assert version.stage == "Staging"


def test_a_version_that_goes_back_to_no_stage_moves_no_other() -> None:
    model = fold("wine", [EVENTS[0], event(2, "register", 2), event(3, "promote", 2, "None")])
    assert stages(model) == ["None", "None"]


def test_an_event_on_a_version_that_is_not_there_moves_nothing() -> None:
    assert stages(fold("wine", [*EVENTS[:3], event(4, "promote", 9, "Production")])) == ["Production"]


def test_looking_versions_up() -> None:
    model = fold("wine", EVENTS)
    assert model.version(2).run == "run-2"
    found = model.of_run("run-1")
    assert found is not None and found.number == 1
    assert model.of_run("none") is None
    with pytest.raises(UsageError, match="has no version 3") as caught:
        model.version(3)
    assert caught.value.hint == "versions: 1 to 2"


@pytest.mark.parametrize("text", ["staging", "Staging", " STAGING "])
def test_stage_names(text: str) -> None:
    assert MLFLOW_STAGES.stage(text) == "Staging"


@pytest.mark.parametrize("text", ["prod", "None", "Archived", "", "archived"])
def test_no_stage_to_promote_to(text: str) -> None:
    with pytest.raises(UsageError, match="unknown stage"):
        MLFLOW_STAGES.stage(text)


@pytest.mark.parametrize("stage", ["Staging", "Production"])
@pytest.mark.parametrize("start", STAGES)
def test_one_stage_at_a_time(start: str, stage: str) -> None:
    if (start, stage) in (("None", "Staging"), ("Staging", "Production")):
        MLFLOW_STAGES.check_promotion(1, start, stage)
    else:
        with pytest.raises(PromotionRefused):
            MLFLOW_STAGES.check_promotion(1, start, stage)


@given(
    st.lists(
        st.tuples(st.sampled_from(["register", "promote"]), st.integers(1, 4), st.sampled_from(STAGES)), max_size=20
    )
)
def test_no_two_versions_share_staging_or_production(moves: list[tuple[str, int, str]]) -> None:
    events = [
        event(n, kind, version, stage if kind == "promote" else None) for n, (kind, version, stage) in enumerate(moves)
    ]
    found = stages(fold("wine", events))
    assert found.count("Production") <= 1 and found.count("Staging") <= 1


# The log below the fold


class Memory:
    """The log verbs of a store, in memory."""

    def __init__(self) -> None:
        self.held: dict[str, list[bytes]] = {}

    def entries(self, log: str) -> list[bytes]:
        return self.held.get(log, [])

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        held = self.held.setdefault(log, [])
        now = Head(len(held), digest(held[-1])) if held else None
        if now != expected:
            raise Conflict("moved on", head=now)
        held.append(entry)
        return Head(len(held), digest(entry))

    def head(self, log: str) -> Head | None:
        held = self.held.get(log)
        return Head(len(held), digest(held[-1])) if held else None

    def logs(self, prefix: str) -> list[str]:
        return sorted(log for log in self.held if log.startswith(prefix))


@pytest.fixture
def store() -> Any:
    return Memory()


def written(store: Any, events: list[RegistryEvent]) -> ledger.Ledger:
    log = ledger.read(store, "wine")
    for one in events:
        log = ledger.append(store, log, replace(one, seq=0, previous=None))
    return log


def test_each_event_holds_the_digest_of_the_one_before(store: Any) -> None:
    log = written(store, EVENTS)
    assert ledger.read(store, "wine") == log
    assert [e.seq for e in log.events] == [1, 2, 3, 4, 5, 6]
    for before, after in zip(log.events, log.events[1:], strict=False):
        assert after.previous == digest(dumps(before))


def test_of_two_that_read_the_same_log_the_second_loses(store: Any) -> None:
    log = written(store, EVENTS[:2])
    ledger.append(store, log, EVENTS[2])
    with pytest.raises(Conflict):
        ledger.append(store, log, EVENTS[2])


@pytest.mark.parametrize("harm", ["drop", "swap", "change", "insert", "another model"])
def test_a_chain_that_was_tampered_with_is_refused(store: Any, harm: str) -> None:
    written(store, EVENTS)
    (held,) = store.held.values()
    if harm == "drop":
        del held[2]
    elif harm == "swap":
        held[1], held[2] = held[2], held[1]
    elif harm == "change":
        held[2] = held[2].replace(b"Production", b"Staging")
    elif harm == "insert":
        held.insert(3, held[2])
    else:
        store.held = {log_of("other"): held}
    with pytest.raises(StoreError, match="is broken at event"):
        ledger.read(store, "other" if harm == "another model" else "wine")


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name.strip()))
def test_every_name_is_one_component_of_a_key_and_is_found_again(name: str) -> None:
    store: Any = Memory()
    log = log_of(name)
    ledger.append(store, ledger.Ledger((), None), replace(EVENTS[0], model=name))
    assert ledger.models(store) == [name]
    assert log.count("/") == 1 and log.partition("/")[2] not in ("", ".", "..")
