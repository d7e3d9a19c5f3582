"""The report for a terminal or a CI log, and the plain tables of `ciplug compare`."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ciplug.errors import counted
from ciplug.records import canonical
from ciplug.records.verdict import UNRUN
from ciplug.reports import number_format, row_order, text, untrusted
from ciplug.reports import report as model
from ciplug.reports.crash import crash_of
from ciplug.reports.sparkline import sparkline
from ciplug.reports.unverified import CELL_LIMIT, HEADERS

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison, MetricDelta, Role, Side
    from ciplug.records.verdict import GateResult, Outcome
    from ciplug.reports.report import Column, ModelSection, Report

TableFormat = Literal["table", "markdown", "csv", "json"]

_RESET = "\x1b[0m"
_BOLD, _DIM, _RED, _GREEN, _YELLOW, _MAGENTA = (f"\x1b[{n}m" for n in (1, 2, 31, 32, 33, 35))
_OUTCOME_COLOURS: dict[Outcome, str] = {
    "PASS": _GREEN,
    "WARN": _YELLOW,
    "INCONCLUSIVE": _YELLOW,
    "FAIL": _RED,
    "ERROR": _MAGENTA,
}
_TREND_COLOURS = {"better": _GREEN, "worse": _RED, "missing": _RED, "undefined": _MAGENTA}

_OPTIONAL = ("history", "production", "target")
"""Columns that give way on a narrow terminal, in this order."""


def render(report: Report, *, colour: bool, width: int | None) -> str:
    """The report as lines of text; with ANSI colours if `colour`, for `width` columns (None: as wide as it is)."""
    ink = _Ink(colour)
    parts = []
    for section in report.sections:
        parts += _section(section, ink, width)
    if not report.sections:
        parts.append(ink("no model was recorded", _RED))
    for notice in report.unrun:
        words = _wrap(f"{UNRUN[notice.kind]}: {untrusted.clean(notice.line)}", width)
        parts.append(ink(words, _OUTCOME_COLOURS[UNRUN[notice.kind]]))
    if report.policy_note:
        parts.append(_wrap(f"policy: {untrusted.clean(report.policy_note)}", width))
    if found := report.unverified:
        cells = [[untrusted.clean(cell, CELL_LIMIT) for cell in row] for row in found.rows]
        parts.append(ink(found.title, _BOLD))
        parts.append(_draw(HEADERS, cells, ["left"] * len(HEADERS), "simple"))
        parts.append(ink(_wrap(found.words, width), _DIM))
    parts += [_note(note, ink, width) for note in report.notes]
    return untrusted.defuse("\n\n".join(parts)) + "\n"


def render_gates(gates: Sequence[GateResult], *, colour: bool, width: int | None) -> str:
    """The results of gates, one after the other."""
    ink = _Ink(colour)
    return untrusted.defuse("\n".join(_gate(gate, ink, width) for gate in gates))


def comparison_table(comparison: Comparison, fmt: TableFormat) -> str:
    """The metrics of a comparison, changed ones first, as `ciplug compare --format` prints them.

    csv and json hold the exact numbers under the names of the roles, and a NaN as the text "NaN". In csv, a name that a
    spreadsheet takes for a formula has an apostrophe before it.
    """
    if fmt == "json":
        return canonical.dumps(comparison).decode()
    if fmt == "csv":
        return _csv(comparison)
    markdown = fmt == "markdown"
    escape = untrusted.escape_markdown if markdown else untrusted.clean
    columns = model.columns(comparison)
    headers = ["metric", *(escape(c.label, untrusted.NAME_LIMIT) for c in columns), "change", ""]
    rows = [
        [
            escape(m.metric, untrusted.NAME_LIMIT),
            *_values(m, columns),
            number_format.change(m),
            number_format.judgement(m),
        ]
        for m in _ordered(comparison)
    ]
    align = ["left", *["right"] * (len(columns) + 1), "left"]
    table = _draw(headers, rows, align, "pipe" if markdown else "simple") + "\n"
    return table if markdown else untrusted.defuse(table)


# --- the report


class _Ink:
    """Wraps text in ANSI colours, or leaves it alone."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, words: str, *codes: str) -> str:
        return f"{''.join(codes)}{words}{_RESET}" if self.colour and words and codes else words


