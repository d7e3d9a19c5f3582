"""Bundles among the artifacts of a workflow run of GitHub, by PyGithub."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ciplug.bundles import archive
from ciplug.bundles.source import CHUNK, FoundBundle, Origin, bounded, fits, too_large, unzipped
from ciplug.errors import CiplugError, ForgeError, RecordError

if TYPE_CHECKING:
    import requests

ARTIFACTS = "ciplug*"
_TIMEOUT = 30
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


class GitHubRun:
    """The artifacts of a workflow run, by PyGithub."""

    def __init__(
        self,
        repository: Any,
        full_name: str,
        run: int,
        *,
        files: requests.Session,
        artifacts: str,
        pattern: str,
        own: bool,
    ) -> None:
        """
        Args:
            repository: a github.Repository, of this name.
            files: for the server that holds the artifacts, without any credential.
            artifacts: glob pattern of the names of artifacts.
            own: this very job is one of the run's.
        """
        self.name = f"run {run} of {full_name}"
        self._repository = repository
        self._full_name = full_name
        self._run = repository.get_workflow_run(run)
        self._files = files
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

    def bundles(self, *, with_files: bool) -> Iterator[FoundBundle]:
        for artifact in self._run.get_artifacts():
            # With `archive: false`, upload-artifact keeps one file as it is, under its own name.
            bare = fits(artifact.name, self._pattern)
            if not bare and not fnmatchcase(artifact.name, self._artifacts):
                continue
            name = f"artifact {artifact.name} ({artifact.id})"
            if artifact.expired:
                yield FoundBundle(name, RecordError(f"{name}: GitHub has deleted it, since it was too old"))
            elif artifact.size_in_bytes > archive.MAX_ARCHIVE:
                yield FoundBundle(name, too_large(name, archive.MAX_ARCHIVE))
            else:
                data = self._download(artifact.id, name)
                if bare and isinstance(data, bytes) and not data.startswith(_ZIP):
                    yield FoundBundle(name, data)
                else:
                    yield from unzipped(name, data, self._pattern, with_files=with_files)

    def _download(self, artifact: int, name: str) -> bytes | CiplugError:
        """Fetch it by its id from the address that GitHub gives: another server, which gets no token."""
        import github
        import requests

        url = f"{self._repository.url}/actions/artifacts/{artifact}/zip"
        try:
            headers, _ = self._repository.requester.requestJsonAndCheck("GET", url)
        except github.GithubException as error:
            if error.status not in (404, 410):
                raise
            return RecordError(f"{name}: GitHub no longer has it")
        location = headers.get("location", "")
        if urlsplit(location).scheme not in ("http", "https"):
            return ForgeError(f"{name}: GitHub does not say where it is")
        try:
            with self._files.get(location, stream=True, timeout=_TIMEOUT) as response:
                if response.status_code != 200:
                    return ForgeError(f"{name}: the server that holds it answers {response.status_code}")
                return bounded(response.iter_content(CHUNK), name, archive.MAX_ARCHIVE)
        except requests.RequestException:
            # The exception quotes the address, whose signature is a secret.
            server = urlsplit(location).hostname
            return ForgeError(f"{name}: it cannot be fetched from {server}", hint="run the job again")
