"""Several runs side by side: as tables for a terminal, as Markdown, as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ciplug.errors import counted
from ciplug.records.canonical import plain
from ciplug.records.run_diff import CodeDiff, FileFact, Part, RunDiff, SeriesSummary, Value
from ciplug.reports import number_format, text, untrusted

_FILES_MOST = 20
"""Files of code that are listed."""
_ID = 12


def as_json(found: RunDiff) -> dict[str, Any]:
    """The differences with exact values: part → name → the value in each run, null where a run has none."""
    return {
        "schema": 1,
        "runs": [
            {"name": name, "id": run.id, "model": run.model, "commit": run.commit, "started": run.started or None}
            for name, run in zip(found.names, found.runs, strict=True)
        ],
        "parts": {
            part: {name: list(map(plain, values)) for name, values in rows.items()}
            for part, rows in found.parts.items()
        },
        "same": dict(found.same),
        "code": [{"files": [], **plain(one)} for one in found.code],
    }


def as_markdown(found: RunDiff) -> str:
    """A table for each part."""
    from tabulate import tabulate

    blocks = []
    for title, headers, rows in _tables(found):
        cells = [[untrusted.escape_markdown(cell) for cell in row] for row in rows]
        heads = [untrusted.escape_markdown(cell) for cell in (title, *headers)]
        blocks.append(tabulate(cells, heads, tablefmt="github", disable_numparse=True))
    blocks += [untrusted.escape_markdown(line) for line in _closing(found)]
    return "\n\n".join(blocks)


def as_text(found: RunDiff, width: int | None = None) -> str:
    """A table for each part, as narrow as `width` where that is given: in several tables, if the runs have no room."""
    from tabulate import tabulate

    from ciplug.reports.narrow_table import in_parts

    blocks = []
    for title, headers, rows in _tables(found):
        titles = [title, *(untrusted.clean(header, untrusted.NAME_LIMIT) for header in headers)]
        body = [[untrusted.clean(cell, 120) for cell in row] for row in rows]
        for heads, *lines in in_parts(titles, body, width) if width else [[titles, *body]]:
            blocks.append(tabulate(lines, heads, tablefmt="simple", disable_numparse=True))
    blocks.append("\n".join(untrusted.clean(line, 400) for line in _closing(found)))
    return untrusted.defuse("\n\n".join(filter(None, blocks)))


def _tables(found: RunDiff) -> list[tuple[str, list[str], list[list[str]]]]:
    """The title, the other headers and the rows of each table."""
    labels = [_label(name, run.id) for name, run in zip(found.names, found.runs, strict=True)]
    tables: list[tuple[str, list[str], list[list[str]]]] = []
    for part, rows in found.parts.items():
        change = part == "metrics" and len(labels) == 2
        body = [[name, *_cells(part, values), *([_change(values)] if change else [])] for name, values in rows.items()]
        tables.append((part, [*labels, *(["change"] if change else [])], body))
    for label, code in zip(labels[1:], found.code, strict=True):
        if code.files:
            title = f"code, {_short(code.before)} → {_short(code.after)}" if len(labels) == 2 else f"code of {label}"
            tables.append((title, ["lines"], _changed(code)))
    return tables


def _label(name: str, run_id: str) -> str:
    short = run_id[:_ID]
    return short if run_id.startswith(name) else f"{name} ({short})"


def _short(commit: str | None) -> str:
    return commit[:8] if commit else "-"


def _changed(code: CodeDiff) -> list[list[str]]:
    rows = [
        [f"{file.before} → {file.path}" if file.before else file.path, _lines(file.added, file.removed)]
        for file in code.files[:_FILES_MOST]
    ]
    more = len(code.files) - len(rows)
    added = sum(file.added or 0 for file in code.files)
    removed = sum(file.removed or 0 for file in code.files)
    total = [
        f"{counted(len(code.files), 'file')}{f', {more} more than listed' if more else ''}",
        _lines(added, removed),
    ]
    return [*rows, total]


def _lines(added: int | None, removed: int | None) -> str:
    return "binary" if added is None or removed is None else f"+{added} −{removed}"


def _closing(found: RunDiff) -> list[str]:
    """What stands below the tables: what is not known, and what is alike."""
    lines = [f"code: {code.problem}" for code in found.code if code.problem]
    if found.code and all(code.problem is None and code.before == code.after for code in found.code):
        lines.append(f"code: all are of commit {_short(found.runs[0].commit)}")
    elif any(code.problem is None and code.before != code.after and not code.files for code in found.code):
        lines.append("code: the commits have the same files")
    same = [f"{count} {_NOUNS[part][count != 1]}" for part, count in found.same.items()]
    if same:
        lines.append(f"alike in all runs: {', '.join(same)} (--all shows them)")
    return lines


_NOUNS: dict[Part, tuple[str, str]] = {
    "run": ("fact of the run", "facts of the runs"),
    "params": ("parameter", "parameters"),
    "metrics": ("metric", "metrics"),
    "series": ("series", "series"),
    "environment": ("fact of the environment", "facts of the environment"),
    "packages": ("package", "packages"),
    "datasets": ("dataset", "datasets"),
    "artifacts": ("artifact", "artifacts"),
    "tags": ("tag", "tags"),
}


def _cells(part: Part, values: Sequence[Value | None]) -> list[str]:
    if part == "metrics":
        return number_format.numbers([float(v) if isinstance(v, (int, float)) else None for v in values])
    return [_cell(value, _FORMS.get(part)) for value in values]


def _cell(value: Value | None, form: Callable[[Any], str] | None) -> str:
    if value is None:
        return number_format.ABSENT
    if isinstance(value, SeriesSummary):
        return series_words(value)
    if isinstance(value, FileFact):
        digest = value.digest.removeprefix("sha256:")[:_ID]
        about = [number_format.size(value.size)] if value.size is not None else []
        about += [] if value.is_here else ["not kept"]
        return f"{digest} ({', '.join(filter(None, about))})" if about else digest
    return form(value) if form else text.scalar(value)


def series_words(series: SeriesSummary) -> str:
    """The steps of a metric in a few words: `30 steps, last 0.31, 0.3 to 0.9`."""
    lowest, highest = number_format.number(series.min), number_format.number(series.max)
    return f"{counted(series.steps, 'step')}, last {number_format.number(series.last)}, {lowest} to {highest}"


def _run_fact(value: Any) -> str:
    return number_format.number(value) if isinstance(value, float) else text.scalar(value)


_FORMS: dict[Part, Callable[[Any], str]] = {"run": _run_fact}


def _change(values: Sequence[Value | None]) -> str:
    before, after = values
    if not isinstance(before, (int, float)) or not isinstance(after, (int, float)):
        return ""
    change = after - before
    if not math.isfinite(change) or change == 0:
        return ""
    shown = number_format.signed(number_format.number(abs(change)), change)
    relative = f" ({number_format.percent(change / abs(before))})" if before else ""
    return shown + relative
