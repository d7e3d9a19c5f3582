"""JSON documents and tables of known tools, whose names or settings are not those of metrics. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ciplug.capture.tables.duplicate_names import with_twice
from ciplug.capture.tables.table import Row

LOG = "log_history"
"""A list of what was logged, in the trainer_state.json of transformers: its names stand for themselves."""
_EVALUATION = {"versions", "config_general", "n-shot"}
"""One of these keys stands beside the results of a tool that evaluates language models …"""
_FILTERED = re.compile(r"\w+,[\w-]+")
"""… or a metric of them is named with the filter of the answers: `acc,none`."""
_ABOUT = ("date", "git_hash", "model_name")
_FOLDS = {"fit_time", "score_time"}
"""Of scikit-learn's cross_validate."""
_RAY = {"training_iteration", "trial_id"}
_RAY_ABOUT = ("config", "pid", "node_ip", "hostname")
"""What Ray writes into each row of its results: the settings and the process."""


def object_of(document: Any) -> dict[str, Any] | None:
    """Return the document of a known tool with the names of its metrics; None for any other."""
    for reader in (_catboost, _evaluation, _one_row, _kubeflow, _component, _benchmarks):
        if entries := reader(document):
            return entries
    return None


def rows_of(document: Any, steps: Collection[str]) -> list[dict[str, Any]] | None:
    """Return the rows of a document that is a table of pandas or scikit-learn; None for any other.

    Args:
        steps: names in lower case of columns that give the step.
    """
    return _split(document) or _table(document) or _folds(document) or _columns(document, steps)


def without_settings(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows of Ray's results without what is about the trial; any other rows as they are."""
    for row in rows:
        if row.values.keys() >= _RAY:
            values = {name: one for name, one in row.values.items() if name.partition("/")[0] not in _RAY_ABOUT}
            row = row._replace(values=values)
        yield row


def are_folds(names: Collection[str]) -> bool:
    """Whether columns are those of cross_validate, which has a row for each fold."""
    return set(names) >= _FOLDS and any(name.startswith("test_") for name in names)


def _catboost(document: Any) -> dict[str, Any] | None:
    """CatBoost's catboost_training.json, whose lists of values have their names in `meta`, as a log."""
    try:
        names = {kind: [one["name"] for one in document["meta"][f"{kind}_metrics"]] for kind in ("learn", "test")}
        rows = [
            {
                name: dict(zip(names[name], value, strict=True)) if name in names else value
                for name, value in one.items()
            }
            for one in document["iterations"]
        ]
        about = {name: value for name, value in document["meta"].items() if not isinstance(value, list)}
        others = {name: value for name, value in document.items() if name != "iterations"}
        return {**others, "meta": about, LOG: rows}
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _evaluation(document: Any) -> dict[str, Any] | None:
    """The results of lm-evaluation-harness or lighteval, whose tasks have names of their own.

    Beside the results stand pages of settings, and of these only single numbers and what names the model are kept.
    """
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict) or not all(isinstance(task, dict) for task in results.values()):
        return None
    if not (
        _EVALUATION & document.keys() or any(_FILTERED.fullmatch(name) for task in results.values() for name in task)
    ):
        return None
    about = {name: one for name, one in document.items() if name in _ABOUT or isinstance(one, (int, float))}
    general = document.get("config_general")
    if isinstance(general, dict) and isinstance(general.get("model_name"), str):
        about.setdefault("model_name", general["model_name"])
    return {**about, **results}


def _one_row(document: Any) -> dict[str, Any] | None:
    """A DataFrame of one row, by pandas: {"accuracy": {"0": 0.9}}."""
    if not isinstance(document, dict) or not document:
        return None
    if not all(isinstance(one, dict) and list(one) == ["0"] for one in document.values()):
        return None
    return {name: one["0"] for name, one in document.items()}


def _kubeflow(document: Any) -> dict[str, Any] | None:
    """The metrics of a step of Kubeflow Pipelines: {"metrics": [{"name": "accuracy-score", "numberValue": 0.9}]}."""
    if not isinstance(document, dict) or document.keys() != {"metrics"} or not _is_list(document["metrics"], dict):
        return None
    listed = document["metrics"]
    if not all(isinstance(one.get("name"), str) and "numberValue" in one for one in listed):
        return None
    return with_twice([(one["name"], one["numberValue"]) for one in listed])


