"""Files of real tools, damaged in every way: they are metrics or an InputError, and no number gets lost unsaid."""

from __future__ import annotations

import csv
import json
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciplug.capture.metric_files import Metrics, read_metrics, read_params
from ciplug.errors import InputError

DATA = Path(__file__).resolve().parents[1] / "data/metrics"
FILES = sorted(path for path in DATA.rglob("*") if path.suffix in (".json", ".jsonl", ".csv", ".tsv", ".yaml"))
PIECES = [
    *(b"null", b"NaN", b"-Infinity", b"1e999", b"1" * 30, b'"x"', b'"0.5"', b"[]", b"{}", b"[1,[2]]", b"[1,null]"),
    *(b"true", b"NA", b"", b",", b";", b"\t", b"\n", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b"#", b"\x00"),
    *(b"\xff", b"\xe2\x80\xae", b"::error::", b"=1+1", b"step", b"epoch", b"value", b"name", b"time", b"1764000000"),
]
MEGABYTES_MOST = 300


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The file with up to four changes: a piece put in, cut out, moved, doubled, or in the place of a token."""
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.randint(0, len(data)) for _ in range(2))
        end = min(end, at + chance.choice((1, 3, 20, 200)))
        kind = chance.randrange(6)
        if kind == 0:
            data = data[:at] + chance.choice(PIECES) + data[at:]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:at] + data[at:end] * 2 + data[end:]
        elif kind == 3:
            data = data[:at]
        else:
            tokens = [i for i, byte in enumerate(data) if byte in b' ,:;\t\n"']
            if len(tokens) > 1:
                first = chance.randrange(len(tokens) - 1)
                data = data[: tokens[first] + 1] + chance.choice(PIECES) + data[tokens[first + 1] :]
    return data


def numbers(path: Path) -> Iterator[float]:
    """The numbers of a file that is JSON without nested lists, as Python reads them; of other files, none."""
    if path.suffix != ".json":
        return
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return

    def walk(value: Any) -> Iterator[float]:
        if isinstance(value, dict):
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                yield float(value)
            except OverflowError:
                return

    yield from walk(document)


def is_said(number: float, found: Metrics) -> bool:
    """Whether a number is a value, a step or a time of the result, or a name is left out that may have held it."""
    if any(one.why in ("list", "name", "twice", "line") for one in found.left_out):
        return True
    points = {v for one in found.series.values() for v in (*one.values, *one.steps)}
    texts = set(found.texts.values())
    known = {repr(value) for value in (*points, *found.values.values())} | {repr(float(v)) for v in points}
    return repr(number) in known or str(number) in texts or str(int(number) if number == number else "") in texts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, read = 0.0, 0
    for number in range(2_500):
        source = FILES[number % len(FILES)]
        path = tmp_path / f"m{source.suffix}"
        path.write_bytes(damaged(source.read_bytes(), chance))
        began = time.process_time()
        try:
            found = read_metrics(path)
            read += 1
        except InputError as problem:
            assert problem.message.startswith(str(path)), problem.message
            assert len(problem.message) < len(str(path)) + 1_000
        else:
            assert found.values and all(type(value) is float for value in found.values.values())
            settings = source.name in ("lm_eval_results.json", "lighteval_results.json")
            lost = [one for one in numbers(path) if not settings and not is_said(one, found)]
            assert not lost, (path.read_bytes(), lost)
        try:
            read_params(path)
        except InputError as problem:
            assert problem.message.startswith(str(path))
        slowest = max(slowest, time.process_time() - began)
    assert read > 500 and slowest < 2
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES_MOST


def test_every_number_of_a_table_is_recorded() -> None:
    for path in (*DATA.glob("*.csv"), *DATA.glob("*/*.tsv")):
        found = read_metrics(path)
        kept = {repr(v) for v in found.values.values()}
        kept |= {repr(float(v)) for one in found.series.values() for v in (*one.values, *one.steps)}
        if path.name == "pandas_semicolon.csv":
            continue
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
            rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ","))
        header = [name.strip() for name in rows[0]]
        cells = {
            cell
            for row in rows[1:]
            for name, cell in zip(header, row, strict=True)
            # Beside the step, other counters are not metrics.
            if name not in ("epoch", "step", "iter", "")
        }
        for cell in cells:
            try:
                number = float(cell)
            except ValueError:
                continue
            assert repr(number) in kept, (path, cell)
