"""Do all steps of a pipeline job: run the training, record, compare, gate, report, and promote if asked to."""

from __future__ import annotations

import argparse
import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import ci, console
from ciplug.capture.spool import read_bundle
from ciplug.ci import github_actions
from ciplug.commands import options
from ciplug.commands.output import show_report, tell_problems, tell_promotion, write_file
from ciplug.commands.record_output import tell_recorded, tell_recovered
from ciplug.config import DEFAULT_MODEL
from ciplug.errors import CiplugError, ConfigError, RecordError, UsageError
from ciplug.records.keys import parse_runs
from ciplug.registry.ladder import Ladder
from ciplug.reports import comment
from ciplug.reports.formats import render
from ciplug.steps.ci_exit_code import exit_code_of_ci
from ciplug.steps.deliver import deliver
from ciplug.steps.judge import exit_code, keep_verdicts
from ciplug.steps.placing import make_folder
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.recover import recovery_notes
from ciplug.steps.reporting.job_report import JobReport, JobRun, report_on
from ciplug.steps.reporting.post import Posting, post
from ciplug.steps.reporting.report import job_annotations
from ciplug.steps.select import resolve_base
from ciplug.steps.session import REPORT_FOLDER, Session
from ciplug.steps.trust import MUST_NOT_WRITE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ciplug.records.run import Run
    from ciplug.reports.report import Report
    from ciplug.steps.record import Recorded
    from ciplug.steps.select import NamedCommit

