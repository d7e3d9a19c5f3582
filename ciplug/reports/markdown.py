"""The report as Markdown: the sticky comment of a pull request, and the job summary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from ciplug.reports import report as model
from ciplug.reports import text

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison, MetricDelta, Side
    from ciplug.records.run import Scalar
    from ciplug.records.verdict import GateResult
    from ciplug.reports.report import Column, ModelSection, Report

# What gives way first when the budget is short: the highest number.
_HEAD, _FOOT, _GATES, _METRICS, _NOTES, _CHANGES, _FOLDED = range(7)

_NBSP = "\u00a0"
_FEW_CHECKS = 6
"""Up to so many checks that passed are shown beside the others, more are folded."""


@dataclass(frozen=True)
class _Block:
    """A paragraph, or rows under a heading: `rows` may be cut at the end, `head` and `tail` never."""

    priority: int
    head: str
    rows: tuple[str, ...] = ()
    tail: str = ""
    noun: str = "row"

    def show(self, count: int, rest: str) -> str:
        """The first `count` rows; `rest` says where the others are."""
        hidden = len(self.rows) - count
        more = f"\n\n{text.plural(hidden, f'more {self.noun}')}{rest}" if hidden else ""
        return "\n".join((self.head, *self.rows[:count])) + more + self.tail


def render(report: Report, *, marker: str, limit: int, html: bool = True) -> str:
    """The comment: the verdict, what it was compared with, metrics, gates, what else changed.

    `marker` is put on the first line as it is; `limit` is in bytes of UTF-8. What does not fit is left out by
    rows and sections, the least important first, and the text says so. `html=False` is for forges that show
    tags as text (Bitbucket): no folding, and names in plain text. Raises ValueError when `limit` is too small
    for the marker.
    """
    paint = _Paint(html)
    blocks = _heading(report, paint)
    for section in report.sections:
        blocks += _section(section, paint, alone=len(report.sections) == 1)
    blocks += _footer(report, paint)
    return _fit(marker, blocks, limit, _elsewhere(report))


class _Paint:
    """The few things that look different where a forge shows HTML tags as text."""

    def __init__(self, html: bool) -> None:
        self.html = html

    def code(self, name: str) -> str:
        """A name, literally: forges look for no mention and no reference inside of <code>."""
        shown = text.escape_markdown(name, text.NAME_LIMIT) or "(empty)"
        return f"<code>{shown}</code>" if self.html else shown

    def fold(self, title: str, head: str) -> tuple[str, str]:
        """Head and tail of a part that is folded up under its title."""
        if self.html:
            return f"<details><summary>{title}</summary>\n\n{head}", "\n\n</details>"
        return f"**{title}**\n\n{head}", ""

    def lines(self, lines: Sequence[str]) -> str:
        """Lines in one cell of a table, all but the first small."""
        first, *rest = map(text.escape_markdown, lines)
        return "<br>".join([first, *map(self.small, rest)]) if self.html else " · ".join([first, *rest])

    def small(self, line: str) -> str:
        return f"<sub>{line}</sub>" if self.html else line


# --- parts


def _heading(report: Report, paint: _Paint) -> list[_Block]:
    blocks = []
    if len(report.sections) != 1:
        blocks.append(_Block(_HEAD, _overall(report)))
    if report.policy_note:
        blocks.append(_Block(_HEAD, f"> ⚠️ **Policy:** {text.escape_markdown(report.policy_note)}"))
    if report.notes:
        blocks.append(_notes(report.notes))
    if len(report.sections) == 1:
        # One model: its own heading is the first line of the comment.
        section = report.sections[0]
        return [_Block(_HEAD, f"## {_title(section, paint)}"), *blocks]
    return blocks


def _overall(report: Report) -> str:
    if not report.sections:
        return "## ⛔ No model was recorded"
    models = text.plural(len(report.sections), "model")
    outcome = report.outcome
    if outcome is None:
        return f"## 📊 {models} compared, not judged"
    outcomes = [s.verdict.outcome if s.verdict else None for s in report.sections]
    counts = [f"{outcomes.count(o)} {word}" for o, word in text.OUTCOME_COUNTS.items() if o in outcomes]
    counts += [f"{outcomes.count(None)} not judged"] if None in outcomes else []
    return f"## {text.OUTCOME_ICONS[outcome]} {models}: {', '.join(counts)}"


def _title(section: ModelSection, paint: _Paint) -> str:
    icon, words = text.headline(section.verdict)
    return f"{icon} {text.escape_markdown(section.model, text.NAME_LIMIT)}: {words}"


def _section(section: ModelSection, paint: _Paint, *, alone: bool) -> list[_Block]:
    comparison = section.comparison
    blocks = [] if alone else [_Block(_HEAD, f"### {_title(section, paint)}")]
    blocks.append(_Block(_HEAD, _compared(section)))
    notes = (*comparison.notes, *(section.verdict.notes if section.verdict else ()))
    if notes:
        blocks.append(_notes(notes))

    shown, passed = _split_gates(section)
    if shown:
        blocks.append(_gates(shown, paint))

    changed, unchanged = model.by_attention(comparison)
    if changed:
        blocks.append(_metrics(comparison, changed, paint))
    elif not comparison.metrics:
        blocks.append(_Block(_METRICS, "⚠️ This run has no metrics."))
    elif comparison.baseline.run:
        blocks.append(_Block(_METRICS, "No metric changed."))
    if reasons := _absences(comparison, paint):
        blocks.append(_Block(_NOTES, reasons))
    if unchanged:
        blocks.append(_metrics(comparison, unchanged, paint, fold="unchanged metric"))
    if passed:
        blocks.append(_gates(passed, paint, fold="passed check"))
    if comparison.params:
        rows = [[paint.code(p.name), _value(p.before), _value(p.after)] for p in comparison.params]
        blocks.append(_folded("changed parameter", ["parameter", "before", "after"], rows, paint))
    if comparison.datasets:
        rows = [[paint.code(d.path), _digest(d.before), _digest(d.after)] for d in comparison.datasets]
        blocks.append(_folded("changed dataset", ["dataset", "before", "after"], rows, paint))
    return blocks


def _compared(section: ModelSection) -> str:
    comparison, verdict = section.comparison, section.verdict
    lead = f"**{_capital(text.tally(verdict))}.** " if verdict and verdict.gates else ""
    commit = comparison.candidate.commit
    # Never a name as the first word of a line: GitLab obeys "/close" there.
    this = f"Commit {_commit(comparison.candidate)}" if commit else "This run"
    baseline = comparison.baseline
    if not baseline.run:
        return f"{lead}{this} is compared with nothing: {text.escape_markdown(baseline.how)}."
    label = text.escape_markdown(baseline.label, text.NAME_LIMIT)
    how = text.escape_markdown(text.side_clause(baseline))
    return f"{lead}{this} against **{label}** {_commit(baseline)} ({how})."


def _commit(side: Side) -> str:
    # A bare commit id: GitHub, GitLab and Gitea make a link of it by themselves.
    if side.commit:
        return text.escape_markdown(text.short_commit(side.commit))
    return f"version {side.version}" if side.version is not None else "this run"


def _notes(notes: Sequence[str]) -> _Block:
    return _Block(_NOTES, "", tuple(f"- ⚠️ {text.escape_markdown(note)}" for note in notes), noun="note")


def _split_gates(section: ModelSection) -> tuple[list[GateResult], list[GateResult]]:
    """The checks to show at once, and those to fold: many that passed must not hide one that did not."""
    if not section.verdict:
        return [], []
    ordered = model.by_severity(section.verdict)
    if len(ordered) <= _FEW_CHECKS:
        return ordered, []
    return [g for g in ordered if g.outcome != "PASS"], [g for g in ordered if g.outcome == "PASS"]


def _gates(gates: Sequence[GateResult], paint: _Paint, fold: str | None = None) -> _Block:
    def name(gate: GateResult) -> str:
        return paint.code(gate.gate) + ("" if gate.gate == gate.metric else f" ({paint.code(gate.metric)})")

    rows = [
        [
            f"{text.OUTCOME_ICONS[g.outcome]}{_NBSP}{g.outcome.lower()}",
            name(g),
            text.escape_markdown(g.rule),
            paint.lines([g.reason, *text.footnotes(g)]),
        ]
        for g in gates
    ]
    headers = ["check", "gate", "rule", "result"]
    if fold:
        return _folded(fold, headers, rows, paint)
    return _Block(_GATES, *_table(headers, rows), noun="check")


def _metrics(comparison: Comparison, metrics: Sequence[MetricDelta], paint: _Paint, fold: str | None = None) -> _Block:
    columns = model.columns(comparison)
    compared = comparison.baseline.run is not None and not fold
    history = any(len(model.trail(m)) > 1 for m in metrics)
    headers = ["metric", *(text.escape_markdown(c.label, text.NAME_LIMIT) for c in columns)]
    headers += ["change", ""] if compared else []
    headers += ["history"] if history else []
    align = ["left"] + ["right"] * len(columns) + (["right", "left"] if compared else [])
    rows = []
    for metric in metrics:
        row = [paint.code(metric.metric), *_values(metric, columns, strong=compared)]
        row += [text.change(metric).replace(" ", _NBSP), _judged(metric)] if compared else []
        row += [text.sparkline(model.trail(metric))] if history else []
        rows.append(row)
    if fold:
        return _folded(fold, headers, rows, paint, align)
    return _Block(_METRICS, *_table(headers, rows, align), noun="metric")


def _values(metric: MetricDelta, columns: Sequence[Column], *, strong: bool) -> list[str]:
    first, *others = text.numbers([metric.values.get(c.role) for c in columns])
    return [f"**{first}**" if strong and first != text.ABSENT else first, *others]


def _judged(metric: MetricDelta) -> str:
    words = text.judgement(metric)
    if metric.trend in ("missing", "undefined"):
        words = f"⚠️ {words}".strip()
    words = words.replace(" ", _NBSP)
    return f"**{words}**" if metric.trend == "worse" else words


def _absences(comparison: Comparison, paint: _Paint) -> str:
    sides = (s for s in model.absent(comparison) if s.role != "baseline")
    reasons = (f"{text.escape_markdown(s.label, text.NAME_LIMIT)}: {text.escape_markdown(s.how)}" for s in sides)
    line = " · ".join(reasons)
    return paint.small(f"not shown: {line}") if line else ""


def _footer(report: Report, paint: _Paint) -> list[_Block]:
    links = [_link(label, url) for label, url in report.links.items() if text.safe_url(url)]
    made_by = model.version(report)
    parts = [*links, f"ciplug {text.escape_markdown(made_by, 40)}" if made_by else "ciplug"]
    return [_Block(_FOOT, paint.small(" · ".join(parts)))]


def _link(label: str, url: str) -> str:
    address = text.safe_url(url)
    shown = text.escape_markdown(label, text.NAME_LIMIT) or "link"
    return f"[{shown}]({address})" if address else shown


def _elsewhere(report: Report) -> str:
    url = report.links.get("full report")
    return f", see the {_link('full report', url)}" if url else ", see the full report"


# --- tables


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """Head and rows of a table, without the padding: bytes are what a comment is short of."""
    from tabulate import tabulate

    align = [*align, *["left"] * (len(headers) - len(align))]
    drawn = tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    lines = [re.sub(r" {2,}", " ", line) for line in drawn.split("\n")]
    lines[1] = re.sub(r"-{4,}", "---", lines[1])
    return "\n".join(lines[:2]), tuple(lines[2:])


def _folded(
    noun: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    paint: _Paint,
    align: Sequence[str] = (),
) -> _Block:
    head, lines = _table(headers, rows, align)
    head, tail = paint.fold(text.plural(len(lines), noun), head)
    return _Block(_CHANGES if noun.startswith("changed") else _FOLDED, head, lines, tail, noun)


def _value(value: Scalar | None) -> str:
    return text.escape_markdown(text.scalar(value), text.NAME_LIMIT)


def _digest(digest: str | None) -> str:
    return text.ABSENT if digest is None else text.escape_markdown(digest.removeprefix("sha256:")[:12], 24)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


# --- the budget


def _bytes(part: str) -> int:
    return len(part.encode())


def _fit(marker: str, blocks: Sequence[_Block], limit: int, elsewhere: str) -> str:
    """The blocks in their order, cut to `limit` bytes; each level of priority is shared out fairly."""
    whole = _join([marker, *(b.show(len(b.rows), "") for b in blocks)])
    if _bytes(whole) <= limit:
        return whole
    room = limit - _bytes(marker) - 1
    if room < -1:
        raise ValueError(f"a comment of {limit} bytes has no room for its marker")

    # The sentence that something is missing comes first: nothing is left out silently where it fits at all.
    last = f"Parts are left out for length{elsewhere}."
    if _bytes(last) + 2 <= room:
        room -= _bytes(last) + 2
    else:
        last = ""
    shown: dict[int, str] = {}
    for level in sorted({b.priority for b in blocks}):
        waiting = [(i, b) for i, b in enumerate(blocks) if b.priority == level]
        # The small ones first: what they leave of their share goes to the larger ones.
        waiting.sort(key=lambda item: _bytes(item[1].show(len(item[1].rows), "")))
        for position, (index, block) in enumerate(waiting):
            part = _cut(block, room // (len(waiting) - position) - 2, elsewhere)
            if part is not None:
                shown[index] = part
                room -= _bytes(part) + 2
    return _join([marker, *(shown[i] for i in sorted(shown)), last])


def _cut(block: _Block, room: int, elsewhere: str) -> str | None:
    """The block with as many rows as there is room for, in bytes; None when not even one fits."""
    whole = block.show(len(block.rows), "")
    if _bytes(whole) <= room:
        return whole
    rest = f"{elsewhere}."
    fixed = _bytes(block.show(0, rest))
    fitting = [n for n in accumulate(_bytes(row) + 1 for row in block.rows) if fixed + n <= room]
    return block.show(len(fitting), rest) if fitting else None


def _join(parts: Sequence[str]) -> str:
    marker, *rest = parts
    body = "\n\n".join(part.strip("\n") for part in rest if part)
    return f"{marker}\n\n{body}\n" if body else marker
