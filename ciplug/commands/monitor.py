"""Watch a version in production: judge its predictions of a window, record that, and act on failures in a row."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.errors import counted
from ciplug.steps.judge import exit_code
from ciplug.steps.monitoring.monitor import MonitoredWindow, monitor_window
from ciplug.steps.monitoring.watched_version import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        help="MODEL, MODEL@STAGE, MODEL@vN or a models:/ URI (default: the model of ciplug.yaml, in its last stage)",
    )
    for name, what in (
        ("predictions", "a file of predictions: JSON lines, CSV or Parquet"),
        ("labels", "a file of labels, joined by the id"),
        ("results", "a result of Evidently or NannyML, as JSON"),
    ):
        parser.add_argument(
            f"--{name}", metavar="FILE", action="append", default=[], help=f"{what}; a pattern; may be repeated"
        )
    parser.add_argument("--reference", metavar="FILE", help="the table that columns are compared with")
    parser.add_argument("--window", metavar="TIME", help="the time of the predictions to look at, such as 24h or 7d")
    parser.add_argument("--until", metavar="TIME", help="the end of the window (default: now)")
    parser.add_argument("--fail-on", choices=("fail", "warn", "never"), default="fail", help="what ends with 1")
    parser.add_argument("--dry-run", action="store_true", help="judge, and neither record nor tell anybody")
    parser.add_argument("--json", action="store_true", help="the run and the verdict as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    request = Request(
        name=args.version,
        predictions=args.predictions,
        labels=args.labels,
        results=args.results,
        reference=args.reference,
        window=args.window,
        until=args.until,
    )
    result = monitor_window(session, request, dry_run=args.dry_run)
    if args.json:
        from ciplug.records.canonical import dumps, plain

        console.out(dumps({"schema": 1, "run": plain(result.run), "verdict": plain(result.verdict)}))
    else:
        _show(result)
    return exit_code([result.verdict], args.fail_on)


def _show(result: MonitoredWindow) -> None:
    from ciplug.reports import terminal, untrusted

    seen = result.seen
    where = untrusted.clean(result.watched.where, 80)
    what = f"{untrusted.clean(result.watched.model, 80)} version {seen.version} {where}".rstrip()
    console.out(f"{what}: {result.verdict.outcome}")
    window = f"{counted(seen.rows, 'prediction')} from {seen.since[:16]} to {seen.until[:16]} UTC"
    if result.watched.settings.labels:
        share = f" ({seen.labelled / seen.due:.0%})" if seen.due else ""
        window += f"; {seen.labelled:,} of {seen.due:,} have a label{share}"
    console.out(window)
    for clause in result.left_out:
        console.say(f"left out: {untrusted.clean(clause)}")
    for note in result.verdict.notes:
        console.say(untrusted.clean(note))
    console.out("")
    console.out(
        terminal.render_gates(result.verdict.gates, colour=console.use_colour(), width=console.width()).rstrip("\n")
    )
    if words := result.failures_in_words:
        console.say(words)
