"""The text of the sticky comment of a pull request, and of the job summary: Markdown under a marker."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.errors import counted, listed
from ciplug.records.verdict import UNRUN
from ciplug.reports import number_format, row_order, text, untrusted
from ciplug.reports import report as model
from ciplug.reports.budget import QUIET, Block, fit
from ciplug.reports.crash import crash_of
from ciplug.reports.markdown_style import Paint, table
from ciplug.reports.sparkline import sparkline
from ciplug.reports.unverified import CELL_LIMIT, HEADERS

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison, MetricDelta, Side
    from ciplug.records.run import Scalar
    from ciplug.records.verdict import GateResult
    from ciplug.reports.report import Column, ModelSection, Report

# What gives way first when the budget is short: the highest number.
_HEAD, _OVERVIEW, _FOOT, _TITLES, _GATES, _METRICS, _NOTES, _CHANGES, _FOLDED = range(9)

_NBSP = "\u00a0"
MARKER = "<!-- ciplug:report -->"
PLAIN_MARKER = "[//]: # (ciplug:report)"
"""The marker for forges that show HTML as text: an unused link definition is not shown at all."""
NO_LIMIT = 1 << 30
_NAME = 48
"""Characters of a name in a table: forges do not wrap it. The full report has the whole name."""
_IMAGES = 5
"""Images that are named."""
_LINES = 12
"""Last lines of the output of a training that failed; the full report has all that are kept."""


def marker(*, html: bool) -> str:
    """The line by which the comment is found; `html`: whether the forge takes HTML in comments."""
    return MARKER if html else PLAIN_MARKER


def render(report: Report, limit: int = NO_LIMIT, *, html: bool = True) -> str:
    """Return the comment: the verdict, the baseline, gates, metrics, other changes, links.

    Of several models, an overview comes first, then those that did not pass, then the others, folded up. It is made
    of what the store holds only, so that jobs that race write the same.

    The marker is on the first line; `limit` is in bytes of UTF-8. What does not fit is left out by
    rows and sections, the least important first, and the text says so. `html=False` is for forges that show
    tags as text (Bitbucket): no folding. Raises ValueError when `limit` is too small for the marker.
    """
    paint = Paint(html)
    sections = model.by_verdict(report)
    versions = ", ".join(untrusted.escape_markdown(version, 40) for version in model.versions(report))
    made_by = f"ciplug {versions}".strip()
    if len(sections) == 1 and not report.unrun:
        blocks = [Block(_HEAD, f"## {_title(sections[0])}"), *_policy(report), *_section(sections[0], paint, made_by)]
    else:
        blocks = [Block(_HEAD, _overall(report, sections)), *_unrun(report), *_policy(report), *_many(sections, paint)]
        blocks.append(Block(_FOOT, paint.small(made_by)))
    blocks += _unverified(report, paint)
    return fit(marker(html=html), blocks, limit)


# --- parts


def _unrun(report: Report) -> list[Block]:
    """The models that the target branch gates, and that have no run."""
    rows = [f"> {text.OUTCOME_ICONS[UNRUN[one.kind]]} {untrusted.escape_markdown(one.line)}" for one in report.unrun]
    return [Block(_OVERVIEW, "\n>\n".join(rows))] if rows else []


def _unverified(report: Report, paint: Paint) -> list[Block]:
    """The runs of the commit that nobody has verified, folded: what gives way first."""
    found = report.unverified
    if found is None:
        return []
    cells = [[paint.code(row[0]), *(untrusted.escape_markdown(c, CELL_LIMIT) for c in row[1:])] for row in found.rows]
    head, lines = table(HEADERS, cells)
    head, tail = paint.fold(f"⚪ {found.title}", f"{untrusted.escape_markdown(found.words)}\n\n{head}")
    return [Block(_FOLDED + QUIET, head, lines, tail, "run")]


def _policy(report: Report) -> list[Block]:
    if not report.policy_note:
        return []
    return [Block(_OVERVIEW, f"> ⚠️ **Policy:** {untrusted.escape_markdown(report.policy_note)}")]


def _overall(report: Report, sections: Sequence[ModelSection]) -> str:
    if not sections:
        return "## ⛔ No model was recorded"
    icon = text.OUTCOME_ICONS[report.outcome] if report.outcome else "📊"
    lacking = f", {len(report.unrun)} without a run" if report.unrun else ""
    return f"## {icon} {counted(len(sections), 'model')}: {_counts(sections)}{lacking}"


def _counts(sections: Sequence[ModelSection]) -> str:
    """Count the models by outcome, the worst first: "1 failed, 2 passed"."""
    outcomes = [section.outcome for section in sections]
    counts = [f"{outcomes.count(o)} {word}" for o, word in text.OUTCOME_COUNTS.items() if o in outcomes]
    return ", ".join([*counts, *([f"{outcomes.count(None)} not judged"] if None in outcomes else [])])


def _title(section: ModelSection) -> str:
    icon, words = text.headline(section.outcome, section.verdict)
    return f"{icon} {untrusted.escape_markdown(section.model, untrusted.NAME_LIMIT)}: {words}"


def _many(sections: Sequence[ModelSection], paint: Paint) -> list[Block]:
    """An overview, the models that did not pass, and the others in one fold."""
    if not sections:
        return []
    blocks = [_overview(sections, paint)]
    quiet = [section for section in sections if model.is_quiet(section)]
    for section in sections:
        if not model.is_quiet(section):
            blocks += [Block(_TITLES, f"### {_title(section)}"), *_section(section, paint)]
    if quiet:
        title, close = f"**{_counts(quiet)}**", ""
        if paint.html:
            title, close = f"<details><summary><b>{_counts(quiet)}</b></summary>", "</details>"
        blocks.append(Block(QUIET, title, folded=True, close=close))
    for section in quiet:
        inside = [Block(_TITLES, f"### {_title(section)}"), *_section(section, paint)]
        blocks += [replace(block, priority=block.priority + QUIET, folded=True) for block in inside]
    return blocks


def _overview(sections: Sequence[ModelSection], paint: Paint) -> Block:
    """Return one line per model, with its most important metric."""
    headers = ["model", "verdict", "metric", "change", "before → now", "history"]
    rows = []
    for section in sections:
        icon, _ = text.headline(section.outcome, section.verdict)
        words = text.OUTCOME_ADJECTIVES[section.outcome] if section.verdict and section.outcome else "not judged"
        # A name is not parted at its hyphens, where the table is narrow.
        name = untrusted.escape_markdown(section.model, untrusted.NAME_LIMIT).replace("-", "-\u2060")
        row = [name, f"{icon} {words}".replace(" ", _NBSP), "", "", "", ""]
        if metric := row_order.telling(section):
            now, before = number_format.numbers([metric.values.get("candidate"), metric.values.get("baseline")])
            now = f"**{now}**" if now != number_format.ABSENT else now
            row[2:] = [
                paint.code(untrusted.shortened(metric.metric, _NAME)),
                "",
                now,
                sparkline(model.trail(metric)),
            ]
            if section.comparison.baseline.run:
                row[3:5] = [_brief(metric), f"{before} → {now}".replace(" ", _NBSP)]
        rows.append(row)
    rest = ": `ciplug report` compares all of them"
    return Block(_OVERVIEW, *table(headers, rows), noun="model", rest=rest)


def _brief(metric: MetricDelta) -> str:
    """The change in percent, where it has one, and whether it is good."""
    change = number_format.percent(metric.relative) if metric.relative else number_format.change(metric)
    parts = ["" if metric.trend == "unchanged" else change.replace(" ", _NBSP), _judged(metric)]
    return _NBSP.join(part for part in parts if part)


def _section(section: ModelSection, paint: Paint, made_by: str = "") -> list[Block]:
    comparison = section.comparison
    blocks = [*_crash(section), Block(_TITLES, _compared(section))]
    notes = [notice.line for notice in model.notices(section)]
    notes += section.verdict.notes if section.verdict else ()
    if notes:
        rows = tuple(f"- ⚠️ {untrusted.escape_markdown(note)}" for note in notes)
        blocks.append(Block(_NOTES, "", rows, noun="note"))

    shown, passed = model.split_gates(section)
    if shown:
        blocks.append(_gates(shown, comparison.baseline.run, paint))

    metrics = row_order.arranged(section)
    parts = row_order.parted(section, metrics)
    if parts.first:
        blocks.append(_metrics(comparison, parts.first, paint))
    elif not comparison.metrics:
        blocks.append(Block(_METRICS, "⚠️ This run has no metrics."))
    elif comparison.baseline.run:
        blocks.append(Block(_METRICS, "No metric changed."))
    if reasons := _absences(comparison, paint):
        blocks.append(Block(_NOTES, reasons))
    if comparison.params:
        short = untrusted.told_apart((p.name for p in comparison.params), _NAME)
        rows_of = [[paint.code(short[p.name]), _value(p.before), _value(p.after)] for p in comparison.params]
        names = [f"{p.name}: {text.scalar(p.before)} → {text.scalar(p.after)}" for p in comparison.params]
        blocks.append(
            _folded("changed parameter", names, ["parameter", "before", "after"], rows_of, paint, priority=_CHANGES)
        )
    if comparison.datasets:
        rows_of = [[paint.code(d.path), _digest(d.before), _digest(d.after)] for d in comparison.datasets]
        names = [d.path for d in comparison.datasets]
        blocks.append(
            _folded("changed dataset", names, ["dataset", "before", "after"], rows_of, paint, priority=_CHANGES)
        )
    if rows_of := model.rerun_rows(section):
        cells = [[paint.code(row[0]), *map(untrusted.escape_markdown, row[1:])] for row in rows_of]
        names = [f"{row[0]} {row[4]}" for row in rows_of]
        blocks.append(_folded("run", names, model.RERUN_HEADERS, cells, paint, priority=_CHANGES, of=" of this commit"))
    if images := model.pictures(section):
        blocks.append(Block(_CHANGES, _images(section, images, paint)))
    if parts.changed:
        blocks.append(_metrics(comparison, parts.changed, paint, fold="more metric"))
    if parts.unchanged:
        blocks.append(_metrics(comparison, parts.unchanged, paint, fold="unchanged metric"))
    if metrics.hidden:
        blocks.append(Block(_FOLDED, paint.small(text.hidden(metrics.hidden))))
    if passed:
        blocks.append(_gates(passed, comparison.baseline.run, paint, fold="passed check"))
    if last := [*_links(section), *([made_by] if made_by else [])]:
        blocks.append(Block(_TITLES, paint.small(" · ".join(last))))
    return [replace(block, rest=_elsewhere(section)) for block in blocks]


def _crash(section: ModelSection) -> list[Block]:
    """The error of a training that did not finish, and the last lines of its output."""
    crash = crash_of(section.run)
    if crash is None:
        return []
    words, more = untrusted.escape_markdown(crash.words), untrusted.escape_markdown(crash.more)
    head = Block(_OVERVIEW, f"💥 **{words}**: {more}")
    if not crash.lines:
        return [head]
    return [head, Block(_GATES, untrusted.fenced_markdown(crash.lines[-_LINES:]))]


def _compared(section: ModelSection) -> str:
    comparison, verdict = section.comparison, section.verdict
    lead = f"**{_capital(text.tally(verdict))}.** " if verdict and verdict.gates else ""
    # Never a name as the first word of a line: GitLab obeys "/close" there.
    this = f"Commit {_commit(section, comparison.candidate)}" if comparison.candidate.commit else "This run"
    baseline = comparison.baseline
    if baseline.run:
        beside = f"against {_baseline(section, baseline)}"
    else:
        beside = untrusted.escape_markdown(text.why_not_compared(baseline, verdict))
    last = ""
    if section.problem:
        last = f"\n\n⛔ Not judged: {untrusted.escape_markdown(text.not_judged(section.problem))}."
    elif verdict is None:
        last = " No gates are set for this model: it is compared, and not judged."
    return f"{lead}{this} {beside}.{last}"


def _baseline(section: ModelSection, side: Side) -> str:
    """ "**merge base with main** 9f8e7d6c (3 days older, run)": what it is, and how it was found."""
    name = untrusted.escape_markdown(side.how if side.at_merge_base else side.label, untrusted.NAME_LIMIT) or "a run"
    older = text.older(side.recorded, section.comparison.candidate.recorded)
    run = model.run_link(section, side)
    more = [
        "" if side.at_merge_base else untrusted.escape_markdown(side.how),
        older,
        _link("its run", run) if run else "",
    ]
    clause = ", ".join(part for part in more if part)
    return f"**{name}** {_commit(section, side)}" + (f" ({clause})" if clause else "")


def _commit(section: ModelSection, side: Side) -> str:
    if side.commit:
        shown = text.short_commit(untrusted.clean(side.commit))
        url = model.commit_link(section, side)
        code = untrusted.code_markdown(shown) or untrusted.escape_markdown(shown)
        return f"[{code}]({untrusted.safe_url(url)})" if url else code
    return f"version {side.version}" if side.version is not None else "this run"


def _links(section: ModelSection) -> list[str]:
    """Return links to more: the run, the full report, the registry."""
    parts = [_link(label, url) for label, url in model.links(section).items()]
    if section.versions and not section.registry_url:
        command = untrusted.code_markdown(f"ciplug registry history {shlex.quote(section.model)}", 200)
        parts += [f"registry: {command}"] if command else []
    return parts


def _gates(gates: Sequence[GateResult], baseline: str | None, paint: Paint, fold: str | None = None) -> Block:
    # Two columns: where there is little room, a third leaves too little for the reasons.
    rows = []
    names = untrusted.told_apart((name for gate in gates for name in (gate.gate, gate.metric)), _NAME)
    for gate in gates:
        icon = text.OUTCOME_ICONS[gate.outcome]
        word = "waived" if gate.waived else text.OUTCOME_ADJECTIVES[gate.outcome]
        name = f"{icon}{_NBSP}{paint.code(names[gate.gate])}"
        name += "" if gate.gate == gate.metric else f" ({paint.code(names[gate.metric])})"
        lead = "" if gate.outcome == "PASS" else f"**{_capital(word)}:** "
        result = f"{lead}{untrusted.escape_markdown(gate.reason)}".strip()
        rows.append([paint.lines(name, [gate.rule]), paint.lines(result, text.footnotes(gate, baseline))])
    headers = ["gate", "result"]
    if fold:
        return _folded(fold, [g.gate for g in gates], headers, rows, paint)
    return Block(_GATES, *table(headers, rows), noun="check")


def _metrics(comparison: Comparison, metrics: Sequence[MetricDelta], paint: Paint, fold: str | None = None) -> Block:
    # Production may hold a model of other metrics.
    columns = [
        c
        for c in model.columns(comparison)
        if c.role in ("candidate", "baseline") or any(c.role in m.values for m in metrics)
    ]
    compared = comparison.baseline.run is not None and any(m.trend != "unchanged" for m in metrics)
    history = any(len(model.trail(m)) > 1 for m in metrics)
    headers = ["metric", *(untrusted.escape_markdown(c.label, untrusted.NAME_LIMIT) for c in columns)]
    headers += ["change", ""] if compared else []
    headers += ["history"] if history else []
    align = ["left"] + ["right"] * len(columns) + (["right", "left"] if compared else [])
    rows = []
    names = untrusted.told_apart((m.metric for m in metrics), _NAME)
    for metric in metrics:
        row = [paint.code(names[metric.metric]), *_values(metric, columns, strong=compared)]
        row += [number_format.change(metric).replace(" ", _NBSP), _judged(metric)] if compared else []
        row += [sparkline(model.trail(metric))] if history else []
        rows.append(row)
    if fold:
        return _folded(fold, [m.metric for m in metrics], headers, rows, paint, align)
    return Block(_METRICS, *table(headers, rows, align), noun="metric")


def _values(metric: MetricDelta, columns: Sequence[Column], *, strong: bool) -> list[str]:
    first, *others = number_format.numbers([metric.values.get(c.role) for c in columns])
    return [f"**{first}**" if strong and first != number_format.ABSENT else first, *others]


def _judged(metric: MetricDelta) -> str:
    words = number_format.judgement(metric)
    if metric.trend in ("missing", "undefined"):
        words = f"⚠️ {words}".strip()
    words = words.replace(" ", _NBSP)
    return f"**{words}**" if metric.trend == "worse" else words


def _images(section: ModelSection, names: Sequence[str], paint: Paint) -> str:
    """Name the images that the run left, and where they are beside the baseline's."""
    links = model.links(section)
    where = f"the {_link('full report', links['full report'])}" if "full report" in links else "`report.html`"
    page = links.get("full report", "")

    def shown_as(name: str) -> str:
        # An image that was recorded by its address is there; an address of an archive has no places within it.
        address = untrusted.safe_url(name)
        if address is None and page:
            place = f"#{model.anchor_of(section.model, name)}" if page.endswith(".html") else ""
            address = untrusted.safe_url(f"{page}{place}")
        return f"[{paint.code(name)}]({address})" if address else paint.code(name)

    shown = listed([shown_as(name) for name in names], most=_IMAGES)
    return f"🖼️ {counted(len(names), 'image')}, beside the baseline's in {where}: {shown}"


