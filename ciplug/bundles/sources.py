"""Bundles from where the jobs of a pipeline have left them: files, or the artifacts of GitHub, GitLab and Jenkins.

Each place is read with the client of its own library, whose exceptions the caller turns into ours. All that comes
out is a name for people, and bytes that nobody has checked yet; nothing is written to disk.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urljoin, urlsplit

from ciplug.bundles import archive as ci_artifacts_zip
from ciplug.errors import CiplugError, ForgeError, InputError, RecordError, StoreError
from ciplug.records import bundle

PATTERN = "*bundle*.ndjson"
GITHUB_ARTIFACTS = "ciplug*"
_CHUNK = 1 << 16
_TIMEOUT = 30


class Found(NamedTuple):
    """Something that should be a bundle."""

    name: str
    content: bytes | CiplugError
    """Or why it cannot be read."""


@dataclass(frozen=True)
class Origin:
    """What the place itself, and not the bundle, says about the jobs that wrote it."""

    trusted: bool | None
    """Whether they may write the store; None where the place cannot tell."""
    commits: frozenset[str] | None = None
    """What they ran on, None where the place does not say."""


class Artifacts(Protocol):
    """Where the jobs of one pipeline have left their bundles."""

    name: str
    """For people: GitHub's run 42."""

    def origin(self) -> Origin: ...

    def bundles(self) -> Iterator[Found]:
        """Every bundle that is there, and every one that should be and cannot be read."""
        ...