def _section(section: ModelSection, ink: _Ink, width: int | None) -> list[str]:
    comparison = section.comparison
    name = untrusted.clean(section.model, untrusted.NAME_LIMIT)
    parts = [f"{ink(name, _BOLD)}  {_verdict(section, ink)}\n{_compared(section, width)}"]
    if crash := crash_of(section.run):
        lines = [ink(": ".join(untrusted.clean(one) for one in (crash.words, crash.more)), _RED, _BOLD)]
        parts.append("\n".join([*lines, *(f"  {untrusted.output_line(line)}" for line in crash.lines)]))
    if section.problem:
        parts.append(ink(_wrap(f"not judged: {untrusted.clean(text.not_judged(section.problem))}", width), _MAGENTA))
    parts += [_note(notice.line, ink, width) for notice in model.notices(section)]
    if rows := model.rerun_rows(section):
        cells = [[untrusted.clean(cell, 40) for cell in row] for row in rows]
        parts.append(_draw(model.RERUN_HEADERS, cells, ["left"] * len(model.RERUN_HEADERS), "simple"))
    parts.append(_metric_table(section, ink, width))
    reasons = [
        f"{untrusted.clean(s.label)}: {untrusted.clean(s.how)}"
        for s in model.absent(comparison)
        if s.role != "baseline"
    ]
    if reasons:
        parts.append("\n".join(ink(_wrap(reason, width), _DIM) for reason in reasons))
    parts += [_note(note, ink, width) for note in (section.verdict.notes if section.verdict else ())]
    if gates := model.shown_gates(section):
        parts.append("\n".join(_gate(gate, ink, width) for gate in gates))
    if comparison.params:
        rows = [
            [untrusted.clean(v, 60) for v in (p.name, text.scalar(p.before), text.scalar(p.after))]
            for p in comparison.params
        ]
        parts.append(_draw(["parameter", "before", "after"], rows, ["left"] * 3, "simple"))
    if comparison.datasets:
        rows = [[untrusted.clean(d.path, 60), *(_digest(v) for v in (d.before, d.after))] for d in comparison.datasets]
        parts.append(_draw(["dataset", "before", "after"], rows, ["left"] * 3, "simple"))
    return parts


def _verdict(section: ModelSection, ink: _Ink) -> str:
    verdict = section.verdict
    if verdict is None:
        judged_by = "compared; its gates judge it with: ciplug gate" if section.gated else text.NO_GATES
        return ink("not judged" if section.problem else judged_by, _DIM)
    word = ink(verdict.outcome, _BOLD, _OUTCOME_COLOURS[verdict.outcome])
    dry = " (dry run)" if verdict.dry_run else ""
    return f"{word}{dry}  {text.tally(verdict)}"


def _compared(section: ModelSection, width: int | None) -> str:
    comparison, baseline = section.comparison, section.comparison.baseline
    if not baseline.run:
        line = f"{_commit(comparison.candidate)} {text.why_not_compared(baseline, section.verdict)}"
    else:
        how = text.side_clause(baseline, comparison.candidate)
        line = f"{_commit(comparison.candidate)} against {baseline.label} {_commit(baseline)} ({how})"
    return _wrap(untrusted.clean(line), width)


def _commit(side: Side) -> str:
    if side.commit:
        return text.short_commit(side.commit)
    return f"version {side.version}" if side.version is not None else "this run"


def _metric_table(section: ModelSection, ink: _Ink, width: int | None) -> str:
    arranged, comparison = row_order.arranged(section), section.comparison
    if not comparison.metrics:
        return ink("this run has no metrics", _YELLOW)
    table = _fitted(comparison, [*arranged.gated, *arranged.shown], ink, width)
    more = [_folded(arranged.folded, compared=comparison.baseline.run is not None)] if arranged.folded else []
    more += [text.hidden(arranged.hidden)] if arranged.hidden else []
    return "\n".join([table, *(ink(_wrap(line, width), _DIM) for line in more)])


def _folded(metrics: Sequence[MetricDelta], *, compared: bool) -> str:
    new = sum(m.trend == "new" for m in metrics)
    changed = sum(m.trend not in ("unchanged", "new") for m in metrics)
    counts = ", ".join(f"{count} {word}" for count, word in ((changed, "changed"), (new, "new")) if count)
    how = f", {counts or 'unchanged'}" if compared else ""
    return f"and {counted(len(metrics), 'more metric')}{how}: ciplug compare --format markdown lists all"


