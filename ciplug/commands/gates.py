"""Audit the gates: how often they have failed falsely, what they caught, and what they can see."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.commands.run_tables import FORMATS, drawn, queried_runs
from ciplug.errors import counted, listed
from ciplug.steps.audit import Audit, audit_gates

if TYPE_CHECKING:
    from ciplug.gates.audit import GateAudit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    what = "replay every gate over the recorded runs"
    verb = verbs.add_parser("audit", help=what, description=what)
    verb.add_argument("--model", metavar="M", help="which model (default: that of ciplug.yaml)")
    verb.add_argument("--branch", metavar="B", help="runs of this branch (default: the one of the baseline)")
    verb.add_argument("--offline", action="store_true", help="use only the local cache, which may be out of date")
    verb.add_argument("--format", choices=FORMATS, default="table")
    options.repeat_common(verb)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = queried_runs(args, session)
    audit = audit_gates(session, runs.catalog, args.model, args.branch)
    if args.format == "json":
        from ciplug.records.canonical import dumps, plain

        console.out(dumps({"schema": 1, **plain(audit)}))
    else:
        console.out(_table(audit.gates, args.format))
        _tell(audit)
    runs.problems.update(runs.catalog.problems)
    tell_problems(runs)
    return 0


def _table(gates: Sequence[GateAudit], form: str) -> str:
    headers = ["gate", "runs", "false fails", "95% interval", "caught", "flips", "sees", "allows", "proposed"]
    return drawn(headers, map(_row, gates), form)


def _row(one: GateAudit) -> list[str]:
    interval = ""
    if one.rate_low is not None and one.rate_high is not None:
        interval = f"{one.rate_low:.1%} to {one.rate_high:.1%}"
    return [
        one.gate,
        f"{one.runs:,}",
        f"{one.false_fails} of {one.checks:,} ({one.rate:.1%})" if one.rate is not None else "",
        interval,
        f"{one.catches}" + (f", {one.open} open" if one.open else ""),
        f"{one.flips} of {one.repeated}" if one.repeated else "",
        *("" if number is None else f"{number:.3g}" for number in (one.sees, one.allowance, one.proposed)),
    ]


def _tell(audit: Audit) -> None:
    branch = f" of {audit.branch}" if audit.branch else ""
    console.say(f"{audit.model}, by {audit.policy}: {counted(audit.runs, 'run')}, one a commit{branch}")
    if audit.not_replayed:
        console.say(f"not replayed, as they judge more than one number a run: {listed(audit.not_replayed, most=8)}")
    if short := [one.gate for one in audit.gates if one.noise is None and one.allowance is not None]:
        console.say(f"too few runs tell the noise of: {listed(short, most=8)}")
