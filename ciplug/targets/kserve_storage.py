"""Where a KServe server gets the files of a version from: a folder of S3, or an image of an OCI registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ciplug.targets.aws import client
from ciplug.targets.base import Release
from ciplug.targets.oci_image import Image, files_in
from ciplug.targets.oci_registry import Repository
from ciplug.targets.s3_folder import S3Folder


class Storage(Protocol):
    def put(self, release: Release, folder: str) -> str:
        """Put the files there, and return the address for KServe, which the digest is in. Can be called again.

        Args:
            folder: the folder among the files that the server gets; empty: all.
        """

    def files(self, address: str, digest: str) -> Mapping[str, str]:
        """Path → sha256:<hex> of what is at an address; none for an address that is not of this storage.

        Args:
            digest: the digest of all files, as it was noted with the address.
        """


def open_storage(uri: str, env: Mapping[str, str], mask: Callable[[str], str]) -> Storage:
    """`s3://bucket/folder`, `oci://registry/repository` or `oci+native://registry/repository`."""
    return _S3(uri, mask) if uri.startswith("s3://") else _Registry(uri, env)


class _S3:
    def __init__(self, uri: str, mask: Callable[[str], str]) -> None:
        self._uri = uri
        self._mask = mask

    @property
    def _folder(self) -> S3Folder:
        return S3Folder(client("s3", self._mask), self._uri, self._mask)

    def put(self, release: Release, folder: str) -> str:
        self._folder.put(release)
        return self._folder.address(release.digest, folder).rstrip("/")

    def files(self, address: str, digest: str) -> Mapping[str, str]:
        if not f"{address}/".startswith(self._folder.address(digest)):
            return {}
        return self._folder.kept(digest).files


class _Registry:
    def __init__(self, uri: str, env: Mapping[str, str]) -> None:
        self._uri = uri
        host, _, name = uri.partition("://")[2].partition("/")
        self._repository = Repository(host, name, env)

    def put(self, release: Release, folder: str) -> str:
        image = Image(release, folder)
        image.push(self._repository)
        return f"{self._uri}@{image.index.digest}"

    def files(self, address: str, digest: str) -> Mapping[str, str]:
        uri, _, image = address.partition("@")
        return files_in(self._repository, image) if uri == self._uri and image else {}
