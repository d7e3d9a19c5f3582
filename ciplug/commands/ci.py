"""The whole walk of a pipeline step: run the training, record, compare, gate, report, and promote if asked to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import ci, console
from ciplug.capture.spool import read_bundle
from ciplug.commands import options
from ciplug.commands.gate import announce, keep_verdicts, verdict_code, write_file
from ciplug.commands.report import build, render
from ciplug.commands.runs import tell_problems
from ciplug.errors import CiplugError, ConfigError, UsageError
from ciplug.records.run import Run
from ciplug.reports.report import Report
from ciplug.steps.judge import Base, Evaluation, candidates, evaluate, resolve_base
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.post import Look, post
from ciplug.steps.record import record
from ciplug.steps.recover import report_recovered
from ciplug.steps.session import DEFAULT_MODEL, Session
from ciplug.steps.train import deliver, train, worst_code
from ciplug.steps.transition import PromotionRequest, ladder_of, promote

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs

BUNDLE = "bundle.ndjson"
"""A fork's run, in the folder of its report."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_bundle(parser)
    parser.add_argument(
        "--output-dir",
        metavar="DIR",
        help=f"write report.md, .html and .json, junit.xml and metrics.txt there, and a fork's run as {BUNDLE}",
    )
    parser.add_argument(
        "--baseline",
        metavar="REF",
        help="the commit, branch or tag that the report compares with; the gates keep the baseline of the policy",
    )
    options.add_label(parser)
    parser.add_argument("--no-comment", action="store_true", help="post no comment and no commit status")
    parser.add_argument(
        "--fail-on",
        choices=("fail", "warn", "never"),
        default="fail",
        help="which verdict makes the exit code 1 (default: fail)",
    )
    parser.add_argument("--promote-to", metavar="STAGE", help="promote what passes; never from a pull request")
    options.add_command(parser)


def run(args: argparse.Namespace) -> int:
    if args.label and args.no_comment:
        raise UsageError("--label goes with the comment", hint="leave --no-comment out")
    session = options.session_of(args)
    session.need_head()
    inputs = options.inputs_of(args, session)
    bundle = _bundle(args, session)
    if args.promote_to:
        ladder_of(session, inputs.model or DEFAULT_MODEL).stage(args.promote_to)
    if args.output_dir:
        options.make_folder("--output-dir", Path(args.output_dir))
        session = _with_report_url(session, session.cwd / args.output_dir / "report.html")
    # A mistake in the policy costs a second here, and six hours after the training.
    policies = read_policies(session)
    if policies.any_gate:
        policies.of(inputs.model or DEFAULT_MODEL)
    base = resolve_base(session, args.baseline)
    command = options.command_of(args)
    training = 0
    if command:
        recorded, training = train(session, inputs, command)
    else:
        report_recovered(session)
        recorded = record(session, inputs)
    code = worst_code(recorded, deliver(session, recorded, bundle))
    notes = [problem.message for problem in recorded.problems]

    try:
        outcome = _evaluate(session, recorded.run, base, notes, bundle)
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        _hand_over(session, {"run-id": recorded.run.id, "verdict": "ERROR"})
        return training or code or problem.exit_code
    tell_problems(outcome.runs)
    if outcome.unjudged:
        console.complain(outcome.unjudged.message, outcome.unjudged.hint)
        code = code or outcome.unjudged.exit_code
    if outcome.own not in outcome.shown:
        console.say(f"the comment shows another run of '{recorded.run.model}' on this commit, which counts for it")
    files = _write(Path(args.output_dir), outcome.report) if args.output_dir else {}
    _show(outcome.report)
    announce(session, outcome.reported)
    seen = outcome.seen
    try:
        seen = seen.knowing(keep_verdicts(session, [outcome.own], bundle))
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        code = code or problem.exit_code
    url = None
    if args.no_comment or not session.context.trusted:
        if not args.no_comment:
            console.say("no comment: a fork's job writes none, but the job that records its run; see `ciplug collect`")
        ci.host_module(session.context.host).write_summary(session.env, str(render(outcome.report, "markdown")))
    else:
        url, _ = post(
            session,
            seen,
            lambda later: _evaluate(later, recorded.run, base, notes, bundle).seen,
            label=args.label,
        )
    verdict = outcome.own.verdict
    _hand_over(
        session,
        {
            "run-id": recorded.run.id,
            "verdict": verdict.outcome if verdict else "ERROR" if outcome.unjudged else "NONE",
            "report": files.get("report.html", ""),
            "comment-url": url or "",
            "summary": str(render(outcome.report, "line")).strip(),
        },
    )
    code = training or code or verdict_code([outcome.own], args.fail_on)
    if args.promote_to and code == 0:
        return _promote(session, recorded.run, args.promote_to)
    return code


