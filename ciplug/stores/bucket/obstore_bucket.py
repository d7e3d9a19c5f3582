"""A Bucket by way of obstore: S3, Azure, a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug.errors import ConfigError
from ciplug.stores.bucket.base import PART, Listed
from ciplug.stores.bucket.failures import Access, errors

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

RETRIES: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=30)}
_PARTS_MOST, _PARTS_AT_ONCE = 9000, 4
"""S3 takes 10,000 parts of an object."""


def settings(env: Mapping[str, str], prefix: str, names: Iterable[str]) -> dict[str, str]:
    """Those of the variables PREFIX_NAME that are set, as obstore names them."""
    variables = (f"{prefix}{name}" for name in names)
    return {name.lower(): env[name] for name in variables if env.get(name)}


def client_options(env: Mapping[str, str], bundle: str, endpoint: str | None) -> Any:
    """Return HTTP options: no TLS if the user named such an endpoint; the user's own certificate authority."""
    options: dict[str, Any] = {"allow_http": True} if (endpoint or "").startswith("http://") else {}
    for name in (bundle, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if path := env.get(name):
            try:
                options["root_certificate"] = Path(path).read_bytes()
            except OSError as problem:
                raise ConfigError(f"{name}: {path}: {problem.strerror}") from None
            break
    return options


class ObstoreBucket:
    """A Bucket by way of obstore: S3, Azure, a folder."""

    def __init__(self, store: ObjectStore, address: str, access: Access) -> None:
        self.address = address
        self._store = store
        self._access = access

    def get(self, name: str) -> bytes | None:
        with self._errors():
            try:
                return bytes(self._store.get(name).bytes())
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._errors():
            try:
                self._store.put(name, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def put(self, name: str, data: bytes) -> None:
        with self._errors():
            self._store.put(name, data, use_multipart=False)

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        if size <= PART:
            self.put(name, b"".join(chunks))
            return
        with self._errors():
            part = max(PART, size // _PARTS_MOST)
            self._store.put(name, chunks, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)

    def size(self, name: str) -> int | None:
        with self._errors():
            try:
                return int(self._store.head(name)["size"])
            except FileNotFoundError:
                return None

    def version(self, name: str) -> str | None:
        with self._errors():
            try:
                about = self._store.head(name)
            except FileNotFoundError:
                return None
        return f"{about['last_modified'].isoformat()} {about['e_tag'] or ''}"

    def part(self, name: str, start: int, length: int) -> bytes:
        with self._errors():
            return bytes(self._store.get_range(name, start=start, length=length))

    def copy(self, name: str, to: str) -> None:
        with self._errors():
            self._store.copy(name, to)

    def delete(self, name: str) -> None:
        with self._errors():
            try:
                self._store.delete(name)
            except FileNotFoundError:
                return

    def list(self, folder: str) -> list[Listed]:
        with self._errors():
            objects = [meta for chunk in self._store.list(folder, chunk_size=1000) for meta in chunk]
        return sorted(Listed(meta["path"], meta["size"], meta["e_tag"] or "") for meta in objects)

    def _errors(self) -> AbstractContextManager[None]:
        return errors(self._access, self.address)
