"""The common part of commands over many runs: their options, and tables of runs."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.errors import UsageError, counted, nearest
from ciplug.records.canonical import plain
from ciplug.records.run import NO_TIME_TEXT
from ciplug.steps.all_runs import all_runs
from ciplug.steps.evidence.offline import offline
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.tracking.query import BRANCH, DIRTY, KIND, MODEL, PARENT, SET_ASIDE, TRUSTED, Comparison, Condition, Key
from ciplug.tracking.query_language import parse
from ciplug.tracking.runs import Runs

if TYPE_CHECKING:
    from ciplug.reports.narrow_table import Pairs
    from ciplug.tracking.catalog import SearchResult
    from ciplug.tracking.entries import Entry

FORMATS = ("table", "markdown", "json", "csv")


def add_query(parser: argparse.ArgumentParser) -> None:
    """Add the options of every query over many runs."""
    parser.add_argument("--where", metavar="EXPR", help="like \"metrics.accuracy > 0.9 AND params.depth = '6'\"")
    parser.add_argument("--columns", metavar="KEYS", help="columns to show, like metrics.accuracy,params.depth")
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="show at most N (default: 20; 0: all)")
    parser.add_argument("--offline", action="store_true", help="use only the local cache, which may be out of date")


def conditions_of(args: argparse.Namespace) -> list[Condition]:
    """Return the conditions of --where and --model; checks --limit, too."""
    if args.limit < 0:
        raise UsageError("--limit takes a number from 0 up")
    where: list[Condition] = [] if args.where is None else list(parse(args.where))
    return [*where, Comparison(MODEL, "=", args.model)] if args.model else where


def queried_runs(args: argparse.Namespace, session: Session) -> Runs:
    """Return all runs, with a catalog to search; if the store is not contacted, the age of the data is printed."""
    if not args.offline:
        return all_runs(session)
    session = offline(session)
    runs = judged_runs(session, offline=True)
    if moment := runs.catalog.as_of:
        console.complain(f"offline: {session.store_name} as it was at {moment:%Y-%m-%d %H:%M} UTC")
    return runs


def tell_unknown(model: str, runs: Runs) -> None:
    """Say that no run at all is of this model, and which was probably meant."""
    models = sorted(map(str, runs.catalog.values(MODEL)))
    if models and model not in models:
        console.say(f"no run is of a model named '{model}': {nearest(model, models)}")


def tell_unknown_branch(branch: str, runs: Runs) -> None:
    """Say that no run at all was recorded on this branch, and which was probably meant."""
    branches = sorted(map(str, runs.catalog.values(BRANCH)))
    if branches and branch not in branches:
        console.say(f"no run was recorded on a branch named '{branch}': {nearest(branch, branches)}")


def tell_gaps(result: SearchResult, by: Sequence[Key]) -> None:
    """Say where a number was missing that would have decided."""
    from ciplug.reports.untrusted import clean

    name = clean(str(by[0])) if by else ""
    for count, why in (
        (result.left_out, "left out: a value compared in --where is NaN"),
        (result.undefined, f"listed last, as {name} is NaN"),
        (result.absent, f"listed last, without {name}"),
    ):
        if count:
            console.say(f"{counted(count, 'run')} {why}")


def facts_of(entry: Entry) -> list[str | None]:
    """Return run, model, commit, branch, status and start. The status shows a run that does not count."""
    values = list(map(entry.attributes.get, ("model", "commit", "branch", "status", "started")))
    if entry.standing != "active":
        mark = "amendment unreadable" if entry.standing == "unread" else entry.standing
        values[3] = f"{values[3] or 'unknown'}, {mark}"
    return [entry.id, *values]


def marks_of(entry: Entry, metric: Key | None = None) -> list[str]:
    """Return what a reader must know about the numbers of a run, in words of one or two.

    Args:
        metric: the one that runs are ranked by.
    """
    marks = {
        "dirty": entry.get(DIRTY) == "true",
        "files set aside": entry.get(SET_ASIDE) == "true",
        "fork": entry.get(TRUSTED) == "false",
        "child": entry.get(PARENT) is not None,
        "monitor": entry.get(KIND) == "monitor",
        "metric amended": metric is not None and metric.name in entry.replaced,
    }
    return [mark for mark, holds in marks.items() if holds]


def starter_of(entry: Entry) -> str:
    """Return the CI host and the person that started a run: `github/octocat`, `local/ann@example.com`."""
    from ciplug.reports import untrusted

    host, actor = (entry.attributes.get("host") or "-").split("_")[0], entry.attributes.get("actor")
    return untrusted.clean(f"{host}/{actor}" if actor else host, 24)


ORIGIN = ("host", "actor", "dirty", "set_aside", "trusted", "parent")
"""Attributes that machine-readable forms have of each run, beside those of the table."""


def origin_of(entries: Iterable[Entry]) -> list[list[str]]:
    """The columns of `ORIGIN`."""
    return [[entry.attributes.get(name) or "" for entry in entries] for name in ORIGIN]


def columns_of(facts: Iterable[Sequence[str | None]], form: str) -> list[list[str]]:
    """Run, model, commit, branch, status and start as columns, shortened for the eye."""
    from ciplug.reports import untrusted

    def cells(values: Sequence[str | None]) -> list[str]:
        if form == "csv":
            return [value or "" for value in values]
        run, model, commit, branch, status, _ = (value or "-" for value in values)
        moment = (values[-1] or NO_TIME_TEXT)[:16].replace("T", " ")
        return [
            untrusted.clean(run[:12]),
            untrusted.clean(model, 40),
            commit[:8],
            untrusted.clean(branch, 30),
            untrusted.clean(status),
            untrusted.clean(moment),
        ]

    return [list(column) for column in zip(*map(cells, facts), strict=True)] or [[] for _ in range(6)]


def shown(entries: Sequence[Entry], key: Key, form: str) -> list[str]:
    """The values of one key: exact in CSV, else as precise as it takes to tell them apart."""
    from ciplug.reports import number_format, text, untrusted

    values = [entry.get(key) for entry in entries]
    if form == "csv":
        return ["" if value is None else str(plain(value)) for value in values]
    if key.kind == "metric":
        return number_format.numbers(values)
    return [untrusted.clean(text.scalar(value), 60) for value in values]


_METRICS_MOST = 4


def metrics_line(metrics: Mapping[str, float], order: Sequence[str] | None = None) -> Pairs:
    """The first metrics of a run in one line; `order`: all names, the first to be shown first."""
    from ciplug.reports import number_format, untrusted
    from ciplug.reports.narrow_table import Pairs

    first = (sorted(metrics) if order is None else order)[:_METRICS_MOST]
    return Pairs([f"{untrusted.shortened(name, 40)}={number_format.number(metrics[name])}" for name in first])


def drawn(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    form: str,
    *,
    spared: Sequence[str] = (),
    whole: Sequence[str] = (),
    beginnings: Mapping[str, int] | None = None,
    named: bool = False,
) -> str:
    """A table as `form` has it; on a terminal, one for the eye is as narrow as the terminal.

    Args:
        spared: headers of columns that a narrow terminal does without, the first of them first.
        whole: headers of columns that are not shortened.
        beginnings: headers of columns of which, in the last place, only so many first characters stay.
        named: name the columns for which there is no room, below the table.
    """
    from ciplug.reports import untrusted

    if form == "csv":
        import csv
        import io

        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([untrusted.csv_cell(cell) for cell in row] for row in [headers, *rows])
        return out.getvalue()
    from tabulate import tabulate

    if form == "markdown":
        cells = [[untrusted.escape_markdown(cell) for cell in row] for row in rows]
        return tabulate(cells, list(map(untrusted.escape_markdown, headers)), tablefmt="github", disable_numparse=True)
    titles = [untrusted.clean(header, untrusted.NAME_LIMIT) for header in headers]
    body, more = [list(row) for row in rows], ""
    if width := console.width():
        from ciplug.reports.narrow_table import narrowed, without

        every = titles
        titles, *body = without(titles, body, width, spared, whole)
        if named and (dropped := [title for title in every if title not in titles]):
            more = textwrap.fill(f"(too narrow for: {', '.join(dropped)})", width, break_long_words=False)
        titles, *body = narrowed(titles, body, width, whole, beginnings or {})
    return untrusted.defuse(
        "\n".join([tabulate(body, titles, tablefmt="simple", disable_numparse=True), *([more] if more else [])])
    )
