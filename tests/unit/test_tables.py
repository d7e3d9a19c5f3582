"""The one reader of tables: every format gives the same values and the same errors, in bounded memory."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciplug.capture import drift_files
from ciplug.capture.drift_files import compare
from ciplug.capture.example_files import read_examples
from ciplug.capture.example_table import Columns, as_text
from ciplug.capture.metric_files import read_metrics
from ciplug.capture.tables import limits
from ciplug.capture.tables.delimited import cell_value
from ciplug.capture.tables.formats import FORMATS, open_table
from ciplug.capture.tables.limits import Limits
from ciplug.capture.tables.source import Source
from ciplug.errors import InputError
from ciplug.stats.drift_tests import ColumnDrift, Drift
from ciplug.stats.intervals import Undecided
from tests import generated

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ("jsonl", "json", "csv", "tsv", "parquet")
Table = dict[str, list[Any]]


def write(folder: Path, extension: str, table: Table, stem: str = "t") -> Path:
    """A table of columns that are equally long, as each format's usual writer writes it."""
    path = folder / f"{stem}.{extension}"
    rows = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    if extension == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif extension == "json":
        path.write_text(json.dumps(rows))
    elif extension == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(table), path, row_group_size=3)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if extension == "tsv" else ",")
            writer.writerows([list(table), *([row[name] for name in table] for row in rows)])
    return path


def same(value: Any) -> str:
    """A value as text, equal where two formats mean the same: 1 and 1.0, True and true, null and an empty cell."""
    return repr(as_text(value))


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(
    lambda text: isinstance(cell_value(text), str)
)
columns_of = {
    "numbers": st.none() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float),
    "counts": st.none() | st.integers(-(2**63), 2**63 - 1),
    "texts": st.none() | texts,
    "flags": st.none() | st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(1, 8))
    kinds = draw(st.lists(st.sampled_from(list(columns_of)), min_size=1, max_size=4))
    columns = {f"{k}{i}": draw(st.lists(columns_of[k], min_size=rows, max_size=rows)) for i, k in enumerate(kinds)}
    return {"id": [f"r{i}" for i in range(rows)], **columns}


