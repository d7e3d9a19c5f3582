"""Audit the gates: how often they have failed falsely, what they caught, and what they can see."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.commands.run_tables import FORMATS, drawn, queried_runs
from ciplug.errors import listed
from ciplug.gates.audit_text import HEADERS, row_of
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
    spared = ("flips", "95% interval", "runs")
    return drawn(HEADERS, map(row_of, gates), form, spared=spared, whole=HEADERS[1:], named=True)


def _tell(audit: Audit) -> None:
    console.say(f"{audit.model}, by {audit.policy}: {audit.replayed}")
    if any(one.open for one in audit.gates):
        console.say("open: a failure after which there are too few runs to tell whether the loss lasts")
    if audit.not_replayed:
        console.say(f"not replayed, as they judge more than one number a run: {listed(audit.not_replayed, most=8)}")
    if short := [one.gate for one in audit.gates if one.noise is None and one.allowance is not None]:
        console.say(f"too few runs tell the noise of: {listed(short, most=8)}")
