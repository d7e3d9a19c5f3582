"""The whole walk of a pipeline step: run the training, record, compare, gate, report, and promote if asked to."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import ci, console
from ciplug.commands import options
from ciplug.commands.gate import announce, keep_verdicts, verdict_code, write_file
from ciplug.commands.promote import promote
from ciplug.commands.record import record
from ciplug.commands.report import build, post, render
from ciplug.commands.run import deliver, train, worst_code
from ciplug.commands.runs import tell_problems
from ciplug.errors import CiplugError, ConfigError, UsageError
from ciplug.evaluation import Base, Evaluation, candidates, evaluate, resolve_base
from ciplug.policies import read_policies
from ciplug.records.run import Run
from ciplug.registry.models import stage_named
from ciplug.reports.report import Report
from ciplug.session import DEFAULT_MODEL, Session
from ciplug.tracking.spool import read_bundle

BUNDLE = "bundle.ndjson"
"""A fork's run, in the folder of its report."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_bundle(parser)
    parser.add_argument(
        "--output-dir",
        metavar="DIR",
        help=f"write report.md, report.html, report.json and junit.xml there, and a fork's run as {BUNDLE}",
    )
    parser.add_argument(
        "--baseline",
        metavar="REF",
        help="the commit, branch or tag that the report compares with; the gates keep the baseline of the policy",
    )
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
    session = options.session_of(args)
    session.need_head()
    inputs = options.inputs_of(args, session)
    bundle = _bundle(args, session)
    if args.promote_to:
        stage_named(args.promote_to)
    if args.output_dir:
        options.make_folder("--output-dir", Path(args.output_dir))
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
        recorded = record(session, inputs)
    code = worst_code(recorded, deliver(session, recorded, bundle))
    notes = [problem.message for problem in recorded.problems]
    if base and policies.any_gate:
        notes.append(f"Compared with '{base.name}' as asked for; the gates keep the baseline of the policy.")

    try:
        evaluations, report, unjudged = _evaluate(session, recorded.run, base, notes, bundle)
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        _hand_over(session, {"run-id": recorded.run.id, "verdict": "ERROR"})
        return training or code or problem.exit_code
    if unjudged:
        code = code or unjudged.exit_code
    files = _write(Path(args.output_dir), report) if args.output_dir else {}
    _show(report)
    announce(session, evaluations)
    # The other models of this commit have jobs of their own, which judge them.
    own = [e for e in evaluations if e.run.id == recorded.run.id]
    try:
        keep_verdicts(session, own, bundle)
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        code = code or problem.exit_code
    url = None
    if args.no_comment or not session.context.trusted:
        if not args.no_comment:
            console.say("no comment: a fork's job writes none, but the job that records its run; see `ciplug collect`")
        ci.host_module(session.context.host).write_summary(session.env, str(render(report, "markdown")))
    else:
        url, _ = post(session, report)
    verdict = next((e.verdict for e in own if e.verdict), None)
    _hand_over(
        session,
        {
            "run-id": recorded.run.id,
            "verdict": verdict.outcome if verdict else "ERROR" if unjudged else "NONE",
            "report": files.get("report.html", ""),
            "comment-url": url or "",
        },
    )
    code = training or code or verdict_code(own, args.fail_on)
    if args.promote_to and code == 0:
        return _promote(session, recorded.run, args.promote_to)
    return code


def _bundle(args: argparse.Namespace, session: Session) -> Path | None:
    """Where the run goes in place of the store: as asked for, and in a fork's job beside the report."""
    asked = options.bundle_of(args)
    if asked and args.promote_to and session.context.trusted:
        raise UsageError(
            "--promote-to: a run that goes into a bundle is in no store yet", hint="promote it after `ciplug collect`"
        )
    if asked is None and args.output_dir and not session.context.trusted:
        return Path(args.output_dir) / BUNDLE
    return asked


def _evaluate(
    session: Session, recorded: Run, base: Base | None, notes: list[str], bundle: Path | None
) -> tuple[list[Evaluation], Report, ConfigError | None]:
    """Every model of the commit: the report shows what the store holds, whichever job wrote it.

    Gates that cannot be asked are an error, and the comparison is worth seeing all the same.
    """
    runs = session.runs(read_bundle(bundle) if bundle else None)
    found = candidates(session, runs, recorded.commit or session.need_head())
    policies = read_policies(session)
    shown = sorted([recorded, *(r for r in found if r.model != recorded.model)], key=lambda r: r.model)
    unjudged: ConfigError | None = None
    try:
        if policies.any_gate:
            policies.of(recorded.model)
        evaluations = evaluate(session, runs, shown, base=base, series=True)
    except ConfigError as problem:
        unjudged = problem
        console.complain(problem.message, problem.hint)
        notes.append(f"Not judged: {problem.message}.")
        evaluations = evaluate(session, runs, shown, base=base, gate=False, series=True)
    tell_problems(runs)
    for run in shown:
        if not policies.find(run.model):
            notes.append(f"No gates are set for the model '{run.model}': it is compared, and not judged.")
    return evaluations, build(session, evaluations, notes), unjudged


def _write(folder: Path, report: Report) -> dict[str, str]:
    from ciplug.reports import junit

    files = {
        "report.md": render(report, "markdown"),
        "report.html": render(report, "html"),
        "report.json": render(report, "json"),
        "junit.xml": junit.render(report),
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
        event = promote(session, run.model, stage, run_id=run.id)
    except ConfigError:
        raise
    except CiplugError as problem:
        console.complain(f"not promoted: {problem.message}", problem.hint)
        return problem.exit_code
    console.say(f"{event.model} version {event.version} is in {event.stage} (event {event.seq})")
    return 0