given_tables = settings(
    deadline=None, max_examples=generated.examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given_tables
@given(tables())
def test_every_format_gives_the_same_rows(tmp_path: Path, table: Table) -> None:
    expected = [[same(value) for value in cells] for cells in zip(*table.values(), strict=True)]
    for extension in EXTENSIONS:
        rows = list(open_table(Source(write(tmp_path, extension, table))).rows())
        assert [[same(row.values[name]) for name in table] for row in rows] == expected, extension
        assert [row.number for row in rows] == list(range(1, len(expected) + 1))
        only = list(open_table(Source(write(tmp_path, extension, table))).rows(["id"]))
        assert [dict(row.values) for row in only] == [{"id": name} for name in table["id"]]


@given_tables
@given(tables())
def test_every_format_gives_the_same_examples(tmp_path: Path, table: Table) -> None:
    table = {name: cells for name, cells in table.items() if any(cell is not None for cell in cells)}
    named = next((name for name in table if name.startswith("texts")), "id")
    found = [
        read_examples(write(tmp_path, extension, table), Columns(label=named, slices=(named,)))
        for extension in EXTENSIONS
    ]
    for other in found[1:]:
        assert (other.ids, other.labels, other.slices) == (found[0].ids, found[0].labels, found[0].slices)
        assert {n: list(v) for n, v in other.scores.items()} == {n: list(v) for n, v in found[0].scores.items()}


@given_tables
@given(tables(), st.sampled_from(["auto", "ks", "chi2"]))
def test_every_format_gives_the_same_drift(tmp_path: Path, table: Table, test: str) -> None:
    expected = None
    for extension in EXTENSIONS:
        path = write(tmp_path, extension, table)
        drift = compare(path, path, None, test)
        expected = expected or drift
        assert repr(drift) == repr(expected), extension


@given_tables
@given(st.lists(st.floats() | st.none(), min_size=1, max_size=6), st.booleans())
def test_every_format_gives_the_same_metrics(tmp_path: Path, values: list[float | None], by_steps: bool) -> None:
    if not any(value is not None for value in values):
        return
    if by_steps:
        steps = range(len(values))
        table = {"step": list(steps), "loss": values}
        lines = [{"step": i, **({} if v is None else {"loss": v})} for i, v in zip(steps, values, strict=True)]
    else:
        table = {"loss": [next(value for value in values if value is not None)]}
        lines = [{"loss": table["loss"][0]}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    expected = repr(read_metrics(tmp_path / "t.jsonl"))
    for extension in ("csv", "tsv", "parquet"):
        assert repr(read_metrics(write(tmp_path, extension, table))) == expected, extension


def test_pairs_in_parquet(tmp_path: Path) -> None:
    path = write(tmp_path, "parquet", {"metric": ["loss", "acc"], "value": [0.25, 0.5]})
    assert read_metrics(path).values == {"loss": 0.25, "acc": 0.5}
    twice = write(tmp_path, "parquet", {"metric": ["loss", "loss"], "value": [0.25, 0.5]})
    with pytest.raises(InputError, match=r"t\.parquet: holds no number: .* 'loss' \(several values\)"):
        read_metrics(twice)


# --- What is wrong, alike -------------------------------------------------------------------------------------------

THREE = {"id": ["a", "b", "c"], "x": [1.5, 2.5, 3.5], "words": ["u", "vvvvv", "w"]}


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("few", "words"),
    [
        (Limits(rows=2), "more than 2 rows"),
        (Limits(columns=2), "more than 2 columns"),
        (Limits(cells=8), "more than 8 cells"),
        (Limits(cell_bytes=4), "'words': a text of more than 4 bytes"),
        (Limits(file_bytes=20), "larger than 0 MiB"),
    ],
)
def test_every_format_has_the_same_limits(
    tmp_path: Path, extension: str, few: Limits, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, extension, THREE)
    assert len(list(open_table(Source(path)).rows())) == 3
    monkeypatch.setattr(limits, "LIMITS", few)
    with pytest.raises(InputError) as caught:
        list(open_table(Source(path)).rows())
    assert caught.value.message.startswith(str(path)) and words in caught.value.message


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_exactly_the_limit_is_read(tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, extension, THREE)
    most = Limits(rows=3, columns=3, cells=9, cell_bytes=5, file_bytes=max(path.stat().st_size, 1000))
    monkeypatch.setattr(limits, "LIMITS", most)
    assert len(list(open_table(Source(path)).rows())) == 3


@pytest.mark.parametrize("extension", [extension.removeprefix(".") for extension in FORMATS])
def test_no_file_and_no_content(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"t.{extension}"
    for words in ("there is no such file", "the file is empty", "it is a folder"):
        with pytest.raises(InputError, match=words) as caught:
            list(open_table(Source(path)).rows())
        assert caught.value.message.startswith(f"{path}: ")
        if words.startswith("there"):
            path.touch()
        else:
            path.unlink(missing_ok=True) if path.is_file() else None
            path.mkdir(exist_ok=True)


@pytest.mark.parametrize("extension", ["csv", "jsonl", "json"])
def test_a_byte_order_mark_and_other_encodings(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path, extension, THREE)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [row.values["id"] for row in open_table(Source(path)).rows()] == ["a", "b", "c"]
    path.write_bytes(path.read_bytes()[3:].replace(b"vvvvv", b"v\xffvvv"))
    with pytest.raises(
        InputError, match=rf"t\.{extension}:{ {'csv': 3, 'jsonl': 2, 'json': 1}[extension] }: not UTF-8"
    ):
        list(open_table(Source(path)).rows())


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    (tmp_path / "t.csv").write_text("\nx, x\n1,2\n")
    parquet.write_table(pyarrow.Table.from_arrays([[1], [2]], names=["x", "x"]), tmp_path / "t.parquet")
    for path, place in ((tmp_path / "t.csv", ":2"), (tmp_path / "t.parquet", "")):
        with pytest.raises(InputError) as caught:
            list(open_table(Source(path)).rows())
        assert caught.value.message == f"{path}{place}: duplicate column 'x'"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None), ("True", True), ("false", False), ("0", 0), ("-0", 0), ("+7", 7), ("007", "007"), ("-01", "-01"),
        ("12345678901234567890", 12345678901234567890), ("1_000", "1_000"), ("0.50", 0.5), ("1e3", 1000.0),
        ("-inf", -math.inf), ("١", "١"), ("0x1", "0x1"),
    ],
)  # fmt: skip
def test_cells(cell: str, value: Any) -> None:
    assert (cell_value(cell), type(cell_value(cell))) == (value, type(value))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_an_integer_of_thousands_of_digits(tmp_path: Path, name: str) -> None:
    digits = "9" * 5000
    (tmp_path / name).write_text(f"id\n{digits}\n" if name.endswith("csv") else f'\n{{"id": {digits}}}\n')
    with pytest.raises(InputError, match=rf"{name}:2: .*an integer of thousands of digits"):
        list(open_table(Source(tmp_path / name)).rows())


