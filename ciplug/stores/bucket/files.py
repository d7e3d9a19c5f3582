"""Files in an object store or a folder: <prefix>/files/<first 2 hex digits>/<SHA-256>, and what is set aside."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event

from ciplug.errors import Cause, StoreError
from ciplug.stores import threads
from ciplug.stores.bucket.base import PART, Bucket, each
from ciplug.stores.bucket.failures import library_error
from ciplug.stores.bucket.file_drops import aside_files, drop_files, is_due, key_of
from ciplug.stores.bucket.opening import open_bucket
from ciplug.stores.files import DroppedFiles, Tell, checked, receive, wrong_bytes

ADDRESSES = ("s3://", "gs://", "az://", "https://", "http://")
"""Prefixes of an external artifact's address."""
_FILES_AT_ONCE, _PARTS_AT_ONCE = 8, 4
_TIMEOUT = timedelta(hours=24)


class ObjectFiles:
    """Files below a prefix of a bucket. An upload is seen whole or not at all, a download is continued by range."""

    limit: int | None = None

    def __init__(self, bucket: Bucket, uri: str) -> None:
        self.uri = uri
        self._bucket = bucket

    def missing(self, digests: Collection[str]) -> set[str]:
        absent = {d for d, size in each(lambda d: self._bucket.size(key_of(d)), digests).items() if size is None}
        return absent - {file.digest for file in aside_files(self._bucket)} if absent else absent

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        sizes = {digest: path.stat().st_size if path.exists() else None for digest, path in files.items()}
        sizes_there = each(lambda digest: self._bucket.size(key_of(digest)), files)
        # A file of another size is damaged, and is sent again.
        absent = {d for d, size in sizes_there.items() if size is None or sizes[d] not in (size, None)}
        tell(sum(size or 0 for digest, size in sizes_there.items() if digest not in absent))

        def send(digest: str, tell: Tell) -> None:
            self._bucket.upload(key_of(digest), checked(files[digest], digest, tell), sizes[digest] or 0)

        _at_once(send, absent, tell)

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        def one(digest: str, tell: Tell) -> None:
            name, size = self._find(digest)
            if size is None:
                raise StoreError(
                    f"{self.uri} does not hold {digest}", hint="has a rule of the bucket deleted it?", cause=Cause.LOST
                )
            read = partial(_read, self._bucket, name, size)
            receive(digest, folder, read, tell, most, self.uri)

        _at_once(one, digests, tell)

    def damaged(self, digests: Collection[str], tell: Tell) -> dict[str, str]:
        wrong: dict[str, str] = {}

        def one(digest: str, tell: Tell) -> None:
            name, size = self._find(digest)
            if size is None:
                return
            try:
                found = wrong_bytes(digest, _read(self._bucket, name, size, 0), tell)
            except StoreError as problem:
                if problem.cause not in (Cause.DAMAGED, Cause.LOST):
                    raise
                found = f"it cannot be read: {problem.message}"
            if found:
                wrong[digest] = found

        _at_once(one, digests, tell)
        return wrong

    def _find(self, digest: str) -> tuple[str, int | None]:
        """Name and size of the object that holds a file, which may be set aside; the size is None where none does."""
        name = key_of(digest)
        size = self._bucket.size(name)
        if size is None:
            aside = next((file.name for file in aside_files(self._bucket) if file.digest == digest), None)
            if aside:
                return aside, self._bucket.size(aside)
        return name, size

    def due(self, now: datetime) -> bool:
        return any(is_due(file, now) for file in aside_files(self._bucket))

    def drop(self, unneeded: Collection[str], needed: Collection[str], now: datetime) -> DroppedFiles:
        return drop_files(self._bucket, lambda name, size: _read(self._bucket, name, size, 0), unneeded, needed, now)

    def compact(self) -> int:
        return 0


def measure(address: str, env: Mapping[str, str]) -> tuple[str, int]:
    """Digest and size of the file at an address, read once. Raises StoreError when it cannot be read."""
    content, size = hashlib.sha256(), 0
    for chunk in _read_address(address, env, 0):
        content.update(chunk)
        size += len(chunk)
    return f"sha256:{content.hexdigest()}", size


