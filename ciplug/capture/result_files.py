"""Results of other tools that watch models, as numbers that gates may name.

Read are the JSON of Evidently (reports and test suites of 0.4, reports of 0.7) and of NannyML 0.13
(`results.to_df(multilevel=False).to_json(FILE, orient="records")`). To add a tool: a function that returns
`Results` or None, listed in `_TOOLS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciplug.capture.example_table import leaves
from ciplug.capture.prediction_files import seconds_of
from ciplug.capture.tables.json_text import parse_document
from ciplug.capture.tables.source import Source
from ciplug.errors import InputError
from ciplug.records.run import METRIC_NAME, metric_name

MOST = 10_000
"""Numbers of one file."""
_FAILED = ("FAIL", "ERROR")
_KNOWN = (
    "the JSON of an Evidently report or test suite, or of a NannyML result (to_df(multilevel=False), orient=records)"
)


@dataclass(frozen=True)
class Results:
    """The numbers of one file."""

    values: Mapping[str, float]
    made: float | None = None
    """When they were made, or the end of their data, in seconds since 1970; None where the file does not say so."""


def read_results(path: Path) -> Results:
    """Raises InputError for a file that is not a result of a tool that is known, or has too many numbers."""
    source = Source(path)
    document = parse_document(source)
    for tool in _TOOLS:
        try:
            found = tool(document)
        except (KeyError, TypeError, AttributeError, ValueError):
            found = None
        if found is not None:
            if len(found.values) > MOST:
                raise source.wrong(f"more than {MOST:,} numbers")
            return found
    raise source.wrong("it is not a result that ciplug reads", hint=f"expected is {_KNOWN}")


def merged(files: Mapping[Path, Results]) -> dict[str, float]:
    """The numbers of all files. Raises InputError where two have one name."""
    values: dict[str, float] = {}
    for path, results in files.items():
        if twice := sorted(values.keys() & results.values.keys()):
            raise InputError(f"{path}: '{twice[0][:100]}' is in another file of results, too")
        values.update(results.values)
    return values


def _evidently(document: Any) -> Results | None:
    if not isinstance(document, dict) or not ({"metrics", "tests"} & document.keys()):
        return None
    values: dict[str, float] = {}
    for metric in document.get("metrics", ()):
        if "metric_name" in metric:  # 0.7
            values.update(_numbers({metric["metric_name"]: metric["value"]}))
        else:
            result = metric["result"]
            of = result.get("column_name")
            name = f"{metric['metric']}/{of}" if isinstance(of, str) else metric["metric"]
            values.update(_numbers({name: result}))
    tests = document.get("tests", [])
    if tests:
        values["tests/total"] = float(len(tests))
        values["tests/failed"] = float(sum(_status(one) in _FAILED for one in tests))
    made = seconds_of(document.get("timestamp"))
    return Results({f"evidently/{name}": value for name, value in values.items()}, made) if values else None


def _status(test: Mapping[str, Any]) -> str:
    return str(test["status"]).upper()


def _nannyml(document: Any) -> Results | None:
    """The numbers of the last chunk of the analysis."""
    if not isinstance(document, list) or not document or "chunk_key" not in document[0]:
        return None
    chunks = [one for one in document if one.get("chunk_period") != "reference"]
    last = chunks[-1]
    own = {name: value for name, value in last.items() if not name.startswith("chunk_")}
    values = dict(_numbers(own))
    values["alerts"] = float(sum(value is True for name, value in own.items() if name.endswith("_alert")))
    made = last.get("chunk_end_date")
    return Results({f"nannyml/{name}": value for name, value in values.items()}, seconds_of(made))


_TOOLS = (_evidently, _nannyml)


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names and numbers, also of mappings in one another; true is 1. A NaN stays one: a gate on it is an error."""
    for name, value in leaves(values):
        if isinstance(value, (bool, int, float)) and METRIC_NAME.fullmatch(name):
            yield metric_name(name), float(value)
