"""Ordinary shapes of metric files, each with the numbers that count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciplug.capture.metric_choice import Reading
from ciplug.capture.metric_clocks import is_time
from ciplug.capture.metric_files import read_metrics
from ciplug.capture.metric_order import logged_order, order_by_time
from ciplug.capture.param_files import read_params

NOW = 1764000000.5
SHAPES: dict[str, tuple[str, str, dict[str, float]]] = {
    # The index of pandas counts rows, and is no metric.
    "names and values with an index": ("m.csv", ",metric,value\n0,acc,0.9\n1,loss,0.3\n", {"acc": 0.9, "loss": 0.3}),
    "the index as pandas reads it back": ("m.csv", "Unnamed: 0,metric,value\n0,acc,0.9\n", {"acc": 0.9}),
    "reset_index": ("m.csv", "index,metric,value\n0,acc,0.9\n1,loss,0.3\n", {"acc": 0.9, "loss": 0.3}),
    "melt that keeps the index": (
        *("m.csv", ",epoch,variable,value\n0,0,acc,0.5\n1,1,acc,0.9\n0,0,loss,0.7\n1,1,loss,0.5\n"),
        {"acc": 0.9, "loss": 0.5},
    ),
    "steps with an index": ("m.csv", ",epoch,loss\n0,1,0.5\n1,2,0.4\n", {"loss": 0.4}),
    "one row with an index": ("m.csv", "Unnamed: 0,acc\n0,0.5\n", {"acc": 0.5}),
    "models with an index": ("m.csv", ",model,acc\n0,rf,0.9\n1,svm,0.8\n", {"rf/acc": 0.9, "svm/acc": 0.8}),
    "a Series": ("m.csv", ",0\nacc,0.9\nloss,0.3\n", {"acc": 0.9, "loss": 0.3}),
    "an index that counts something": ("m.csv", "index,acc\n7,0.9\n", {"index": 7, "acc": 0.9}),
    # A header that is missing.
    "names and values alone": ("m.csv", "acc,0.9\nloss,0.3\nepochs,10\n", {"acc": 0.9, "loss": 0.3, "epochs": 10}),
    "one name and its value": ("m.csv", "acc,0.9\n", {"acc": 0.9}),
    "numbers alone": ("m.csv", "0,0.9\n1,0.7\n", {"column 1": 1, "column 2": 0.7}),
    "numbers with decimal commas": ("m.csv", "0;0,9\n1;0,7\n", {"column 1": 1, "column 2": 0.7}),
    "numpy.savetxt": ("m.csv", "1.0e+00,9.0e-01\n2.0e+00,7.0e-01\n", {"column 1": 2, "column 2": 0.7}),
    "models without a header": (
        "m.csv",
        "rf,0.9,0.5\nsvm,0.8,0.4\n",
        {"rf/column 2": 0.9, "rf/column 3": 0.5, "svm/column 2": 0.8, "svm/column 3": 0.4},
    ),
    # A header that has numbers.
    "columns without names": ("m.csv", "0,1\n0.5,0.6\n", {"0": 0.5, "1": 0.6}),
    "thresholds": (
        "m.csv",
        "model,0.1,0.5\nrf,0.9,0.8\nnb,0.7,0.6\n",
        {"rf/0.1": 0.9, "rf/0.5": 0.8, "nb/0.1": 0.7, "nb/0.5": 0.6},
    ),
    "a year": ("m.csv", "fruit,2024\napple,0.5\npear,0.6\n", {"apple/2024": 0.5, "pear/2024": 0.6}),
    # What spreadsheets and shells write.
    "Excel's first line": ("m.csv", "sep=;\nepoch;loss\n0;0,5\n1;0,25\n", {"loss": 0.25}),
    "Excel's first line in a .tsv": ("m.tsv", '"sep=;"\r\nacc;loss\r\n0,5;0,25\r\n', {"acc": 0.5, "loss": 0.25}),
    "Excel's first line with a bar": ("m.csv", "sep=|\nacc|loss\n0.5|0.25\n", {"acc": 0.5, "loss": 0.25}),
    # The order of rows.
    "newest row first": ("m.csv", "epoch,loss,val\n2,0.3,\n1,0.5,0.6\n0,0.9,0.8\n", {"loss": 0.3, "val": 0.6}),
    "newest line first": ("m.jsonl", '{"step": 3, "loss": 0.3}\n{"step": 2, "loss": 0.5}\n', {"loss": 0.3}),
    "sorted by the loss": ("m.csv", "epoch,loss\n1,0.1\n2,0.2\n0,0.9\n", {"loss": 0.2}),
    "a second training in the same file": ("m.csv", "epoch,loss\n0,9\n1,8\n2,7\n0,6\n1,5\n", {"loss": 5}),
    "the header again": ("m.csv", "epoch,loss\n0,9\n1,8\nepoch,loss\n0,7\n1,6\n", {"loss": 6}),
    "lists, the newest first": ("m.json", '{"epoch": [2, 1, 0], "loss": [0.1, 0.2, 0.3]}', {"epoch": 2, "loss": 0.1}),
    # Files of known tools.
    "Kubeflow, one metric": (
        "m.json",
        '{"metrics": [{"name": "accuracy-score", "numberValue": 0.9, "format": "PERCENTAGE"}]}',
        {"accuracy-score": 0.9},
    ),
    "Kubeflow": (
        "m.json",
        '{"metrics": [{"name": "acc", "numberValue": 0.9, "format": "RAW"}, {"name": "roc", "numberValue": 0.8}]}',
        {"acc": 0.9, "roc": 0.8},
    ),
    "Monitor of Stable-Baselines3": (
        "m.csv",
        '#{"t_start": 1764410000.12, "env_id": "CartPole-v1"}\nr,l,t\n10.0,10,0.5\n20.0,21,1.5\n',
        {"r": 20.0, "l": 21.0, "t": 1.5},
    ),
    "groupby and agg": (
        "m.csv",
        ",accuracy,accuracy\n,mean,std\nmodel,,\nrf,0.9,0.01\nsvm,0.8,0.02\n",
        {"rf/accuracy/mean": 0.9, "rf/accuracy/std": 0.01, "svm/accuracy/mean": 0.8, "svm/accuracy/std": 0.02},
    ),
    "to_json of one row": ("m.json", '{"accuracy": {"0": 0.9}, "f1": {"0": 0.8}}', {"accuracy": 0.9, "f1": 0.8}),
    "to_json with a step": ("m.json", '{"epoch": {"0": 2, "1": 1}, "loss": {"0": 0.5, "1": 0.9}}', {"loss": 0.5}),
    "to_json with models": (
        "m.json",
        '{"model": {"0": "rf", "1": "svm"}, "f1": {"0": 0.9, "1": 0.8}}',
        {"rf/f1": 0.9, "svm/f1": 0.8},
    ),
    "values of classes": ("m.json", '{"f1": {"0": 0.9, "1": 0.8}}', {"f1/0": 0.9, "f1/1": 0.8}),
    # Several documents in one file, as a training writes that opens it to append.
    "documents with an indent": ("m.json", '{\n  "loss": 0.9\n}{\n  "loss": 0.5\n}', {"loss": 0.5}),
    "documents on one line": ("m.json", '{"loss": 0.9}{"loss": 0.5}\n', {"loss": 0.5}),
    "documents after a comma": ("m.json", '{"loss": 0.9},\n{"loss": 0.5},\n', {"loss": 0.5}),
    "documents by steps": ("m.json", '{"epoch": 2, "loss": 0.5}{"epoch": 1, "loss": 0.9}', {"loss": 0.5}),
    "lists after one another": ("m.json", '[{"epoch": 1, "loss": 0.9}]\n[{"epoch": 2, "loss": 0.5}]', {"loss": 0.5}),
    "documents with an indent in .jsonl": ("m.jsonl", '{\n"loss": 0.9\n}\n{\n"loss": 0.5\n}\n', {"loss": 0.5}),
    "two values on a line of JSON lines": (
        "m.jsonl",
        '{"step": 1, "loss": 0.9}\n{"step": 2, "loss": 0.7}{"step": 3, "loss": 0.5}\n',
        {"loss": 0.5},
    ),
    # A step in several rows.
    "phases": (
        "m.csv",
        "epoch,phase,loss\n0,train,0.9\n0,val,0.8\n1,train,0.5\n1,val,0.6\n",
        {"train/loss": 0.5, "val/loss": 0.6},
    ),
    "folds": (
        "m.csv",
        "fold,epoch,loss\n0,0,0.9\n0,1,0.5\n1,0,0.8\n1,1,0.6\n",
        {"fold 0/loss": 0.5, "fold 1/loss": 0.6},
    ),
    "phases in lines": (
        *("m.jsonl", '{"epoch": 0, "mode": "train", "loss": 1}\n{"epoch": 0, "mode": "val", "loss": 2}\n'),
        {"train/loss": 1, "val/loss": 2},
    ),
    "phases, each with its steps": (
        *("m.csv", "step,split,loss\n1,train,0.9\n2,val,0.8\n3,train,0.7\n4,val,0.6\n"),
        {"train/loss": 0.7, "val/loss": 0.6},
    ),
    "phases that share only the learning rate": (
        "m.jsonl",
        '{"mode": "train", "epoch": 1, "iter": 1, "lr": 0.1, "loss": 2, "loss_box": 1}\n'
        '{"mode": "val", "epoch": 1, "iter": 2, "lr": 0.1, "bbox_mAP": 0.3}\n',
        {"lr": 0.1, "loss": 2, "loss_box": 1, "bbox_mAP": 0.3},
    ),
    "phases with metrics of their own": (
        *("m.jsonl", '{"step": 1, "mode": "train", "loss": 1}\n{"step": 1, "mode": "val", "acc": 2}\n'),
        {"loss": 1, "acc": 2},
    ),
    # A row for each model, and the steps that it took.
    "models and their epochs": (
        *("m.csv", "model,epoch,acc\nrf,10,0.9\nsvm,20,0.8\n"),
        {"rf/epoch": 10, "rf/acc": 0.9, "svm/epoch": 20, "svm/acc": 0.8},
    ),
    "google-benchmark": (
        *("m.csv", "name,iterations,cpu_time\nBM_a,1000,12.5\nBM_b,500,30.5\n"),
        {"BM_a/iterations": 1000, "BM_a/cpu_time": 12.5, "BM_b/iterations": 500, "BM_b/cpu_time": 30.5},
    ),
    "checkpoints by step": ("m.csv", "step,model,acc\n100,ckpt-100,0.8\n200,ckpt-200,0.9\n", {"acc": 0.9}),
    "a step that never changes": ("m.csv", "epoch,steps,acc\n0,-1,0.8\n1,-1,0.9\n", {"acc": 0.9}),
    "steps of sentence-transformers": ("m.csv", "epoch,steps,acc\n0.5,100,0.8\n1.0,200,0.9\n", {"acc": 0.9}),
    # Tables of pandas and scikit-learn.
    "a Series with a name": ("m.csv", ",score\naccuracy,0.9\nf1,0.8\n", {"accuracy": 0.9, "f1": 0.8}),
    "two levels of columns": (
        "m.csv",
        ",train,val\n,loss,loss\n0,0.9,0.95\n1,0.5,0.7\n",
        {"train/loss": 0.5, "val/loss": 0.7},
    ),
    "two levels, and a name of the index": (
        *("m.csv", ",train,val\n,loss,acc\nepoch,,\n3,0.9,0.95\n4,0.5,0.7\n"),
        {"train/loss": 0.5, "val/acc": 0.7},
    ),
    "one row as JSON": ("m.json", '{"acc": {"0": 0.9}, "f1": {"0": 0.8}}', {"acc": 0.9, "f1": 0.8}),
    "split": (
        "m.json",
        '{"columns": ["acc"], "index": ["rf", "nb"], "data": [[0.9], [0.8]]}',
        {"rf/acc": 0.9, "nb/acc": 0.8},
    ),
    "split without an index": ("m.json", '{"columns": ["acc", "f1"], "data": [[0.9, 0.8]]}', {"acc": 0.9, "f1": 0.8}),
    "table": ("m.json", '{"schema": {"pandas_version": "1.4.0"}, "data": [{"index": 0, "acc": 0.9}]}', {"acc": 0.9}),
    "cross_validate": (
        "m.csv",
        ",fit_time,score_time,test_acc\n0,1,2,0.9\n1,3,4,0.8\n",
        {
            **{"fold 0/fit_time": 1, "fold 0/score_time": 2, "fold 0/test_acc": 0.9},
            **{"fold 1/fit_time": 3, "fold 1/score_time": 4, "fold 1/test_acc": 0.8},
        },
    ),
    "cross_validate as JSON": (
        "m.json",
        '{"fit_time": [1], "score_time": [2], "test_acc": [0.9]}',
        {"fit_time": 1, "score_time": 2, "test_acc": 0.9},
    ),
    "trials of Optuna": (
        *("m.csv", ",number,value,duration\n0,0,0.9,0 days 00:00:00.1\n1,1,0.8,0 days 00:00:00.2\n"),
        {"number": 1, "value": 0.8},
    ),
    # Other delimiters, and comments.
    "bars": ("m.csv", "epoch|loss\n0|0.9\n1|0.5\n", {"loss": 0.5}),
    "blanks": ("m.csv", "epoch  loss\n 0  0.9\n 1  0.5\n", {"loss": 0.5}),
    "comments": ("m.csv", "# trained today, by hand\n# seed 1\nepoch,loss\n0,0.9\n1,0.5\n", {"loss": 0.5}),
    "numpy.savetxt with a header": ("m.csv", "# epoch,loss\n0.0e+00,9e-1\n1.0e+00,5e-1\n", {"loss": 0.5}),
    "Ray's results": (
        *(
            "result.json",
            '{"training_iteration": 1, "trial_id": "a1_0", "reward": 2, "pid": 1, "config": {"lr": 1}}\n' * 2,
        ),
        {"reward": 2},
    ),
    "a text that is no part of a name": ("m.csv", "epoch,note,loss\n0,warm,1\n0,warm,2\n", {"loss": 2}),
}


@pytest.mark.parametrize("case", SHAPES)
def test_the_numbers_that_count(tmp_path: Path, case: str) -> None:
    name, content, values = SHAPES[case]
    (tmp_path / name).write_text(content, newline="")
    found = read_metrics(tmp_path / name, name)
    assert found.values == values
    guessed = any("column" in one for one in values)
    assert [(one.name, one.why) for one in found.left_out] == [("header", "header")] * guessed


def test_a_row_whose_step_is_a_text_costs_only_that_row(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("epoch,loss\n0,0.9\nbest,0.1\n1,0.8\n2,0.7\n")
    found = read_metrics(tmp_path / "m.csv")
    assert found.series["loss"].steps == (0, 1, 2)
    assert [(one.name, one.why, one.found) for one in found.left_out] == [
        ("line 3", "line", "the step 'best' is not a number")
    ]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.json", '{"größe": 0.5,\r\n "loss": 1}'),
        ("m.jsonl", '{"größe": 0.5}\r\n{"loss": 1}\r\n'),
        ("m.csv", "größe,loss\r\n0.5,1\r\n"),
        ("m.csv", "sep=;\r\ngröße;loss\r\n0,5;1\r\n"),
        ("m.tsv", "größe\tloss\r\n0.5\t1\r\n"),
        ("m.yaml", "größe: 0.5\r\nloss: 1\r\n"),
        ("m.toml", '"größe" = 0.5\nloss = 1\n'),
    ],
)
def test_what_windows_powershell_writes(tmp_path: Path, name: str, content: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(("\ufeff" + content).encode(encoding))
    assert read_metrics(tmp_path / name).values == {"größe": 0.5, "loss": 1.0}
    if name != "m.jsonl":
        assert read_params(tmp_path / name).values == {"größe": 0.5, "loss": 1}


CLOCKS = {
    **dict.fromkeys(("ts", "created", "start_time", "endTime", "Wall time", "date", "logged_at", "run/end"), NOW),
    **{"timestamp": 1.0, "time_ms": NOW * 1000, "ts_ns": int(NOW * 1e9), "date of run": 20261129, "updated": NOW * 1e6},
    **dict.fromkeys(
        ("trained_at", "eval_timestamp", "training_start_time", "train_end", "t_start", "last_updated"), 1764410000
    ),
    **dict.fromkeys(("lastModified", "completion_time", "iat", "eval_date", "timestamp_eval"), 1764410000000),
    **dict.fromkeys(("time_utc", "datestamp", "created_on_date"), 20261129103000),
}
DURATIONS = {
    **dict.fromkeys(("time", "ts", "start_time", "wall_time"), 12.5),
    **dict.fromkeys(("train_time", "elapsed", "duration", "time/iterations", "loss", "total_timesteps"), NOW),
    # 1.764 seconds, and not the year 2025.
    **{"time_ns": NOW, "time_us": NOW, "date": 5.0, "epoch": NOW, "end": 3.0},
    **{"trained_at": 12.5, "train_end": 3.0, "completion_time": 12.3, "duration_ns": 20261129, "timeout": 20261129},
    # These count something, or are durations.
    **{"tokens_at_end": 1764410000, "time_to_start": 1764410000, "train_start_ns": 1764410000, "start_tokens": NOW},
    **{"time_local": 20261129, "time_run": 20269999103000},
}


@pytest.mark.parametrize(("name", "number"), [*CLOCKS.items(), *DURATIONS.items()])
def test_a_point_in_time_is_no_metric_and_a_duration_is(tmp_path: Path, name: str, number: float) -> None:
    is_clock = CLOCKS.get(name) == number
    assert is_time(name, number) is is_clock
    row = f"{name},acc\n{number!r},0.5\n"
    for file, content in (
        ("m.csv", row),
        ("m.jsonl", json.dumps({name: number, "acc": 0.5})),
        ("m.json", json.dumps({name: number, "acc": 0.5})),
    ):
        (tmp_path / file).write_text(content)
        found = read_metrics(tmp_path / file)
        if name not in ("epoch", "total_timesteps"):
            assert (name in found.values) is not is_clock, file
            assert found.texts == ({name: str(number)} if is_clock else {})
    (tmp_path / "h.csv").write_text(f"step,{name},acc\n0,{number!r},0.5\n1,{number!r},0.6\n")
    by_steps = read_metrics(tmp_path / "h.csv")
    if name not in ("epoch", "total_timesteps"):
        assert (name in by_steps.values) is not is_clock
    assert by_steps.values["acc"] == 0.6


@pytest.mark.parametrize(
    "text", ["2026/11/29 10:00", "29.11.2026", "20261129-101112", "20261129T101112Z", "11/29/2026"]
)
def test_a_day_in_words_describes(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(f"epoch,when,acc\n0,{text},0.5\n")
    found = read_metrics(tmp_path / "m.csv")
    assert (found.values, found.texts, found.left_out) == ({"acc": 0.5}, {"when": text}, ())


@pytest.mark.parametrize(
    ("steps", "times", "order", "is_known"),
    [
        ([0, 1, 1, 2], None, [0, 1, 2, 3], True),
        ([2, 1, 1, 0], None, [3, 2, 1, 0], True),
        ([5, 0, 7, 9], None, [0, 1, 2, 3], True),
        ([5, 9, 7], None, [0, 2, 1], True),
        ([0, 1, 2, 0, 1], None, [0, 1, 2, 3, 4], True),
        ([2, 4, 4, 1, 3], None, [0, 1, 2, 3, 4], False),
        ([2, 1], [10.0, 11.0], [0, 1], True),
        ([4, 4, 1, 3], [13.0, 12.0, 11.0, 10.0], [3, 2, 1, 0], True),
        ([2, 1], [10.0, 10.0], [1, 0], True),
    ],
)
def test_the_order_of_points(steps: list[int], times: list[float] | None, order: list[int], is_known: bool) -> None:
    assert logged_order(steps, times) == (order, is_known)


@pytest.mark.parametrize(
    ("times", "order", "is_known"),
    [
        ([1.0, 2.0, 2.0], [0, 1, 2], True),
        ([3.0, 2.0, 1.0], [2, 1, 0], True),
        ([2.0, 3.0, 1.0], [2, 0, 1], True),
        ([1.0, 3.0, 1.0, 3.0], [0, 2, 1, 3], False),
        ([5.0, 5.0], [0, 1], True),
    ],
)
def test_the_order_of_rows_that_have_only_a_time(times: list[float], order: list[int], is_known: bool) -> None:
    assert order_by_time(times) == (order, is_known)


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("timestamp", ["1764410300", "1764410200", "1764410100.5"]),
        ("timestamp", ["2026-11-03T00:00:00.123Z", "2026-11-03T00:00:00+02:00", "2026-11-01T00:00:00"]),
        ("date", ["2026-11-03", "2026-11-02", "2026-11-01"]),
        ("date", ["20261103", "20261102", "20261031"]),
        ("time", ["2026/11/03 10:00", "2026/11/03 09:00", "2026/10/31 10:00"]),
    ],
)
def test_the_value_of_the_latest_time_counts(tmp_path: Path, name: str, times: list[str], quote: str) -> None:
    rows = [f"{quote}{time}{quote},{value}" for time, value in zip(times, (0.7, 0.8, 0.95), strict=True)]
    for order in (rows, rows[::-1], [rows[1], rows[0], rows[2]]):
        (tmp_path / "m.csv").write_text("\n".join([f"{name},accuracy", *order, ""]))
        found = read_metrics(tmp_path / "m.csv")
        assert (found.values, found.left_out) == ({"accuracy": 0.7}, ())
        assert found.series["accuracy"].steps == (0, 1, 2)
        assert found.series["accuracy"].values == (0.95, 0.8, 0.7)


def test_a_point_in_time_may_be_in_quotes(tmp_path: Path) -> None:
    clocks = {"timestamp": "1764410000", "ts": "1764410000.5", "created_at": "1764410000000", "date": "20261129"}
    (tmp_path / "m.json").write_text(json.dumps({"accuracy": "0.9", "train_time": "12.3", **clocks}))
    found = read_metrics(tmp_path / "m.json")
    assert (found.values, found.texts) == ({"accuracy": 0.9, "train_time": 12.3}, clocks)


def test_the_duration_of_a_row_does_not_name_it(tmp_path: Path) -> None:
    """The scoring history of H2O, whose first column is empty."""
    (tmp_path / "m.csv").write_text(
        ",timestamp,duration,number_of_trees,training_rmse\n"
        ",2026-11-29 10:00:00, 0.010 sec,0,0.5\n,2026-11-29 10:00:01, 1 min  0.110 sec,10,0.4\n"
    )
    found = read_metrics(tmp_path / "m.csv")
    assert found.values == {"number_of_trees": 10, "training_rmse": 0.4}
    assert [(one.name, one.why) for one in found.left_out] == [("duration", "text")]


def test_take_says_it_where_the_order_is_not_known(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("epoch,loss\n2,0.2\n4,0.4\n4,0.5\n1,0.1\n3,0.3\n")
    found = read_metrics(file)
    assert [(one.name, one.why) for one in found.left_out] == [("loss", "order")]
    for take, value in (("last", 0.3), ("max", 0.5), (4, 0.5), ("min", 0.1)):
        taken = read_metrics(file, reading=Reading(take=take))
        assert (taken.values, taken.left_out) == ({"loss": value}, ())
    file.write_text("epoch,loss\n2,0.2\n1,0.1\n0,0.3\n")
    assert read_metrics(file).values == {"loss": 0.2}
    assert read_metrics(file, reading=Reading(take="last")).values == {"loss": 0.3}