def test_types_that_only_parquet_has(tmp_path: Path) -> None:
    import datetime
    import decimal

    import pyarrow
    from pyarrow import parquet

    day = datetime.date(2024, 2, 3)
    table = pyarrow.table(
        {
            "price": pyarrow.array([decimal.Decimal("1.25"), None]),
            "day": pyarrow.array([day, None]),
            "when": pyarrow.array([1, None], pyarrow.timestamp("ns")),
            "raw": pyarrow.array([b"ab\xff", None]),
            "kind": pyarrow.array(["x", None]).dictionary_encode(),
            "nested": pyarrow.array([{"q": "x", "tags": ["a", "b"]}, None]),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    found = open_table(Source(tmp_path / "t.parquet"))
    first, second = (row.values for row in found.rows())
    assert first == {
        "price": 1.25,
        "day": "2024-02-03",
        "when": "1970-01-01 00:00:00.000000001",
        "raw": "ab\\xff",
        "kind": "x",
        "nested": {"q": "x", "tags": ["a", "b"]},
    }
    assert set(second.values()) == {None}
    assert set(found.text_columns) == {"day", "when", "raw", "kind"} and set(found.nested_columns) == {"nested"}


def test_a_csv_cell_above_the_own_limit_of_python_is_read(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "t.csv").write_text(f"id,prediction\na,{'x' * 200_000}\n")
    (row,) = open_table(Source(tmp_path / "t.csv")).rows()
    assert len(row.values["prediction"]) == 200_000
    assert csv.field_size_limit() == before


# --- Memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory a process has had")
def test_five_million_rows_in_less_than_a_megabyte(tmp_path: Path) -> None:
    """A drift gate holds 8 bytes a number and side, one column at a time; texts cost next to nothing."""
    import pyarrow
    from pyarrow import parquet

    n = 5_000_000
    small = tmp_path / "small.parquet"
    columns = {name: pyarrow.repeat(1.5, n) for name in ("a", "b")}
    word = pyarrow.DictionaryArray.from_arrays(pyarrow.repeat(pyarrow.scalar(0, pyarrow.int32()), n), ["x" * 1000])
    parquet.write_table(pyarrow.table({**columns, "words": word}), small, compression="zstd")
    assert small.stat().st_size < 1_000_000
    code = f"""
        from pathlib import Path
        import pyarrow.parquet
        from ciplug.capture.drift_files import compare
        status = lambda key: int(open("/proc/self/status").read().split(key)[1].split()[0]) // 1024
        before = status("VmRSS:")
        drift = compare(Path({str(small)!r}), Path({str(small)!r}), None, "auto").columns
        assert all(test.p == 1 for column in drift.values() for test in column.tests) and len(drift) == 3
        print(status("VmHWM:") - before)
    """
    child = [sys.executable, "-c", "import textwrap; exec(textwrap.dedent(" + repr(code) + "))"]
    done = subprocess.run(
        child, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 130, "MiB"


def results_of(reference: Path, current: Path, name: str, test: str = "auto") -> dict[str, Drift]:
    """Test → its result, of one column."""
    found = compare(reference, current, [name], test).columns[name]
    assert isinstance(found, ColumnDrift), found
    return {one.test: one for one in found.tests if isinstance(one, Drift)}


def test_what_drift_does_not_compare_and_what_it_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"nested": [1], "late": i, "mixed": value} for i, value in enumerate([1, True, "1", None] * 5)]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, [{"mixed": ""}, *rows])))
    assert list(compare(path, path, None, "auto").columns) == ["mixed", "late"]
    assert results_of(path, path, "mixed")["missing"].shares == (6 / 21, 6 / 21)
    assert results_of(path, path, "late")["missing"].shares == (1 / 21, 1 / 21)  # not in the first row
    monkeypatch.setattr(drift_files, "MAX_CATEGORIES", 5)
    many, few = (write(tmp_path, "csv", {"w": [f"t{i % n}" for i in range(600)]}, str(n)) for n in (60, 2))
    assert all((one.p, one.new) == (1, ()) for one in results_of(many, many, "w").values())
    for reference, current in ((many, few), (few, many)):
        assert results_of(reference, current, "w")["chi2"].p < 0.001


def test_what_a_column_is_follows_from_the_reference(tmp_path: Path) -> None:
    """One text in a thousand rows of numbers makes them no categories, which are all rare and hide the shift."""
    here = write(tmp_path, "csv", {"x": list(range(1000))}, "here")
    now = write(tmp_path, "csv", {"x": ["N/A", *range(500, 1499)]}, "now")
    found = results_of(here, now, "x")
    assert found["psi"].p < 1e-9 and found["psi"].effect > 0.5
    assert found["not_numbers"].shares == (0, 0.001) and found["not_numbers"].p > 0.05
    column = compare(here, now, None, "auto").columns["x"]
    assert isinstance(column, ColumnDrift) and (column.kind, column.stray) == ("numbers", "N/A")
    # A column of texts stays one where the current file has numbers only.
    texts = write(tmp_path, "csv", {"x": ["a", "b"] * 500}, "texts")
    assert results_of(texts, here, "x")["new"].shares == (0, 1)


