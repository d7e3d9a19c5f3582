"""Judge a run by the gates of ciplug.yaml, and record the verdict. Exit code 1 when a gate fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ciplug import ci, console
from ciplug.ci.base import Level
from ciplug.commands import options
from ciplug.commands.runs import tell_problems
from ciplug.errors import UsageError
from ciplug.records.keys import verdict_object
from ciplug.records.verdict import SEVERITY
from ciplug.reports.report import Report
from ciplug.steps.judge import Evaluation, candidates, evaluate, resolve_commit
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session

ANNOTATIONS_MOST = 10
"""GitHub shows no more of a step."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--commit", metavar="SHA", help="judge the runs of this commit (default: this one)")
    which.add_argument("--run", metavar="ID", help="judge this run")
    parser.add_argument("--model", metavar="M", help="one model only")
    parser.add_argument("--dry-run", action="store_true", help="same verdict and record, exit code 0, promotes nothing")
    parser.add_argument("--junit", metavar="FILE", help="write the gates as JUnit XML")
    parser.add_argument("--json", action="store_true", help="the verdicts as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = options.runs_of(session)
    policies = read_policies(session)
    if args.run:
        chosen = [runs.get(args.run, session.head)]
        if args.model not in (None, chosen[0].model):
            raise UsageError(f"run {chosen[0].id} is of the model '{chosen[0].model}', not '{args.model}'")
    else:
        chosen = candidates(session, runs, resolve_commit(session, args.commit), args.model)
    judged = [r for r in chosen if policies.find(r.model)]
    if not judged:
        policies.of(chosen[0].model)
    for other in chosen:
        if other not in judged:
            console.say(f"no gates for the model '{other.model}': it is not judged")
    evaluations = evaluate(session, runs, judged, dry_run=args.dry_run)
    tell_problems(runs)
    report = Report(
        sections=tuple(e.section() for e in evaluations),
        context=session.context,
        policy_note=policy_note(evaluations),
    )
    if args.junit:
        from ciplug.reports import junit

        write_file(Path(args.junit), junit.render(report))
    if args.json:
        from ciplug.records.canonical import dumps, plain

        console.out(dumps({"schema": 1, "verdicts": [plain(e.verdict) for e in evaluations]}))
    else:
        from ciplug.reports import terminal

        console.out(terminal.render(report, colour=console.use_colour(), width=console.width()).rstrip("\n"))
    announce(session, evaluations)
    keep_verdicts(session, evaluations)
    return 0 if args.dry_run else verdict_code(evaluations)


def keep_verdicts(session: Session, evaluations: Sequence[Evaluation], bundle: Path | None = None) -> frozenset[str]:
    """Record the verdicts, as the evidence that a promotion asks for, or put them into `bundle`; returns their keys."""
    objects = dict(verdict_object(e.verdict) for e in evaluations if e.verdict)
    if objects and (session.context.trusted or bundle is not None):
        store_objects(session, objects, bundle)
    elif objects:
        console.say("a fork's job must not write the store: the verdict is not recorded")
    return frozenset(objects)


def announce(session: Session, evaluations: Sequence[Evaluation]) -> None:
    """Have the CI host show what did not pass, the worst first, where it has a place for that."""
    if session.context.host == "local":
        return
    host = ci.host_module(session.context.host)
    bad = [(e.run.model, gate) for e in evaluations if e.verdict for gate in e.verdict.gates if gate.outcome != "PASS"]
    bad.sort(key=lambda item: -SEVERITY[item[1].outcome])
    for model, gate in bad[:ANNOTATIONS_MOST]:
        level: Level = "error" if gate.outcome in ("FAIL", "ERROR") else "warning"
        words = f"{model}: {gate.gate}: {gate.outcome}: {gate.reason}"
        print(host.annotate(level, f"{words}. {gate.advice}" if gate.advice else words), file=sys.stderr, flush=True)


def policy_note(evaluations: Sequence[Evaluation]) -> str | None:
    """What a pull request's change of the policy would have decided; None where it changes nothing."""
    notes = [(e.run.model, e.proposed) for e in evaluations if e.proposed]
    lead = len(evaluations) > 1
    return " ".join(f"{model}: {note}" if lead else note for model, note in notes) or None


def verdict_code(evaluations: Sequence[Evaluation], fail_on: str = "fail") -> int:
    """0 or 1. `fail_on`: "fail", "warn" (a warning or an inconclusive gate fails too), "never"."""
    bad = {"fail": ("FAIL", "ERROR"), "warn": ("WARN", "INCONCLUSIVE", "FAIL", "ERROR"), "never": ()}[fail_on]
    return int(any(e.verdict is not None and e.verdict.outcome in bad for e in evaluations))


def write_file(path: Path, content: str | bytes) -> None:
    """Write a result to a file that the user named, with the folders above it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from None
