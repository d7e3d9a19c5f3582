"""The JSON of Evidently and NannyML as numbers that gates may name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ciplug.capture.result_files import merged, read_results
from ciplug.errors import InputError

DATA = Path(__file__).parents[1] / "data" / "monitoring"
OLD_REPORT = {
    "version": "0.4.40",
    "timestamp": "2026-11-30 03:00:00",
    "metrics": [
        {"metric": "DatasetDriftMetric", "result": {"share_of_drifted_columns": 0.25, "dataset_drift": False}},
        {"metric": "ColumnDriftMetric", "result": {"column_name": "age", "drift_score": 0.7, "current": {"x": [1]}}},
        {"metric": "ColumnDriftMetric", "result": {"column_name": "sex", "drift_score": math.nan}},
    ],
}
OLD_SUITE = {"version": "0.4.40", "tests": [{"name": "a", "status": "SUCCESS"}, {"name": "b", "status": "FAIL"}]}
REPORT = {
    "metrics": [
        {
            "id": "1",
            "metric_name": "DriftedColumnsCount(drift_share=0.5)",
            "config": {},
            "value": {"count": 3, "share": 0.3},
        },
        {"id": "2", "metric_name": "Accuracy()", "config": {}, "value": 0.8},
    ],
    "tests": [{"id": "1", "name": "n", "status": "TestStatus.FAIL".partition(".")[2], "metric_config": {}}],
}
NANNY = [
    {"chunk_key": "a", "chunk_period": "reference", "roc_auc_value": 0.99, "roc_auc_alert": False},
    {
        "chunk_key": "b",
        "chunk_period": "analysis",
        "chunk_end_date": 1764471600000,
        "roc_auc_value": 0.8,
        "roc_auc_alert": True,
    },
]


@pytest.mark.parametrize(
    ("document", "values", "made"),
    [
        (
            OLD_REPORT,
            {
                "evidently/DatasetDriftMetric/share_of_drifted_columns": 0.25,
                "evidently/DatasetDriftMetric/dataset_drift": 0.0,
                "evidently/ColumnDriftMetric/age/drift_score": 0.7,
                "evidently/ColumnDriftMetric/sex/drift_score": math.nan,
            },
            1796007600.0,
        ),
        (OLD_SUITE, {"evidently/tests/total": 2.0, "evidently/tests/failed": 1.0}, None),
        (
            REPORT,
            {
                "evidently/DriftedColumnsCount(drift_share=0.5)/count": 3.0,
                "evidently/DriftedColumnsCount(drift_share=0.5)/share": 0.3,
                "evidently/Accuracy()": 0.8,
                "evidently/tests/total": 1.0,
                "evidently/tests/failed": 1.0,
            },
            None,
        ),
        (NANNY, {"nannyml/roc_auc_value": 0.8, "nannyml/roc_auc_alert": 1.0, "nannyml/alerts": 1.0}, 1764471600.0),
    ],
)
def test_forms(tmp_path: Path, document: Any, values: dict[str, float], made: float | None) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(document))
    found = read_results(file)
    assert found.values == pytest.approx(values, nan_ok=True) and found.made == made
    with pytest.raises(InputError, match="is in another file of results, too"):
        merged({file: found, tmp_path / "other.json": found})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "evidently_04_report",
            {
                "DatasetDriftMetric/share_of_drifted_columns": 0.75,
                "DataDriftTable/drift_by_columns/color/drift_detected": 0.0,
            },
        ),
        ("evidently_04_suite", {"tests/total": 5.0, "tests/failed": 4.0}),
        ("evidently_07", {"DriftedColumnsCount(drift_share=0.5)/share": 0.75, "tests/failed": 4.0}),
        ("nannyml_performance", {"roc_auc_value": 0.8534961154, "alerts": 0.0}),
        ("nannyml_drift", {"alcohol_kolmogorov_smirnov_value": 0.3308571429, "alerts": 1.0}),
    ],
)
def test_files_that_the_tools_wrote(name: str, expected: dict[str, float]) -> None:
    """By Evidently 0.7.23 (with its `legacy` part) and NannyML 0.13.1, from 300 and 500 rows with a shift."""
    found = read_results(DATA / f"{name}.json")
    values = {key.partition("/")[2]: value for key, value in found.values.items()}
    assert {key: values[key] for key in expected} == expected
    assert (found.made is None) == (name == "evidently_07")


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", '{"metrics": 3}', '{"metrics": [{"metric": {}}]}', "nothing"])
def test_anything_else_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"not a result that ciplug reads|not JSON"):
        read_results(tmp_path / "result.json")
