"""List and show recorded runs."""

from __future__ import annotations

import argparse
import re

from ciplug import console
from ciplug.commands import options
from ciplug.errors import UsageError
from ciplug.evaluation import resolve_commit
from ciplug.records.canonical import dumps, plain
from ciplug.records.run import Run
from ciplug.tracking.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show")
    listing = verbs.add_parser("list", help="list runs, the latest first", allow_abbrev=False)
    listing.add_argument("--model", metavar="M")
    listing.add_argument("--commit", metavar="SHA", help="a commit, branch or tag, or the beginning of a commit id")
    listing.add_argument("--limit", metavar="N", type=int, default=20, help="at most so many (default: 20; 0: all)")
    showing = verbs.add_parser("show", help="show one run", allow_abbrev=False)
    showing.add_argument("id", metavar="ID", help="a run's id, or the beginning of it")
    for verb in (listing, showing):
        verb.add_argument("--json", action="store_true", help="as JSON on stdout")
        options.repeat_common(verb)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = options.runs_of(session)
    if args.verb == "show":
        found = runs.get(args.id)
        console.out(dumps(found) if args.json else _details(found))
        return 0
    if args.limit < 0:
        raise UsageError("--limit takes a number from 0 up")
    keys = runs.recorded()
    if args.commit:
        commit = args.commit
        if not re.fullmatch(r"[0-9a-f]{4,64}", commit):
            commit = resolve_commit(session, commit)
        keys = [key for key in keys if key.commit and key.commit.startswith(commit)]
    listed = [r for r in runs.load(keys) if args.model in (None, r.model)]
    listed.sort(key=lambda r: (r.started, r.id), reverse=True)
    shown = listed[: args.limit or None]
    tell_problems(runs)
    if args.json:
        console.out(dumps([plain(r) for r in shown]))
    elif shown:
        console.out(_table(shown))
        if len(shown) < len(listed):
            console.say(f"{len(listed) - len(shown)} more: --limit 0 lists all")
    else:
        console.say("no run is recorded" + (" that matches" if args.model or args.commit else ""))
    return 0


def tell_problems(runs: Runs) -> None:
    """Name the records that could not be read, and what is wrong with the store."""
    for note in runs.notes:
        console.complain(f"warning: {note}")
    for problem in runs.problems.values():
        console.complain(f"warning: a record is left out: {problem}")


def _table(runs: list[Run]) -> str:
    from tabulate import tabulate

    from ciplug.reports import text

    rows = [
        [
            run.id[:12],
            text.clean(run.model, 40),
            (run.commit or "-")[:8],
            text.clean(run.provenance.context.branch or "-", 30),
            run.status,
            run.started[:16].replace("T", " "),
            text.clean(
                "  ".join(f"{name}={text.number(value)}" for name, value in sorted(run.metrics.items())[:4]), 100
            ),
        ]
        for run in runs
    ]
    headers = ["run", "model", "commit", "branch", "status", "started (UTC)", "metrics"]
    return text.defuse(tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True))


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
