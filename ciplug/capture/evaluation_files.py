"""The result files of evaluation tools, as rows of examples.

Their own numbering follows the order of a run, so an example is known by what it asks, and a prompt or a model that
has changed still meets its baseline. An answer that failed to come (a provider's error) has no score: NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ciplug.capture.example_table import Columns, ExampleTable, UniqueIds, content_id

PROMPTFOO_ERROR = 2
"""`failureReason` of a result whose provider failed; 1 is an assertion that failed."""


def promptfoo(document: Mapping[str, Any], columns: Columns, table: ExampleTable) -> None:
    """`promptfoo eval -o FILE.json` or `.jsonl`, of version 3 (0.1xx): `score`, `success`, `latency_ms`, `cost` and the
    named scores of each test. Slices are looked up in its metadata and its variables.

    A file of several prompts or providers has a row for each: the id then ends in the number of the column.
    """
    results = _list(_mapping(document.get("results"), "results", table).get("results"), "results.results", table)
    results = [_mapping(result, "results.results[…]", table) for result in results]
    several = len({str(result.get("promptIdx")) for result in results}) > 1
    # Results are written as they come in: twins of one content are told apart by the order of the tests.
    results.sort(key=_order)
    unique = UniqueIds()
    for result in results:
        variables = _fields(result.get("vars"))
        failed = result.get("failureReason") == PROMPTFOO_ERROR
        scores = {
            **_fields(result.get("namedScores")),
            "score": result.get("score"),
            "success": result.get("success"),
            "latency_ms": result.get("latencyMs"),
            "cost": result.get("cost"),
        }
        column = f"/{result.get('promptIdx')}" if several else ""
        table.add(
            id=unique(content_id(variables) + column),
            prediction=_fields(result.get("response")).get("output"),
            scores=dict.fromkeys(scores, math.nan) if failed else scores,
            fields={**variables, **_fields(result.get("metadata"))},
        )


def _order(result: Mapping[str, Any]) -> tuple[int, int]:
    numbers = result.get("testIdx"), result.get("promptIdx")
    return tuple(number if isinstance(number, int) else 0 for number in numbers)  # type: ignore[return-value]


def deepeval(document: Mapping[str, Any], columns: Columns, table: ExampleTable) -> None:
    """DeepEval's test run (DEEPEVAL_RESULTS_FOLDER/test_run_*.json, 3.x and 4.x): for each metric its score under its
    name, `NAME/success`, and `success` of the whole case. Slices are looked up in its additional metadata.
    """
    unique = UniqueIds()
    cases = [
        *_list(document.get("testCases"), "testCases", table),
        *_list(document.get("conversationalTestCases") or [], "conversationalTestCases", table),
    ]
    for case in cases:
        case = _mapping(case, "testCases[…]", table)
        scores: dict[str, Any] = {"success": case.get("success")}
        for metric in _list(case.get("metricsData") or [], "metricsData", table):
            metric = _mapping(metric, "metricsData[…]", table)
            name = str(metric.get("name"))
            failed = metric.get("score") is None or metric.get("error") is not None
            scores[name] = math.nan if failed else metric["score"]
            scores[f"{name}/success"] = math.nan if failed else metric.get("success")
        if any(isinstance(score, float) and math.isnan(score) for score in scores.values()):
            scores["success"] = math.nan
        asked = [case.get(key) for key in ("input", "expectedOutput", "context", "scenario", "expectedOutcome")]
        table.add(
            id=unique(content_id(*asked)),
            label=case.get("expectedOutput"),
            prediction=case.get("actualOutput"),
            scores=scores,
            fields={"name": case.get("name"), **_fields(case.get("additionalMetadata") or case.get("metadata"))},
        )


def lm_eval(rows: Iterable[Mapping[str, Any]], prefix: str, columns: Columns, table: ExampleTable) -> None:
    """lm-evaluation-harness, `--log_samples` (0.4): the metrics of each document under their names, followed by a comma
    and the filter where it is not "none", as the harness has it. Slices are looked up in the document.

    Args:
        prefix: of the ids and metrics, where one table holds several tasks.
    """
    documents: dict[str, dict[str, Any]] = {}
    for row in rows:
        metrics = row.get("metrics")
        if not isinstance(metrics, list) or "doc_hash" not in row:
            raise table.wrong("a sample of lm-evaluation-harness names its metrics and its doc_hash")
        suffix = "" if row.get("filter") in (None, "none") else f",{row['filter']}"
        # The number of a document alone does not say that it is the same document.
        key = f"{prefix}{row.get('doc_id')}:{str(row['doc_hash'])[:12]}"
        kept = documents.setdefault(key, {"row": row, "scores": {}})
        kept["scores"].update({f"{prefix}{name}{suffix}": row.get(str(name)) for name in metrics})
    for key, kept in documents.items():
        row = kept["row"]
        answers = row.get("filtered_resps")
        table.add(
            id=key,
            label=row.get("target"),
            prediction=answers[0] if isinstance(answers, list) and len(answers) == 1 else None,
            scores=kept["scores"],
            fields={"task": prefix.rstrip("/"), **_fields(row.get("doc"))},
        )


ANSWERS = ("predictions", "prediction", "outputs", "output")
TARGETS = ("targets", "target", "ground_truth", "label", "expected_response")


def mlflow(document: Mapping[str, Any], columns: Columns, table: ExampleTable) -> None:
    """`eval_results_table.json`, the artifact of mlflow.evaluate (2.x, 3.x): the columns `NAME/score` under NAME, and
    every other column of numbers. An example is known by the column of ids if there is one, else by `inputs`, else by
    its texts that are neither answers nor a judge's words.
    """
    names = [str(name) for name in _list(document.get("columns"), "columns", table)]
    if len(set(names)) < len(names):
        raise table.wrong("a column stands twice")
    unique = UniqueIds()
    answer = next((name for name in (columns.prediction, *ANSWERS) if name in names), None)
    target = next((name for name in (columns.label, *TARGETS) if name in names), None)
    for number, cells in enumerate(_list(document.get("data"), "data", table), 1):
        if not isinstance(cells, list) or len(cells) != len(names):
            raise table.wrong(f"row {number} of data does not fit the columns")
        row = dict(zip(names, cells, strict=True))
        texts = {name: value for name, value in row.items() if name != answer and "/" not in name}
        if columns.id in row:
            key = row[columns.id]
        elif "inputs" in row:
            key = unique(content_id(row["inputs"]))
        else:
            key = unique(content_id({name: v for name, v in texts.items() if not isinstance(v, (int, float))}))
        skipped = {answer, target, columns.id, columns.cluster, *columns.slices}
        table.add(
            id=key,
            label=row.get(target) if target else None,
            prediction=row.get(answer) if answer else None,
            scores={name.removesuffix("/score"): value for name, value in row.items() if name not in skipped},
            fields=row,
        )


def _mapping(value: object, where: str, table: ExampleTable) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise table.wrong(f"'{where}' is no object")
    return value


def _fields(value: object) -> Mapping[str, Any]:
    """What a tool leaves out, or sets to null, where it has nothing to say."""
    return value if isinstance(value, dict) else {}


def _list(value: object, where: str, table: ExampleTable) -> list[Any]:
    if not isinstance(value, list):
        raise table.wrong(f"'{where}' is no list")
    return value
