"""The result files of evaluation tools, as rows of examples.

The tools number examples in the order of a run, so the id of an example is made of its question: a changed prompt or
model still meets its baseline. An answer that failed to come (a provider's error) has no score: NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ciplug.capture.example_table import Columns, ExampleTable, UniqueIds, content_id
from ciplug.capture.tables.json_text import JsonLines, as_object, parse_document
from ciplug.capture.tables.source import Source

MARKS = {
    "promptfoo": {"evalId", "results"},
    "deepeval": {"testCases"},
    "mlflow": {"columns", "data"},
    "lm-eval-results": {"results", "configs", "n-samples"},
}
"""Tool → the keys by which its JSON object is recognised."""
LINE_MARKS = {"lm-eval": {"doc_id", "doc_hash", "metrics"}, "promptfoo": {"promptIdx", "testCase"}}
"""Tool → the keys by which its first line of JSON lines is recognised."""
PROMPTFOO_ERROR = 2
"""`failureReason` of a result whose provider failed; 1 is an assertion that failed."""


def tool_of_document(source: Source, document: Mapping[str, Any]) -> str:
    """The tool that wrote a JSON object. Raises InputError where no tool is recognised."""
    for tool, keys in MARKS.items():
        if keys <= document.keys():
            return tool
    what = f"a list of objects is expected, or the results of one of {', '.join(MARKS)}"
    raise source.wrong(what, hint="name the format")


def tool_of_line(first: Mapping[str, Any]) -> str | None:
    """The tool that wrote JSON lines, by the first of them; None: a table."""
    return next((tool for tool, keys in LINE_MARKS.items() if keys <= first.keys()), None)


def promptfoo(source: Source, columns: Columns, table: ExampleTable) -> None:
    """Read what `promptfoo eval -o FILE.json` or `.jsonl` writes, version 3 (0.1xx).

    Columns are `score`, `success`, `latency_ms`, `cost` and the named scores of each test. Slices are looked up in its
    metadata and its variables.

    A file of several prompts or providers has a row for each: the id then ends in the number of the column.
    """
    if source.extension == ".json":
        outer = _mapping(_document(source).get("results"), "results", table)
        results = _list(outer.get("results"), "results.results", table)
    else:
        results = [row.values for row in JsonLines(source).rows()]
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


def deepeval(source: Source, columns: Columns, table: ExampleTable) -> None:
    """Read DeepEval's test run: DEEPEVAL_RESULTS_FOLDER/test_run_*.json, 3.x and 4.x.

    Each metric has its score under its name, and `NAME/success`; `success` is that of the whole case. Slices are looked
    up in its additional metadata.
    """
    document = _document(source)
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
        question = [case.get(key) for key in ("input", "expectedOutput", "context", "scenario", "expectedOutcome")]
        table.add(
            id=unique(content_id(*question)),
            label=case.get("expectedOutput"),
            prediction=case.get("actualOutput"),
            scores=scores,
            fields={"name": case.get("name"), **_fields(case.get("additionalMetadata") or case.get("metadata"))},
        )


def lm_eval(source: Source, columns: Columns, table: ExampleTable) -> None:
    """Read what lm-evaluation-harness writes with `--log_samples`, 0.4.

    The metrics of each document are under their names, followed by a comma and the filter where it is not "none", as
    the harness has it. Slices are looked up in the document.
    """
    _samples((row.values for row in JsonLines(source).rows()), "", table)


def lm_eval_results(source: Source, columns: Columns, table: ExampleTable) -> None:
    """The samples beside the results of the same run: samples_TASK_TIME.jsonl, results_TIME.json."""
    time = source.path.stem.removeprefix("results")
    tasks = _mapping(_document(source).get("n-samples"), "n-samples", table)
    missing = 0
    for task in tasks:
        name = f"samples_{task}{time}.jsonl"
        samples = source.path.parent / name
        if samples.name == name and samples.is_file():
            _samples((row.values for row in JsonLines(Source(samples)).rows()), f"{task}/", table)
        else:
            missing += 1
    if missing:
        hint = "run lm_eval with --log_samples, and keep its folder together"
        raise table.wrong(f"the samples of {missing} of {len(tasks)} tasks are not beside it", hint=hint)


def _samples(rows: Iterable[Mapping[str, Any]], prefix: str, table: ExampleTable) -> None:
    """Add the samples of one task. `prefix` is put before its ids and metrics, where a table holds several tasks."""
    documents: dict[str, dict[str, Any]] = {}
    for row in rows:
        metrics = row.get("metrics")
        if not isinstance(metrics, list) or "doc_hash" not in row:
            raise table.wrong("a sample of lm-evaluation-harness without its metrics or its doc_hash")
        suffix = "" if row.get("filter") in (None, "none") else f",{row['filter']}"
        # Another document may have the same number in another run.
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


def mlflow(source: Source, columns: Columns, table: ExampleTable) -> None:
    """Read `eval_results_table.json`, the artifact of mlflow.evaluate, 2.x and 3.x.

    The columns `NAME/score` are under NAME, and every other column of numbers is under its own name. The id is the
    column of ids if there is one, else made of `inputs`, else of the texts that are neither answers nor a judge's
    words.
    """
    document = _document(source)
    names = [str(name) for name in _list(document.get("columns"), "columns", table)]
    if len(set(names)) < len(names):
        raise table.wrong("duplicate column")
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
        skipped = {answer, target, columns.id, columns.cluster, columns.weight, *columns.slices}
        table.add(
            id=key,
            label=row.get(target) if target else None,
            prediction=row.get(answer) if answer else None,
            scores={name.removesuffix("/score"): value for name, value in row.items() if name not in skipped},
            fields=row,
        )


def _document(source: Source) -> dict[str, Any]:
    return as_object(source, parse_document(source))


def _mapping(value: object, where: str, table: ExampleTable) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise table.wrong(f"'{where}' is not an object")
    return value


def _fields(value: object) -> Mapping[str, Any]:
    """A mapping that a tool leaves out, or sets to null, where it is empty."""
    return value if isinstance(value, dict) else {}


def _list(value: object, where: str, table: ExampleTable) -> list[Any]:
    if not isinstance(value, list):
        raise table.wrong(f"'{where}' is not a list")
    return value