def _with_report_url(session: Session, file: Path) -> Session:
    """The run's record says where its report is going to be: any job's comment on the commit links to it."""
    url = ci.host_module(session.context.host).report_url(session.env, file.resolve())
    return replace(session, context=replace(session.context, report_url=url))


def _bundle(args: argparse.Namespace, session: Session) -> Path | None:
    """Where the run goes in place of the store: as asked for, and in a fork's job beside the report."""
    asked = options.bundle_of(args)
    if args.promote_to and session.to_archive:
        raise UsageError(f"--promote-to: {session.store_uri} keeps no registry", hint="see docs/jenkins.md")
    if asked and args.promote_to and session.context.trusted:
        raise UsageError(
            "--promote-to: a run that goes into a bundle is in no store yet", hint="promote it after `ciplug collect`"
        )
    if asked is None and args.output_dir and not session.context.trusted:
        return Path(args.output_dir) / BUNDLE
    return asked


@dataclass(frozen=True)
class _Outcome:
    """What is said of a commit after one of its runs."""

    runs: Runs
    reported: list[Evaluation]
    """Those in this job's files and its log."""
    shown: list[Evaluation]
    """Those in the comment."""
    own: Evaluation
    """The run of this job. The other models of the commit have jobs of their own, which judge them."""
    report: Report
    """For this job's files and its log: its own run, beside the latest of each other model."""
    seen: Look
    """For the comment and the status: the latest run of every model, whichever job recorded it."""
    unjudged: ConfigError | None
    """Why the gates said nothing of this job's run."""


def _evaluate(
    session: Session, recorded: Run, base: Base | None, notes: Sequence[str], bundle: Path | None
) -> _Outcome:
    """Compare and judge this job's run and all that the store holds for its commit.

    Gates that cannot be asked are an error, and the comparison is worth seeing all the same.
    """
    notes = list(notes)
    runs = session.runs(read_bundle(bundle) if bundle else None)
    commit = recorded.commit or session.need_head()
    found = candidates(session, runs, commit)
    policies = read_policies(session)
    others = [run for run in found if run.id != recorded.id]
    evaluations = evaluate(session, runs, [recorded, *others], base=base, series=True, report=True)
    own = evaluations[0]
    unjudged = own.problem
    if own.verdict is None and unjudged is None and policies.any_gate:
        try:
            policies.of(recorded.model)
        except ConfigError as problem:
            unjudged = problem
    if unjudged and not own.problem:
        notes.append(f"Not judged: {unjudged.message}.")
    reported = [own, *(e for e in evaluations if e.run.model != own.run.model)]
    shown = [e for e in evaluations if e.run.id in {run.id for run in found}]
    return _Outcome(
        runs=runs,
        reported=reported,
        shown=shown,
        own=own,
        report=build(session, reported, notes),
        seen=Look.at(session, commit, build(session, shown)),
        unjudged=unjudged,
    )


def _write(folder: Path, report: Report) -> dict[str, str]:
    from ciplug.reports import junit

    files = {
        "report.md": render(report, "markdown"),
        "report.html": render(report, "html"),
        "report.json": render(report, "json"),
        "junit.xml": junit.render(report),
        "metrics.txt": render(report, "openmetrics"),
    }
    for name, content in files.items():
        write_file(folder / name, content)
    return {name: str(folder / name) for name in files}


def _show(report: Report) -> None:
    from ciplug.reports import terminal

    console.out(terminal.render(report, colour=console.use_colour(), width=console.width()).rstrip("\n"))


def _hand_over(session: Session, outputs: dict[str, str]) -> None:
    ci.host_module(session.context.host).write_outputs(session.env, outputs)


def _promote(session: Session, run: Run, stage: str) -> int:
    if session.context.proposed:
        console.say(f"not promoted to {stage}: a pull request's job never promotes")
        return 0
    try:
        promotion = promote(session, PromotionRequest(run.model, stage, run=run.id))
    except ConfigError:
        raise
    except CiplugError as problem:
        console.complain(f"not promoted: {problem.message}", problem.hint)
        return problem.exit_code
    options.tell_promotion(promotion)
    return 0
