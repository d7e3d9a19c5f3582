"""Record the runs that other jobs have handed over in bundles: those of forks, and of the jobs of a matrix."""

from __future__ import annotations

import argparse

from ciplug.bundles.github import ARTIFACTS
from ciplug.bundles.source import PATTERN
from ciplug.commands import options
from ciplug.commands.collect_output import tell_collected
from ciplug.errors import UsageError
from ciplug.steps.collect import CollectRequest, collect
from ciplug.steps.open_bundles import BundleFilter, OfFiles, OfGitHub, OfGitLab, OfJenkins, Source


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
    tell_collected(session, collected)
    return collected.exit_code


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
