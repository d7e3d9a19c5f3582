"""Metric and parameter files: each format as tools write it, and each thing that can be wrong in one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciplug.capture import events, metric_collector
from ciplug.capture.metric_collector import Metrics
from ciplug.capture.metric_files import read_metrics
from ciplug.capture.metric_formats import READERS
from ciplug.capture.param_files import read_params
from ciplug.capture.tables import limits
from ciplug.capture.tables.limits import Limits
from ciplug.errors import InputError
from ciplug.records.run import METRIC_NAME, metric_name
from ciplug.records.series import Series
from ciplug.tracking.query_language import parse
from tests.policies import policy_of


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


METRICS: dict[str, tuple[str, str, Metrics]] = {
    "JSON": (
        "m.json",
        '{"loss": 0.25, "n": 3, "val": {"acc@5": 1e-3, "f1 (macro)": 1}}'.replace(" (macro)", " macro"),
        Metrics({"loss": 0.25, "n": 3.0, "val/acc@5": 0.001, "val/f1 macro": 1.0}),
    ),
    "JSON with a byte order mark": ("m.json", '\ufeff{"loss": 1}', Metrics({"loss": 1.0})),
    "upper-case extension": ("M.JSON", '{"loss": 1}', Metrics({"loss": 1.0})),
    "YAML": (
        "m.yaml",
        "loss: 1e-3\nval:\n  acc: 0.5\n  big: 1.5E+10\n  whole: -2\n2024: 7\n",
        Metrics({"loss": 0.001, "val/acc": 0.5, "val/big": 1.5e10, "val/whole": -2.0, "2024": 7.0}),
    ),
    "TOML": ("m.toml", "loss = 1e-3\n[val]\nacc = 0.5\n", Metrics({"loss": 0.001, "val/acc": 0.5})),
    "CSV, one row": ("m.csv", "loss,val/acc\r\n0.25, 0.5 \r\n", Metrics({"loss": 0.25, "val/acc": 0.5})),
    "CSV, pairs": ("m.csv", "Metric,Value\nloss,0.25\n\nacc,1e-3\n", Metrics({"loss": 0.25, "acc": 0.001})),
    "CSV by steps": (
        "m.csv",
        "step,loss,val_loss\n0,1.0,\n10,0.5,0.75\n20,0.25,\n",
        Metrics(
            {"loss": 0.25, "val_loss": 0.75},
            {"loss": Series((0, 10, 20), (1.0, 0.5, 0.25)), "val_loss": Series((10,), (0.75,))},
        ),
    ),
    "CSV of Lightning: epoch beside step": (
        "m.csv",
        "epoch,step,train_loss,val_loss\n0,49,0.5,\n0,49,,0.6\n",
        Metrics(
            {"train_loss": 0.5, "val_loss": 0.6},
            {"train_loss": Series((49,), (0.5,)), "val_loss": Series((49,), (0.6,))},
        ),
    ),
    "CSV of Keras": (
        "m.csv",
        "epoch,accuracy,loss\n0,0.5,1.5\n1,0.75,nan\n",
        Metrics(
            {"accuracy": 0.75, "loss": math.nan},
            {"accuracy": Series((0, 1), (0.5, 0.75)), "loss": Series((0, 1), (1.5, math.nan))},
        ),
    ),
    "TSV with times": (
        "m.tsv",
        "timestamp\tstep\tacc\n1700000000000\t0\t0.5\n1700000000100\t1\t0.75\n",
        Metrics({"acc": 0.75}, {"acc": Series((0, 1), (0.5, 0.75), (1_700_000_000.0, 1_700_000_000.1))}),
    ),
    "JSON lines": (
        "m.jsonl",
        '{"step": 1, "loss": 0.5, "time": 1}\n\n{"step": 2, "val": {"acc": 0.9}}\n{"step": 3, "loss": 0.25}\n',
        Metrics(
            {"loss": 0.25, "time": 1.0, "val/acc": 0.9},
            {
                "loss": Series((1, 3), (0.5, 0.25)),
                "time": Series((1,), (1.0,)),
                "val/acc": Series((2,), (0.9,)),
            },
        ),
    ),
    "JSON lines of Transformers: epochs in fractions": (
        "m.ndjson",
        '{"epoch": 0.5, "step": 500, "loss": 0.5}\n{"epoch": 1.0, "step": 1000, "eval_loss": 0.4}',
        Metrics(
            {"loss": 0.5, "eval_loss": 0.4},
            {"loss": Series((500,), (0.5,)), "eval_loss": Series((1000,), (0.4,))},
        ),
    ),
    "JSON lines by whole epochs": (
        "m.jsonl",
        '{"Epoch": 1.0, "loss": 2}',
        Metrics({"loss": 2.0}, {"loss": Series((1,), (2.0,))}),
    ),
    "JSON lines, a single line": ("m.jsonl", '{"loss": 2}\n', Metrics({"loss": 2.0})),
    "NaN and infinities, JSON": (
        "m.json",
        '{"a": NaN, "b": Infinity, "c": -Infinity}',
        Metrics({"a": math.nan, "b": math.inf, "c": -math.inf}),
    ),
    "NaN and infinities, YAML": ("m.yml", "a: .nan\nb: -.inf\n", Metrics({"a": math.nan, "b": -math.inf})),
    "NaN and infinities, TOML": ("m.toml", "a = nan\nb = -inf\n", Metrics({"a": math.nan, "b": -math.inf})),
    "NaN and infinities, CSV": ("m.csv", "a,b\nNaN,-inf\n", Metrics({"a": math.nan, "b": -math.inf})),
}


@pytest.mark.parametrize("case", METRICS)
def test_metrics(case: str, write: Any) -> None:
    name, content, expected = METRICS[case]
    found = read_metrics(write(name, content))
    assert repr(found) == repr(expected)  # by repr, since NaN is not equal to itself
    assert all(type(value) is float for value in found.values.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.json", '{"acc": 0.5, "of": {"model": "rf", "version": "v1.2", "day": "2024-02-03"}}'),
        ("m.yaml", "acc: 0.5\nof: {model: rf, version: v1.2, day: '2024-02-03'}\n"),
        ("m.toml", "acc = 0.5\n[of]\nmodel = 'rf'\nversion = 'v1.2'\nday = '2024-02-03'\n"),
        ("m.csv", "acc,of/model,of/version,of/day\n0.5,rf,v1.2,2024-02-03\n"),
        ("m.csv", "metric,value\nof/model,rf\nacc,0.5\nof/version,v1.2\nof/day,2024-02-03\n"),
        ("m.jsonl", '{"acc": 0.5, "of": {"model": "rf", "version": "v1.2", "day": "2024-02-03"}}'),
    ],
)
def test_text_beside_the_metrics_describes_them(name: str, content: str, write: Any) -> None:
    texts = {"of/model": "rf", "of/version": "v1.2", "of/day": "2024-02-03"}
    assert read_metrics(write(name, content)) == Metrics({"acc": 0.5}, texts=texts)


def test_text_of_dvclive(write: Any, tmp_path: Path) -> None:
    write("live/metrics.json", '{"step": 1, "acc": 0.5, "model": "rf"}')
    assert read_metrics(tmp_path / "live") == Metrics({"acc": 0.5}, texts={"model": "rf"})


PARAMS: dict[str, tuple[str, str, dict[str, object]]] = {
    "JSON": (
        "p.json",
        '{"lr": 1e-3, "n": 3, "deep": {"on": true, "layers": [64, {"w": "x"}]}, "no": null, "e": [], "o": {}}',
        {
            "lr": 0.001,
            "n": 3,
            "deep/on": True,
            "deep/layers/0": 64,
            "deep/layers/1/w": "x",
            "no": "None",
            "e": "[]",
            "o": "{}",
        },
    ),
    "YAML": (
        "params.yaml",
        "lr: 1e-3\nname: run 1\nnone: ~\nday: 2024-02-03\nversion: '1.10'\nlayers: [1, 2]\n",
        {
            "lr": 0.001,
            "name": "run 1",
            "none": "None",
            "day": "2024-02-03",
            "version": "1.10",
            "layers/0": 1,
            "layers/1": 2,
        },
    ),
    "TOML": (
        "p.toml",
        'lr = 1e-3\nwhen = 2024-02-03T04:05:06Z\n[model]\nkind = "tree"\n',
        {"lr": 0.001, "when": "2024-02-03 04:05:06+00:00", "model/kind": "tree"},
    ),
    "CSV": (
        "p.csv",
        "name,value\nlr,0.001\nn,3\nfast,True\nkind,tree\n",
        {"lr": 0.001, "n": 3, "fast": True, "kind": "tree"},
    ),
    "CSV, one row": ("p.csv", "lr,kind\n0.5,1_0\n", {"lr": 0.5, "kind": "1_0"}),
}


@pytest.mark.parametrize("case", PARAMS)
def test_params(case: str, write: Any) -> None:
    name, content, expected = PARAMS[case]
    found = read_params(write(name, content)).values
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


# File, content, where the error stands (line or None), words of the message, words of the hint.
WRONG_METRICS: dict[str, tuple[str, str | bytes, int | None, str, str]] = {
    "empty": ("m.json", "", None, "the file is empty", "before it wrote"),
    "blank": ("m.yaml", " \n\n", None, "the file is empty", ""),
    "no metric, JSON": ("m.json", "{}", None, "holds no metric", "write its metrics"),
    "no metric, nested": ("m.json", '{"a": {}}', None, "holds no metric", ""),
    "no metric, CSV": ("m.csv", "loss,acc\n", None, "holds no metric", ""),
    "no metric, blank cells": ("m.csv", ',\n""\n', None, "the file is empty", ""),
    "no metric, only steps": ("m.jsonl", '{"step": 1}\n', None, "holds no metric", ""),
    "no number, null": ("m.json", '{"loss": null}', None, "holds no number: 1 name is left out: 'loss' (null)", ""),
    "no number, texts": ("m.json", '{"loss": "good"}', None, "holds no number: 'loss' is the text 'good'", ""),
    "no number, NA": ("m.csv", "epoch,a,b\n0,NA,\n", None, "2 names are left out: 'a' ('NA'), 'b' (null)", ""),
    "no number, two names": ("m.json", '{"a": "93%", "b": ["x"]}', None, "'a' (the text '93%'), 'b' (a list", ""),
    "no name": ("m.json", '{"": 1}', None, "'' (not a name for a metric)", ""),
    "columns without names": ("m.csv", "step,,\n1,2,3\n", None, "'' (not a name for a metric)", ""),
    "unknown format": ("m.txt", "x", None, "extension '.txt': .json, .jsonl", ""),
    "not UTF-8": ("m.json", b'{\n"a": "\xff"}', 2, "not UTF-8", "UTF-8"),
    "UTF-16 without a byte order mark": ("m.csv", "é\n1\n".encode("utf-16-le"), 1, "not UTF-8", "UTF-8"),
    "YAML syntax": ("m.yaml", "a: 1\nb: [1\n", 2, "not valid YAML", ""),
    "TOML syntax": ("m.toml", "a = 1\nb = \n", 2, "not TOML", ""),
    "CSV syntax": ("m.csv", 'a,b\n"1,2\n', 2, "not CSV", ""),
    "JSON is a list of numbers": ("m.json", "[1]", None, "names and values are expected", '{"accuracy"'),
    "JSON is an empty list": ("m.json", "[]", None, "names and values are expected", '{"accuracy"'),
    "JSON is a number": ("m.json", "1", None, "names and values are expected", ""),
    "YAML is a text": ("m.yaml", "loss 0.5", None, "names and values are expected", "accuracy: 0.93"),
    "integer of thousands of digits": ("m.json", '{"n": ' + "9" * 5000 + "}", None, "thousands of digits", ""),
    "only a name that stands twice": ("m.json", '{"a": 1, "a": 2}', None, "holds no number: 1 name", ""),
    "key twice, TOML": ("m.toml", "a = 1\na = 2\n", 2, "not TOML", ""),
    "deep, twice": ("m.json", '{"a":0,"a":' * 40 + "1" + "}" * 40, None, "more than 32 levels", ""),
    "alias": ("m.yaml", "a: &x {b: 1}\nc: *x\n", 2, "alias", ""),
    "tag": ("m.yaml", "a: !!python/name:os.system\n", 1, "tag", ""),
    "deep, JSON": ("m.json", '{"a":' * 33 + "1" + "}" * 33, None, "more than 32 levels", ""),
    "deep, lists": ("m.json", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}", None, "more than 32 levels", ""),
    "deep, YAML": ("m.yaml", "a: " + "[" * 50 + "]" * 50, 1, "nested deeper", ""),
    "deep, JSON lines": ("m.jsonl", '{"step":1,"a":' + '{"a":' * 32 + "1" + "}" * 33, 1, "more than 32 levels", ""),
    "ragged pair": ("m.csv", "name,value\na,1,2\n", 2, "3 cells under 2 column names", ""),
}


BROKEN = {
    "the end of a document": (
        "m.json",
        '{"a": 1,\n"b": {"c": 2},\n"d": 3, "e": ',
        {"a": 1.0, "b/c": 2.0, "d": 3.0},
        {"line 3": "line"},
    ),
    "a number that is cut off": ("m.json", '{"a": 1, "b": 0.9', {"a": 1.0}, {"line 1": "line"}),
    "a comma is missing": ("m.json", '{\n"a": 1\n"b": 2}', {"a": 1.0}, {"line 3": "line"}),
    "a line in the middle": (
        "m.jsonl",
        '{"step": 1, "a": 1}\n{"step": 2, "a": \n{"step": 3, "a": 3}\n',
        {"a": 3.0},
        {"line 2": "line"},
    ),
    "the last line": (
        "m.json",
        '{"step": 1, "a": 1}\n{"step": 2, "a": 2}\n{"step": 3,',
        {"a": 2.0},
        {"line 3": "line", "a": "last_line"},
    ),
    "a second document that is cut off": (
        "m.json",
        '{\n  "a": 1\n}{\n  "a": ',
        {"a": 1.0},
        {"line 4": "line", "a": "last_line"},
    ),
    "documents on one line, the last cut off": (
        "m.json",
        '{"a": 1}{"a": 2}{"a": ',
        {"a": 2.0},
        {"line 1": "line", "a": "last_line"},
    ),
    "the second line, after one": ("m.jsonl", '{"a": 1}\n{"a": ', {"a": 1.0}, {"line 2": "line", "a": "last_line"}),
    "the second row, after one": (
        "m.csv",
        "a,b\n1,2\n3\n",
        {"a": 1.0, "b": 2.0},
        dict.fromkeys("ab", "last_line") | {"line 3": "line"},
    ),
    "a row without a cell": ("m.csv", "step,a,b\n1,1,2\n2,2\n3,3,4\n", {"a": 3.0, "b": 4.0}, {"line 3": "line"}),
    "a quote that is not closed": (
        "m.csv",
        'step,a\n1,1\n2,2\n3,"3\n4,4\n',
        {"a": 2.0},
        {"line 4": "line", "a": "last_line"},
    ),
    "rows with names": ("m.csv", "model,a\nrf,1\nsvm\nnb,3\n", {"rf/a": 1.0, "nb/a": 3.0}, {"line 3": "line"}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_whole_of_a_broken_file_is_read(case: str, write: Any) -> None:
    name, content, values, left = BROKEN[case]
    found = read_metrics(write(name, content), name)
    assert dict(found.values) == values
    assert {one.name: one.why for one in found.left_out} == left
    assert all(one.file == name and one.found and one.line for one in found.left_out)


@pytest.mark.parametrize("case", WRONG_METRICS)
def test_wrong_metrics(case: str, write: Any) -> None:
    name, content, line, says, hint = WRONG_METRICS[case]
    path = write(name, content)
    with pytest.raises(InputError) as caught:
        read_metrics(path)
    assert caught.value.message.startswith(f"{path}:{line}: " if line else f"{path}: "), caught.value.message
    assert says in caught.value.message
    assert hint in (caught.value.hint or "")
    assert len(caught.value.message) < len(str(path)) + 300


def test_missing(tmp_path: Path) -> None:
    for read in (read_metrics, read_params):
        with pytest.raises(InputError, match=r"m\.json: there is no such file") as caught:
            read(tmp_path / "m.json")
        assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", "step,lr\n1,0.5\n", "p.csv:2: parameters have no steps"),
        ("p.json", "{}", "holds no parameter"),
        ("p.json", '{"a": [1], "a/0": 2}', "duplicate name 'a/0'"),
        ("p.csv", "name,value\na,1\na,1\n", "p.csv:3: duplicate name 'a'"),
        ("p.json", '{\n"a": 1,\n"a": 2}', "p.json:3: duplicate key 'a'"),
        ("p.yaml", "a: 1\na: 2\n", "p.yaml:2: duplicate key 'a'"),
        ("p.csv", "a,a\n1,2\n", "p.csv:1: duplicate column 'a'"),
    ],
)
def test_wrong_params(name: str, content: str, says: str, write: Any) -> None:
    with pytest.raises(InputError, match=says):
        read_params(write(name, content))


def test_a_name_that_parameters_cannot_have_is_left_out_alone(write: Any) -> None:
    found = read_params(write("p.json", json.dumps({"lr": 1, "a\nb": 1, "x" * 251: 1}, indent=0)))
    assert found.values == {"lr": 1}
    assert [(one.name, one.why) for one in found.left_out] == [("a\nb", "param"), ("x" * 250, "param")]


def test_limits(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many = write("m.json", json.dumps({f"m{i}": i for i in range(10_001)}))
    for read in (read_metrics, read_params):
        with pytest.raises(InputError, match="more than 10,000 names"):
            read(many)
    monkeypatch.setattr(limits, "LIMITS", Limits(document_bytes=1024 * 1024))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_metrics(write("big.json", " " * (1024 * 1024 + 1)))
    monkeypatch.setattr(metric_collector, "MAX_POINTS", 3)
    with pytest.raises(InputError, match="more than 3 values by steps"):
        read_metrics(write("m.csv", "step,a,b\n1,1,1\n2,1,1\n"))


NULL = ("null", None)
# File, content, the numbers that are taken, and name → why and what was found of each name that is left out.
LEFT_OUT: dict[str, tuple[str, str, dict[str, float], dict[str, tuple[str, str | None]]]] = {
    "null": ("m.json", '{"a": 1, "loss": null}', {"a": 1}, {"loss": NULL}),
    "an empty cell of one row": ("m.csv", "a,loss\n1,\n", {"a": 1}, {"loss": NULL}),
    "null in all lines": ("m.jsonl", '{"step": 1, "a": 1, "b": null}\n{"step": 2, "b": null}', {"a": 1}, {"b": NULL}),
    "NA in all rows": ("m.csv", "epoch,a,b\n0,1,NA\n1,2,NA\n", {"a": 2}, {"b": ("null", "NA")}),
    "NA in some rows": ("m.csv", "epoch,a,b\n0,1,NA\n1,2,3\n2,3,NA\n", {"a": 3, "b": 3}, {}),
    "text in the last row": (
        *("m.csv", "epoch,a,b\n0,1,0.5\n1,2,diverged\n"),
        *({"a": 2, "b": math.nan}, {"b": ("text", "diverged")}),
    ),
    "text in a row before": (
        *("m.csv", "epoch,a,b\n0,1,rf\n1,2,0.5\n"),
        *({"a": 2, "b": 0.5}, {"b": ("text", "rf")}),
    ),
    "text in a list": ("m.json", '{"a": [1, "0,93"]}', {"a": math.nan}, {"a": ("text", "0,93")}),
    "null in a list": ("m.json", '{"a": [1, null]}', {"a": 1}, {}),
    "a list of texts": ("m.json", '{"a": 1, "b": ["x", "y"]}', {"a": 1}, {"b": ("list", None)}),
    "an empty list": ("m.json", '{"a": 1, "b": []}', {"a": 1}, {"b": ("list", "[]")}),
    "a list of lists": ("m.json", '{"a": 1, "b": [[1, 2], [3, 4]]}', {"a": 1}, {"b": ("list", None)}),
    "an empty name": ("m.json", '{"a": 1, "": 2}', {"a": 1}, {"": ("name", None)}),
    "a line break in a name": ("m.json", '{"a": 1, "b\\nc": 2}', {"a": 1}, {"b\nc": ("name", None)}),
    "a name that turns the line": ("m.json", '{"a": 1, "b\\u202ec": 2}', {"a": 1}, {"b\u202ec": ("name", None)}),
    "a name of 251": ("m.json", json.dumps({"a": 1, "x" * 251: 2}), {"a": 1}, {"x" * 250: ("name", None)}),
    "a column without a name": ("m.csv", ",a\nx,0.5\nx,1\n", {"a": 1}, {"": ("name", None)}),
    "a name twice": ("m.csv", "name,value\na,1\nb,1\na,2\n", {"b": 1}, {"a": ("twice", None)}),
    "a name twice, once joined": ("m.json", '{"a/b": 1, "a": {"b": 2}, "c": 1}', {"c": 1}, {"a/b": ("twice", None)}),
    "a key twice, JSON": ("m.json", '{"a": 1, "a": 2, "b": 1}', {"b": 1}, {"a": ("twice", None)}),
    "a key twice, YAML": ("m.yaml", "a: 1\na: 2\nb: 1\n", {"b": 1}, {"a": ("twice", None)}),
    "a column twice": ("m.csv", "a,b,a\n1,1,2\n", {"b": 1}, {"a": ("twice", None)}),
    "a column twice by steps": ("m.csv", "step,a,a,b\n1,1,1,1\n2,1,2,2\n", {"b": 2}, {"a": ("twice", None)}),
    "a key twice in one line": (
        "m.jsonl",
        '{"step": 1, "a": 1, "a": 2, "b": 1}\n{"step": 2, "a": 3}\n',
        {"b": 1},
        {"a": ("twice", None)},
    ),
    "an object twice": (
        "m.json",
        '{"t": {"a": 1, "b": 1, "c": 1}, "t": {"a": 1, "b": 2, "d": 1}}',
        {"t/a": 1, "t/c": 1, "t/d": 1},
        {"t/b": ("twice", None)},
    ),
    "a list twice": ("m.json", '{"a": [1, 2], "a": [1, 3], "b": 1}', {"b": 1}, {"a": ("twice", None)}),
    "a text twice": ("m.json", '{"a": "x", "a": "y", "b": 1}', {"b": 1}, {"a": ("twice", None)}),
    "a key twice in what is cut off": (
        "m.json",
        '{"a": 1, "a": 2, "b": 1,',
        {"b": 1},
        {
            "a": ("twice", None),
            "line 1": ("line", "not JSON: Expecting property name enclosed in double quotes, column 25"),
        },
    ),
    "null, then twice": ("m.json", '{"a/b": null, "a": {"b": 1, "b": 2}, "c": 1}', {"c": 1}, {"a/b": ("twice", None)}),
    "the same number twice": ("m.csv", "name,value\na,1\na,1\n", {"a": 1}, {}),
    "an integer beyond floats": ("m.json", '{"a": 1, "n": 1' + "0" * 400 + "}", {"a": 1}, {"n": ("size", None)}),
    **{
        f"no number: {text}": ("m.json", json.dumps({"a": 1, "b": text}), {"a": 1}, {"b": ("text", text)})
        for text in (
            *("NaN (diverged)", "93%", "0,93", "1_000", "1 000", "~0.9", "0.9 ± 0.1", "< 0.1", "0.9 +/- 0.1"),
            *("tensor(0.93)", "np.float64(0.2)", "0.93 (val)", "12ms", "½", "∞", "diverged", "failed", "#DIV/0!"),
            *("N/A (skipped)", "1.2.3"),
        )
    },
    **{
        f"not there: {text}": ("m.json", json.dumps({"a": 1, "b": text}), {"a": 1}, {"b": ("null", text.strip())})
        for text in ("N/A", "-", "null", "", " ", "NA", "#N/A", "None")
    },
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_name_that_cannot_be_used_costs_no_other(case: str, write: Any) -> None:
    name, content, numbers, left_out = LEFT_OUT[case]
    path = write(name, content)
    found = read_metrics(path, "shown.json")
    assert repr(dict(sorted(found.values.items()))) == repr({n: float(v) for n, v in numbers.items()})
    assert {one.name: (one.why, one.found or None) for one in found.left_out} == {
        n: (why, text or None) for n, (why, text) in left_out.items()
    }
    assert {one.file for one in found.left_out} <= {"shown.json"}
    assert found.texts == {}


@pytest.mark.parametrize(
    ("text", "number"),
    [("nan", math.nan), ("-inf", -math.inf), (" Infinity ", math.inf), ("0.9", 0.9), ("1e-3", 0.001), ("007", 7.0),
     ("true", 1.0), ("False", 0.0)],
)  # fmt: skip
def test_a_number_in_quotes_is_a_number(write: Any, text: str, number: float) -> None:
    assert repr(read_metrics(write("m.json", json.dumps({"a": text}))).values) == repr({"a": number})


def test_booleans_are_numbers(write: Any) -> None:
    assert read_metrics(write("m.json", '{"a": true, "b": false}')).values == {"a": 1.0, "b": 0.0}
    assert read_metrics(write("m.csv", "a,b\nTrue,False\n")).values == {"a": 1.0, "b": 0.0}


@pytest.mark.parametrize("text", ["rf", "resnet50", "gpt-4", "v1.2", "none_of_these", "2026-11-25", "0:00:30", "00:03"])
def test_what_describes(write: Any, text: str) -> None:
    read = read_metrics(write("m.json", json.dumps({"accuracy": 0.9, "model": text})))
    assert (read.texts, read.left_out) == ({"model": text}, ())
    read = read_metrics(write("m.csv", f"epoch,accuracy,model\n0,0.5,x\n1,0.9,{text}\n"))
    assert (read.values, read.texts, read.left_out) == ({"accuracy": 0.9}, {"model": text}, ())


def test_the_same_word_is_the_same_metric_in_every_spelling(write: Any) -> None:
    decomposed = "größe".replace("ö", "o\u0308")
    assert read_metrics(write("m.json", json.dumps({decomposed: 1}))).values == {"größe": 1.0}
    assert events.metric(decomposed, 1)["metric"] == "größe"
    assert policy_of({"gates": {decomposed: {"min": 0}}}).metric_of(decomposed) == "größe"
    assert parse(f"metrics.`{decomposed}` > 0")[0].key.name == "größe"
    both = read_metrics(write("m.json", json.dumps({decomposed: 1, "größe": 2, "a": 1})))
    assert (both.values, [(one.name, one.why) for one in both.left_out]) == ({"a": 1.0}, [("größe", "twice")])


def test_tables_that_servers_export(write: Any) -> None:
    mlflow = (
        "Run,Run ID,metric,step,timestamp,value\n"
        "bold-cat,0af3c2e1,loss,0,1764000000000,0.5\nbold-cat,0af3c2e1,loss,1,1764000001000,0.25\n"
    )
    found = read_metrics(write("m.csv", mlflow))
    assert found.series == {"loss": Series((0, 1), (0.5, 0.25), (1_764_000_000.0, 1_764_000_001.0))}
    assert found.texts == {"loss/Run": "bold-cat", "loss/Run ID": "0af3c2e1"}
    board = read_metrics(write("m.csv", "Wall time,Step,Value\n1764000000.5,10,0.5\n1764000001.5,20,0.25\n"))
    assert board.series == {"Value": Series((10, 20), (0.5, 0.25), (1_764_000_000.5, 1_764_000_001.5))}


def test_the_line_is_named_where_it_is_clear(write: Any) -> None:
    def lines(name: str, content: str) -> list[int | None]:
        return [one.line for one in read_metrics(write(name, content)).left_out]

    assert lines("m.json", '{"train": {"loss": 1},\n"val": {"loss": "n/a"}}') == [None]
    assert lines("m.json", '{"train": {"loss": 1},\n"val": {"los": "n/a"}}') == [2]
    assert lines("m.yaml", "train:\n  loss: 1\nval:\n  loss: n/a\n") == [4]
    assert lines("m.csv", "epoch,loss\n1,1\n2,12ms\n") == [3]


class TestDvclive:
    def test_folder(self, write: Any, tmp_path: Path) -> None:
        write("dvclive/metrics.json", '{"step": 1, "train": {"acc": 0.75}, "test_acc": 0.7}')
        write("dvclive/plots/metrics/train/acc.tsv", "timestamp\tstep\tacc\n1\t0\t0.5\n2\t1\t0.75\n")
        write("dvclive/plots/metrics/loss.v2.tsv", "step\tloss.v2\n0\t1.5\n")
        write("dvclive/params.yaml", "lr: 1e-3\n")
        folder = tmp_path / "dvclive"
        assert read_metrics(folder) == Metrics(
            {"train/acc": 0.75, "loss.v2": 1.5, "test_acc": 0.7},
            {"train/acc": Series((0, 1), (0.5, 0.75)), "loss.v2": Series((0,), (1.5,))},
        )
        assert read_params(folder).values == {"lr": 0.001}

    def test_summary_alone(self, write: Any, tmp_path: Path) -> None:
        write("live/metrics.json", '{"acc": 0.75}')
        assert read_metrics(tmp_path / "live") == Metrics({"acc": 0.75})

    def test_not_such_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"metrics\.json: there is no such file"):
            read_metrics(tmp_path)
        with pytest.raises(InputError, match=r"params\.yaml: there is no such file"):
            read_params(tmp_path)

    def test_wrong_table(self, write: Any, tmp_path: Path) -> None:
        path = write("live/plots/metrics/acc.tsv", "step\tacc\tloss\n0\t1\t2\n")
        with pytest.raises(InputError, match=r"acc\.tsv: one column of values"):
            read_metrics(tmp_path / "live")
        path.rename(path.with_name("a|b.tsv")).write_text("step\tx\n0\t1\n")
        write("live/plots/metrics/a\nb.tsv", "step\tx\n0\t1\n")
        found = read_metrics(tmp_path / "live")
        assert found.values == {"a|b": 1.0} and [(one.name, one.why) for one in found.left_out] == [("a\nb", "name")]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metrics=st.dictionaries(st.from_regex(METRIC_NAME, fullmatch=True), st.floats(), min_size=1, max_size=5))
def test_json_round_trip(tmp_path: Path, metrics: dict[str, float]) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(metrics), encoding="utf-8")
    kept: dict[str, float] = {}
    for name, value in metrics.items():
        kept.setdefault(metric_name(name), value)
    if len(kept) == len(metrics) and all(map(METRIC_NAME.fullmatch, kept)):
        assert repr(read_metrics(path).values) == repr(kept)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=80) | values.map(lambda v: json.dumps(v).encode()),
    extension=st.sampled_from(list(READERS)),
)
def test_anything_is_metrics_or_an_input_error(tmp_path: Path, content: bytes, extension: str) -> None:
    path = tmp_path / f"m{extension}"
    path.write_bytes(content)
    for read in (read_metrics, read_params):
        try:
            read(path)
        except InputError as error:
            assert error.message.startswith(str(path))


EMPTY_NAMES: dict[str, tuple[str, str, dict[str, float], set[str]]] = {
    "a class": ("m.json", '{"": {"accuracy": 0.99}, "b": {"accuracy": 0.1}}', {"b/accuracy": 0.1}, {""}),
    "blank": ("m.json", '{" ": {"accuracy": 0.99}, "loss": 1}', {"loss": 1}, {" "}),
    "a number": ("m.json", '{"": 0.99, "b": {"": 0.5, "accuracy": 0.1}}', {"b/accuracy": 0.1}, {"", "b/"}),
    "between others": ("m.json", '{"b": {"": {"accuracy": 0.99}, "accuracy": 0.1}}', {"b/accuracy": 0.1}, {"b/"}),
    "of a list of objects": ("m.json", '{"": [{"accuracy": 0.99}], "accuracy": 0.1}', {"accuracy": 0.1}, {""}),
    "YAML": ("m.yaml", "'': {accuracy: 0.99}\nb: {accuracy: 0.1}\n", {"b/accuracy": 0.1}, {""}),
    "TOML": ("m.toml", '"".accuracy = 0.99\nb.accuracy = 0.1\n', {"b/accuracy": 0.1}, {""}),
    "pandas' index": (
        "m.csv",
        ",f1,support\ncat,0.9,8\n,0.2,4\naccuracy,0.7,12\n",
        {"cat/f1": 0.9, "cat/support": 8, "accuracy/f1": 0.7, "accuracy/support": 12},
        {""},
    ),
    "pandas' index with classes 0 and 1": (
        "m.csv",
        ",f1\n0,0.9\n1,0.8\n,0.2\naccuracy,0.7\n",
        {"0/f1": 0.9, "1/f1": 0.8, "accuracy/f1": 0.7},
        {""},
    ),
    "a column of classes": ("m.csv", "f1,class\n0.9,cat\n0.2,\n", {"cat/f1": 0.9}, {""}),
    "the second of two columns": (
        "m.csv",
        "model,class,f1\na,cat,0.9\na,,0.2\nb,cat,0.8\n",
        {"a/cat/f1": 0.9, "b/cat/f1": 0.8},
        {""},
    ),
    "a row a model in JSON": ("m.json", '[{"model": "a", "f1": 1}, {"model": "", "f1": 0}]', {"a/f1": 1}, {""}),
    "names and values": ("m.csv", "class,metric,value\ncat,f1,0.9\ncat,,0.2\n", {"cat/f1": 0.9}, {""}),
}


@pytest.mark.parametrize("case", EMPTY_NAMES.values(), ids=EMPTY_NAMES.keys())
def test_an_empty_name_is_left_out_and_never_takes_the_name_of_something_else(write: Any, case: Any) -> None:
    file, content, values, left = case
    read = read_metrics(write(file, content))
    assert (dict(read.values), {one.name for one in read.left_out}) == (values, left)
    assert {one.why for one in read.left_out} == {"name"}


def test_parameters_below_an_empty_name_are_an_error(write: Any) -> None:
    with pytest.raises(InputError, match="an empty name"):
        read_params(write("p.json", '{"": {"lr": 1}, "b": {"lr": 2}}'))


def test_a_row_that_is_cut_off_does_not_hide_the_delimiter(tmp_path: Path) -> None:
    file = tmp_path / "h.csv"
    file.write_text("epoch;loss;note\n1;0,6;warm\n2;0,5;n/a\n3;0,4\n")
    found = read_metrics(file)
    assert found.series["loss"].values == (0.6, 0.5)
    notes = {one.name: (one.why, one.found) for one in found.left_out}
    assert notes["line 4"] == ("line", "2 cells under 3 column names")
    # With two delimiters in the header, nothing is assumed.
    file.write_text("a,b;c\n1;2\n3;4\n1\n")
    with pytest.raises(InputError, match="1 cell under 2 column names"):
        read_metrics(file)


def test_values_that_are_not_one_a_line_are_counted(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITS", Limits(documents=3))
    assert not read_metrics(write("m.json", '{"a": 1}' * 3)).left_out
    noted = read_metrics(write("m.json", '{"a": 1}' * 4)).left_out
    assert any("more than 3 JSON values" in one.reason for one in noted)