def _fitted(comparison: Comparison, metrics: Sequence[MetricDelta], ink: _Ink, width: int | None) -> str:
    """Return the table, with fewer columns or shorter names where it would be too wide."""
    table = _metric_rows(comparison, metrics, ink, (), untrusted.NAME_LIMIT)
    if width is None or _width(table) <= width:
        return table
    for count in range(1, len(_OPTIONAL) + 1):
        table = _metric_rows(comparison, metrics, ink, _OPTIONAL[:count], untrusted.NAME_LIMIT)
        if _width(table) <= width:
            return table + _left_out(comparison, _OPTIONAL[:count], ink)
    # Nothing more to leave out: shorten the names.
    longest = min(untrusted.NAME_LIMIT, max(len(m.metric) for m in metrics))
    limit = max(16, longest - (_width(table) - width))
    table = _metric_rows(comparison, metrics, ink, _OPTIONAL, limit)
    return table + _left_out(comparison, _OPTIONAL, ink)


def _left_out(comparison: Comparison, dropped: Sequence[str], ink: _Ink) -> str:
    labels: dict[str, str] = {c.role: c.label for c in model.columns(comparison)}
    if any(len(model.trail(m)) > 1 for m in comparison.metrics):
        labels["history"] = "history"
    had = ", ".join(untrusted.clean(labels[name], 24) for name in dropped if name in labels)
    return "\n" + ink(f"(too narrow for: {had})", _DIM) if had else ""


def _metric_rows(
    comparison: Comparison, metrics: Sequence[MetricDelta], ink: _Ink, dropped: Sequence[str], name_limit: int
) -> str:
    columns = [c for c in model.columns(comparison) if c.role not in dropped]
    compared = comparison.baseline.run is not None
    history = "history" not in dropped and any(len(model.trail(m)) > 1 for m in metrics)
    headers = ["metric", *(untrusted.clean(c.label, 24) for c in columns)]
    headers += ["change", ""] if compared else []
    headers += ["history"] if history else []
    rows = []
    names = untrusted.told_apart((m.metric for m in metrics), name_limit)
    for metric in metrics:
        colour = _TREND_COLOURS.get(metric.trend)
        row = [names[metric.metric], *_values(metric, columns)]
        if compared:
            row += [number_format.change(metric), ink(number_format.judgement(metric), *([colour] if colour else []))]
        row += [sparkline(model.trail(metric))] if history else []
        rows.append(row)
    align = ["left", *["right"] * len(columns), *(["right", "left"] if compared else [])]
    return _draw(headers, rows, [*align, *(["left"] if history else [])], "simple")


def _gate(gate: GateResult, ink: _Ink, width: int | None) -> str:
    word = ink(f"{gate.outcome:<12}", _OUTCOME_COLOURS[gate.outcome])
    name = untrusted.clean(gate.gate, untrusted.NAME_LIMIT)
    if gate.metric != gate.gate:
        name += f" ({untrusted.clean(gate.metric, untrusted.NAME_LIMIT)})"
    lines = [_wrap(untrusted.clean(gate.reason), width, indent=" " * 13)]
    lines += [ink(_wrap(untrusted.clean(line), width, indent=" " * 13), _DIM) for line in text.footnotes(gate)]
    return "\n".join([f"{word} {ink(name, _BOLD)}: {untrusted.clean(gate.rule)}", *lines])


def _note(note: str, ink: _Ink, width: int | None) -> str:
    return ink(_wrap(f"! {untrusted.clean(note)}", width), _YELLOW)


# --- tables


def _ordered(comparison: Comparison) -> list[MetricDelta]:
    changed, unchanged = row_order.by_attention(comparison)
    return [*changed, *unchanged]


def _values(metric: MetricDelta, columns: Sequence[Column]) -> list[str]:
    return number_format.numbers([metric.values.get(c.role) for c in columns])


def _digest(digest: str | None) -> str:
    return number_format.ABSENT if digest is None else untrusted.clean(digest.removeprefix("sha256:")[:12])


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str], fmt: str) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt=fmt, disable_numparse=True, colalign=align if rows else None)


def _width(table: str) -> int:
    # The rule below the headings: as wide as the table, and never coloured.
    return max(len(line) for line in table.split("\n")[1:2])


def _wrap(line: str, width: int | None, indent: str = "") -> str:
    if width is None:
        return indent + line
    return textwrap.fill(line, max(width, 20), initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _csv(comparison: Comparison) -> str:
    roles: tuple[Role, ...] = ("candidate", "baseline", "target", "production")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["metric", *roles, "change", "relative", "higher_is_better", "trend"])
    for metric in _ordered(comparison):
        values = [metric.values.get(role) for role in roles]
        cells = [canonical.plain(v) for v in (*values, metric.change, metric.relative, metric.higher_is_better)]
        # In quotes, the line is not a command in the log of a CI host.
        row = quoted if metric.metric.lstrip().startswith("::") else writer
        row.writerow([untrusted.csv_cell(metric.metric), *cells, metric.trend])
    return out.getvalue()
