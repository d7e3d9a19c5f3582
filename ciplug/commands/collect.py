"""Record the runs that other jobs have handed over in bundles: those of forks, and of the legs of a matrix."""

from __future__ import annotations

import argparse
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ciplug import console
from ciplug.bundles import check as collected
from ciplug.bundles.sources import (
    GITHUB_ARTIFACTS,
    PATTERN,
    Artifacts,
    Files,
    Found,
    GitHubRun,
    GitLabPipeline,
    JenkinsBuild,
    Origin,
)
from ciplug.ci import github_actions
from ciplug.ci.base import number, text
from ciplug.commands import options
from ciplug.errors import CiplugError, Conflict, InputError, RecordError, StoreError, UsageError
from ciplug.records import bundle
from ciplug.records.keys import parse_runs
from ciplug.records.run import Run
from ciplug.steps.session import Session

MAX_TOTAL = 512 * 1024 * 1024
"""Bytes of all bundles together: they are held in memory until they are pushed."""
MAX_UNTRUSTED = 32 * 1024 * 1024
"""Of a fork's: whoever opens a pull request makes the store grow."""
MAX_UNTRUSTED_OBJECTS = 1_000
MAX_SHOWN = 600
"""Characters of a message: the name of a file in an archive can have 65,535."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that may be recorded."""

    name: str
    size: int
    """Bytes of the bundle."""
    objects: Mapping[str, bytes]
    runs: tuple[Run, ...]


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
        help=f"GitHub: names of artifacts (default: {GITHUB_ARTIFACTS}); GitLab: names of jobs (default: *)",
    )
    parser.add_argument(
        "--pattern", metavar="GLOB", default=PATTERN, help=f"which files are bundles (default: {PATTERN})"
    )
    parser.add_argument(
        "--commit", metavar="SHA", help="take runs of this commit only: of a fork's, where the place does not tell"
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--untrusted", action="store_true", help="they come from a fork, though nothing here says so")
    trust.add_argument("--trusted", action="store_true", help="they come from this repository's own jobs")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if not session.context.trusted:
        raise UsageError("a fork's job must not write the store", hint="collect in a trusted branch's pipeline")
    with _opened(args, session) as source:
        trusted, origin = _trust(args, source)
        if args.commit:
            origin = _narrowed(origin, args.commit, source)
        found = list(_within_limits(source, MAX_TOTAL if trusted else MAX_UNTRUSTED))
    if not trusted:
        console.say(f"{source.name} is not trusted: its runs are recorded as a fork's, and are never promoted")
    if not found:
        raise InputError(
            f"no bundle in {source.name}",
            hint=f"looked for {args.pattern}; did the jobs upload what `--bundle` wrote? See --artifact and --pattern",
        )
    good, refused = _checked(found, trusted, origin)
    recorded, known = _record(session, good, refused, trusted)
    for problem in refused:
        console.complain(f"refused: {problem.message}", problem.hint)
    for what, items in (("recorded", recorded), ("there already", known)):
        for item in items:
            for r in item.runs:
                commit = f" of commit {r.commit[:8]}" if r.commit else ""
                console.detail(f"{what}: run {r.id} ({r.model}, {r.status}){commit}, {item.name}")
    runs, before = (sum(len(item.runs) for item in group) for group in (recorded, known))
    said = f"{_count(runs, 'run')} of {_count(len(recorded), 'bundle')} recorded in {session.store.uri}"
    already = f"; {_count(before, 'run')} of {_count(len(known), 'bundle')} there already" if known else ""
    console.say(said + already + (f"; {_count(len(refused), 'bundle')} refused" if refused else ""))
    return max((problem.exit_code for problem in refused), default=0)


@contextmanager
def _opened(args: argparse.Namespace, session: Session) -> Iterator[Artifacts]:
    """Where to collect from. Inside the block, what goes wrong there is an error of ours."""
    chosen = [value for value in (args.github_run, args.gitlab_pipeline, args.jenkins_build) if value is not None]
    if args.source and chosen:
        raise UsageError("files and a pipeline are named: collect them one after the other")
    if args.source:
        yield Files(args.source, args.pattern, _origin_here(session))
        return
    env = session.env
    host = session.context.host
    follows = github_actions.triggering_run(env)
    github_run, gitlab_pipeline, jenkins_build = args.github_run, args.gitlab_pipeline, args.jenkins_build
    if not chosen:
        if host == github_actions.name:
            github_run = follows.id if follows else number(env, "GITHUB_RUN_ID")
        elif host == "gitlab_ci":
            gitlab_pipeline = text(env, "CI_PIPELINE_ID")
        elif host == "jenkins":
            jenkins_build = session.context.run_url
        if github_run is gitlab_pipeline is jenkins_build is None:
            raise UsageError("nothing says where the bundles are", hint="name files or folders, or see --help")
    if github_run is not None:
        with _github(args, session, github_run) as github:
            yield github
    elif gitlab_pipeline is not None:
        with _gitlab(args, session, gitlab_pipeline) as gitlab:
            yield gitlab
    else:
        from ciplug.stores.jenkins import api as jenkins

        with jenkins.errors(jenkins_build, "read the artifacts of the build"):
            own = host == "jenkins" and jenkins_build.rstrip("/") == (session.context.run_url or "").rstrip("/")
            client = jenkins.client(jenkins_build, env)
            yield JenkinsBuild(client, jenkins_build, pattern=args.pattern, own=own)


@contextmanager
def _github(args: argparse.Namespace, session: Session, run: int) -> Iterator[Artifacts]:
    from ciplug.forges import find_place, github_client

    place = find_place(session.context, session.env, session.remote_url)
    if place.kind != "github":
        raise UsageError(f"--github-run: {place.repository} is not on GitHub: the forge here is {place.kind}")
    own = session.context.host == github_actions.name and session.env.get("GITHUB_RUN_ID") == str(run)
    hint = "give the job `permissions: actions: read`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
    with github_client.errors(place, f"read the artifacts of run {run}", hint):
        yield GitHubRun(
            github_client.client(place).get_repo(place.repository),
            place.repository,
            run,
            artifacts=args.artifact or GITHUB_ARTIFACTS,
            pattern=args.pattern,
            own=own and bool(_origin_here(session).trusted),
        )


@contextmanager
def _gitlab(args: argparse.Namespace, session: Session, named: str) -> Iterator[Artifacts]:
    from ciplug.forges import find_place, gitlab_client

    place = find_place(session.context, session.env, session.remote_url)
    if place.kind != "gitlab":
        raise UsageError(f"--gitlab-pipeline: {place.repository} is not on GitLab: the forge here is {place.kind}")
    project, _, pipeline = named.rpartition(":")
    if not (pipeline.isascii() and pipeline.isdigit()):
        raise UsageError(f"--gitlab-pipeline {named}: a number is expected, or group/project:number")
    hint = "set CIPLUG_GITLAB_TOKEN to a token with scope `read_api` and role Reporter or above in that project"
    with gitlab_client.errors(place, f"read the artifacts of pipeline {pipeline}", hint):
        yield GitLabPipeline(
            gitlab_client.client(place).projects.get(project or place.repository, lazy=True),
            int(pipeline),
            jobs=args.artifact or "*",
            pattern=args.pattern,
            own=session.context.host == "gitlab_ci" and session.env.get("CI_PIPELINE_ID") == pipeline and not project,
            elsewhere=project.lower() not in ("", place.repository.lower()),
        )


def _origin_here(session: Session) -> Origin:
    """Files of this machine are this job's own, unless it follows a fork's run, whose artifacts they then are."""
    follows = github_actions.triggering_run(session.env)
    if follows is None:
        return Origin(True)
    own = (session.context.repository or "").lower()
    return Origin((follows.head_repository or "").lower() == own != "", frozenset({follows.head_commit}))


def _trust(args: argparse.Namespace, source: Artifacts) -> tuple[bool, Origin]:
    origin = source.origin()
    if args.trusted and origin.trusted is False:
        raise UsageError(f"--trusted: {source.name} is of a fork, which is never trusted")
    return not args.untrusted and (args.trusted or bool(origin.trusted)), origin


def _narrowed(origin: Origin, commit: str, source: Artifacts) -> Origin:
    """The origin, where a person says of which commit it is."""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise UsageError(f"--commit {commit}: a full commit id is expected")
    if origin.commits is not None and commit not in origin.commits:
        raise UsageError(f"--commit: {source.name} is of another commit")
    return replace(origin, commits=frozenset({commit}))


def _within_limits(source: Artifacts, most: int) -> Iterator[Found]:
    """What is found, up to a size in all; what is beyond is named, too."""
    room = most
    for found in source.bundles():
        if not isinstance(found.content, CiplugError):
            room -= len(found.content)
        if room < 0:
            hint = "collect them in several steps: --artifact and --pattern choose"
            beyond = f"{found.name}, and what follows it: more than {most:,} bytes in all"
            yield Found(found.name, RecordError(beyond, hint=hint))
            return
        yield found


def _checked(found: list[Found], trusted: bool, origin: Origin) -> tuple[list[Bundle], list[CiplugError]]:
    """The bundles that may be recorded, and what is wrong with the others."""
    good: list[Bundle] = []
    refused: list[CiplugError] = []
    room = bundle.MAX_OBJECTS * len(found) if trusted else MAX_UNTRUSTED_OBJECTS
    for name, content in found:
        shown = _shown(name)
        if isinstance(content, CiplugError):
            refused.append(type(content)(_shown(content.message), hint=content.hint))
            continue
        try:
            objects = bundle.unpack(content, shown)
            if len(objects) > room:
                raise RecordError(f"{shown}: more than {MAX_UNTRUSTED_OBJECTS:,} objects from a fork in all")
            runs = collected.check(objects, shown, trusted=trusted, commits=origin.commits)
            room -= len(objects)
            good.append(Bundle(shown, len(content), objects, tuple(runs)))
        except RecordError as problem:
            refused.append(RecordError(_shown(problem.message), hint=problem.hint))
    return good, refused


def _record(
    session: Session, good: list[Bundle], refused: list[CiplugError], trusted: bool
) -> tuple[list[Bundle], list[Bundle]]:
    """Record all bundles that contradict nothing, in one write if it can take them.

    Returns what is new, and what was there already.
    """
    if not good:
        return [], []
    store = session.store
    keys = {key for item in good for key in item.objects}
    stored = store.read(keys)
    # Only a stranger takes the id of another run, so only for strangers is the store listed.
    places = {} if trusted else {place.id: place.key for place in session.runs().recorded()}
    fresh: dict[str, bytes] = {}
    new: list[Bundle] = []
    known: list[Bundle] = []
    for item in good:
        problem = _contradiction(item, ChainMap(stored, fresh), places)
        if problem:
            refused.append(problem)
            continue
        places.update({run.id: run.key for run in parse_runs(item.objects)})
        missing = {key: data for key, data in item.objects.items() if key not in stored and key not in fresh}
        (new if missing else known).append(item)
        fresh.update(missing)
    recorded: list[Bundle] = []
    for batch in _batches(new):
        # What two bundles share goes with the first of them.
        objects = {key: fresh.pop(key) for item in batch for key in item.objects if key in fresh}
        try:
            store.add(objects)
            recorded += batch
        except Conflict:
            # Another job recorded one of them since we looked: find which.
            recorded += [item for item in batch if _added(session, item, refused)]
        except StoreError as problem:
            done = f"{len(recorded)} of {_count(len(new), 'bundle')} recorded, and no more" if recorded else None
            raise problem.reworded(
                f"{done or 'nothing is recorded'}: {problem.message}",
                "; ".join(filter(None, (problem.hint, "the bundles are where they were: collect them again"))),
            ) from None
    return recorded, known


def _batches(bundles: list[Bundle]) -> Iterator[list[Bundle]]:
    """Bundles that together are no larger than one may be: no store takes more at once."""
    batch: list[Bundle] = []
    size = objects = 0
    for item in bundles:
        size, objects = size + item.size, objects + len(item.objects)
        if batch and (size > bundle.MAX_BYTES or objects > bundle.MAX_OBJECTS):
            yield batch
            batch, size, objects = [], item.size, len(item.objects)
        batch.append(item)
    if batch:
        yield batch


def _contradiction(item: Bundle, stored: Mapping[str, bytes], places: Mapping[str, str]) -> RecordError | None:
    for key, data in item.objects.items():
        if stored.get(key, data) != data:
            return RecordError(f"{item.name}: {key} is recorded already, with other bytes")
    for run in parse_runs(item.objects):
        if places.get(run.id, run.key) != run.key:
            return RecordError(f"{item.name}: {run.key}: the run {run.id} is recorded already, as {places[run.id]}")
    return None


def _added(session: Session, item: Bundle, refused: list[CiplugError]) -> bool:
    try:
        session.store.add(item.objects)
    except StoreError as problem:
        refused.append(problem.reworded(f"{item.name}: {problem.message}", problem.hint))
        return False
    return True


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shown(words: str) -> str:
    """Words with names in them that a stranger chose, on one line of a log."""
    line = " ".join(words.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN // 2]} … {line[-MAX_SHOWN // 2 :]}"
