"""Files of versions in S3: each version below a folder that its digest names, each file as it is.

S3 computes the sha256 of an object while it takes it, and tells it later. A file of more than 5 GB goes in parts, and
S3 then tells a digest of the digests of its parts: the object has both digests in its metadata.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.errors import Cause, DeploymentRefused, NotDeployed, TargetError
from ciplug.targets.aws import aws_errors
from ciplug.targets.base import Release

PART = 512 * 1024 * 1024
"""Bytes of a part. S3 takes 10,000 parts of an object."""
ONE_PART_MOST = 5 * 1024 * 1024 * 1024
"""Bytes of an object that S3 takes in one request."""
_SHA256, _PARTS = "ciplug-sha256", "ciplug-parts-sha256"


class Kept(NamedTuple):
    """What S3 has of a version."""

    files: Mapping[str, str]
    """Path → sha256:<hex>; the digest is empty where the object is not of ciplug."""
    newest: datetime | None
    """When the last object was written; None: there is none."""


class S3Folder:
    """The folder of a target."""

    def __init__(self, client: Any, uri: str, mask: Callable[[str], str]) -> None:
        """Args:
        mask: masks the secrets in what S3, or its library, says.
        """
        self._client = client
        self._mask = mask
        self._uri = uri
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def address(self, digest: str, folder: str = "") -> str:
        """The address of a version's files, or of a folder of them, with a `/` at the end."""
        return f"s3://{self._bucket}/{self._key(digest, f'{folder}/' if folder else '')}"

    def put(self, release: Release) -> None:
        """Upload the files that S3 does not have, or has with other bytes.

        Raises DeploymentRefused where something else is in the folder: a server would get it, too.
        """
        kept = self.kept(release.digest).files
        if strangers := sorted(set(kept) - set(release.files)):
            raise DeploymentRefused(
                NotDeployed.OTHER_CONTENT,
                f"{self.address(release.digest)} has {strangers[0][:200]!r}, which is not a file of the version",
                hint="find out who put it there, and remove it",
            )
        for path, digest in sorted(release.files.items()):
            if kept.get(path) != digest:
                self._put(self._key(release.digest, path), release.folder / path, digest)
        if dict(self.kept(release.digest).files) != dict(release.files):
            raise TargetError(
                f"{self.address(release.digest)} has other bytes than were sent",
                hint="is somebody else writing there, or does this server tell no sha256?",
                cause=Cause.DAMAGED,
            )

    def kept(self, digest: str) -> Kept:
        """What S3 has below the folder of a version."""
        start = self._key(digest, "")
        files, times = {}, []
        with aws_errors(self._uri, self._mask):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start):
                for one in page.get("Contents", ()):
                    times.append(one["LastModified"])
                    files[one["Key"].removeprefix(start)] = self._digest(one["Key"])
        return Kept(files, max(times, default=None))

    def _key(self, digest: str, path: str) -> str:
        return f"{self._prefix}{digest.removeprefix('sha256:')}/{path}"

    def _digest(self, key: str) -> str:
        """The digest of an object by what S3 has computed; empty where it does not follow from that."""
        head = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        # Amazon adds the number of the parts to the digest of their digests.
        computed, number = str(head.get("ChecksumSHA256", "")).partition("-")[::2]
        notes = head.get("Metadata", {})
        if number or _PARTS in notes:
            return f"sha256:{notes.get(_SHA256, '')}" if notes.get(_PARTS) == computed else ""
        return f"sha256:{base64.b64decode(computed).hex()}" if computed else ""

    def _put(self, key: str, file: Path, digest: str) -> None:
        size, hexadecimal = file.stat().st_size, digest.removeprefix("sha256:")
        notes = {_SHA256: hexadecimal}
        with aws_errors(self._uri, self._mask):
            if size <= ONE_PART_MOST:
                computed = base64.b64encode(bytes.fromhex(hexadecimal)).decode()
                with file.open("rb") as data:
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=key,
                        Body=data,
                        ChecksumAlgorithm="SHA256",
                        ChecksumSHA256=computed,
                        Metadata=notes,
                    )
                return
            from boto3.s3.transfer import TransferConfig

            notes[_PARTS] = parts_digest(file)
            self._client.upload_file(
                str(file),
                self._bucket,
                key,
                ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": notes},
                Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART),
            )


def parts_digest(file: Path) -> str:
    """What S3 tells of an object that was sent in parts: the digest of their digests, as base64."""
    digests = []
    with file.open("rb") as data:
        while True:
            part, left = hashlib.sha256(), PART
            while left and (chunk := data.read(min(1 << 20, left))):
                part.update(chunk)
                left -= len(chunk)
            if left == PART:
                break
            digests.append(part.digest())
    return base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
