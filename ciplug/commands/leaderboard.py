"""Rank the runs of a model by a metric, the best first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.commands.run_tables import (
    BRANCH,
    FORMATS,
    MODEL,
    add_query,
    columns_of,
    conditions_of,
    drawn,
    queried_runs,
    shown,
)
from ciplug.errors import NotFound, UsageError, nearest
from ciplug.records.amendment import State
from ciplug.records.canonical import dumps
from ciplug.registry.model import Version
from ciplug.registry.state import read_model
from ciplug.steps.policy_in_force import of_checkout
from ciplug.steps.session import Session
from ciplug.tracking.catalog import Catalog
from ciplug.tracking.entries import Entry
from ciplug.tracking.query import STATUS, Comparison, Key, Order
from ciplug.tracking.query_language import parse_keys

_WITHDRAWN: tuple[State, ...] = ("withdrawn", "deleted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric", metavar="NAME", help="metric to rank by (default: the first gate's with a direction)"
    )
    direction = parser.add_mutually_exclusive_group()
    for word, higher in (("higher", True), ("lower", False)):
        direction.add_argument(
            f"--{word}-is-better",
            dest="higher",
            action="store_const",
            const=higher,
            help=f"{word} values rank first; needed only if no gate sets it",
        )
    parser.add_argument("--model", metavar="M", help="which model (default: that of ciplug.yaml, or the only one)")
    parser.add_argument("--branch", metavar="B", help="runs of this branch only")
    add_query(parser)
    parser.add_argument("--format", choices=FORMATS, default="table")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    where = conditions_of(args)
    columns = list(parse_keys(args.columns)) if args.columns else []
    runs = queried_runs(args, session)
    catalog = runs.catalog
    if not len(catalog):
        console.say("no run is recorded")
        return 0
    model = _model(args.model, session, catalog)
    metric, higher, others = _ranking(args, session, catalog, model)
    where += [Comparison(MODEL, "=", model)] if args.model is None else []
    where += [Comparison(BRANCH, "=", args.branch)] if args.branch else []
    every = None
    if all(comparison.key != STATUS for comparison in where):
        every = catalog.count(where, hide=_WITHDRAWN)
        where.append(Comparison(STATUS, "=", "finished"))
    for key in columns:
        catalog.need(key)
    found = catalog.search(where, [Order(metric, higher)], args.limit or None, hide=_WITHDRAWN)
    ranked = [entry for entry in found.entries if entry.get(metric) is not None]
    versions = {} if args.offline or not ranked else _versions(session, model)
    if args.format == "json":
        listed = [_facts(place, entry, metric, versions) for place, entry in enumerate(ranked, start=1)]
        head = {"schema": 1, "model": model, "metric": metric.name, "higher_is_better": higher}
        console.out(dumps({**head, "runs": listed, "total": found.total - found.absent}))
    elif ranked or args.format == "csv":
        console.out(_board(ranked, [metric, *(columns or others)], versions, args.format))
    else:
        console.say("no run matches")
    runs.problems.update(catalog.problems)
    tell_problems(runs)
    for count, why in (
        (0 if every is None else every - found.total, "left out, not finished"),
        (found.hidden, "left out, withdrawn or deleted"),
        (found.left_out, "left out: a value compared in --where is NaN"),
        (found.absent, f"left out, without {metric}"),
        (found.undefined, f"ranked last, as {metric} is NaN"),
    ):
        if count:
            console.say(f"{count:,} {'run' if count == 1 else 'runs'} {why}")
    if (more := found.total - found.absent - len(ranked)) > 0 and args.format in ("table", "markdown"):
        console.say(f"{more:,} more: --limit 0 lists all")
    return 0


def _model(asked: str | None, session: Session, catalog: Catalog) -> str:
    known = sorted(catalog.values(MODEL))
    model = asked or session.config.model
    if model is None and len(known) > 1:
        raise UsageError(
            f"the store has runs of {len(known)} models, and one is ranked at a time",
            hint=f"choose by --model: {', '.join(known[:12])}" + (", …" if len(known) > 12 else ""),
        )
    if model is not None and model not in known:
        raise NotFound(f"no run of '{model}' is recorded", hint=nearest(model, known))
    return model or known[0]


def _ranking(args: argparse.Namespace, session: Session, catalog: Catalog, model: str) -> tuple[Key, bool, list[Key]]:
    """Return the metric to rank by, whether higher is better, and the other metrics of gates. Raises UsageError."""
    ruling = of_checkout(session, model)
    directions = ruling.policy.directions() if ruling else {}
    name = args.metric or next(iter(directions), None)
    if name is None:
        raise UsageError("no metric to rank by", hint="--metric NAME, or a gate with higher_is_better in ciplug.yaml")
    metric = Key("metric", name)
    catalog.need(metric)
    said = directions.get(name)
    if ruling and said is not None and args.higher not in (None, said):
        raise UsageError(
            f"{ruling.source} says that {'higher' if said else 'lower'} is better for '{name}'",
            hint="leave the option out, or change the gate",
        )
    higher = args.higher if said is None else said
    if higher is None:
        raise UsageError(
            f"nothing says whether higher or lower is better for '{name}'",
            hint="--higher-is-better or --lower-is-better, or higher_is_better in a gate of ciplug.yaml",
        )
    recorded = catalog.names("metric")
    return metric, higher, [Key("metric", other) for other in directions if other != name and other in recorded]


def _versions(session: Session, model: str) -> dict[str, Version]:
    """Run → its version in the registry."""
    registered = read_model(session.log, model)
    for note in registered.notes:
        console.complain(note)
    return {version.run: version for version in registered.versions}


def _facts(place: int, entry: Entry, metric: Key, versions: dict[str, Version]) -> dict[str, object]:
    value = entry.get(metric)
    version = versions.get(entry.id)
    return {
        "rank": place if value == value else None,
        "run": entry.id,
        "value": value,
        **{name: entry.attributes.get(name) for name in ("commit", "branch", "status", "started", "name")},
        "metrics": entry.metrics,
        "params": entry.params,
        "tags": entry.tags,
        "version": version.number if version else None,
        "stage": version.stage if version else None,
    }


def _board(entries: Sequence[Entry], keys: Sequence[Key], versions: dict[str, Version], form: str) -> str:
    facts = [[e.id, *map(e.attributes.get, ("model", "commit", "branch", "status", "started"))] for e in entries]
    run, _, commit, branch, _, started = columns_of(facts, form)
    values = [shown(entries, key, form) for key in keys]
    ranks = [str(place) if e.get(keys[0]) == e.get(keys[0]) else "" for place, e in enumerate(entries, start=1)]
    headers = ["rank", *map(str, keys), "run", "commit", "branch", "started" if form == "csv" else "started (UTC)"]
    columns = [ranks, *values, run, commit, branch, started]
    if versions:
        headers.append("version")
        held = [versions.get(entry.id) for entry in entries]
        columns.append([f"v{v.number}" + (f" {v.stage}" * (v.stage != "None")) if v else "" for v in held])
    return drawn(headers, zip(*columns, strict=True), form)
