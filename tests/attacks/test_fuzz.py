"""Random damage: no reader fails in another way than by naming it, and no change of a registry goes unnoticed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ciplug.errors import BrokenLog, Conflict, RecordError
from ciplug.records import bundle, columns, examples, inputs, read, series, signature
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.records.registry_event import Promote, Register
from ciplug.records.series import Series
from ciplug.registry import ledger
from ciplug.registry.replayed_rules import broken_rules
from ciplug.stores.base import Head
from ciplug.stores.git import segments
from ciplug.stores.witness import Memory, WitnessedLog
from tests.attacks.attacker import chain, objects_of, run_of

RUN = objects_of(run_of("c" * 40, params={"depth": 3}, tags={"a": "b"}))
KEY, RECORD = next(iter(RUN.items()))
EVENTS = chain(
    "wine",
    [
        payload
        for number in range(1, 4)
        for payload in (
            Register(version=number, run=f"{number:032x}", commit="c" * 40, files={"m": f"sha256:{number:064x}"}),
            Promote(
                version=number,
                run=f"{number:032x}",
                commit="c" * 40,
                stage="Staging",
                from_stage="None",
                replaces=number - 1 or None,
                verdict=f"verdicts/{number}",
                verdict_digest="sha256:0",
            ),
        )
    ],
)
SEGMENT = segments.write_lines({KEY: RECORD, "verdicts/x.json": b'{"a":1}\n'}, {"runs/x.series": "1" * 40})
READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "run": (RECORD, lambda data: read.read_run(data, KEY)),
    "verdict": (RECORD, lambda data: read.verdict(data, "verdicts/x.json")),
    "amendment": (RECORD, lambda data: read.amendment(data, f"amend/{'c' * 40}-{'1' * 32}-1-00000000.json")),
    "event": (EVENTS[1], lambda data: read.registry_event(data, "registry/wine/000002.json")),
    "signature": (signature.encode({KEY: digest(RECORD)}, "s"), lambda data: signature.decode(data, KEY[:-4] + "sig")),
    "series": (series.encode({"loss": Series(steps=(0, 1), values=(2.0, 1.0))}), lambda data: series.decode(data, "x")),
    "inputs": (inputs.encode_texts(["{}", "x" * 50]), lambda data: inputs.decode_texts(data, "x")),
    "examples": (b"x" * 40, lambda data: examples.decode(data, "x")),
    "segment": (SEGMENT, lambda data: segments.read_lines(data, "000001-000000000000")),
    "index": (segments.write_index({"000001-000000000000": b"abcd"}), segments.read_index),
    "columns": (columns.encode(columns.of(RUN.items())), lambda data: columns.decode(data, "x")),
    "columns of records": (RECORD, lambda data: columns.of([(KEY, data)])),
    "bundle": (bundle.pack(RUN), lambda data: bundle.unpack(data, "x")),
}
_ODD = [b"\0", b"\xff\xfe", b"{", b"[" * 2000, b"]", b'"', b"1e400", b"9" * 500, b"-0", b"null", b"NaN", b"\\ud800"]


def mutations(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        made = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(made) + 1)
            kind = chance.randrange(5)
            if kind == 0 and made:
                made[at % len(made)] ^= 1 << chance.randrange(8)
            elif kind == 1:
                made[at:at] = chance.choice(_ODD)
            elif kind == 2:
                del made[at : at + chance.randint(1, 40)]
            elif kind == 3:
                made[at:at] = made[at : at + chance.randint(1, 200)] * chance.randint(1, 20)
            else:
                del made[at:]
        yield bytes(made)


@pytest.mark.parametrize("count", [60, pytest.param(800, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_names_what_it_cannot_read(reader: str, count: int) -> None:
    data, read_one = READERS[reader]
    for made in mutations(data, count, count):
        began = time.monotonic()
        try:
            read_one(made)
        except RecordError as problem:
            assert problem.message
        assert time.monotonic() - began < 5


class Entries:
    """A log in memory, for whoever tampers with it."""

    def __init__(self, entries: list[bytes]) -> None:
        self.held = entries

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return self.held[after:until] if log == log_of("wine") else []

    def head(self, log: str) -> Head | None:
        return Head(len(self.held), digest(self.held[-1])) if self.held else None

    def logs(self, prefix: str) -> list[str]:
        return [log_of("wine")] if self.held else []

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        raise Conflict("nothing is appended here")


def tampered(entries: list[bytes], chance: random.Random) -> list[bytes]:
    """Change a log at random; half of the time so that its chain is whole again."""
    made = list(entries)
    at = chance.randrange(len(made))
    kind = chance.randrange(5)
    if kind == 0:
        data = bytearray(made[at])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        made[at] = bytes(data)
    elif kind == 1:
        del made[at:]
    elif kind == 2:
        del made[at]
    elif kind == 3:
        other = chance.randrange(len(made))
        made[at], made[other] = made[other], made[at]
    else:
        event = json.loads(made[at])
        event["payload"]["run"] = f"{chance.getrandbits(128):032x}"
        made[at] = dumps(event)
    if chance.random() < 0.5:
        try:
            events = [json.loads(entry) for entry in made]
        except ValueError:
            return made
        made = []
        for seq, event in enumerate(events, 1):
            fixed = {**event, "seq": seq, "previous": digest(made[-1]) if made else None}
            made.append(dumps(fixed))
    return made


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_clone_that_saw_the_registry_finds_every_tampering(tmp_path: Path, count: int) -> None:
    memory = Memory(tmp_path, "somewhere")
    before = Entries(EVENTS)
    seen = WitnessedLog(before, lambda: None, memory)
    assert len(ledger.read(seen, "wine").events) == len(EVENTS)
    assert not list(broken_rules("wine", ledger.read(seen, "wine").events, ("Staging", "Production")))
    chance = random.Random(count)
    for _ in range(count):
        made = tampered(EVENTS, chance)
        if made == EVENTS:
            continue
        with pytest.raises((BrokenLog, RecordError)):
            ledger.read(WitnessedLog(Entries(made), lambda: None, memory), "wine")