def version(address: str, env: Mapping[str, str]) -> str | None:
    """Text that differs after each write of the file at an address; None where nothing is. Raises StoreError."""
    _check_address(address)
    folder, _, name = address.rpartition("/")
    if not address.startswith(("https:", "http:")):
        return open_bucket(folder, env).version(name)
    try:
        with _web_errors(address):
            import obstore
            from obstore.store import HTTPStore

            about = obstore.head(HTTPStore.from_url(folder, client_options={"allow_http": True}), name)
    except StoreError as problem:
        if problem.cause is Cause.LOST:
            return None
        raise
    return f"{about['last_modified'].isoformat()} {about['e_tag'] or ''}"


def _check_address(address: str) -> None:
    if not address.startswith(ADDRESSES):
        raise StoreError(f"{address[:200]!r} is not an address that ciplug reads", cause=Cause.UNSUPPORTED)


def get_address(address: str, env: Mapping[str, str], digest: str, folder: Path, tell: Tell, most: int) -> None:
    """Fetch the file at an address into `folder`, as `Files.get` does."""
    receive(digest, folder, partial(_read_address, address, env), tell, most, address)


def _read_address(address: str, env: Mapping[str, str], start: int) -> Iterator[bytes]:
    _check_address(address)
    folder, _, name = address.rpartition("/")
    if address.startswith(("https:", "http:")):
        yield from _read_web(folder, name, start)
        return
    bucket = open_bucket(folder, env)
    size = bucket.size(name)
    if size is None:
        raise StoreError(f"{address}: there is nothing at this address", cause=Cause.LOST)
    yield from _read(bucket, name, size, start)


def _read_web(folder: str, name: str, start: int) -> Iterator[bytes]:
    """From the first byte on: not every web server knows ranges."""
    with _web_errors(f"{folder}/{name}"):
        import obstore
        from obstore.store import HTTPStore

        store = HTTPStore.from_url(folder, client_options={"allow_http": True, "timeout": _TIMEOUT})
        for chunk in obstore.get(store, name).stream(min_chunk_size=1024 * 1024):
            data = bytes(chunk)
            yield data[start:]
            start = max(0, start - len(data))


@contextmanager
def _web_errors(address: str) -> Iterator[None]:
    try:
        from obstore.exceptions import BaseError
    except ImportError as problem:
        words = f"{address}: a library is not installed ({problem})"
        raise StoreError(words, hint="pip install obstore", cause=Cause.LIBRARY_MISSING) from None
    try:
        yield
    except FileNotFoundError:
        raise StoreError(f"{address}: there is nothing at this address", cause=Cause.LOST) from None
    except (BaseError, ValueError) as problem:
        raise library_error(address, problem, hint=None) from None


def _read(bucket: Bucket, name: str, size: int, start: int) -> Iterator[bytes]:
    """Yield the content of an object from `start` on, in order, while the next parts are being fetched."""
    parts = ((at, min(PART, size - at)) for at in range(start, size, PART))
    with threads.pool(_PARTS_AT_ONCE) as pool:
        if pool is None:
            yield from (bucket.part(name, at, length) for at, length in parts)
            return
        coming = deque(pool.submit(bucket.part, name, *part) for part in islice(parts, _PARTS_AT_ONCE))
        while coming:
            data = coming.popleft().result()
            coming.extend(pool.submit(bucket.part, name, *part) for part in islice(parts, 1))
            yield data


def _at_once(work: Callable[[str, Tell], None], digests: Iterable[str], tell: Tell) -> None:
    """Do it for every digest, several at a time. When one fails, or the user interrupts, the others end soon."""
    stopped = Event()

    def tell_unless_stopped(count: int) -> None:
        if stopped.is_set():
            raise StoreError("stopped, since another file failed")
        tell(count)

    with threads.pool(_FILES_AT_ONCE) as pool:
        if pool is None:
            for digest in sorted(set(digests)):
                work(digest, tell)
            return
        from concurrent.futures import FIRST_EXCEPTION, wait

        tasks = [pool.submit(work, digest, tell_unless_stopped) for digest in sorted(set(digests))]
        try:
            done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
        except BaseException:
            stopped.set()
            for task in tasks:
                task.cancel()
            raise
