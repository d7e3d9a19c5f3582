"""States that a store keeps: reading on from them is reading everything, and only those count that the log names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.registry import MODEL, events_and_states
from ciplug.records import registry_labels as labels
from ciplug.records.canonical import digest, dumps
from ciplug.records.read import registry_event
from ciplug.records.registry_deployment import Deploy, SmokeTested
from ciplug.records.registry_event import Promote, Register, Vouch
from ciplug.records.registry_moves import Archive, Demote, MoveFreely, Rollback, Yank
from ciplug.registry import ledger, stored_checkpoints
from ciplug.registry.events import wrap
from ciplug.registry.model_values import FORMAT
from ciplug.registry.reading import read
from ciplug.registry.replay import fold
from ciplug.stores.base import Head
from tests.registry_samples import STAMP, event
from tests.unit.test_registry_local_checkpoints import Growing

NOBODY = stored_checkpoints.key_of({})


class Stating(Growing):
    """A log with a state beside it, which counts what is read."""

    def __init__(self, count: int) -> None:
        made = list(events_and_states(count))
        super().__init__([entry for entry, _ in made])
        self.kept = next((state for _, state in reversed(made) if state), None)

    def state(self, log: str) -> bytes | None:
        return self.kept

    def put_state(self, log: str, data: bytes) -> None:
        self.kept = data


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_checkpoints, "EVERY", 8)


def whole(log: Growing) -> object:
    return fold(MODEL, [registry_event(data, "key") for data in log.held])


@pytest.mark.parametrize("count", [1, 8, 9, 16, 40, 47])
def test_a_new_reader_reads_on_from_the_state(count: int) -> None:
    log = Stating(count)
    found = read(log, MODEL, signers=NOBODY)
    assert found.model == whole(log)
    assert found.ledger.head == Head(count, digest(log.held[-1]))
    # The entry that the state ends with, and those since; without a state all of them.
    assert log.read == (count if count <= 8 else (count - 1) % 8 + 2)
    timed = read(log, MODEL, signers=NOBODY, with_times=True).times
    assert timed is not None and len(timed) == count and (found.times is None) == (count > 8)


def with_value(name: str, value: object) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        first, _, rest = data.partition(b"\n")
        return json.dumps({**json.loads(first), name: value}).encode() + b"\n" + rest

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"Production"', b'"Productiom"', 1),
        lambda data: data[:-40],
        lambda data: b"",
        lambda data: b"{}",
        lambda data: b"[[[[",
        with_value("format", FORMAT + 1),
        with_value("head", [3, "sha256:0"]),
        with_value("head", [0, ""]),
        with_value("signers", stored_checkpoints.key_of({"ci": "a key"})),
    ],
)
def test_a_state_that_no_event_names_is_not_read(change: Callable[[bytes], bytes]) -> None:
    log = Stating(40)
    assert log.kept
    log.kept = change(log.kept)
    assert read(log, MODEL, signers=NOBODY).model == whole(log)
    assert log.read >= 40


def forged(log: Stating) -> None:
    """Whoever may append an event may name a state."""
    assert log.kept
    log.kept = log.kept.replace(b'"champion":', b'"villain":', 1)
    at = json.loads(log.kept.partition(b"\n")[0])["head"][0]
    entries = log.held[:at]
    for data in log.held[at:]:
        made = replace(registry_event(data, "key"), previous=digest(entries[-1]))
        entries.append(dumps(replace(made, state=digest(log.kept)) if made.state else made))
    log.held = entries


def test_a_state_counts_by_the_event_that_names_it_so_signers_sign_that() -> None:
    log = Stating(40)
    forged(log)
    assert "villain" in read(log, MODEL, signers=NOBODY).model.aliases
    # The signer has signed all events but the one that the forger has written.
    (naming,) = [
        seq for seq, data in enumerate(log.held, 1) if registry_event(data, "key").state == digest(log.kept or b"")
    ]
    assert "villain" not in read(log, MODEL, lambda event: event.seq != naming, signers=NOBODY).model.aliases


def test_a_voucher_after_the_state_changes_what_came_before() -> None:
    log = Stating(40)
    vouch = wrap(Vouch(until=40), model=MODEL, created=STAMP)
    ledger.append(log, ledger.read(log, MODEL), vouch)
    log.read = 0
    found = read(log, MODEL, lambda event: event.type == "vouch" or event.state is not None, signers=NOBODY)
    assert found.model.versions == fold(MODEL, [registry_event(one, "key") for one in log.held]).versions
    assert log.read > 41, "from the first event"


def test_the_format_changes_with_what_a_state_says() -> None:
    """Another ciplug of the same format reads on from it: whoever changes fields or effects raises FORMAT."""
    payloads = [
        labels.Create(description="reds", tags={"team": "a"}, origin={"imported_from": "./mlruns"}),
        Register(
            version=1, run="1", commit="c", files={"model.bin": "sha256:1"}, datasets={"d": "2"}, metrics={"a": 0.5}
        ),
        Promote(version=1, run="1", commit="c", stage="Staging", from_stage="None", exemptions=("clean_tree",)),
        Promote(version=1, run="1", commit="c", stage="Production", from_stage="Staging"),
        Register(version=2, run="2", source="s3://a", description="second", tags={"b": "c"}),
        MoveFreely(version=2, stage="Staging", archive=True),
        Promote(version=2, run="2", stage="Production", from_stage="Staging", replaces=1),
        Rollback(version=1, run="1", stage="Production", replaces=2, reason="slow", passed="key"),
        Demote(version=1, stage="None", from_stage="Production"),
        Archive(version=1),
        Yank(version=1, reason="leaks"),
        Yank(version=1, undo=True),
        labels.Describe(version=1, description="first"),
        labels.Tag(version=2, key="x", value="y"),
        labels.Tag(key="m", value="n"),
        labels.Untag(version=2, key="b"),
        labels.SetAlias(alias="champion", version=2),
        labels.SetAlias(alias="gone", version=1),
        labels.DeleteAlias(alias="gone", replaces=1),
        Register(version=3, run="3", origin={"user": "ada"}),
        labels.DeleteVersion(version=3),
        Vouch(until=3),
        Deploy(version=2, target="prod", kind="oci", state="deployed", reference="r@sha256:1", endpoint="r:production"),
        SmokeTested(version=2, target="prod", deployed=23, outcome="mismatch", rows=3, equal=2, reason="x"),
        Deploy(version=1, target="prod", kind="oci", state="deploying", stage="Production", digest="sha256:2"),
        Deploy(version=2, target="old", kind="oci", state="deployed", digest="sha256:2"),
        Deploy(version=2, target="old", kind="oci", state="ended", digest="sha256:2", began=26),
    ]
    made = [event(seq, payload) for seq, payload in enumerate(payloads, 1)]
    found = stored_checkpoints.encode(fold("wine", made, lambda one: one.seq != 20), Head(27, "sha256:0"), NOBODY)
    assert (FORMAT, digest(found)) == (6, "sha256:043879bbeb3dc9123f0fd115a59af4623d74898edeb6751cee666ce8da8cc5a9"), (
        found.decode()
    )