def _absences(comparison: Comparison, paint: Paint) -> str:
    sides = (s for s in model.absent(comparison) if s.role != "baseline")
    reasons = (
        f"{untrusted.escape_markdown(s.label, untrusted.NAME_LIMIT)}: {untrusted.escape_markdown(s.how)}" for s in sides
    )
    line = " · ".join(reasons)
    return paint.small(f"not shown: {line}") if line else ""


def _link(label: str, url: str) -> str:
    return f"[{label}]({untrusted.safe_url(url)})"


def _elsewhere(section: ModelSection) -> str:
    """Return a pointer to the parts that were left out."""
    links = model.links(section)
    for label in ("full report", "run"):
        if label in links:
            return f", see the {_link(label, links[label])}"
    return ", see `ciplug report`"


# --- tables


def _folded(
    noun: str,
    names: Sequence[str],
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    paint: Paint,
    align: Sequence[str] = (),
    priority: int = _FOLDED,
    of: str = "",
) -> Block:
    head, lines = table(headers, rows, align)
    head, tail = paint.fold(paint.title(f"{counted(len(lines), noun)}{of}", list(dict.fromkeys(names))), head)
    return Block(priority, head, lines, tail, noun)


def _value(value: Scalar | None) -> str:
    return untrusted.escape_markdown(text.scalar(value), untrusted.NAME_LIMIT)


def _digest(digest: str | None) -> str:
    return (
        number_format.ABSENT if digest is None else untrusted.escape_markdown(digest.removeprefix("sha256:")[:12], 24)
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