def _component(document: Any) -> dict[str, Any] | None:
    """What a component of Kubeflow Pipelines 2 returns, and the metrics of its artifacts, in executor_output.json.

    {"parameterValues": {…}, "artifacts": {"metrics": {"artifacts": [{"uri": …, "metadata": {"accuracy": 0.9}}]}}}
    """
    if not isinstance(document, dict) or not {"artifacts"} <= document.keys() <= {"artifacts", "parameterValues"}:
        return None
    try:
        lists = {
            name: [
                with_twice(
                    [*((key, value) for key, value in one.items() if key != "metadata"), *one["metadata"].items()]
                )
                for one in each["artifacts"]
            ]
            for name, each in document["artifacts"].items()
        }
    except (TypeError, KeyError, AttributeError):
        return None
    values = document.get("parameterValues", {})
    if not isinstance(values, dict) or not all(_is_list(each, dict) for each in lists.values()):
        return None
    return with_twice([*values.items(), *((name, each if each[1:] else each[0]) for name, each in lists.items())])


def _benchmarks(document: Any) -> dict[str, Any] | None:
    """The data of github-action-benchmark, whose suites have the results of each commit, the newest last.

    Who made the commits, and when, is not about the benchmarks.
    """
    if not isinstance(document, dict) or document.keys() != {"lastUpdate", "repoUrl", "entries"}:
        return None
    try:
        return {
            suite: [with_twice([pair for one in commit["benches"] for pair in _benchmark(one)]) for commit in commits]
            for suite, commits in document["entries"].items()
        }
    except (TypeError, KeyError, AttributeError):
        return None


def _benchmark(one: dict[str, Any]) -> list[tuple[str, Any]]:
    """The value of a benchmark, with its unit and range, but without the text that its tooltip shows."""
    name = one["name"]
    if not isinstance(name, str):
        raise TypeError
    others = [(f"{name}/{key}", value) for key, value in one.items() if key not in ("name", "value", "extra")]
    return [(name, one["value"]), *others]


def _columns(document: Any, steps: Collection[str]) -> list[dict[str, Any]] | None:
    """A DataFrame of several rows, by pandas: {"epoch": {"0": 1, "1": 2}, "loss": {"0": 0.9, "1": 0.5}}.

    Values of classes that are called 0 and 1 have the same form. So one column must have texts, or give the step.
    """
    if not isinstance(document, dict) or not all(isinstance(one, dict) for one in document.values()):
        return None
    count = len(next(iter(document.values()), ()))
    if count < 2 or not all(list(one) == [str(row) for row in range(count)] for one in document.values()):
        return None
    if any(isinstance(cell, (dict, list)) for one in document.values() for cell in one.values()):
        return None
    if not any(
        name.lower() in steps or all(isinstance(cell, str) for cell in one.values()) for name, one in document.items()
    ):
        return None
    return [{name: one[str(row)] for name, one in document.items()} for row in range(count)]


def _split(document: Any) -> list[dict[str, Any]] | None:
    """A DataFrame with orient="split", as MLflow's log_table writes it too."""
    if not isinstance(document, dict) or not {"columns", "data"} <= document.keys() <= {"columns", "data", "index"}:
        return None
    columns, data, index = document["columns"], document["data"], document.get("index")
    if not _is_list(columns, str) or not _is_list(data, list) or len(set(columns)) != len(columns):
        return None
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        return None
    if not all(len(row) == len(columns) for row in data):
        return None
    names = [None] * len(data) if index is None else index
    return [
        {**({"": name} if index is not None else {}), **dict(zip(columns, row, strict=True))}
        for name, row in zip(names, data, strict=True)
    ]


def _table(document: Any) -> list[dict[str, Any]] | None:
    """A DataFrame with orient="table"."""
    if not isinstance(document, dict) or document.keys() != {"schema", "data"}:
        return None
    schema, data = document["schema"], document["data"]
    return data if isinstance(schema, Mapping) and "pandas_version" in schema and _is_list(data, dict) else None


def _folds(document: Any) -> list[dict[str, Any]] | None:
    """The result of cross_validate: lists with a number for each fold."""
    if not isinstance(document, dict) or not are_folds(document) or not _is_list([*document.values()], list):
        return None
    if len({len(one) for one in document.values()}) != 1:
        return None
    return [dict(zip(document, row, strict=True)) for row in zip(*document.values(), strict=True)]


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, kind) for one in value)