BUNDLE = "bundle.ndjson"
"""A run that is handed over, in the folder of its report."""
_OF_TRAINING = (
    *("command", "bundle", "hand_over", "model", "name", "seed", "tag", "metrics", "params", "artifact", "dataset"),
    "allow_unchanged",
)
"""Options of the job that trains."""
_BY_JOB = ("gitlab_ci",)
"""Hosts whose address of a report names the job that keeps it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_inputs(parser)
    options.add_allow_unchanged(parser)
    options.add_bundle(parser)
    parser.add_argument(
        "--hand-over",
        action="store_true",
        help=f"write the run and its files to the output folder, as {BUNDLE}, for the job that calls `ci --collect`",
    )
    parser.add_argument(
        "--collect",
        nargs="*",
        metavar="SOURCE",
        help="instead of training: record and judge the runs that the other jobs of this pipeline handed over, in "
        "these files and folders (default: in the artifacts of the pipeline)",
    )
    parser.add_argument(
        "--output-dir",
        metavar="DIR",
        help=f"write report.md, .html and .json, junit.xml and metrics.txt there, and a fork's run as {BUNDLE}",
    )
    parser.add_argument(
        "--baseline",
        metavar="REF",
        help="commit, branch or tag to compare with in the report; gates still use the policy's baseline",
    )
    options.add_label(parser)
    parser.add_argument("--no-comment", action="store_true", help="post no comment and no commit status")
    parser.add_argument(
        "--fail-on",
        choices=("fail", "warn", "never"),
        default="fail",
        help="exit with 1 from this verdict on (default: fail)",
    )
    parser.add_argument(
        "--promote-to", metavar="STAGE", help="promote the run to this stage if it passes; never from a pull request"
    )
    options.add_command(parser)


def run(args: argparse.Namespace) -> int:
    _check_options(args)
    session = options.session_of(args)
    session.need_head()
    if args.collect is not None and not session.context.trusted:
        console.say(f"{MUST_NOT_WRITE}: the job that calls `ciplug collect` records its run")
        _hand_over(session, {"run-id": "", "verdict": "NONE"})
        return 0
    bundle = _bundle(args, session)
    if args.promote_to:
        from ciplug.steps.promotion.after import followers_of

        if args.collect is None:
            model = options.inputs_of(args, session).model or DEFAULT_MODEL
            Ladder(read_policies(session).ladder(model)).stage(args.promote_to)
        followers_of(session)
    if args.output_dir:
        make_folder(Path(args.output_dir), "--output-dir")
        if not args.hand_over or session.context.host not in _BY_JOB:
            session = _with_report_url(session, session.cwd / args.output_dir / "report.html")
    # Its files are here alone, so what gates read of them is judged here; all else is left to the job that collects.
    reads_files = args.hand_over and session.config.of(args.model).policy.reads_files
    only_trains = args.hand_over and session.context.trusted and not reads_files
    base = resolve_base(session, args.baseline) if only_trains else _check(args, session)
    if args.collect is not None:
        from ciplug.commands.collect_output import tell_collected
        from ciplug.steps.collect import CollectRequest, collect, runs_to_judge
        from ciplug.steps.open_bundles import OfFiles

        collected = collect(session, CollectRequest(OfFiles(tuple(args.collect)) if args.collect else None))
        tell_collected(session, collected)
        first, *others = runs_to_judge(session, collected)
        job, training, code = JobRun(first, others, base), 0, collected.exit_code
    else:
        recorded, training = _record(args, session)
        delivered = deliver(session, recorded, bundle)
        tell_recorded(session, delivered)
        code = delivered.exit_code
        if only_trains:
            _hand_over(session, {"run-id": recorded.run.id, "verdict": "NONE"})
            return training or code
        job = JobRun(recorded.run, (), base, [problem.message for problem in recorded.problems], bundle)
    try:
        report = report_on(session, job)
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        _hand_over(session, {"run-id": job.run.id, "verdict": "ERROR"})
        return exit_code_of_ci(training=training, recording=code, report=problem.exit_code)
    unjudged = _show(session, report)
    files = _write(session, Path(args.output_dir), report.report) if args.output_dir else {}
    report, failed = _keep(session, report, bundle)
    url = _post(args, session, job, report)
    _hand_over(session, _outputs(report, files, url))
    gates = 0 if args.hand_over and session.context.trusted else exit_code(report.verdicts, args.fail_on)
    code = exit_code_of_ci(training=training, recording=code, report=unjudged, keeping=failed, gates=gates)
    for one in (job.run, *job.also) if args.promote_to else ():
        code = code or _promote(session, one, args.promote_to, args.output_dir)
    if code == 0 and not args.hand_over and job.bundle is None and exit_code(report.verdicts, "fail") == 0:
        _export(session, [job.run, *job.also], trained_here=args.collect is None)
    return code


def _export(session: Session, runs: Sequence[Run], *, trained_here: bool) -> None:
    """Send the runs of a green job to the system that ciplug.yaml names."""
    if session.config.export is not None:
        from ciplug.interop.job_export import export_from_job

        export_from_job(session, runs, trained_here=trained_here)


def _check_options(args: argparse.Namespace) -> None:
    """Raises UsageError for options that do not go together."""
    if args.label and args.no_comment:
        raise UsageError("--label cannot be used with --no-comment", hint="remove one of the two")
    if args.hand_over:
        for name in ("bundle", "promote_to"):
            if getattr(args, name):
                hint = "the job that collects the run promotes it" if name == "promote_to" else "remove one of the two"
                raise UsageError(f"--hand-over cannot be used with --{name.replace('_', '-')}", hint=hint)
        args.no_comment = True
        args.output_dir = args.output_dir or REPORT_FOLDER
    if args.collect is None:
        return
    if github_actions.triggering_run(os.environ):
        raise UsageError(
            "--collect: this job follows the run of another workflow",
            hint="record its runs with `ciplug collect`, and comment with `ciplug report --post`",
        )
    given = [name for name in _OF_TRAINING if getattr(args, name)]
    if given:
        shown = "a command" if given[0] == "command" else f"--{given[0].replace('_', '-')}"
        raise UsageError(f"--collect cannot be used with {shown}", hint="the job that trains names what it records")


def _check(args: argparse.Namespace, session: Session) -> NamedCommit | None:
    """Find mistakes before the training, where they cost a second; returns what the report compares with."""
    policies = read_policies(session)
    if policies.any_gate and args.collect is None:
        policies.of(options.inputs_of(args, session).model or DEFAULT_MODEL)
    return resolve_base(session, args.baseline)


def _record(args: argparse.Namespace, session: Session) -> tuple[Recorded, int]:
    """The run, and the exit code of the training; without a command, of the files that are there."""
    inputs, command = options.inputs_of(args, session), options.command_of(args)
    tell_recovered(session)
    if not command:
        from ciplug.steps.record_files import record_files

        return record_files(session, inputs), 0
    from ciplug.steps.train import train

    trained = train(session, inputs, command)
    console.tell(recovery_notes(trained.recovered))
    return trained.recorded, trained.exit_code


def _show(session: Session, report: JobReport) -> int:
    """Print the report, and the problem if there is no verdict; returns the exit code of the problem."""
    tell_problems(report.runs)
    if report.unjudged:
        console.complain(report.unjudged.message, report.unjudged.hint)
    if report.speaks and report.speaks.run != report.own.run.id:
        model, shown = report.own.run.model, report.speaks
        if shown and shown.counts:
            console.say(f"the comment shows run {shown.run[:12]} of '{model}', which counts for this commit")
        elif shown:
            console.say(f"no run of '{model}' counts for this commit; the comment shows run {shown.run[:12]}")
    show_report(report.report)
    console.annotate(job_annotations(session, report.report.sections))
    return report.unjudged.exit_code if report.unjudged else 0


def _keep(session: Session, report: JobReport, bundle: Path | None) -> tuple[JobReport, int]:
    """Record the verdict of this job's run; returns the exit code where that fails."""
    try:
        keys = keep_verdicts(session, report.verdicts, bundle)
    except CiplugError as problem:
        console.complain(problem.message, problem.hint)
        return report, problem.exit_code
    return replace(report, snapshot=report.snapshot.with_keys(keys)), 0


