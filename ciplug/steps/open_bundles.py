"""Open the source of bundles to collect: files of this machine, or the artifacts of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ciplug.bundles.github import ARTIFACTS, GitHubRun
from ciplug.bundles.gitlab import GitLabPipeline
from ciplug.bundles.jenkins import JenkinsBuild
from ciplug.bundles.on_disk import Files
from ciplug.bundles.source import PATTERN, BundleSource, Origin
from ciplug.ci import github_actions
from ciplug.ci.base import number, text
from ciplug.errors import UsageError
from ciplug.forges import Place
from ciplug.steps.session import Session


@dataclass(frozen=True)
class OfFiles:
    """Bundles, folders or glob patterns of this machine."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class OfGitHub:
    """The artifacts of a workflow run."""

    run: int


@dataclass(frozen=True)
class OfGitLab:
    """The artifacts of a pipeline's jobs."""

    pipeline: str
    """`ID`, or `group/project:ID`."""


@dataclass(frozen=True)
class OfJenkins:
    """The archived artifacts of a build."""

    url: str


Source = OfFiles | OfGitHub | OfGitLab | OfJenkins


@dataclass(frozen=True)
class BundleFilter:
    """A filter that selects the bundles among files and artifacts."""

    artifact: str | None = None
    """GitHub: a glob pattern of the names of artifacts; GitLab: of the names of jobs."""
    pattern: str = PATTERN


@contextmanager
def open_source(session: Session, source: Source | None, only: BundleFilter) -> Iterator[BundleSource]:
    """Open a source; None: the artifacts of this job's pipeline, or of the run that it follows.

    Inside the block, errors of the place are errors of ours. Raises UsageError where there is no such place.
    """
    source = source or _of_this_job(session)
    if isinstance(source, OfFiles):
        yield Files(source.paths, only.pattern, _origin_here(session))
    elif isinstance(source, OfGitHub):
        with _github(session, source, only) as github:
            yield github
    elif isinstance(source, OfGitLab):
        with _gitlab(session, source, only) as gitlab:
            yield gitlab
    else:
        with _jenkins(session, source, only) as jenkins:
            yield jenkins


def _of_this_job(session: Session) -> Source:
    host, env = session.context.host, session.env
    if host == github_actions.name:
        follows = github_actions.triggering_run(env)
        run = follows.id if follows else number(env, "GITHUB_RUN_ID")
        if run is not None:
            return OfGitHub(run)
    pipeline = text(env, "CI_PIPELINE_ID") if host == "gitlab_ci" else None
    if pipeline is not None:
        return OfGitLab(pipeline)
    if host == "jenkins" and session.context.run_url is not None:
        return OfJenkins(session.context.run_url)
    raise UsageError("the place of the bundles is not known", hint="name files or folders, or see --help")


@contextmanager
def _github(session: Session, source: OfGitHub, only: BundleFilter) -> Iterator[BundleSource]:
    from ciplug.forges import github_client

    place = _place(session, "github", "--github-run", "GitHub")
    run = source.run
    own = session.context.host == github_actions.name and session.env.get("GITHUB_RUN_ID") == str(run)
    hint = "give the job `permissions: actions: read`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
    with (
        github_client.errors(place, f"read the artifacts of run {run}", hint),
        github_client.file_session(place) as files,
    ):
        yield GitHubRun(
            github_client.client(place).get_repo(place.repository),
            place.repository,
            run,
            files=files,
            artifacts=only.artifact or ARTIFACTS,
            pattern=only.pattern,
            own=own and bool(_origin_here(session).trusted),
        )


@contextmanager
def _gitlab(session: Session, source: OfGitLab, only: BundleFilter) -> Iterator[BundleSource]:
    from ciplug.forges import gitlab_client

    place = _place(session, "gitlab", "--gitlab-pipeline", "GitLab")
    project, _, pipeline = source.pipeline.rpartition(":")
    if not (pipeline.isascii() and pipeline.isdigit()):
        raise UsageError(f"--gitlab-pipeline {source.pipeline}: a number is expected, or group/project:number")
    hint = "set CIPLUG_GITLAB_TOKEN to a token with scope `read_api` and role Reporter or above in that project"
    with gitlab_client.errors(place, f"read the artifacts of pipeline {pipeline}", hint):
        yield GitLabPipeline(
            gitlab_client.client(place).projects.get(project or place.repository, lazy=True),
            int(pipeline),
            jobs=only.artifact or "*",
            pattern=only.pattern,
            own=session.context.host == "gitlab_ci" and session.env.get("CI_PIPELINE_ID") == pipeline and not project,
            elsewhere=project.lower() not in ("", place.repository.lower()),
        )


@contextmanager
def _jenkins(session: Session, source: OfJenkins, only: BundleFilter) -> Iterator[BundleSource]:
    from ciplug.stores.jenkins import api as jenkins

    url, context = source.url, session.context
    with jenkins.errors(url, "read the artifacts of the build"):
        own = context.host == "jenkins" and url.rstrip("/") == (context.run_url or "").rstrip("/")
        yield JenkinsBuild(jenkins.client(url, session.env), url, pattern=only.pattern, own=own)


def _place(session: Session, forge: str, option: str, title: str) -> Place:
    """Return the forge to read artifacts from. Raises UsageError if the code is on another forge."""
    from ciplug.forges import find_place

    place = find_place(session.context, session.env, session.remote_url)
    if place.kind != forge:
        raise UsageError(f"{option}: {place.repository} is not on {title}: the forge here is {place.kind}")
    return place


def _origin_here(session: Session) -> Origin:
    """Files of this machine are this job's own, unless it follows a fork's run, whose artifacts they then are."""
    follows = github_actions.triggering_run(session.env)
    if follows is None:
        return Origin(True)
    own = (session.context.repository or "").lower()
    return Origin((follows.head_repository or "").lower() == own != "", frozenset({follows.head_commit}))
