"""Record the runs that other jobs have handed over in bundles: those of forks, and of the jobs of a matrix."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ciplug import console
from ciplug.bundles.github import ARTIFACTS
from ciplug.bundles.source import PATTERN
from ciplug.commands import options
from ciplug.errors import UsageError, counted
from ciplug.steps.collect import Collected, CollectRequest, collect
from ciplug.steps.open_bundles import BundleFilter, OfFiles, OfGitHub, OfGitLab, OfJenkins, Source
from ciplug.steps.record_bundles import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="*",
        metavar="SOURCE",
        help="bundles, folders or glob patterns (default: the artifacts of this job's pipeline, or of the run that "
        "a workflow_run job follows)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--github-run", metavar="ID", type=int, help="the artifacts of a workflow run")
    where.add_argument("--gitlab-pipeline", metavar="[PROJECT:]ID", help="the artifacts of a pipeline's jobs")
    where.add_argument("--jenkins-build", metavar="URL", help="the archived artifacts of a build")
    parser.add_argument(
        "--artifact",
        metavar="GLOB",
        help=f"GitHub: names of artifacts (default: {ARTIFACTS}); GitLab: names of jobs (default: *)",
    )
    parser.add_argument(
        "--pattern", metavar="GLOB", default=PATTERN, help=f"which files are bundles (default: {PATTERN})"
    )
    parser.add_argument(
        "--commit",
        metavar="SHA",
        help="accept only runs of this commit; needed for a fork's runs if the place does not name their commit",
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--untrusted", action="store_true", help="treat the bundles as a fork's")
    trust.add_argument(
        "--trusted", action="store_true", help="treat the bundles as written by this repository's own jobs"
    )


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    collected = collect(session, _request(args))
    _tell(collected, session.store_name)
    return max((problem.exit_code for problem in collected.recording.refused), default=0)


def _request(args: argparse.Namespace) -> CollectRequest:
    return CollectRequest(
        source=_source(args),
        only=BundleFilter(args.artifact, args.pattern),
        commit=args.commit,
        trust="trusted" if args.trusted else "untrusted" if args.untrusted else None,
    )


def _source(args: argparse.Namespace) -> Source | None:
    sources: list[Source] = []
    if args.github_run is not None:
        sources.append(OfGitHub(args.github_run))
    if args.gitlab_pipeline is not None:
        sources.append(OfGitLab(args.gitlab_pipeline))
    if args.jenkins_build is not None:
        sources.append(OfJenkins(args.jenkins_build))
    if args.source:
        sources.append(OfFiles(tuple(args.source)))
    if len(sources) > 1:
        raise UsageError("both files and a pipeline are named: collect them in two commands")
    return next(iter(sources), None)


def _tell(collected: Collected, store: str) -> None:
    recording = collected.recording
    if not collected.trusted:
        console.say(f"{collected.source} is not trusted: its runs are recorded as a fork's, and are never promoted")
    for problem in recording.refused:
        console.complain(f"refused: {problem.message}", problem.hint)
    _tell_runs("recorded", recording.recorded)
    _tell_runs("already recorded", recording.repeated)
    line = f"{_counts(recording.recorded)} recorded in {store}"
    if recording.repeated:
        were = "was" if sum(len(bundle.runs) for bundle in recording.repeated) == 1 else "were"
        line += f"; {_counts(recording.repeated)} {were} already recorded"
    console.say(line + (f"; {counted(len(recording.refused), 'bundle')} refused" if recording.refused else ""))


def _tell_runs(what: str, bundles: Sequence[Bundle]) -> None:
    for bundle in bundles:
        for run in bundle.runs:
            commit = f" of commit {run.commit[:8]}" if run.commit else ""
            console.detail(f"{what}: run {run.id} ({run.model}, {run.status}){commit}, {bundle.name}")


def _counts(bundles: Sequence[Bundle]) -> str:
    """ "3 runs of 2 bundles"."""
    return f"{counted(sum(len(bundle.runs) for bundle in bundles), 'run')} of {counted(len(bundles), 'bundle')}"
