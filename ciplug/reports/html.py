"""The report as one self-contained HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ciplug.errors import counted
from ciplug.records.verdict import UNRUN
from ciplug.reports import charts, number_format, row_order, text, untrusted
from ciplug.reports import report as model
from ciplug.reports.crash import crash_of
from ciplug.reports.curves import Curve, curves, near
from ciplug.reports.images import data_address
from ciplug.reports.pages import template
from ciplug.reports.run_facts import facts_of
from ciplug.reports.sparkline import sparkline
from ciplug.reports.unverified import CELL_LIMIT, HEADERS

if TYPE_CHECKING:
    from ciplug.records.comparison import MetricDelta, Side
    from ciplug.records.run import Run
    from ciplug.reports.report import ModelSection, Report

MAX_CHARTS = 24
"""The limit per kind and model; the number of the others is shown."""
MAX_NAMED = 3
"""The number of models to name in the title."""


def render(report: Report) -> str:
    """The whole page. Everything that comes from the report is escaped, and made visible where it is not."""
    sections = model.by_verdict(report)
    single = sections[0] if len(sections) == 1 else None
    outcome = report.outcome
    return template("report.html.jinja").render(
        title=_title(sections),
        outcome=outcome,
        words=_overall(report),
        tally=text.tally(single.verdict) if single and single.verdict else "",
        sections=[_section(s, number, report.pictures.get(s.model, ())) for number, s in enumerate(sections)],
        notes=report.notes,
        unrun=[(UNRUN[notice.kind], notice.line) for notice in report.unrun],
        policy_note=report.policy_note,
        unverified=report.unverified,
        unverified_headers=HEADERS,
        unverified_rows=_unverified_rows(report),
        links=_links(single) if single else {},
        context=report.context,
        versions=", ".join(model.versions(report)),
    )


def _unverified_rows(report: Report) -> list[list[str]]:
    rows = report.unverified.rows if report.unverified else []
    return [[untrusted.clean(cell, CELL_LIMIT) for cell in row] for row in rows]


def _title(sections: Sequence[ModelSection]) -> str:
    if len(sections) > MAX_NAMED:
        return counted(len(sections), "model")
    return ", ".join(s.model for s in sections) or "no model"


def _overall(report: Report) -> str:
    outcome = report.outcome
    if not report.sections:
        return "no model was recorded"
    if outcome is None:
        return text.NO_GATES
    words = text.OUTCOME_WORDS[outcome]
    dry = any(s.verdict and s.verdict.dry_run for s in report.sections)
    return f"{words} (dry run)" if dry else words


def _section(section: ModelSection, number: int, pictures: Sequence[model.Picture]) -> dict[str, Any]:
    comparison, verdict = section.comparison, section.verdict
    metrics = row_order.arranged(section)
    parts = row_order.parted(section, metrics)
    gates, passed = model.split_gates(section)
    columns = model.columns(comparison)
    pasts = [Curve(chart, {}) for m in metrics.all if (chart := _history(m, section.bounds.get(m.metric, ())))]
    history, history_left = _charts(pasts, f"m{number}-h")
    series = {m.metric: section.series[m.metric] for m in metrics.all if m.metric in section.series}
    others = {n: s for n, s in sorted(section.series.items()) if all(m.metric != n for m in comparison.metrics)}
    drawn = curves(
        {**series, **others},
        section.series,
        section.compared_series,
        baseline=comparison.baseline.label,
        bounds=section.bounds,
    )
    steps, steps_left = _charts(list(drawn), f"m{number}-s")
    return {
        "model": section.model,
        "outcome": section.outcome,
        "quiet": model.is_quiet(section),
        "problem": text.not_judged(section.problem) if section.problem else None,
        "links": _links(section),
        "telling": _telling(section),
        "words": text.headline(section.outcome, verdict)[1],
        "tally": text.tally(verdict) if verdict else "",
        "verdict": verdict,
        "policy_digest": _digest(verdict.policy_digest) if verdict else "",
        "sides": [
            _side(section, s)
            for s in (comparison.candidate, comparison.baseline, comparison.target, comparison.production)
        ],
        "notes": (*(one.line for one in model.notices(section)), *(verdict.notes if verdict else ())),
        "rerun_headers": model.RERUN_HEADERS,
        "reruns": model.rerun_rows(section),
        "crash": _crash(section.run),
        "columns": [c.label for c in columns],
        "compared": comparison.baseline.run is not None,
        "has_history": any(len(model.trail(m)) > 1 for m in comparison.metrics),
        "metrics": [_row(m, columns) for m in parts.first],
        "folds": [
            (counted(len(those), noun), [_row(m, columns) for m in those])
            for noun, those in (("more metric", parts.changed), ("unchanged metric", parts.unchanged))
            if those
        ],
        "hidden": text.hidden(metrics.hidden) if metrics.hidden else "",
        "gates": [(gate, text.footnotes(gate, comparison.baseline.run)) for gate in gates],
        "passed": [(gate, text.footnotes(gate, comparison.baseline.run)) for gate in passed],
        "passed_fold": counted(len(passed), "passed check"),
        "many_params": len(comparison.params) > row_order.FEW,
        "params": [(p.name, text.scalar(p.before), text.scalar(p.after)) for p in comparison.params],
        "datasets": [(d.path, _digest(d.before), _digest(d.after)) for d in comparison.datasets],
        "pictures": [_picture(section.model, one) for one in pictures],
        "baseline": comparison.baseline.label,
        "history": history,
        "history_left": history_left,
        "steps": steps,
        "steps_left": steps_left,
        "all_params": [(name, text.scalar(value)) for name, value in sorted(section.run.params.items())],
        "files": [("dataset", f, number_format.size(f.size)) for f in section.run.datasets]
        + [("artifact", f, number_format.size(f.size)) for f in section.run.artifacts],
        "facts": facts_of(section.run),
        "lockfiles": sorted(section.run.provenance.lockfiles.items()),
        "packages": sorted(section.run.provenance.packages.items()),
    }


def _crash(run: Run) -> dict[str, Any] | None:
    from markupsafe import Markup, escape

    crash = crash_of(run)
    if crash is None:
        return None
    # A template prints one line of visible text; of the output, each line is made visible here.
    lines = Markup("\n").join(escape(untrusted.output_line(line)) for line in crash.lines)
    return {"words": crash.words, "error": crash.error, "more": crash.more, "lines": lines}


def _row(metric: MetricDelta, columns: Sequence[model.Column]) -> dict[str, Any]:
    return {
        "name": metric.metric,
        "values": number_format.numbers([metric.values.get(c.role) for c in columns]),
        "change": number_format.change(metric),
        "judgement": number_format.judgement(metric),
        "trend": metric.trend,
        "spark": sparkline(model.trail(metric)),
    }


def _picture(name: str, picture: model.Picture) -> dict[str, Any]:
    return {
        "anchor": model.anchor_of(name, picture.path),
        "path": picture.path,
        "now": _address(picture.path, picture.now),
        "before": _address(picture.path, picture.before),
        "same": picture.same,
        "problem": picture.problem,
    }


def _address(path: str, data: bytes | None) -> Any:
    from markupsafe import Markup

    # Letters, digits, +, / and = only; the extension is one of ours.
    return None if data is None else Markup(data_address(path, data))  # noqa: S704


def _links(section: ModelSection) -> dict[str, str]:
    return {label: url for label, url in model.links(section).items() if label != "full report"}


def _telling(section: ModelSection) -> dict[str, str]:
    """Return the most important metric, for the overview."""
    metric = row_order.telling(section)
    if metric is None:
        return {"name": "", "now": "", "before": "", "change": "", "judgement": "", "trend": "", "spark": ""}
    now, before = number_format.numbers([metric.values.get("candidate"), metric.values.get("baseline")])
    compared = section.comparison.baseline.run is not None
    return {
        "name": metric.metric,
        "now": now,
        "before": before,
        "change": number_format.change(metric) if compared else "",
        "judgement": number_format.judgement(metric) if compared else "",
        "trend": metric.trend,
        "spark": sparkline(model.trail(metric)),
    }


def _side(section: ModelSection, side: Side) -> dict[str, Any]:
    own = side.role == "candidate"
    chosen = text.side_clause(side, section.comparison.candidate) if side.has_numbers else text.nothing(side)
    return {
        "label": side.label,
        "clause": side.how if own else chosen,
        "commit_url": model.commit_link(section, side),
        "run_url": model.run_link(section, side),
        "run": side.run,
        "commit": text.short_commit(side.commit) if side.commit else "",
        "version": None if side.has_numbers else side.version,
    }


def _digest(digest: str | None) -> str:
    return number_format.ABSENT if digest is None else digest.removeprefix("sha256:")[:12]


# --- charts


def _charts(all_curves: Sequence[Curve], prefix: str) -> tuple[list[dict[str, Any]], int]:
    """The first MAX_CHARTS drawn, and how many more there are."""
    from markupsafe import Markup

    drawn = [
        # Our own SVG: charts.svg escapes the texts in it.
        {
            "title": curve.chart.title,
            "svg": Markup(charts.svg(curve.chart, f"{prefix}{i}")),  # noqa: S704
            "legend": list(curve.legend.items()),
        }
        for i, curve in enumerate(all_curves[:MAX_CHARTS])
    ]
    return drawn, len(all_curves) - len(drawn)


def _history(delta: MetricDelta, bounds: Sequence[tuple[str, float]]) -> charts.Chart | None:
    trail = model.trail(delta)
    if sum(map(math.isfinite, trail)) < 2 or not delta.history:
        return None
    low, high = number_format.numbers([f(v for v in trail if math.isfinite(v)) for f in (min, max)])
    last = delta.values.get("candidate")
    own = "missing" if last is None else "" if math.isfinite(last) else number_format.number(last)
    return charts.Chart(
        title=delta.metric,
        description=f"{delta.metric} of {counted(len(trail), 'run')}, oldest first, from {low} to {high}",
        points=[(float(i), v) for i, v in enumerate(trail)],
        reference=delta.values.get("baseline"),
        bounds=near(bounds, [v for v in trail if math.isfinite(v)]),
        last_only=True,
        x_ends=(f"{counted(len(trail) - 1, 'run')} before", f"this run: {own}" if own else "this run"),
    )
