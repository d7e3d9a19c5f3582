"""Bundles among the artifacts of the jobs of a GitLab pipeline, by python-gitlab."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from ciplug.bundles import archive as archives
from ciplug.bundles.source import CHUNK, FoundBundle, Origin, bounded, too_large, unzipped
from ciplug.errors import RecordError
from ciplug.records import bundle


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

    def bundles(self, *, with_files: bool) -> Iterator[FoundBundle]:
        for job in self._pipeline.jobs.list(iterator=True, per_page=100):
            archive = getattr(job, "artifacts_file", None)
            if not archive or not fnmatchcase(job.name, self._jobs):
                continue
            name = f"job {job.name} ({job.id})"
            handle = self._project.jobs.get(job.id, lazy=True)
            if not glob.has_magic(self._pattern):
                file = f"{name}: {self._pattern}"
                if (chunks := _of_job(handle.artifact, quote(self._pattern))) is not None:
                    yield FoundBundle(file, bounded(chunks, file, bundle.MAX_BYTES))
            elif archive.get("size", 0) > archives.MAX_ARCHIVE:
                hint = "fetch one file of each job: --pattern ciplug-report/bundle.ndjson"
                yield FoundBundle(name, too_large(name, archives.MAX_ARCHIVE, hint))
            else:
                chunks = _of_job(handle.artifacts)
                gone = RecordError(f"{name}: GitLab no longer has its artifacts")
                data = gone if chunks is None else bounded(chunks, name, archives.MAX_ARCHIVE)
                yield from unzipped(name, data, self._pattern, with_files=with_files)


def _of_job(fetch: Any, *path: str) -> Iterable[bytes] | None:
    """Return the stream that a method of a job's artifacts gives; None if there is nothing."""
    import gitlab

    try:
        chunks: Iterable[bytes] = fetch(*path, streamed=True, iterator=True, chunk_size=CHUNK)
    except gitlab.GitlabGetError as error:
        if error.response_code != 404:
            raise
        return None
    return chunks
