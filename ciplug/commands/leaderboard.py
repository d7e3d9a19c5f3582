"""Rank the runs of a model by a metric, the best first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.commands.run_tables import (
    FORMATS,
    ORIGIN,
    add_query,
    columns_of,
    conditions_of,
    drawn,
    marks_of,
    origin_of,
    queried_runs,
    shown,
    starter_of,
)
from ciplug.errors import counted
from ciplug.records.canonical import dumps
from ciplug.records.run import metric_name
from ciplug.records.selection import Reason
from ciplug.registry.model import Version
from ciplug.steps.leaderboard import Leaderboard, RankingRequest, rank
from ciplug.tracking.entries import Entry
from ciplug.tracking.query import Key
from ciplug.tracking.query_language import parse_keys


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
    parser.add_argument("--all", action="store_true", help="rank dirty, fork and unfinished runs too, with a mark")
    add_query(parser)
    parser.add_argument("--format", choices=FORMATS, default="table")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    request = _request(args)
    runs = queried_runs(args, session)
    if not len(runs.catalog):
        console.say("no run is recorded")
        return 0
    board = rank(session, runs.catalog, request)
    if args.offline:
        console.say("offline: the versions of the registry are not marked")
    for note in board.notes:
        console.complain(note)
    _show(board, request.columns, args.format)
    runs.problems.update(runs.catalog.problems)
    tell_problems(runs)
    _tell_left_out(board)
    if (more := board.total - len(board.entries)) > 0 and args.format in ("table", "markdown"):
        console.say(f"{more:,} more: --limit 0 lists all")
    return 0


def _request(args: argparse.Namespace) -> RankingRequest:
    return RankingRequest(
        model=args.model,
        metric=None if args.metric is None else metric_name(args.metric),
        higher_is_better=args.higher,
        branch=args.branch,
        where=conditions_of(args),
        columns=list(parse_keys(args.columns)) if args.columns else [],
        limit=args.limit or None,
        all=args.all,
        with_versions=not args.offline,
    )


def _show(board: Leaderboard, columns: Sequence[Key], form: str) -> None:
    if form == "json":
        console.out(dumps(_as_json(board)))
    elif board.entries or form == "csv":
        keys = [board.ranking.metric, *(columns or board.ranking.others)]
        console.out(_board(board.entries, keys, board.versions, form))
    else:
        console.say("no run matches")


def _as_json(board: Leaderboard) -> dict[str, object]:
    metric = board.ranking.metric
    return {
        "schema": 1,
        "model": board.model,
        "metric": metric.name,
        "higher_is_better": board.ranking.higher_is_better,
        "runs": [_facts(place, e, metric, board.versions) for place, e in enumerate(board.entries, start=1)],
        "total": board.total,
    }


def _tell_left_out(board: Leaderboard) -> None:
    metric, result = board.ranking.metric, board.result
    for count, why in (
        (board.barred.get(Reason.NOT_FINISHED, 0), "left out, not finished"),
        (board.barred.get(Reason.DIRTY, 0), "left out, dirty: tracked files differed from the commit"),
        (board.barred.get(Reason.FORK, 0), "left out, of a fork's job"),
        (result.hidden, "left out, withdrawn, deleted or with an amendment that cannot be read"),
        (result.left_out, "left out: a value compared in --where is NaN"),
        (result.absent, f"left out, without {metric}"),
        (result.undefined, f"ranked last, as {metric} is NaN"),
    ):
        if count:
            console.say(f"{counted(count, 'run')} {why}")
    if board.barred:
        console.say("--all ranks those that are dirty, a fork's or not finished, too")


def _facts(place: int, entry: Entry, metric: Key, versions: Mapping[str, Version]) -> dict[str, object]:
    value = entry.get(metric)
    version = versions.get(entry.id)
    return {
        "rank": place if value == value else None,
        "run": entry.id,
        "value": value,
        **{name: entry.attributes.get(name) for name in ("commit", "branch", "status", "started", "name", *ORIGIN)},
        "metric_amended": metric.name in entry.replaced,
        "metrics": entry.metrics,
        "params": entry.params,
        "tags": entry.tags,
        "version": version.number if version else None,
        "stage": version.stage if version else None,
    }


def _status_mark(entry: Entry) -> list[str]:
    status = entry.attributes.get("status", "unknown")
    return [] if status == "finished" else [status]


def _board(entries: Sequence[Entry], keys: Sequence[Key], versions: Mapping[str, Version], form: str) -> str:
    facts = [[e.id, *map(e.attributes.get, ("model", "commit", "branch", "status", "started"))] for e in entries]
    run, _, commit, branch, _, started = columns_of(facts, form)
    values = [shown(entries, key, form) for key in keys]
    ranks = [str(place) if e.get(keys[0]) == e.get(keys[0]) else "" for place, e in enumerate(entries, start=1)]
    headers = ["rank", *map(str, keys), "run", "commit", "branch", "started" if form == "csv" else "started (UTC)"]
    columns = [ranks, *values, run, commit, branch, started]
    if form == "csv":
        headers += ORIGIN
        columns += origin_of(entries)
    else:
        headers.append("by")
        columns.append([starter_of(entry) for entry in entries])
    marks = [", ".join([*_status_mark(entry), *marks_of(entry, keys[0])]) for entry in entries]
    if any(marks) or form == "csv":
        headers.append("marks")
        columns.append(marks)
    if versions:
        headers.append("version")
        held = [versions.get(entry.id) for entry in entries]
        columns.append([f"v{v.number}" + (f" {v.stage}" * (v.stage != "None")) if v else "" for v in held])
    metric = str(keys[0])
    if form == "table":
        # A name alone is shorter: with what else is shown, it is clear that these are metrics and parameters.
        short = [key.name for key in keys]
        if len({*short, *headers}) == len(short) + len(headers):
            headers[1 : len(keys) + 1], metric = short, short[0]
    spared = ("by", "started (UTC)", "branch", "commit", *headers[2 : len(keys) + 1][::-1])
    return drawn(
        headers, zip(*columns, strict=True), form, spared=spared, whole=(metric, "run", "marks", "version"), named=True
    )
