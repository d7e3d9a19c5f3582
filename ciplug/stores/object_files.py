"""Files in an object store or a folder, by obstore: <prefix>/files/<first 2 hex digits>/<SHA-256>."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import StoreError
from ciplug.stores.files import Tell, checked, hex_of, receive

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PART = 8 * 1024 * 1024
_PARTS_MOST = 9000
"""S3 takes 10,000 parts of a file."""
_FILES_AT_ONCE, _PARTS_AT_ONCE, _ASKED_AT_ONCE = 4, 4, 16


class ObjectFiles:
    """Files below a URI: `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///folder`."""

    limit: int | None = None

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def _bucket(self) -> ObjectStore:
        return open_bucket(self.uri)

    def missing(self, digests: Collection[str]) -> set[str]:
        import obstore

        def is_missing(digest: str) -> bool:
            try:
                obstore.head(self._bucket, _key(digest))
            except FileNotFoundError:
                return True
            return False

        wanted = sorted(set(digests))
        with _told(self.uri), ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            return {d for d, absent in zip(wanted, pool.map(is_missing, wanted), strict=True) if absent}

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        absent = self.missing(files)
        tell(sum(path.stat().st_size for digest, path in files.items() if digest not in absent and path.exists()))
        with _told(self.uri), ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            sending = [pool.submit(self._send, digest, files[digest], tell) for digest in sorted(absent)]
            _all(sending)

    def _send(self, digest: str, path: Path, tell: Tell) -> None:
        import obstore

        size = path.stat().st_size if path.exists() else 0
        chunks = checked(path, digest, tell)
        if size <= _PART:
            obstore.put(self._bucket, _key(digest), b"".join(chunks), use_multipart=False)
        else:
            # An exception of `chunks` ends the upload, and nothing of it can be seen.
            obstore.put(
                self._bucket,
                _key(digest),
                chunks,
                chunk_size=max(_PART, size // _PARTS_MOST),
                max_concurrency=_PARTS_AT_ONCE,
            )

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        def one(digest: str) -> None:
            try:
                size = _size(self._bucket, _key(digest))
                receive(digest, folder, partial(_read, self._bucket, _key(digest), size), tell, most, self.uri)
            except FileNotFoundError:
                raise StoreError(
                    f"{self.uri} does not hold {digest}", hint="has a rule of the bucket deleted it?"
                ) from None

        with _told(self.uri), ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            _all([pool.submit(one, digest) for digest in sorted(set(digests))])

    def compact(self) -> int:
        return 0


def open_bucket(uri: str) -> ObjectStore:
    """The bucket or folder of a URI, with the credentials of the platform's usual chain. Contacts nothing."""
    from obstore.store import from_url

    if uri.startswith("file:"):
        return from_url(uri, mkdir=True)
    if uri.startswith("http:"):
        return from_url(uri, client_options={"allow_http": True})
    return from_url(uri)


def _key(digest: str) -> str:
    name = hex_of(digest)
    return f"files/{name[:2]}/{name}"


def _size(bucket: ObjectStore, key: str) -> int:
    import obstore

    return int(obstore.head(bucket, key)["size"])


def _read(bucket: ObjectStore, key: str, size: int, start: int) -> Iterator[bytes]:
    """The bytes of an object from `start` on, in order, while the next parts are on their way."""
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        coming: deque[Future[bytes]] = deque()
        while start < size or coming:
            while start < size and len(coming) < _PARTS_AT_ONCE:
                length = min(_PART, size - start)
                coming.append(pool.submit(_range, bucket, key, start, length))
                start += length
            yield coming.popleft().result()


def _range(bucket: ObjectStore, key: str, start: int, length: int) -> bytes:
    import obstore

    return obstore.get_range(bucket, key, start=start, length=length).to_bytes()


def measure(address: str) -> tuple[str, int]:
    """Digest and size of what lies at an address, read once. Raises StoreError when it cannot be read."""
    content, size = hashlib.sha256(), 0
    with _found(address):
        for chunk in _read_address(address, 0):
            content.update(chunk)
            size += len(chunk)
    return f"sha256:{content.hexdigest()}", size


def get_address(address: str, digest: str, folder: Path, tell: Tell, most: int) -> None:
    """Bring what lies at an address into `folder`, as `Files.get` does."""
    with _found(address):
        receive(digest, folder, partial(_read_address, address), tell, most, address)


def _read_address(address: str, start: int) -> Iterator[bytes]:
    import obstore

    folder, _, name = address.rpartition("/")
    bucket = open_bucket(folder)
    if not address.startswith(("http:", "https:")):
        yield from _read(bucket, name, _size(bucket, name), start)
        return
    # Not every web server knows ranges.
    for chunk in obstore.get(bucket, name).stream(min_chunk_size=1024 * 1024):
        data = bytes(chunk)
        yield data[start:]
        start = max(0, start - len(data))


@contextmanager
def _found(address: str) -> Iterator[None]:
    try:
        with _told(address):
            yield
    except FileNotFoundError:
        raise StoreError(f"{address}: there is nothing at this address") from None


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """What obstore says, as an error of ours: its first line, and no more."""
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as problem:
        said = " ".join(str(problem).partition("\n\n")[0].split())
        raise StoreError(f"{uri}: {said}", hint="are the platform's credentials set, and may they do this?") from None


def _all(tasks: Sequence[Future[None]]) -> None:
    """Wait for all; the first that fails stops those that have not begun."""
    try:
        for task in tasks:
            task.result()
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
