"""Where the objects of an object store lie: S3 and what speaks like it, Azure, Google Cloud, or a folder.

Five verbs are all that is asked of such a place. Credentials come from where the platform's own tools find them,
and never from an address.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from ciplug.errors import Cause, ConfigError, StoreError
from ciplug.git.credentials import redact
from ciplug.stores import threads
from ciplug.stores.base import Trial

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Place

T = TypeVar("T")
_AT_ONCE = 16
_RETRIES, _PATIENCE = 6, timedelta(seconds=30)
PART = 8 * 1024 * 1024
"""Bytes of a part, where an object is too large for one request."""
_PARTS_MOST, _PARTS_AT_ONCE = 9000, 4
"""S3 takes 10,000 parts of an object."""


class Listed(NamedTuple):
    """An object as a listing shows it."""

    name: str
    size: int
    """Bytes."""
    tag: str
    """Changes when the object does."""


class Bucket(Protocol):
    """Objects by name, each written whole or not at all. Every call raises StoreError when the place refuses it."""

    address: str
    """The same for every name of this place; without credentials."""

    def get(self, name: str) -> bytes | None:
        """The object, None where there is none."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where there is none; False where there is one, which stays as it is."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Put an object, whatever was there."""
        ...

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        """Put an object of `size` bytes, however large, as its bytes come. If `chunks` raises, nothing is put."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of the object, None where there is none."""
        ...

    def part(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object that is there."""
        ...

    def delete(self, name: str) -> None:
        """Take an object away, if there is one."""
        ...

    def list(self, folder: str) -> list[Listed]:
        """All objects below a folder, by name."""
        ...


def each(function: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
    """The function's value for every name; many calls are under way at once."""
    wanted = list(dict.fromkeys(names))
    if len(wanted) < 2:
        return {name: function(name) for name in wanted}
    return dict(zip(wanted, threads.each(function, wanted, min(_AT_ONCE, len(wanted))), strict=True))


def get_many(bucket: Bucket, names: Iterable[str]) -> dict[str, bytes]:
    """The objects that exist among these."""
    return {name: data for name, data in each(bucket.get, names).items() if data is not None}


def try_writes(bucket: Bucket) -> list[Trial]:
    """Create an object that no reader lists, see that it cannot be created twice, and delete it."""
    import secrets

    name = f"objects/trial-{secrets.token_hex(8)}"
    try:
        bucket.create(name, b"")
        again = bucket.create(name, b"")
    except StoreError as problem:
        return [Trial("write", _cause(problem.message), problem.message)]
    trials = [Trial("write", None, bucket.address)]
    if again:
        words = f"{bucket.address}: the server overwrites what it is asked to create, so it cannot hold a store"
        trials = [Trial("write", Cause.RULE, words)]
    try:
        bucket.delete(name)
        trials.append(Trial("delete", None, name))
    except StoreError as problem:
        trials.append(Trial("delete", _cause(problem.message), f"{problem.message}; {name} is left behind"))
    return trials


def _cause(words: str) -> Cause:
    known: tuple[tuple[Cause, str], ...] = (
        (Cause.BAD_CREDENTIAL, r"InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|ExpiredToken|\b401\b"),
        (Cause.FORBIDDEN, r"AccessDenied|Forbidden|\b403\b|Permission ?denied|AuthorizationPermissionMismatch"),
        (Cause.NOT_FOUND, r"NoSuchBucket|ContainerNotFound|not found|\b404\b"),
        (Cause.NO_CREDENTIAL, r"credential|identity"),
        (Cause.NETWORK, r"error sending request|timed? ?out|connect|dns|\b5\d\d\b"),
    )
    return next((cause for cause, said in known if re.search(said, words, re.IGNORECASE)), Cause.UNKNOWN)


@dataclass(frozen=True)
class _Kind:
    """What is to be known of a scheme, to open it and to say what is wrong."""

    extra: str
    place: str
    hint: str


_KINDS = {
    "s3": _Kind(
        "s3",
        "bucket",
        "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role; "
        "the place from AWS_REGION and, where it is not Amazon's, AWS_ENDPOINT_URL",
    ),
    "az": _Kind(
        "azure",
        "container",
        "credentials come from AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, "
        "from AZURE_CLIENT_ID and its kin, AZURE_USE_AZURE_CLI=true, or the machine's identity",
    ),
    "gs": _Kind(
        "gcs",
        "bucket",
        "credentials come from GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the "
        "machine's service account",
    ),
    "file": _Kind("objects", "folder", "is it there, and may this account write it?"),
}
SCHEMES = tuple(f"{scheme}://" for scheme in _KINDS)


def open_bucket(uri: str, env: Mapping[str, str]) -> Bucket:
    """The place that a URI names. Nothing is contacted yet.

    Raises ConfigError for a URI that is not of the form scheme://place/prefix, or that has credentials in it, or for
    an endpoint in the environment that is no address, and StoreError when the library for it is not installed.
    """
    scheme, _, rest = uri.partition("://")
    named = redact(f"{scheme}://{re.split('[?#]', rest)[0]}")
    kind = _KINDS[scheme]
    parts = urlsplit(uri)
    if "@" in rest.partition("/")[0] or "?" in rest or "#" in rest:
        raise ConfigError(
            f"store '{named}': an address only is expected, without credentials and options", hint=kind.hint
        )
    prefix = (unquote(parts.path) if scheme == "file" else parts.path).strip("/")
    if not rest.isprintable() or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise ConfigError(f"store '{named}': '{prefix}' is no path")
    with _errors(kind, named):
        if scheme == "file":
            if parts.netloc not in ("", "localhost") or not prefix:
                raise ConfigError(f"store '{named}': the full path of a folder is expected", hint="file:///path")
            return _folder(prefix, kind)
        if not parts.netloc:
            raise ConfigError(f"store '{named}': a {kind.place} is expected", hint=f"{scheme}://{kind.place}/prefix")
        _check_endpoint(scheme, env)
        import_module("google.cloud.storage" if scheme == "gs" else "obstore.store")
    where = _elsewhere(scheme, env)
    opener = {"s3": _s3, "az": _azure, "gs": _google}[scheme]
    address = redact(f"{scheme}://{parts.netloc}/{prefix}" + (f"#{where}" if where else ""))
    return _Deferred(address, kind, lambda: opener(address, parts.netloc, prefix, env, kind))


_ELSEWHERE = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_NAME"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}
"""What says which server a name of a bucket is on."""
_ENDPOINT = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?", re.IGNORECASE)


def _check_endpoint(scheme: str, env: Mapping[str, str]) -> None:
    """Raises ConfigError for an endpoint that is no address: obstore aborts on one, in words of its own."""
    name = next((name for name in _ELSEWHERE[scheme] if env.get(name) and name != "AZURE_STORAGE_ACCOUNT_NAME"), None)
    if name is None:
        return
    # Google's own tools take a host alone.
    endpoint = env[name] if scheme != "gs" or "://" in env[name] else f"http://{env[name]}"
    try:
        parts = urlsplit(endpoint)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host = 0, ""
    if _ENDPOINT.fullmatch(endpoint) and port != 0 and re.fullmatch(r"[\w.:-]+", host) and endpoint.isprintable():
        return
    raise ConfigError(
        f"{name}: '{redact(env[name])}' is no address of a server",
        hint="write it like https://storage.example.com or http://127.0.0.1:9000",
    )


def _elsewhere(scheme: str, env: Mapping[str, str]) -> str:
    return next((env[name].rstrip("/") for name in _ELSEWHERE.get(scheme, ()) if env.get(name)), "")


def reached_by(address: str, env: Mapping[str, str]) -> str:
    """The words by which a bucket's address is named: an option, and what must be set, or must not be, beside it."""
    uri, _, where = address.partition("#")
    scheme = uri.partition(":")[0]
    words = f"--store {shlex.quote(uri)}"
    if redact(_elsewhere(scheme, env)) == where:
        return words
    names = _ELSEWHERE[scheme]
    if where:
        # An account of Azure has a name, all other servers an address.
        return f"{words} with {names[0 if '://' in where else -1]}={where}"
    return f"{words} without {' and '.join(name for name in names if env.get(name))}"


class _Deferred:
    """A Bucket that looks for credentials when it is first used: a job that may not have any still trains."""

    def __init__(self, address: str, kind: _Kind, opener: Callable[[], Bucket]) -> None:
        self.address = address
        self._kind = kind
        self._opener = opener

    @cached_property
    def _bucket(self) -> Bucket:
        with _errors(self._kind, self.address):
            return self._opener()

    def get(self, name: str) -> bytes | None:
        return self._bucket.get(name)

    def create(self, name: str, data: bytes) -> bool:
        return self._bucket.create(name, data)

    def put(self, name: str, data: bytes) -> None:
        self._bucket.put(name, data)

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        self._bucket.upload(name, chunks, size)

    def size(self, name: str) -> int | None:
        return self._bucket.size(name)

    def part(self, name: str, start: int, length: int) -> bytes:
        return self._bucket.part(name, start, length)

    def delete(self, name: str) -> None:
        self._bucket.delete(name)

    def list(self, folder: str) -> list[Listed]:
        return self._bucket.list(folder)


def _folder(path: str, kind: _Kind) -> Bucket:
    from obstore.store import LocalStore

    folder = Path(path if sys.platform == "win32" else f"/{path}")
    address = folder.as_uri()
    if not folder.exists():
        parent = next(parent for parent in folder.parents if parent.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise StoreError(f"{address} is not there, and cannot be made in {parent}", hint=kind.hint)
        return _NewFolder(folder, kind, lambda: ObstoreBucket(LocalStore(folder, mkdir=True), address, kind))
    if not _may_be_ours(folder):
        raise StoreError(
            f"{address} holds other things, and no store", hint=f"name a new or empty folder, like {address}/ciplug"
        )
    return ObstoreBucket(LocalStore(folder), address, kind)


_OURS = ("inbox", "index", "runs", "verdicts", "objects", "logs", "files")
_MARKS = ("inbox", "index/*.claim", "logs/registry", "files/[0-9a-f][0-9a-f]")


def _may_be_ours(folder: Path) -> bool:
    """Whether a folder is empty, or a store has been begun there. A bare repository has `objects`, too."""
    return all(entry.name in _OURS for entry in folder.iterdir()) or any(
        next(folder.glob(mark), None) is not None for mark in _MARKS
    )


class _NewFolder(_Deferred):
    """A folder that is not there yet: the first write makes it, and no reader does."""

    def __init__(self, folder: Path, kind: _Kind, opener: Callable[[], Bucket]) -> None:
        super().__init__(folder.as_uri(), kind, opener)
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        return super().get(name) if self._folder.exists() else None

    def size(self, name: str) -> int | None:
        return super().size(name) if self._folder.exists() else None

    def delete(self, name: str) -> None:
        if self._folder.exists():
            super().delete(name)

    def list(self, folder: str) -> list[Listed]:
        return super().list(folder) if self._folder.exists() else []


def _s3(address: str, bucket: str, prefix: str, env: Mapping[str, str], kind: _Kind) -> Bucket:
    from obstore.store import S3Store

    settings: dict[str, Any] = _settings(env, "AWS_", _AWS)
    endpoint = next((env[name] for name in _ELSEWHERE["s3"] if env.get(name)), None)
    if endpoint:
        settings["aws_endpoint"] = endpoint
    provider = None
    if not any(env.get(name) for name in _AWS_WITHOUT_FILES) and _has_aws_files(env):
        session = _aws_session(env)
        provider = _from_session(session)
        if session.region_name and "aws_region" not in settings:
            settings["aws_region"] = session.region_name
    store = S3Store(
        bucket,
        prefix=prefix or None,
        config=settings,  # type: ignore[arg-type]
        client_options=_client(env, "AWS_CA_BUNDLE", endpoint),
        retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
        credential_provider=provider,
    )
    return ObstoreBucket(store, address, kind)


_AWS = (
    *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION", "ROLE_ARN"),
    *("ROLE_SESSION_NAME", "WEB_IDENTITY_TOKEN_FILE", "CONTAINER_CREDENTIALS_RELATIVE_URI", "SKIP_SIGNATURE"),
    *("CONTAINER_CREDENTIALS_FULL_URI", "CONTAINER_AUTHORIZATION_TOKEN_FILE", "VIRTUAL_HOSTED_STYLE_REQUEST"),
    *("REQUEST_PAYER", "SERVER_SIDE_ENCRYPTION", "SSE_KMS_KEY_ID", "CONDITIONAL_PUT", "UNSIGNED_PAYLOAD"),
)
_AWS_WITHOUT_FILES = (
    *("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)


def _has_aws_files(env: Mapping[str, str]) -> bool:
    folder = Path(env.get("HOME") or env.get("USERPROFILE") or Path.home()) / ".aws"
    named = ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
    return any(env.get(name) for name in named) or any((folder / name).exists() for name in ("credentials", "config"))


def _aws_session(env: Mapping[str, str]) -> Any:
    import boto3

    return boto3.Session(profile_name=env.get("AWS_PROFILE") or None)


def _from_session(session: Any) -> Callable[[], Any]:
    """Profiles, single sign-on and assumed roles of ~/.aws, which only Amazon's own library reads."""
    found = session.get_credentials()
    if found is None:
        raise StoreError("~/.aws holds no credentials for this profile", hint=_KINDS["s3"].hint)

    def credentials() -> dict[str, Any]:
        from datetime import datetime, timezone

        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(timezone.utc) + timedelta(minutes=5),
        }

    return credentials


def _azure(address: str, container: str, prefix: str, env: Mapping[str, str], kind: _Kind) -> Bucket:
    from obstore.store import AzureStore

    settings = _settings(env, "AZURE_", _AZURE)
    endpoint = env.get("AZURE_STORAGE_ENDPOINT") or env.get("AZURE_ENDPOINT")
    store = AzureStore(
        container,
        prefix=prefix or None,
        config=settings,  # type: ignore[arg-type]
        client_options=_client(env, "SSL_CERT_FILE", endpoint),
        retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
    )
    return ObstoreBucket(store, address, kind)


_AZURE = (
    *("STORAGE_ACCOUNT_NAME", "STORAGE_ACCOUNT_KEY", "STORAGE_SAS_TOKEN", "STORAGE_TOKEN", "STORAGE_ENDPOINT"),
    *("STORAGE_USE_EMULATOR", "ENDPOINT", "CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "AUTHORITY_HOST"),
    *("FEDERATED_TOKEN_FILE", "USE_AZURE_CLI", "MSI_ENDPOINT", "OBJECT_ID", "MSI_RESOURCE_ID", "SKIP_SIGNATURE"),
)


def _settings(env: Mapping[str, str], prefix: str, known: Iterable[str]) -> dict[str, str]:
    names = (f"{prefix}{name}" for name in known)
    return {name.lower(): env[name] for name in names if env.get(name)}


def _client(env: Mapping[str, str], bundle: str, endpoint: str | None) -> Any:
    """How the library speaks HTTP: without TLS where the user has named such an endpoint; with their own authority."""
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

    def __init__(self, place: Place, address: str, kind: _Kind) -> None:
        self.address = address
        self._place = place
        self._kind = kind

    def get(self, name: str) -> bytes | None:
        with self._errors():
            try:
                return bytes(self._place.get(name).bytes())
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._errors():
            try:
                self._place.put(name, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def put(self, name: str, data: bytes) -> None:
        with self._errors():
            self._place.put(name, data, use_multipart=False)

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        if size <= PART:
            self.put(name, b"".join(chunks))
            return
        with self._errors():
            part = max(PART, size // _PARTS_MOST)
            self._place.put(name, chunks, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)

    def size(self, name: str) -> int | None:
        with self._errors():
            try:
                return int(self._place.head(name)["size"])
            except FileNotFoundError:
                return None

    def part(self, name: str, start: int, length: int) -> bytes:
        with self._errors():
            return bytes(self._place.get_range(name, start=start, length=length))

    def delete(self, name: str) -> None:
        with self._errors():
            try:
                self._place.delete(name)
            except FileNotFoundError:
                return

    def list(self, folder: str) -> list[Listed]:
        with self._errors():
            found = [meta for chunk in self._place.list(folder, chunk_size=1000) for meta in chunk]
        return sorted(Listed(meta["path"], meta["size"], meta["e_tag"] or "") for meta in found)

    def _errors(self) -> Any:
        return _errors(self._kind, self.address)


def _google(address: str, bucket: str, prefix: str, env: Mapping[str, str], kind: _Kind) -> Bucket:
    from google.cloud import storage

    emulator = env.get("STORAGE_EMULATOR_HOST")
    if emulator:
        from google.auth.credentials import AnonymousCredentials

        endpoint = emulator if "://" in emulator else f"http://{emulator}"
        nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]
        client = storage.Client("emulator", nobody, client_options={"api_endpoint": endpoint})
    else:
        client = storage.Client()
    return GoogleBucket(client.bucket(bucket), prefix, address, kind)


class GoogleBucket:
    """A Bucket by way of Google's own library, which knows every kind of Google's credentials."""

    def __init__(self, bucket: Any, prefix: str, address: str, kind: _Kind) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self.address = address
        self._retry = DEFAULT_RETRY.with_timeout(_PATIENCE.total_seconds())
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._kind = kind

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

    def part(self, name: str, start: int, length: int) -> bytes:
        with self._errors():
            return bytes(self._blob(name).download_as_bytes(start=start, end=start + length - 1))

    def delete(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with self._errors():
            try:
                self._blob(name).delete(retry=self._retry)
            except NotFound:
                return

    def list(self, folder: str) -> list[Listed]:
        with self._errors():
            found = list(self._bucket.list_blobs(prefix=f"{self._prefix}{folder}/", retry=self._retry))
        start = len(self._prefix)
        return sorted(Listed(blob.name[start:], blob.size or 0, str(blob.generation)) for blob in found)

    def _errors(self) -> Any:
        return _errors(self._kind, self.address)


class _Reader:
    """What comes in chunks, as a file that is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        found = bytearray(self._left)
        while size < 0 or len(found) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            found += chunk
        taken = len(found) if size < 0 else min(size, len(found))
        self._left = bytes(found[taken:])
        self._at += taken
        return bytes(found[:taken])

    def tell(self) -> int:
        return self._at


@contextmanager
def _errors(kind: _Kind, where: str) -> Iterator[None]:
    """Every failure of a library as a StoreError, in its own words, without what is signed or secret."""
    try:
        yield
    except (ConfigError, StoreError):
        raise
    except ImportError as problem:
        raise StoreError(
            f"{where}: the library for it is not installed ({problem})", hint=f"pip install 'ciplug[{kind.extra}]'"
        ) from None
    except BaseException as problem:
        if not _is_of_a_library(problem):
            raise
        raise StoreError(f"{where}: {_words(problem)}", hint=kind.hint) from None


def _is_of_a_library(problem: BaseException) -> bool:
    # An abort within obstore is a pyo3_runtime.PanicException, which is no Exception.
    known = ("obstore", "pyo3_runtime", "google", "botocore", "requests", "urllib3")
    return isinstance(problem, (OSError, ValueError)) or any(
        cls.__module__.partition(".")[0] in known for cls in type(problem).__mro__
    )


def _words(problem: BaseException) -> str:
    text = str(problem).partition("\n\nDebug source")[0]
    code, said = re.search(r"<Code>(\w+)</Code>", text), re.search(r"<Message>([^<\n]+)", text)
    if code:
        status = re.search(r"status code: (\d+)", text)
        text = (f"{status[1]} " if status else "") + code[1] + (f": {said[1]}" if said else "")
    return re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", redact(" ".join(text.split())))[:500] or type(problem).__name__
