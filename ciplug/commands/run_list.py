"""`ciplug runs list`: a table of runs, and the same as Markdown, CSV and JSON."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands.output import tell_problems
from ciplug.commands.run_details import as_json
from ciplug.commands.run_tables import (
    FORMATS,
    ORIGIN,
    add_query,
    columns_of,
    conditions_of,
    drawn,
    facts_of,
    marks_of,
    metrics_line,
    origin_of,
    queried_runs,
    shown,
    starter_of,
    tell_gaps,
    tell_unknown,
    tell_unknown_branch,
)
from ciplug.errors import UsageError, counted
from ciplug.records.canonical import dumps
from ciplug.records.keys import parse_runs
from ciplug.steps.metric_order import gated_metrics, gated_order
from ciplug.steps.named_run import HELP, find_key
from ciplug.steps.select import resolve_commit
from ciplug.steps.session import Session
from ciplug.tracking.hidden import hidden_states, only_trainings
from ciplug.tracking.query import BRANCH, COMMIT, KIND, PARENT, Comparison, Key
from ciplug.tracking.query_language import parse_keys, parse_order

if TYPE_CHECKING:
    from ciplug.tracking.catalog import SearchResult

_SPARED = ("by", "branch", "model", "started (UTC)", "commit")
"""Columns that a narrow terminal does without, the first of them first."""
_WHOLE = ("run", "commit", "status", "started (UTC)")
"""Columns that are not shortened: a mark that is cut tells nothing."""
_BEGINNINGS = {"run": 8}
"""A run is found by the beginning of its id."""


def add_arguments(listing: argparse.ArgumentParser) -> None:
    listing.add_argument("--model", metavar="M", help="runs of this model only")
    listing.add_argument("--commit", metavar="SHA", help="a commit, branch or tag, or the beginning of a commit id")
    listing.add_argument("--branch", metavar="B", help="runs that were recorded on this branch only")
    listing.add_argument("--parent", metavar="RUN", help=f"child runs of this run only: {HELP}")
    add_query(listing)
    listing.add_argument("--all", action="store_true", help="list deleted runs too")
    listing.add_argument(
        "--children",
        action="store_true",
        help="list child runs, too; with --where, --parent, csv and json they are always listed",
    )
    listing.add_argument(
        "--order-by", metavar="KEY", action="append", help="like 'metrics.accuracy DESC'; may be repeated"
    )
    form = listing.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, default="table", help="json: the whole records")
    form.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def show_list(args: argparse.Namespace, session: Session) -> int:
    """Print the runs that the options choose."""
    where = conditions_of(args)
    order_by = [parse_order(text) for text in args.order_by or ()]
    columns = parse_keys(args.columns) if args.columns else ()
    if args.offline and args.format == "json":
        raise UsageError("the cache does not hold complete records", hint="without --offline, or with --format csv")
    if args.commit:
        where.append(_on_commit(session, args.commit))
    if args.branch:
        where.append(Comparison(BRANCH, "=", args.branch))
    runs = queried_runs(args, session)
    if args.parent:
        where.append(Comparison(PARENT, "=", find_key(session, runs, args.parent, args.model, any_run=True).key.id))
    for key in columns:
        runs.catalog.need(key)
    hide = () if args.all else hidden_states(where)
    fold = not (args.children or args.parent) and args.where is None and args.format in ("table", "markdown")
    trainings = only_trainings(where) if not args.parent else ()
    monitors = runs.catalog.count([*where, Comparison(KIND, "=", "monitor")], hide=hide) if trainings else 0
    listed = runs.catalog.search([*where, *trainings], order_by, args.limit or None, hide=hide, fold=fold)
    if args.format == "json":
        records = runs.load(parse_runs(entry.key for entry in listed.entries))
        console.out(dumps([as_json(record, runs.changes(record), runs.refused_params(record)) for record in records]))
    elif listed.entries or args.format == "csv":
        console.out(_drawn(session, listed, columns, args.format))
    elif not len(runs.catalog):
        console.say(f"no run is recorded in {session.store_name}")
    else:
        console.say(f"none of {len(runs.catalog):,} runs matches")
    if args.model and not listed.entries:
        tell_unknown(args.model, runs)
    if args.branch and not listed.entries:
        tell_unknown_branch(args.branch, runs)
    runs.problems.update(runs.catalog.problems)
    tell_problems(runs)
    tell_gaps(listed, [order.key for order in order_by[:1]])
    if listed.folded:
        console.say(f"{counted(listed.folded, 'child run')} not listed: --children lists them too")
    if monitors:
        console.say(
            f"{counted(monitors, 'run')} of `ciplug monitor` not listed: --where \"kind = 'monitor'\" lists them"
        )
    if listed.hidden:
        console.say(f"{listed.hidden:,} deleted: --all lists them too")
    if len(listed.entries) < listed.total and args.limit and args.format in ("table", "markdown"):
        console.say(f"{listed.total - args.limit:,} more: --limit 0 lists all")
    return 0


def _on_commit(session: Session, name: str) -> Comparison:
    if not re.fullmatch(r"[0-9a-f]{4,64}", name):
        name = resolve_commit(session, name)
    return Comparison(COMMIT, "LIKE", f"{name}%")


def _drawn(session: Session, listed: SearchResult, columns: Sequence[Key], form: str) -> str:
    entries = listed.entries
    headers = ["run", "model", "commit", "branch", "status", "started" if form == "csv" else "started (UTC)"]
    facts = [facts_of(entry) for entry in entries]
    if form == "csv":
        headers += ORIGIN
        beside = origin_of(entries)
    else:
        headers.append("by")
        beside = [[starter_of(entry) for entry in entries]]
        for entry, cells in zip(entries, facts, strict=True):
            cells[4] = ", ".join([cells[4] or "unknown", *marks_of(entry), *_children(listed.children.get(entry.key))])
    if form == "csv" and not columns:
        columns = [Key("metric", name) for name in sorted({name for e in entries for name in e.metrics})]
    if form == "csv" or columns:
        values = [shown(entries, key, form) for key in columns]
        table = zip(*columns_of(facts, form), *beside, *values, strict=True)
        return drawn([*headers, *map(str, columns)], table, form, spared=_SPARED, whole=_WHOLE, beginnings=_BEGINNINGS)
    gated = {model: gated_metrics(session, model) for model in {e.attributes.get("model", "") for e in entries}}
    orders = (gated_order(entry.metrics, gated[entry.attributes.get("model", "")]) for entry in entries)
    metrics = [metrics_line(entry.metrics, order) for entry, order in zip(entries, orders, strict=True)]
    table = zip(*columns_of(facts, form), *beside, metrics, strict=True)
    return drawn([*headers, "metrics"], table, form, spared=_SPARED, whole=_WHOLE, beginnings=_BEGINNINGS)


def _children(count: int | None) -> list[str]:
    return [f"+{count:,} {'child' if count == 1 else 'children'}"] if count else []
