"""Bundles among the archived artifacts of a Jenkins build, by jenkinsapi."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urljoin

from ciplug.bundles.archive import MAX_FILE
from ciplug.bundles.source import CHUNK, PATTERN, FoundBundle, Origin, bounded, digest_of, fits
from ciplug.errors import Cause, RecordError, StoreError
from ciplug.records import bundle


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

    def bundles(self, *, with_files: bool) -> Iterator[FoundBundle]:
        data = self._client.get_data(urljoin(self._url, "api/json"), tree="artifacts[relativePath]")
        paths = [artifact["relativePath"] for artifact in data["artifacts"]]
        for found in bundles_of_build(self._client, self._url, data["artifacts"], self._pattern):
            beside = {digest: path for path in paths if (digest := digest_of(path, found.name))} if with_files else {}
            yield found._replace(files={digest: self._file(path) for digest, path in beside.items()})

    def _file(self, path: str) -> bytes:
        """A file beside a bundle; none of its bytes where it is too large, so that its digest is another."""
        with self._client.requester.get_url(f"{self._url}artifact/{quote(path)}", stream=True) as response:
            response.raise_for_status()
            content = bounded(response.iter_content(CHUNK), path, MAX_FILE)
        return content if isinstance(content, bytes) else b""


def bundles_of_build(
    client: Any, build: str, artifacts: Iterable[Mapping[str, str]], pattern: str = PATTERN
) -> Iterator[FoundBundle]:
    """Return those artifacts of a Jenkins build that are bundles, as `artifacts[relativePath]` lists them."""
    for path in [artifact["relativePath"] for artifact in artifacts]:
        if not fits(path, pattern):
            continue
        if not bundle.is_key(path):
            yield FoundBundle(f"{path!r:.80}", RecordError(f"{path!r:.80} is not the path of an artifact"))
            continue
        url = f"{build.rstrip('/')}/artifact/{quote(path)}"
        with client.requester.get_url(url, stream=True) as response:
            if response.status_code in (404, 410):
                yield FoundBundle(path, StoreError(f"{path}: Jenkins no longer has it", cause=Cause.LOST))
                continue
            response.raise_for_status()
            yield FoundBundle(path, bounded(response.iter_content(CHUNK), path, bundle.MAX_BYTES))