class Files:
    """Files, folders and glob patterns of this machine."""

    def __init__(self, paths: Sequence[str], pattern: str, origin: Origin) -> None:
        self.name = ", ".join(paths)
        self._paths = paths
        self._pattern = pattern
        self._origin = origin

    def origin(self) -> Origin:
        return self._origin

    def bundles(self) -> Iterator[Found]:
        """A file that is named counts whatever it is called; in a folder, those that fit the pattern do."""
        for given in self._paths:
            found = [Path(given)] if Path(given).exists() else _matching(given)
            files = [file for path in found for file in self._in(path)]
            if not files:
                yield Found(given, InputError(f"{given}: no bundle is there", hint=f"looked for {self._pattern}"))
            yield from (Found(str(path), _read(path)) for path in files)

    def _in(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        return sorted(
            p for p in path.rglob("*") if p.is_file() and _fits(p.relative_to(path).as_posix(), self._pattern)
        )


def _matching(given: str) -> list[Path]:
    return sorted(map(Path, glob.glob(given, recursive=True)))  # noqa: PTH207 (it may be an absolute pattern)


class GitHubRun:
    """The artifacts of a workflow run, by PyGithub."""

    def __init__(self, repository: Any, full_name: str, run: int, *, artifacts: str, pattern: str, own: bool) -> None:
        """
        Args:
            repository: a github.Repository, of this name.
            artifacts: glob pattern of the names of artifacts.
            own: this very job is one of the run's.
        """
        self.name = f"run {run} of {full_name}"
        self._repository = repository
        self._full_name = full_name
        self._run = repository.get_workflow_run(run)
        self._artifacts = artifacts
        self._pattern = pattern
        self._own = own

    def origin(self) -> Origin:
        """A run of a branch of this repository is trusted; that of a fork, or of one that is gone, is not.

        Nor is one of `pull_request_target`: it counts as the base branch's, whosever code it has checked out.
        """
        head = self._run.head_repository
        same = head is not None and head.full_name.lower() == self._full_name.lower()
        same = same and self._run.event != "pull_request_target"
        return Origin(self._own or same, frozenset({self._run.head_sha}))

    def bundles(self) -> Iterator[Found]:
        for artifact in self._run.get_artifacts():
            if not fnmatchcase(artifact.name, self._artifacts):
                continue
            name = f"artifact {artifact.name} ({artifact.id})"
            if artifact.expired:
                yield Found(name, RecordError(f"{name}: GitHub has deleted it, since it was too old"))
            elif artifact.size_in_bytes > ci_artifacts_zip.MAX_ARCHIVE:
                yield Found(name, _too_large(name, ci_artifacts_zip.MAX_ARCHIVE))
            else:
                yield from _unzipped(name, self._download(artifact.id, name), self._pattern)

    def _download(self, artifact: int, name: str) -> bytes | CiplugError:
        """By its id, from where GitHub says that it lies: another server, which gets no token."""
        import github
        import requests

        url = f"{self._repository.url}/actions/artifacts/{artifact}/zip"
        try:
            headers, _ = self._repository.requester.requestJsonAndCheck("GET", url)
        except github.GithubException as error:
            if error.status not in (404, 410):
                raise
            return RecordError(f"{name}: GitHub has it no longer")
        location = headers.get("location", "")
        if urlsplit(location).scheme not in ("http", "https"):
            return ForgeError(f"{name}: GitHub does not say where it lies")
        with requests.Session() as session:
            session.auth = _no_login
            with session.get(location, stream=True, timeout=_TIMEOUT) as response:
                if response.status_code != 200:
                    return ForgeError(f"{name}: the server where it lies answers {response.status_code}")
                return _bounded(response.iter_content(_CHUNK), name, ci_artifacts_zip.MAX_ARCHIVE)


class GitLabPipeline:
    """The artifacts of a pipeline's jobs, by python-gitlab."""

    _MERGE_REQUEST = re.compile(r"refs/merge-requests/(\d+)/(?:head|merge|train)")

    def __init__(self, project: Any, pipeline: int, *, jobs: str, pattern: str, own: bool, elsewhere: bool) -> None:
        """
        Args:
            project: a gitlab.v4.objects.Project.
            jobs: glob pattern of the names of jobs.
            pattern: without a wildcard it is the path of one file, and only that is fetched of a job.
            own: this very job is one of the pipeline's.
            elsewhere: the project is another than the one that collects.
        """
        self.name = f"pipeline {pipeline}"
        self._project = project
        self._pipeline = project.pipelines.get(pipeline)
        self._jobs = jobs
        self._pattern = pattern
        self._own = own
        self._elsewhere = elsewhere

    def origin(self) -> Origin:
        """A pipeline of this project is trusted, unless it is for a merge request whose source is another one."""
        commits = {self._pipeline.sha}
        trusted = not self._elsewhere
        request = self._MERGE_REQUEST.fullmatch(self._pipeline.ref or "")
        if request and trusted and not self._own:
            merge_request = self._project.mergerequests.get(int(request[1]))
            trusted = merge_request.source_project_id == merge_request.target_project_id
            commits.add(merge_request.sha)
        elif self._pipeline.source == "merge_request_event" and not request:
            trusted = self._own
        return Origin(trusted, frozenset(commits))

    def bundles(self) -> Iterator[Found]:
        for job in self._pipeline.jobs.list(iterator=True, per_page=100):
            archive = getattr(job, "artifacts_file", None)
            if not archive or not fnmatchcase(job.name, self._jobs):
                continue
            name = f"job {job.name} ({job.id})"
            handle = self._project.jobs.get(job.id, lazy=True)
            if not glob.has_magic(self._pattern):
                file = f"{name}: {self._pattern}"
                if (chunks := _of_job(handle.artifact, quote(self._pattern))) is not None:
                    yield Found(file, _bounded(chunks, file, bundle.MAX_BYTES))
            elif archive.get("size", 0) > ci_artifacts_zip.MAX_ARCHIVE:
                hint = "fetch one file of each job: --pattern ciplug-report/bundle.ndjson"
                yield Found(name, _too_large(name, ci_artifacts_zip.MAX_ARCHIVE, hint))
            else:
                chunks = _of_job(handle.artifacts)
                gone = RecordError(f"{name}: GitLab has its artifacts no longer")
                data = gone if chunks is None else _bounded(chunks, name, ci_artifacts_zip.MAX_ARCHIVE)
                yield from _unzipped(name, data, self._pattern)


def _of_job(fetch: Any, *path: str) -> Iterable[bytes] | None:
    """What a method of a job's artifacts streams; None where there is nothing."""
    import gitlab

    try:
        chunks: Iterable[bytes] = fetch(*path, streamed=True, iterator=True, chunk_size=_CHUNK)
    except gitlab.GitlabGetError as error:
        if error.response_code != 404:
            raise
        return None
    return chunks


class JenkinsBuild:
    """The archived artifacts of a build, by jenkinsapi."""

    def __init__(self, client: Any, url: str, *, pattern: str, own: bool) -> None:
        """
        Args:
            client: a jenkinsapi.jenkins.Jenkins.
            url: the web address of the build, as BUILD_URL is.
            own: it is the build of this very job.
        """
        self.name = f"build {url}"
        self._client = client
        self._url = url.rstrip("/") + "/"
        self._pattern = pattern
        self._own = own

    def origin(self) -> Origin:
        """Jenkins does not say of another build whether it was a fork's."""
        return Origin(True if self._own else None)

    def bundles(self) -> Iterator[Found]:
        data = self._client.get_data(urljoin(self._url, "api/json"), tree="artifacts[relativePath]")
        yield from jenkins_bundles(self._client, self._url, data["artifacts"], self._pattern)


def jenkins_bundles(
    client: Any, build: str, artifacts: Iterable[Mapping[str, str]], pattern: str = PATTERN
) -> Iterator[Found]:
    """Those of the artifacts of a Jenkins build that are bundles, as its `artifacts[relativePath]` lists them."""
    for path in [artifact["relativePath"] for artifact in artifacts]:
        if not _fits(path, pattern):
            continue
        if not bundle.is_key(path):
            yield Found(f"{path!r:.80}", RecordError(f"{path!r:.80} is no path of an artifact"))
            continue
        url = f"{build.rstrip('/')}/artifact/{quote(path)}"
        with client.requester.get_url(url, stream=True) as response:
            if response.status_code in (404, 410):
                yield Found(path, StoreError(f"{path}: Jenkins has it no longer"))
                continue
            response.raise_for_status()
            yield Found(path, _bounded(response.iter_content(_CHUNK), path, bundle.MAX_BYTES))


def _unzipped(name: str, data: bytes | CiplugError, pattern: str) -> Iterator[Found]:
    if isinstance(data, CiplugError):
        yield Found(name, data)
        return
    try:
        for path, content in ci_artifacts_zip.files(data, name, lambda path: _fits(path, pattern)):
            yield Found(f"{name}: {path}", content)
    except RecordError as problem:
        yield Found(name, problem)


def _fits(path: str, pattern: str) -> bool:
    """Whether the last parts of a path are as the pattern says."""
    return PurePosixPath(path).match(pattern)


def _read(path: Path) -> bytes | CiplugError:
    try:
        if not path.is_file():
            return InputError(f"{path}: a file or a folder is expected")
        with path.open("rb") as file:
            return _bounded(iter(lambda: file.read(_CHUNK), b""), str(path), bundle.MAX_BYTES)
    except OSError as problem:
        return InputError(f"{path}: {problem.strerror}")


def _bounded(chunks: Iterable[bytes], name: str, most: int) -> bytes | CiplugError:
    parts = []
    room = most
    for chunk in chunks:
        room -= len(chunk)
        if room < 0:
            return _too_large(name, most)
        parts.append(chunk)
    return b"".join(parts)


def _too_large(name: str, most: int, hint: str | None = None) -> RecordError:
    return RecordError(f"{name}: more than {most:,} bytes", hint=hint)


def _no_login(request: Any) -> Any:
    """What lies elsewhere is fetched without any credential, one of ~/.netrc included."""
    return request