@pytest.mark.parametrize("test", ["auto", "ks", "chi2"])
def test_missing_values_are_a_drift_by_every_test(tmp_path: Path, test: str) -> None:
    row = list(range(1000))
    here = write(tmp_path, "csv", {"row": row, "x": [i % 50 for i in row]}, "here")
    now = write(tmp_path, "csv", {"row": row, "x": [i % 50 if i % 20 == 0 else "" for i in row]}, "now")
    missing = results_of(here, now, "x", test)["missing"]
    assert missing.shares == (0, 0.95) and missing.p < 1e-9
    gone = write(tmp_path, "csv", {"row": row, "x": [""] * 1000}, "gone")
    assert results_of(here, gone, "x", test)["missing"].p < 1e-9


def test_columns_that_only_one_file_has(tmp_path: Path) -> None:
    here = write(tmp_path, "csv", {"a": [1] * 20, "b": [1] * 20, "id": list(range(20))}, "here")
    now = write(
        tmp_path, "csv", {"a": [1] * 20, "c": [1] * 20, "p": [1] * 20, "id": list("abcdefghijklmnopqrst")}, "now"
    )
    found = compare(here, now, None, "chi2", ignore=["p"])
    assert (list(found.columns), found.gone, found.added, found.ids) == (["a"], ("b",), ("c",), ("id",))
    named = compare(here, now, ["b", "id", "c"], "chi2")
    assert (named.gone, named.added, named.ids) == (("b",), (), ())
    assert isinstance(named.columns["id"], Undecided) and "id" in named.columns["id"].reason
    assert named.columns["c"] == Undecided("no column 'c' in here.csv")


def test_rows_without_any_value_are_missing_values(tmp_path: Path) -> None:
    """A program that lost its input writes `,`: such rows were left out, and the rest looked as before."""
    for columns in ("x", "x,y"):
        full, lost = tmp_path / "full.csv", tmp_path / "lost.csv"
        numbers = [",".join([str(n / 7)] * len(columns.split(","))) for n in range(200)]
        full.write_text("\n".join([columns, *numbers]))
        empty = "," if "," in columns else '""'
        lost.write_text("\n".join([columns, *[one if n % 20 == 0 else empty for n, one in enumerate(numbers)]]))
        found = compare(full, lost, None, "auto").columns["x"]
        missing = next(one for one in found.tests if getattr(one, "test", None) == "missing")
        assert missing.shares == (0.0, 0.95)


def test_an_empty_window_has_columns_without_rows(tmp_path: Path) -> None:
    full, empty = write(tmp_path, "csv", THREE), tmp_path / "e.csv"
    empty.write_text("id,x,words\n")
    assert compare(full, empty, ["x"], "auto").columns["x"] == Undecided("the current window is empty")
    assert compare(full, empty, ["y"], "auto").columns["y"] == Undecided("no column 'y' in t.csv")
    with pytest.raises(InputError, match=r"e\.csv: it has no column of other\.csv"):
        compare(write(tmp_path, "csv", {"y": [1]}, "other"), empty, None, "auto")


def test_rows_are_counted_before_any_is_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": pyarrow.repeat(1.5, 5_000_001)}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="more than 5,000,000 rows"):
        next(open_table(Source(tmp_path / "t.parquet")).batches())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory a process has had")
@pytest.mark.slow
@pytest.mark.parametrize("dictionary", [True, False])
def test_long_texts_that_all_differ_are_not_held_at_once(tmp_path: Path, dictionary: bool) -> None:
    """240 MB of texts in a file of some hundred kilobytes."""
    import pyarrow
    from pyarrow import parquet

    file = tmp_path / "long.parquet"
    texts = pyarrow.table({"x": ["a" * 8000 + str(row) for row in range(30_000)]})
    parquet.write_table(texts, file, compression="zstd", use_dictionary=dictionary)
    code = f"""
        from pathlib import Path
        import pyarrow.parquet
        from ciplug.capture.drift_files import compare
        status = lambda key: int(open("/proc/self/status").read().split(key)[1].split()[0]) // 1024
        before = status("VmRSS:")
        (drift,) = compare(Path({str(file)!r}), Path({str(file)!r}), None, "auto").columns.values()
        assert all(test.p == 1 for test in drift.tests if hasattr(test, "p"))
        print(status("VmHWM:") - before)
    """
    child = [sys.executable, "-c", "import textwrap; exec(textwrap.dedent(" + repr(code) + "))"]
    done = subprocess.run(
        child, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 220, "MiB"
