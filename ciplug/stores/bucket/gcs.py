"""gs://bucket/prefix: Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ciplug.stores.bucket.base import PART, Bucket, Listed
from ciplug.stores.bucket.failures import Access, errors

PLACE = "bucket"
LIBRARY = "google.cloud.storage"
ENDPOINTS = ("STORAGE_EMULATOR_HOST",)
SERVERS = ENDPOINTS
HOST_ALONE = True  # as for Google's own tools
ACCESS = Access(
    "gcs",
    "credentials come from GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the "
    "machine's service account",
)
_TIMEOUT = 30
"""Seconds that a request is tried again."""


def open_bucket(address: str, name: str, prefix: str, env: Mapping[str, str]) -> Bucket:
    from google.cloud import storage

    emulator = env.get("STORAGE_EMULATOR_HOST")
    if emulator:
        from google.auth.credentials import AnonymousCredentials

        endpoint = emulator if "://" in emulator else f"http://{emulator}"
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
        client = storage.Client("emulator", anonymous, client_options={"api_endpoint": endpoint})
    else:
        client = storage.Client()
    return GoogleBucket(client.bucket(name), prefix, address)


class GoogleBucket:
    """A Bucket by way of Google's own library, which knows every kind of Google's credentials."""

    def __init__(self, bucket: Any, prefix: str, address: str) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self.address = address
        self._retry = DEFAULT_RETRY.with_timeout(_TIMEOUT)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._prefix + name)

    def get(self, name: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        with self._errors():
            try:
                return bytes(self._blob(name).download_as_bytes(retry=self._retry))
            except NotFound:
                return None

    def create(self, name: str, data: bytes) -> bool:
        from google.api_core.exceptions import PreconditionFailed

        with self._errors():
            try:
                self._upload(name, data, if_generation_match=0)
            except PreconditionFailed:
                return False
        return True

    def put(self, name: str, data: bytes) -> None:
        with self._errors():
            self._upload(name, data)

    def _upload(self, name: str, data: bytes, **condition: int) -> None:
        # Every write of ours may be repeated, which the library cannot know.
        self._blob(name).upload_from_string(data, "application/octet-stream", retry=self._retry, **condition)

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        with self._errors():
            blob = self._blob(name)
            blob.chunk_size = PART
            blob.upload_from_file(_Reader(chunks), size=size, retry=self._retry)

    def size(self, name: str) -> int | None:
        with self._errors():
            blob = self._bucket.get_blob(self._prefix + name)
        return None if blob is None else int(blob.size)

    def version(self, name: str) -> str | None:
        with self._errors():
            blob = self._bucket.get_blob(self._prefix + name)
        return None if blob is None else str(blob.generation)

    def part(self, name: str, start: int, length: int) -> bytes:
        with self._errors():
            return bytes(self._blob(name).download_as_bytes(start=start, end=start + length - 1))

    def copy(self, name: str, to: str) -> None:
        with self._errors():
            self._bucket.copy_blob(self._blob(name), self._bucket, self._prefix + to, retry=self._retry)

    def delete(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with self._errors():
            try:
                self._blob(name).delete(retry=self._retry)
            except NotFound:
                return

    def list(self, folder: str) -> list[Listed]:
        with self._errors():
            blobs = list(self._bucket.list_blobs(prefix=f"{self._prefix}{folder}/", retry=self._retry))
        start = len(self._prefix)
        return sorted(Listed(blob.name[start:], blob.size or 0, str(blob.generation)) for blob in blobs)

    def _errors(self) -> AbstractContextManager[None]:
        return errors(ACCESS, self.address)


class _Reader:
    """A file that is read from content in chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        data = bytearray(self._left)
        while size < 0 or len(data) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            data += chunk
        taken = len(data) if size < 0 else min(size, len(data))
        self._left = bytes(data[taken:])
        self._at += taken
        return bytes(data[:taken])

    def tell(self) -> int:
        return self._at
