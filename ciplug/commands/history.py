"""Show a metric over the commits of a branch, and the commits that moved it."""

from __future__ import annotations

import argparse
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.metric_changes import add_history_options, change_facts, history_of
from ciplug.commands.output import tell_problems, write_file
from ciplug.commands.run_tables import FORMATS, drawn
from ciplug.errors import counted, listed
from ciplug.reports import number_format
from ciplug.reports.sparkline import sparkline
from ciplug.reports.untrusted import clean
from ciplug.steps.change_text import change_words, described, history_page

if TYPE_CHECKING:
    from ciplug.steps.metric_history import MetricHistory
    from ciplug.steps.session import Session

_HEADERS = ("commit", "value", "runs", "run", "day", "author", "subject", "versions")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_history_options(parser)
    parser.add_argument("--format", choices=(*FORMATS, "html"), default="table")
    parser.add_argument("--output", metavar="FILE", help="write to a file instead of stdout")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    known, runs = history_of(args, session)
    content = _content(session, known, args.format)
    if args.output:
        write_file(Path(args.output), content)
        console.say(f"history written to {args.output}")
    else:
        console.out(content)
    tell_problems(runs)
    for notice in known.notices:
        console.complain(f"warning: {notice.line}")
    if known.earlier:
        console.say(f"{counted(known.earlier, 'earlier commit')} with a run: --limit 0 reads all")
    return 0


def _content(session: Session, known: MetricHistory, form: str) -> str:
    if form == "json":
        return _json(session, known)
    if form == "html":
        from ciplug.reports.history_page import render

        return render(history_page(session, known))
    if form == "table":
        return _for_terminal(session, known)
    return drawn(_HEADERS, _rows(known, exact=form == "csv"), form)


def _for_terminal(session: Session, known: MetricHistory) -> str:
    from ciplug.reports import metric_plot

    finite = [(point.at, point.value) for point in known.points if math.isfinite(point.value)]
    direction = {None: "", True: ", higher is better", False: ", lower is better"}[known.higher_is_better]
    name, model = clean(known.metric, 80), clean(known.model, 80)
    count = counted(len(known.points), "commit")
    lines = [*_lines(f"{name} of {model}: {count} of {clean(known.branch or 'HEAD', 80)} with a run{direction}"), ""]
    if finite and metric_plot.is_available():
        lines.append(metric_plot.plot(finite, [one.at for one in known.changes], width=console.width() or 80))
        if len(finite) < len(known.points):
            lines += _lines(_not_finite(known))
    else:
        if not metric_plot.is_available():
            console.say("pip install 'ciplug[plot]' draws the history")
        lines.append(drawn(_HEADERS, _rows(known), "table"))
        lines.append(sparkline([point.value for point in known.points], width=60))
    texts = described(session, known)
    lines += ["", *(line for change in known.changes for line in _lines(change_words(known, change, texts)))]
    if not known.changes:
        lines.append("no commit has moved it beyond its noise")
    return "\n".join(lines)


def _not_finite(known: MetricHistory) -> str:
    """The commits that a plot has no place for."""
    absent = [f"{point.commit[:8]} {point.value}" for point in known.points if not math.isfinite(point.value)]
    return f"not drawn, because not finite: {listed(absent, most=12)}"


def _lines(text: str) -> list[str]:
    """A sentence as lines that the terminal has room for."""
    width = console.width()
    return textwrap.wrap(text, max(20, width)) if width else [text]


def _rows(known: MetricHistory, *, exact: bool = False) -> list[list[str]]:
    values = [point.value for point in known.points]
    shown = list(map(repr, values)) if exact else number_format.numbers(values)
    return [
        [
            point.commit if exact else point.commit[:8],
            value,
            str(point.runs),
            point.run if exact else point.run[:12],
            clean(point.date, 10),
            clean(point.author, 30),
            clean(point.subject, 72),
            clean(", ".join(point.promotions)),
        ]
        for point, value in zip(known.points, shown, strict=True)
    ]


def _json(session: Session, known: MetricHistory) -> str:
    from ciplug.records.canonical import dumps, plain

    texts = described(session, known)
    return dumps(
        {
            "schema": 1,
            "metric": known.metric,
            "model": known.model,
            "branch": known.branch,
            "higher_is_better": known.higher_is_better,
            "lowest": known.lowest,
            "highest": known.highest,
            "commits": [
                {
                    "commit": point.commit,
                    "run": point.run,
                    "value": plain(point.value),
                    "values": list(point.values),
                    "versions": list(point.promotions),
                }
                for point in known.points
            ],
            "changes": [change_facts(known, change, texts) for change in known.changes],
            "earlier": known.earlier,
        }
    ).decode()
