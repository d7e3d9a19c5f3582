"""The bucket of an object store, from its URI: S3 and servers with its API, Azure, Google Cloud, or a folder.

Credentials come from where the platform's own tools find them, and never from an address.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from ciplug.errors import ConfigError
from ciplug.git.credentials import redact
from ciplug.stores.bucket import azure, folder, gcs, s3
from ciplug.stores.bucket.base import Bucket
from ciplug.stores.bucket.deferred import DeferredBucket
from ciplug.stores.bucket.failures import Access, errors


class Provider(Protocol):
    """The description of one scheme's buckets, in a module of this folder."""

    @property
    def PLACE(self) -> str:  # noqa: N802
        """The provider's word for a bucket."""

    @property
    def LIBRARY(self) -> str:  # noqa: N802
        """The module that must be installed."""

    @property
    def ENDPOINTS(self) -> tuple[str, ...]:  # noqa: N802
        """Variables that hold the address of a server; the first that is set counts."""

    @property
    def HOST_ALONE(self) -> bool:  # noqa: N802
        """Whether that address may be a host without a scheme."""

    @property
    def SERVERS(self) -> tuple[str, ...]:  # noqa: N802
        """Variables that decide on which server a name is; the first that is set counts."""

    @property
    def ACCESS(self) -> Access:  # noqa: N802
        """The names and advice for errors."""

    def open_bucket(self, address: str, name: str, prefix: str, env: Mapping[str, str]) -> Bucket:
        """The bucket of this name; this may look for credentials."""
        ...


PROVIDERS: dict[str, Provider] = {"s3": s3, "az": azure, "gs": gcs}
"""Scheme → module. `file` is apart: a folder has no server."""
_ENDPOINT = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?", re.IGNORECASE)


def open_bucket(uri: str, env: Mapping[str, str]) -> Bucket:
    """The place that a URI names. Nothing is contacted yet.

    Raises ConfigError for a URI that is not of the form scheme://place/prefix, or that has credentials in it, or for
    an endpoint in the environment that is not an address, and StoreError when the library for it is not installed.
    """
    named, parts, prefix = _parts(uri)
    scheme = parts.scheme
    with errors(_access(scheme), named):
        if scheme == "file":
            return folder.open_folder(prefix)
        return _deferred(PROVIDERS[scheme], parts, prefix, env)


def check_address(uri: str) -> None:
    """Raise the ConfigError of `open_bucket` for what is not an address."""
    _parts(uri)


def _access(scheme: str) -> Access:
    return folder.ACCESS if scheme == "file" else PROVIDERS[scheme].ACCESS


def _parts(uri: str) -> tuple[str, SplitResult, str]:
    """Return the name of a place for errors, its address in parts, and the prefix. Raises ConfigError."""
    scheme, _, rest = uri.partition("://")
    named = redact(f"{scheme}://{re.split('[?#]', rest)[0]}")
    parts = urlsplit(uri)
    if "@" in rest.partition("/")[0] or "?" in rest or "#" in rest:
        raise ConfigError(
            f"store '{named}': an address only is expected, without credentials and options", hint=_access(scheme).hint
        )
    prefix = (unquote(parts.path) if scheme == "file" else parts.path).strip("/")
    if not rest.isprintable() or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise ConfigError(f"store '{named}': '{prefix}' is not a path")
    if scheme == "file" and (parts.netloc not in ("", "localhost") or not prefix):
        raise ConfigError(f"store '{named}': the full path of a folder is expected", hint="file:///path")
    if scheme != "file" and not parts.netloc:
        place = PROVIDERS[scheme].PLACE
        raise ConfigError(f"store '{named}': a {place} is expected", hint=f"{scheme}://{place}/prefix")
    return named, parts, prefix


def _deferred(provider: Provider, parts: SplitResult, prefix: str, env: Mapping[str, str]) -> Bucket:
    _check_endpoint(provider, env)
    import_module(provider.LIBRARY)
    server = _server(provider, env)
    address = redact(f"{parts.scheme}://{parts.netloc}/{prefix}" + (f"#{server}" if server else ""))
    return DeferredBucket(address, provider.ACCESS, lambda: provider.open_bucket(address, parts.netloc, prefix, env))


def _check_endpoint(provider: Provider, env: Mapping[str, str]) -> None:
    """Raises ConfigError for an endpoint that is not an address: obstore aborts on one, in words of its own."""
    name = next((name for name in provider.ENDPOINTS if env.get(name)), None)
    if name is None:
        return
    endpoint = f"http://{env[name]}" if provider.HOST_ALONE and "://" not in env[name] else env[name]
    try:
        parts = urlsplit(endpoint)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host = 0, ""
    if _ENDPOINT.fullmatch(endpoint) and port != 0 and re.fullmatch(r"[\w.:-]+", host) and endpoint.isprintable():
        return
    raise ConfigError(
        f"{name}: '{redact(env[name])}' is not the address of a server",
        hint="write it like https://storage.example.com or http://127.0.0.1:9000",
    )


def _server(provider: Provider, env: Mapping[str, str]) -> str:
    return next((env[name].rstrip("/") for name in provider.SERVERS if env.get(name)), "")


def reached_by(address: str, env: Mapping[str, str]) -> str:
    """The words by which a bucket's address is named: an option, and what must be set, or must not be, beside it."""
    uri, _, server = address.partition("#")
    words = f"--store {shlex.quote(uri)}"
    provider = PROVIDERS.get(uri.partition(":")[0])
    if provider is None or redact(_server(provider, env)) == server:
        return words
    names = provider.SERVERS
    if server:
        # An account of Azure has a name, all other servers an address.
        return f"{words} with {names[0 if '://' in server else -1]}={server}"
    return f"{words} without {' and '.join(name for name in names if env.get(name))}"
