"""The table of known tools in docs/files.md: each row with the file that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ciplug.capture.metric_files import read_metrics

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/metrics"
PAGE = (ROOT / "docs/files.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- table: the files of known tools -->")[2].partition("<!-- /table -->")[0]
_ROW = re.compile(r"\| .* \| `(?P<file>[^`]+)` \| `(?P<name>[^`]+)` = (?P<value>\S+) \| (?P<steps>[\d, ]*)\|")
ROWS = [match for line in TABLE.splitlines() if (match := _ROW.fullmatch(line))]


def test_the_table_is_whole() -> None:
    assert len(ROWS) == sum(line.startswith("| ") for line in TABLE.splitlines()) - 1 > 30
    named = {row["file"].partition("/")[0] for row in ROWS}
    assert named | {"pandas_no_index.csv"} == {path.name for path in DATA.iterdir()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_row(row: re.Match[str]) -> None:
    if row["file"].startswith("tensorboard"):
        pytest.importorskip("tensorboard")
    found = read_metrics(DATA / row["file"])
    name = row["name"].replace("\\|", "|")
    assert found.values[name] == float(row["value"])
    steps = [int(step) for step in row["steps"].split(",") if step.strip()]
    assert list(found.series[name].steps if name in found.series else ()) == steps


def test_what_stands_beside_the_numbers() -> None:
    fastai = read_metrics(DATA / "fastai_history.csv")
    assert (fastai.texts, fastai.left_out) == ({"time": "00:00"}, ())
    detectron = read_metrics(DATA / "detectron2_metrics.json")
    assert (detectron.values["time"], detectron.texts) == (0.00038856750006743823, {})
    assert detectron.series["time"].steps == (19, 39, 59)
    wandb = read_metrics(DATA / "wandb_history.jsonl")
    assert "_timestamp" not in wandb.values and wandb.series["loss"].times == (
        1795954226.2414036,
        1795954226.2432406,
        1795954226.2470202,
        1795954226.2815883,
    )
    lm_eval = read_metrics(DATA / "lm_eval_results.json")
    assert lm_eval.values.keys() - {"total_evaluation_time_seconds"} == {
        "yesno/sample_len",
        *(f"yesno/{name},none" for name in ("acc", "acc_stderr", "acc_norm", "acc_norm_stderr")),
    }
    assert {one.name: one.why for one in lm_eval.left_out} == {"git_hash": "null"}
    assert lm_eval.texts["model_name"] == "dummy"
    lighteval = read_metrics(DATA / "lighteval_results.json")
    assert (lighteval.texts, lighteval.left_out) == ({"model_name": "example/tiny"}, ())
    # Neither the authors of the commits nor their times are about the benchmarks.
    benchmarks = read_metrics(DATA / "github_action_benchmark_data.json")
    assert benchmarks.values == {
        "My Custom Benchmark/CPU Load": 40,
        "My Custom Benchmark/Memory Used": 104,
        "My Custom Benchmark/Memory Used/range": 3,
    }
    assert benchmarks.texts == {
        "My Custom Benchmark/CPU Load/unit": "Percent",
        "My Custom Benchmark/Memory Used/unit": "Megabytes",
    }
    assert benchmarks.left_out == ()
    h2o = read_metrics(DATA / "h2o_scoring_history.csv")
    assert [(one.name, one.found) for one in h2o.left_out] == [("duration", "1.483 sec")]
    kubeflow = read_metrics(DATA / "kubeflow_executor_output.json")
    assert kubeflow.values["Output"] == 0.9
    assert kubeflow.series["roc/confidenceMetrics/recall"].values == (0.0, 0.9, 1.0)


def test_only_the_results_of_an_evaluation_tool_lose_their_prefix(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for text, name in (
        ('{"results": {"a": {"acc": 0.5}}, "versions": {"a": 1}}', "a/acc"),
        ('{"results": {"a": {"acc": 0.5}}, "lr": 0.1}', "results/a/acc"),
        ('{"results": {"versions": {"acc": 0.5}}, "versions": {"a": 1}}', "versions/acc"),
        ('{"results": {"a": {"acc,none": 0.5}}, "config": {"batch_size": 8}}', "a/acc,none"),
        ('{"results": {"acc": 0.5}, "versions": 1}', "results/acc"),
    ):
        path.write_text(text)
        found = read_metrics(path)
        assert found.values[name] == 0.5
        # Settings beside the results of an evaluation are not metrics.
        assert name.startswith("results/") or len(found.values) == 1
