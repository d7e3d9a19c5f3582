"""Files of real tools, damaged in every way: they are metrics or an InputError, and no number gets lost unsaid."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import random
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciplug.capture.metric_clocks import is_time
from ciplug.capture.metric_collector import Metrics
from ciplug.capture.metric_files import read_metrics
from ciplug.capture.metric_formats import READERS
from ciplug.capture.metric_shapes import INDEX_KEYS, NAME_KEYS, STEP_KEYS, VALUE_KEYS
from ciplug.capture.param_files import read_params
from ciplug.errors import InputError

DATA = Path(__file__).resolve().parents[1] / "data/metrics"
WITH_SETTINGS = ("lm_eval_results.json", "lighteval_results.json", "github_action_benchmark_data.json")
"""Files with numbers that are settings, or about a commit: they are no metrics."""
FILES = sorted(path for path in DATA.rglob("*") if path.suffix in (".json", ".jsonl", ".csv", ".tsv", ".yaml"))
PIECES = [
    *(b"null", b"NaN", b"-Infinity", b"1e999", b"1" * 30, b'"x"', b'"0.5"', b"[]", b"{}", b"[1,[2]]", b"[1,null]"),
    *(b"true", b"NA", b"", b",", b";", b"\t", b"\n", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b"#", b"\x00"),
    *(b"\xff", b"\xe2\x80\xae", b"::error::", b"=1+1", b"step", b"epoch", b"value", b"name", b"time", b"1764000000"),
]
UNRECORDED = {*STEP_KEYS, *INDEX_KEYS, *NAME_KEYS}
"""Beside the step, other counters are not metrics; what names a metric is not its value."""
MEGABYTES_MOST = 300


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The file with up to four changes: a piece put in, cut out, moved, doubled, or in the place of a token."""
    if b"\x00" in data and chance.random() < 0.5:
        # Of a binary file, little is left after more than this.
        at = chance.randrange(len(data))
        return data[:at] + chance.randbytes(1) + data[at + 1 :]
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


def numbers(path: Path) -> Iterator[tuple[str, float]]:
    """Name and number of all that a file holds, read as JSON or CSV by Python alone; of other formats, none."""
    data = path.read_bytes()
    text = data.decode("utf-16" if data[:2] == codecs.BOM_UTF16_LE else "utf-8-sig", "replace")
    if path.suffix in (".csv", ".tsv"):
        yield from _of_cells(text)
        return
    for one in [text, *text.splitlines()] if path.suffix in (".json", ".jsonl") else []:
        try:
            document = json.loads(one, object_pairs_hook=Pairs)
        except (ValueError, RecursionError):
            continue
        yield from _of_json("", document)
        if one is text:
            return


class Pairs(list[tuple[str, Any]]):
    """An object of JSON, with each of its members."""


def _of_json(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Pairs):
        for key, inner in value:
            yield from _of_json(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_json(name, inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            yield name, float(value)


def _of_cells(text: str) -> Iterator[tuple[str, float]]:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip(" ,;\t")), "")
    delimiter = max(",;\t", key=first.count)
    if sum(one in first for one in ",;\t") > 1 or first.startswith("#"):
        return
    with contextlib.suppress(csv.Error):
        rows = list(csv.reader(lines, delimiter=delimiter))
        header = next((row for row in rows if any(cell.strip() for cell in row)), [])
        for row in rows:
            if len(row) == len(header) and row is not header:
                for name, cell in zip(header, row, strict=True):
                    with contextlib.suppress(ValueError):
                        yield name.strip(), float(cell.strip())


def is_said(name: str, number: float, found: Metrics) -> bool:
    """Whether a number is a value, a step or a time of the result, or is left out with its name or its line."""
    if name.lower().removeprefix("# ") in UNRECORDED or is_time(name, number):
        return True
    if any(one.why in ("list", "name", "line", "header") or _last(one.name) == _last(name) for one in found.left_out):
        return True
    if name in VALUE_KEYS and any(one.why == "twice" for one in found.left_out):
        return True
    points = {repr(float(v)) for one in found.series.values() for v in (*one.values, *one.steps, *(one.times or ()))}
    texts = {*found.texts.values(), *(part for metric in found.values for part in re.split("[/ ]", metric))}
    for part in list(texts):
        with contextlib.suppress(ValueError):
            texts.add(repr(float(part)))
    known = {*map(repr, found.values.values()), *points}
    return repr(number) in known or repr(number) in texts or f"{number:.0f}" in texts


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def sources(folder: Path) -> list[Path]:
    """Files of every format: those of tools, and one of them in the formats that no tool of the list writes."""
    import pandas

    log = pandas.read_csv(DATA / "sb3_progress.csv")
    log.to_parquet(folder / "log.parquet")
    log.to_json(folder / "log.jsonl", orient="records", lines=True)
    (folder / "utf16.csv").write_text(log.to_csv(), encoding="utf-16")
    (folder / "m.yaml").write_text("a: 0.5\nb:\n  c: [1, 2, 3]\n  d: 1e-3\n- x\n".replace("- x\n", ""))
    (folder / "m.toml").write_text("a = 0.5\n[b]\nc = [1, 2, 3]\nd = 1e-3\n")
    made = [path for path in folder.iterdir() if path.is_file()]
    events = [path for path in DATA.rglob("*") if ".tfevents." in path.name]
    return sorted([*FILES, *made, *events, *events])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files(tmp_path: Path, seed: int) -> None:
    pytest.importorskip("tensorboard")
    chance = random.Random(seed)
    (tmp_path / "sources").mkdir()
    files = sources(tmp_path / "sources")
    assert {file.suffix for file in files} >= READERS.keys() - {".yml", ".pq", ".ndjson"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, read = 0.0, dict.fromkeys((file.suffix for file in files), 0)
    for number in range(2_500):
        source = files[number % len(files)]
        path = tmp_path / (source.name if ".tfevents." in source.name else f"m{source.suffix}")
        path.write_bytes(damaged(source.read_bytes(), chance))
        began = time.process_time()
        try:
            found = read_metrics(path)
            read[source.suffix] += 1
        except InputError as problem:
            assert problem.message.startswith(str(path)), problem.message
            assert len(problem.message) < len(str(path)) + 1_000
        else:
            assert found.values and all(type(value) is float for value in found.values.values())
            settings = source.name in WITH_SETTINGS
            lost = [one for one in numbers(path) if not settings and not is_said(*one, found)]
            assert not lost, (path.read_bytes(), lost)
        try:
            read_params(path)
        except InputError as problem:
            assert problem.message.startswith(str(path))
        slowest = max(slowest, time.process_time() - began)
        path.unlink()
    # TOML takes no damage.
    assert all(count for suffix, count in read.items() if suffix != ".toml"), read
    assert slowest < 2
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