def _post(args: argparse.Namespace, session: Session, job: JobRun, report: JobReport) -> str | None:
    """The comment and the status, where this job may write them; returns the comment's address."""
    if not args.no_comment and session.context.trusted:
        how = Posting(label=args.label)
        return post(session, report.snapshot, lambda later: report_on(later, job).snapshot, how).url
    if not args.no_comment:
        console.say("no comment: a fork's job cannot write one; the job that runs `ciplug collect` will")
    ci.host_module(session.context.host).write_summary(session.env, lambda: comment.render(report.report))
    return None


def _outputs(report: JobReport, files: dict[str, str], url: str | None) -> dict[str, str]:
    """Return the outputs for later steps of the pipeline."""
    verdict = report.own.verdict
    return {
        "run-id": report.own.run.id,
        "verdict": verdict.outcome if verdict else "ERROR" if report.unjudged else "NONE",
        "report": files.get("report.html", ""),
        "comment-url": url or "",
        "summary": str(render(report.report, "line")).strip(),
    }


def _with_report_url(session: Session, file: Path) -> Session:
    """Add the future address of the report to the run's record, so that any job's comment can link to it."""
    url = ci.host_module(session.context.host).report_url(session.env, file.resolve())
    return replace(session, context=replace(session.context, report_url=url))


def _bundle(args: argparse.Namespace, session: Session) -> Path | None:
    """Return the bundle that replaces the store: the requested one, or in a fork's job one beside the report."""
    if args.hand_over:
        return _of_this_commit(session, Path(args.output_dir) / BUNDLE)
    requested = options.bundle_for_run(args, session)
    if args.promote_to and session.to_archive:
        raise UsageError(f"--promote-to: {session.store_uri} has no registry", hint="see docs/jenkins.md")
    if requested and args.promote_to and session.context.trusted:
        raise UsageError(
            "--promote-to cannot be used with --bundle: the run is not in the store yet",
            hint="promote it after `ciplug collect`",
        )
    if requested is None and args.output_dir and not session.context.trusted:
        return _of_this_commit(session, Path(args.output_dir) / BUNDLE)
    return requested


def _of_this_commit(session: Session, bundle: Path) -> Path:
    """The file for a fork's run, without the runs that a job of another commit has left in the same folder."""
    with contextlib.suppress(OSError, RecordError):
        if any(run.commit != session.head for run in parse_runs(read_bundle(bundle))):
            bundle.unlink()
            console.say(f"{bundle} had runs of another commit, which an earlier job wrote: the file is started again")
    return bundle


def _write(session: Session, folder: Path, report: Report) -> dict[str, str]:
    from ciplug.reports import junit
    from ciplug.steps.pictures import with_pictures

    files = {
        "report.md": render(report, "markdown"),
        "report.html": render(with_pictures(session, report), "html"),
        "report.json": render(report, "json"),
        "junit.xml": junit.render(report),
        "metrics.txt": render(report, "openmetrics"),
    }
    for name, content in files.items():
        write_file(folder / name, content)
    return {name: str(folder / name) for name in files}


def _hand_over(session: Session, outputs: dict[str, str]) -> None:
    ci.host_module(session.context.host).write_outputs(session.env, outputs)


def _promote(session: Session, run: Run, stage: str, folder: str | None) -> int:
    if session.proposes:
        console.say(f"not promoted to {stage}: a job of a pull request or merge queue never promotes")
        return 0
    from ciplug.steps.promotion.after import SUBJECTS, follow_up, followers_of
    from ciplug.steps.promotion.promote import PromotionRequest, promote
    from ciplug.steps.promotion.stage_change import StageChange

    try:
        followers = followers_of(session, subjects=Path(folder) / SUBJECTS if folder else None)
        promotion = promote(session, PromotionRequest(run.model, stage, run=run.id))
    except ConfigError:
        raise
    except CiplugError as problem:
        console.complain(f"not promoted: {problem.message}", problem.hint)
        return problem.exit_code
    tell_promotion(promotion)
    follow_up(session, StageChange.of(promotion), followers, promotion.run)
    return 0
