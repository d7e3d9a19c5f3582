"""Per-example files: tables as people write them, results as tools have really written them, and what is wrong in one.

tests/data/evaluations was written by promptfoo 0.121 (echo provider), DeepEval 4.3, lm-evaluation-harness 0.4.13
(dummy model) and MLflow 3.17, on three or four questions each.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciplug.capture.example_files import read_examples
from ciplug.capture.example_table import Columns
from ciplug.capture.tables import limits
from ciplug.capture.tables.limits import Limits
from ciplug.errors import InputError, UsageError
from ciplug.records.examples import Examples
from ciplug.stats.joined_examples import Paired, join
from tests import generated

DATA = Path(__file__).resolve().parents[1] / "data" / "evaluations"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- Tables ------------------------------------------------------------------------------------------------------

JSON_LINES = """\
{"id": 1, "label": 1, "prediction": 1.0, "country": "DE", "user": "u1", "score": 0.9, "timing": {"ms": 12}, "ok": true}
{"id": "b", "label": 0, "prediction": 1, "country": null, "user": "u1", "score": null, "words": "text", "ok": false}
"""
CSV = """\
id,label,prediction,country,user,score,timing/ms,ok,words
1,1,1.0,DE,u1,0.9,12,true,
b,0,1,,u1,,,False,text
"""
COLUMNS = Columns(cluster="user", slices=("country",))


def check_table(found: Examples) -> None:
    assert found.ids == ["1", "b"]
    assert found.labels == ["1", "0"] and found.predictions == ["1", "1"]
    assert found.slices == {"country": ["DE", ""]} and found.clusters == ["u1", "u1"]
    # Empty where a number was due is no number; a column of texts is no score.
    assert list(found.scores["score"]) == [0.9, math.inf]
    assert list(found.scores["ok"]) == [1, 0]
    assert "words" not in found.scores


def test_json_lines(write: Any) -> None:
    found = read_examples(write("p.jsonl", "\ufeff" + JSON_LINES + "\n"), COLUMNS)
    check_table(found)
    # A row without the key has no such score, which is another matter.
    assert found.scores["timing/ms"][0] == 12 and math.isnan(found.scores["timing/ms"][1])


def test_a_json_list(write: Any) -> None:
    rows = [json.loads(line) for line in JSON_LINES.splitlines()]
    check_table(read_examples(write("p.json", json.dumps(rows)), COLUMNS))


def test_csv(write: Any) -> None:
    check_table(read_examples(write("p.csv", CSV), COLUMNS))
    check_table(read_examples(write("p.tsv", CSV.replace(",", "\t")), COLUMNS))


def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [json.loads(line) for line in JSON_LINES.splitlines()]
    for row in rows:
        row["id"] = str(row["id"])
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "p.parquet")
    check_table(read_examples(tmp_path / "p.parquet", COLUMNS))


def test_other_names_of_columns(write: Any) -> None:
    path = write("p.jsonl", '{"key": "a", "truth": "cat", "answer": "dog", "id": 7}\n')
    found = read_examples(path, Columns(id="key", label="truth", prediction="answer"))
    assert (found.ids, found.labels, found.predictions) == (["a"], ["cat"], ["dog"])
    assert list(found.scores["id"]) == [7]


def test_ids_that_look_like_numbers_stay_names(write: Any) -> None:
    found = read_examples(write("p.csv", "id,s\n007,1\n1_0,1\n12345678901234567890,1\n7,1\n-0,2\n"))
    assert found.ids == ["007", "1_0", "12345678901234567890", "7", "0"]
    large = read_examples(write("p.jsonl", '{"id": 9007199254740993, "s": 1}\n{"id": 9007199254740992, "s": 1}'))
    assert large.ids == ["9007199254740993", "9007199254740992"]


def test_long_texts_keep_their_difference(write: Any) -> None:
    rows = [{"id": i, "prediction": "x" * 5000 + str(i)} for i in range(2)]
    found = read_examples(write("p.json", json.dumps(rows)))
    assert found.predictions is not None
    assert len(set(found.predictions)) == 2 and max(len(p or "") for p in found.predictions) <= 1000


WRONG: dict[str, tuple[str, str | bytes, Columns, str]] = {
    "empty": ("p.jsonl", "", Columns(), "p.jsonl: the file is empty"),
    "blank": ("p.jsonl", "\n \n", Columns(), "the file is empty"),
    "header alone": ("p.csv", "id,label\n", Columns(), "holds no example"),
    "not JSON": ("p.jsonl", '{"id": 1}\n{"id": }', Columns(), "p.jsonl:2: not JSON"),
    "no object": ("p.jsonl", "[1]", Columns(), "p.jsonl:1: an object of names and values is expected"),
    "key twice": ("p.jsonl", '{"id": 1, "id": 2}', Columns(), "p.jsonl:1: duplicate key 'id'"),
    "not UTF-8": ("p.jsonl", b'{"id": "\xff"}', Columns(), "p.jsonl:1: not UTF-8"),
    "huge integer": ("p.jsonl", '{"id": 1, "s": ' + "9" * 5000 + "}", Columns(), "integer of thousands of digits"),
    "deep": ("p.jsonl", '{"a":' * 40 + "1" + "}" * 40, Columns(), "nested in more than 32 levels"),
    "very deep": ("p.jsonl", '{"a":' * 200_000 + "1" + "}" * 200_000, Columns(), "nested in more than 32 levels"),
    "no id column": ("p.jsonl", '{"label": 1}', Columns(), "p.jsonl:1: there is no column 'id'"),
    "a row without id": ("p.jsonl", '{"id": 1}\n{"id": null}', Columns(), "p.jsonl:2: a row without 'id'"),
    "no slice column": ("p.csv", "id,label\na,1\n", Columns(slices=("country",)), "no row has a value in 'country'"),
    "no cluster": ("p.csv", "id,user\na,u\nb,\n", Columns(cluster="user"), "p.csv:3: a row without 'user'"),
    "cells": ("p.csv", "id,label\na,1,2\n", Columns(), "p.csv:2: 3 cells under 2 column names"),
    "column twice": ("p.csv", "id,s,s\na,1,2\n", Columns(), "p.csv:1: duplicate column 's'"),
    "quote": ("p.csv", 'id,s\n"a"b,1\n', Columns(), "p.csv:2: not CSV"),
    "CSV not UTF-8": ("p.csv", b"id,s\n\xff,1\n", Columns(), "not UTF-8"),
    "no Parquet": ("p.parquet", b"PAR1 or so", Columns(), "not Parquet"),
    "unknown extension": ("p.txt", "id", Columns(), "no file of examples has the extension '.txt'"),
    "unknown object": (
        "p.json",
        '{"a": 1}',
        Columns(),
        "a list of objects is expected, or the results of one of",
    ),
    "promptfoo": ("p.json", '{"evalId": 1, "results": {}}', Columns(), "'results.results' is not a list"),
    "deepeval": ("p.json", '{"testCases": [1]}', Columns(), "'testCases[…]' is not an object"),
    "mlflow": ("p.json", '{"columns": ["a"], "data": [[1, 2]]}', Columns(), "row 1 of data does not fit"),
    "lm-eval": ("p.jsonl", '{"doc_id": 0, "doc_hash": "a", "metrics": 1}', Columns(), "without its metrics"),
    "lm-eval results": (
        "results_1.json",
        '{"results": {}, "configs": {}, "n-samples": {"t": 1}}',
        Columns(),
        "the samples of 1 of 1 tasks are not beside it",
    ),
}


@pytest.mark.parametrize(("name", "content", "columns", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(write: Any, name: str, content: str | bytes, columns: Columns, words: str) -> None:
    with pytest.raises(InputError) as error:
        read_examples(write(name, content), columns)
    assert words in error.value.message


def test_a_missing_file_and_a_folder_and_an_unknown_format(tmp_path: Path, write: Any) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_examples(tmp_path / "p.jsonl")
    (tmp_path / "f.jsonl").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_examples(tmp_path / "f.jsonl")
    with pytest.raises(UsageError, match="unknown format of examples 'promtfoo'") as error:
        read_examples(write("p.jsonl", JSON_LINES), format="promtfoo")
    assert error.value.hint == "did you mean 'promptfoo'?"


def test_limits(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("p.jsonl", JSON_LINES)
    for few, words in (
        (Limits(file_bytes=10), "larger than 0 MiB"),
        (Limits(line_bytes=20), "a line of more than 20 bytes"),
        (Limits(rows=1), "more than 1 rows"),
        (Limits(columns=7), "more than 7 columns"),
        (Limits(cells=15), "more than 15 cells"),
        (Limits(cell_bytes=3), "p.jsonl:2: 'words': a text of more than 3 bytes"),
    ):
        with monkeypatch.context() as patch, pytest.raises(InputError, match=words):
            patch.setattr(limits, "LIMITS", few)
            read_examples(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["p.jsonl", "p.json", "p.csv", "p.parquet"]),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["id", "label", "results", "evalId", "testCases", "columns", "data", "metricsData"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_no_file_breaks_the_reader(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    try:
        found = read_examples(path)
    except InputError:
        return
    assert len(found) > 0 and all(found.ids)
    assert all(len(column) == len(found) for column in found.scores.values())


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, child in inner for place in places(child, (*way, key)))]


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=generated.examples(200)
)
@given(
    st.sampled_from(["promptfoo.json", "deepeval.json", "mlflow_eval_results_table.json"]),
    st.integers(0, 10_000),
    st.sampled_from([None, 1, -0.5, "x", True, [], {}, [1], {"a": 1}, [{}], [[]], math.nan]),
)
def test_a_real_file_with_one_value_changed_is_read_or_refused(tmp_path: Path, name: str, at: int, value: Any) -> None:
    document = json.loads((DATA / name).read_text())
    ways = places(document)[1:]
    *way, last = ways[at % len(ways)]
    holder = document
    for key in way:
        holder = holder[key]
    holder[last] = value
    (tmp_path / name).write_text(json.dumps(document))
    with contextlib.suppress(InputError):
        assert len(read_examples(tmp_path / name)) > 0


# --- Tools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["promptfoo.json", "promptfoo.jsonl"])
def test_promptfoo(name: str) -> None:
    found = read_examples(DATA / name)
    assert len(found) == 6 and len({name.partition("/")[0] for name in found.ids}) == 3  # three tests, two prompts
    assert list(found.scores["score"]) == [1, 0.5, 0, 0, 1, 1]
    assert list(found.scores["success"]) == [1, 0, 0, 0, 1, 1]
    assert found.scores["has_moon"][4] == 1 and math.isnan(found.scores["has_moon"][0])
    assert found.predictions is not None and found.predictions[0] == "Say hello"
    sliced = read_examples(DATA / name, Columns(slices=("lang", "word")))
    assert sliced.slices == {
        "lang": ["", "", "", "", "en", "en"],
        "word": ["hello", "hello", "world", "world", "moon", "moon"],
    }


def test_promptfoo_whose_provider_failed_and_whose_prompt_changed(write: Any) -> None:
    document = json.loads((DATA / "promptfoo.json").read_text())
    rows = [row for row in document["results"]["results"] if row["promptIdx"] == 0]
    document["results"]["results"] = rows
    before = read_examples(write("before.json", json.dumps(document)))
    for row in rows:
        row["prompt"] = {"raw": "Another prompt"}
    rows[0]["failureReason"] = 2
    after = read_examples(write("after.json", json.dumps(document)))
    assert isinstance(join(after, before), Paired)  # an example is what is asked, not how
    assert list(after.scores["score"]).count(math.inf) == 1


def test_deepeval(write: Any) -> None:
    found = read_examples(DATA / "deepeval.json")
    assert list(found.scores["Exact Match"]) == [1, 0, 1]
    assert list(found.scores["Length"]) == [0.5, 0.5, 0.4]
    assert list(found.scores["Length/success"]) == [1, 1, 0] and list(found.scores["success"]) == [1, 0, 0]
    assert found.labels == ["Paris", "Rome", "Oslo"] and found.predictions == ["Paris", "Milan", "Oslo"]
    document = json.loads((DATA / "deepeval.json").read_text())
    document["testCases"][0]["metricsData"][0] |= {"score": None, "error": "no answer"}
    broken = read_examples(write("deepeval.json", json.dumps(document)))
    assert broken.scores["Exact Match"][0] == math.inf and broken.scores["success"][0] == math.inf
    assert isinstance(join(broken, found), Paired)


def test_lm_evaluation_harness(write: Any) -> None:
    (samples,) = (DATA / "lm_eval").glob("samples_tiny_capitals*.jsonl")
    found = read_examples(samples)
    assert list(found.scores["acc"]) == [1, 0, 1, 0] and list(found.scores["acc_norm"]) == [1, 0, 1, 1]
    assert found.labels == ["0", "1", "2", "0"]
    (results,) = (DATA / "lm_eval").glob("results*.json")
    together = read_examples(results, Columns(slices=("task",)))
    assert together.slices["task"] == ["tiny_capitals"] * 4 + ["tiny_gen"] * 4
    # The harness's own means, of which every one is found again.
    for task, metrics in json.loads(results.read_text())["results"].items():
        for key, mean in metrics.items():
            if key.endswith(",none") and "_stderr" not in key:
                column = [v for v in together.scores[f"{task}/{key.removesuffix(',none')}"] if not math.isnan(v)]
                assert sum(column) / len(column) == mean
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    filtered = [{**row, "filter": name} for row in rows for name in ("none", "strict-match")]
    both = read_examples(write("samples_x.jsonl", "\n".join(map(json.dumps, filtered))))
    assert len(both) == 4 and set(both.scores) == {"acc", "acc_norm", "acc,strict-match", "acc_norm,strict-match"}


def test_mlflow(write: Any) -> None:
    found = read_examples(DATA / "mlflow_eval_results_table.json")
    assert list(found.scores["length"]) == [5, 5, 4]
    assert found.labels == ["Paris", "Rome", "Oslo"] and found.predictions == ["Paris", "Milan", "Oslo"]
    document = json.loads((DATA / "mlflow_eval_results_table.json").read_text())
    document["data"].reverse()
    document["data"][0][2] = "Bergen"
    assert isinstance(join(read_examples(write("t.json", json.dumps(document))), found), Paired)
