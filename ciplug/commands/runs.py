"""List and show recorded runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.errors import UsageError, nearest
from ciplug.records.canonical import dumps, plain
from ciplug.records.keys import parse_runs
from ciplug.records.run import Run
from ciplug.steps.select import resolve_commit
from ciplug.steps.session import Session
from ciplug.tracking.query import Comparison, Key
from ciplug.tracking.query_language import parse, parse_keys, parse_order
from ciplug.tracking.runs import Runs

if TYPE_CHECKING:
    from ciplug.tracking.catalog import Entry, Found

FORMATS = ("table", "markdown", "json", "csv")
MODEL, COMMIT, BRANCH = (Key("attribute", name) for name in ("model", "commit", "branch"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show")
    listing = verbs.add_parser("list", help="list runs, the latest first", allow_abbrev=False)
    listing.add_argument("--model", metavar="M")
    listing.add_argument("--commit", metavar="SHA", help="a commit, branch or tag, or the beginning of a commit id")
    add_query(listing)
    listing.add_argument(
        "--order-by", metavar="KEY", action="append", help="like 'metrics.accuracy DESC'; may be repeated"
    )
    form = listing.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, default="table", help="json: the whole records")
    form.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    showing = verbs.add_parser("show", help="show one run", allow_abbrev=False)
    showing.add_argument("id", metavar="ID", help="a run's id, or the beginning of it")
    showing.add_argument("--json", action="store_true", help="as JSON on stdout")
    for verb in (listing, showing):
        options.repeat_common(verb)


def add_query(parser: argparse.ArgumentParser) -> None:
    """What every question over many runs takes."""
    parser.add_argument("--where", metavar="EXPR", help="like \"metrics.accuracy > 0.9 AND params.depth = '6'\"")
    parser.add_argument("--columns", metavar="KEYS", help="what to show, like metrics.accuracy,params.depth")
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="at most so many (default: 20; 0: all)")
    parser.add_argument("--offline", action="store_true", help="ask the local cache only, however old it is")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.verb == "show":
        found = options.runs_of(session).get(args.id)
        console.out(dumps(found) if args.json else _details(found))
        return 0
    where = conditions_of(args)
    order_by = [parse_order(text) for text in args.order_by or ()]
    columns = parse_keys(args.columns) if args.columns else ()
    if args.offline and args.format == "json":
        raise UsageError("whole records are not in the cache", hint="without --offline, or with --format csv")
    if args.commit:
        where.append(_on_commit(session, args.commit))
    runs = queried_runs(args, session)
    for key in columns:
        runs.catalog.need(key)
    listed = runs.catalog.search(where, order_by, args.limit or None)
    if args.format == "json":
        records = runs.load(parse_runs(entry.key for entry in listed.entries))
        console.out(dumps([plain(record) for record in records]))
    elif listed.entries or args.format == "csv":
        console.out(_drawn(listed.entries, columns, args.format))
    elif not len(runs.catalog):
        console.say(f"no run is recorded in {session.store.uri}")
    else:
        console.say(f"none of {len(runs.catalog):,} runs matches")
    if args.model and not listed.entries:
        tell_unknown(args.model, runs)
    runs.problems.update(runs.catalog.problems)
    tell_problems(runs)
    tell_gaps(listed, [order.key for order in order_by[:1]])
    if len(listed.entries) < listed.total and args.limit and args.format in ("table", "markdown"):
        console.say(f"{listed.total - args.limit:,} more: --limit 0 lists all")
    return 0


def conditions_of(args: argparse.Namespace) -> list[Comparison]:
    """What --where and --model ask for; checks --limit, too."""
    if args.limit < 0:
        raise UsageError("--limit takes a number from 0 up")
    where = [] if args.where is None else list(parse(args.where))
    return [*where, Comparison(MODEL, "=", args.model)] if args.model else where


def queried_runs(args: argparse.Namespace, session: Session) -> Runs:
    """All runs, with a catalog to be searched; how old it is is said where the store is not asked."""
    if not args.offline:
        return options.runs_of(session)
    runs = session.runs(offline=True)
    if moment := runs.catalog.as_of:
        console.complain(f"offline: {session.store.uri} as it was at {moment:%Y-%m-%d %H:%M} UTC")
    return runs


def _on_commit(session: Session, name: str) -> Comparison:
    if not re.fullmatch(r"[0-9a-f]{4,64}", name):
        name = resolve_commit(session, name)
    return Comparison(COMMIT, "LIKE", f"{name}%")


def tell_unknown(model: str, runs: Runs) -> None:
    """Say that no run at all is of this model, and which was probably meant."""
    known = sorted(map(str, runs.catalog.values(MODEL)))
    if known and model not in known:
        console.say(f"no run is of the model '{model}': {nearest(model, known)}")


def tell_gaps(found: Found, by: Sequence[Key]) -> None:
    """Say where a number was missing that would have decided."""
    from ciplug.reports.text import clean, plural

    name = clean(str(by[0])) if by else ""
    for count, why in (
        (found.left_out, "left out, as a number of the condition is NaN"),
        (found.undefined, f"listed last, as {name} is NaN"),
        (found.absent, f"listed last, without {name}"),
    ):
        if count:
            console.say(f"{plural(count, 'run')} {why}")


def _drawn(entries: Sequence[Entry], columns: Sequence[Key], form: str) -> str:
    headers = ["run", "model", "commit", "branch", "status", "started" if form == "csv" else "started (UTC)"]
    facts = [[e.id, *map(e.attributes.get, ("model", "commit", "branch", "status", "started"))] for e in entries]
    if form == "csv" and not columns:
        columns = [Key("metric", name) for name in sorted({name for e in entries for name in e.metrics})]
    if form == "csv" or columns:
        values = [shown(entries, key, form) for key in columns]
        return drawn([*headers, *map(str, columns)], zip(*columns_of(facts, form), *values, strict=True), form)
    return drawn([*headers, "metrics"], zip(*columns_of(facts, form), map(_metrics, entries), strict=True), form)


def _metrics(entry: Entry) -> str:
    from ciplug.reports import text

    return text.clean(
        "  ".join(f"{name}={text.number(value)}" for name, value in sorted(entry.metrics.items())[:4]), 100
    )


def columns_of(facts: Iterable[Sequence[str | None]], form: str) -> list[list[str]]:
    """Run, model, commit, branch, status and start as columns, shortened for the eye."""
    from ciplug.reports import text

    def cells(values: Sequence[str | None]) -> list[str]:
        if form == "csv":
            return [value or "" for value in values]
        run, model, commit, branch, status, started = (value or "-" for value in values)
        moment = started[:16].replace("T", " ")
        return [
            text.clean(run[:12]),
            text.clean(model, 40),
            commit[:8],
            text.clean(branch, 30),
            text.clean(status),
            text.clean(moment),
        ]

    return [list(column) for column in zip(*map(cells, facts), strict=True)] or [[] for _ in range(6)]


def shown(entries: Sequence[Entry], key: Key, form: str) -> list[str]:
    """The values of one key: exact in CSV, else as precise as it takes to tell them apart."""
    from ciplug.reports import text

    values = [entry.get(key) for entry in entries]
    if form == "csv":
        return ["" if value is None else str(plain(value)) for value in values]
    if key.kind == "metric":
        return text.numbers(values)
    return [text.clean(text.scalar(value), 60) for value in values]


def drawn(headers: Sequence[str], rows: Iterable[Sequence[str]], form: str) -> str:
    """A table as `form` has it."""
    from ciplug.reports import text

    if form == "csv":
        import csv
        import io

        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([headers, *rows])
        return out.getvalue()
    from tabulate import tabulate

    if form == "markdown":
        cells = [[text.escape_markdown(cell) for cell in row] for row in rows]
        return tabulate(cells, list(map(text.escape_markdown, headers)), tablefmt="github", disable_numparse=True)
    titles = [text.clean(header, text.NAME_LIMIT) for header in headers]
    return text.defuse(tabulate(list(rows), titles, tablefmt="simple", disable_numparse=True))


def _details(run: Run) -> str:
    """The record as an indented outline, in the order of importance; packages are counted, `--json` lists them."""
    from ciplug.reports import text

    facts = plain(run)
    provenance = dict(facts.pop("provenance", {}))
    packages = provenance.pop("packages", {})
    lines: list[str] = []

    def write(name: str, value: object, depth: int) -> None:
        pad = "  " * depth
        if isinstance(value, dict):
            lines.append(f"{pad}{text.clean(name)}:")
            for key, inner in value.items():
                write(str(key), inner, depth + 1)
        elif isinstance(value, list):
            lines.append(f"{pad}{text.clean(name)}:")
            for inner in value:
                shown = "  ".join(str(v) for v in inner.values()) if isinstance(inner, dict) else str(inner)
                lines.append(f"{pad}  - {text.clean(shown, 200)}")
        else:
            lines.append(f"{pad}{text.clean(name)}: {text.clean(str(value), 400)}")

    for name in ("id", "name", "model", "status", "commit", "started", "ended"):
        if name in facts:
            write(name, facts.pop(name), 0)
    facts.pop("schema", None)
    for name, value in facts.items():
        write(name, value, 0)
    write("provenance", provenance, 0)
    lines.append(f"  packages: {len(packages)}")
    return text.defuse("\n".join(lines))
