"""Files on their way to where a server keeps the artifacts of a run or of a logged model, by the address it names."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ciplug.errors import CiplugError, StoreError
from ciplug.git.credentials import redact
from ciplug.interop.mlflow_server import MlflowServer, Refused, Unusable
from ciplug.reports.untrusted import clean

_PART = 4 * 1024 * 1024
FLAT = "__"
"""In the place of `/`, where a server keeps no folders."""


class Source(Protocol):
    """The files of a run or a logged model."""

    def names(self) -> list[str]: ...

    def bring(self, name: str, target: Path) -> None:
        """Write one of them to `target`. Raises CiplugError for one whose bytes were not kept."""
        ...


class FilesElsewhere(Unusable):
    """The server keeps its files at a place that the user has not named: no credential of this machine goes there."""


class Uploads:
    """Sends files to one server.

    Args:
        lost: is called with the name of a file that did not get there, and the reason.
    """

    def __init__(self, server: MlflowServer, lost: Callable[[str, str], None]) -> None:
        self._server, self._lost = server, lost

    def check(self, source: Source, address: str) -> None:
        """Raise FilesElsewhere where files would have to be written to a bucket that the user has not named."""
        if source.names():
            self._put_to(address)

    def send(self, source: Source, address: str, prefix: str = "") -> None:
        """Send all files.

        Raises StoreError where the server cannot be reached, or refuses all of them; FilesElsewhere as `check` does.
        """
        names = source.names()
        if not names:
            return
        put = self._put_to(address)
        if put is None:
            self._lost(f"{len(names)} files", f"{self._server.dialect.title} keeps them at {_shown(address)}{_ADVICE}")
            return
        with tempfile.TemporaryDirectory(prefix="ciplug-export-") as folder:
            flat: set[str] = set()
            for number, name in enumerate(names):
                file = Path(folder) / str(number)
                try:
                    source.bring(name, file)
                    put(f"{prefix}/{name}" if prefix else name, file, flat)
                except Refused as refused:
                    if not refused.is_about_value and not refused.is_unsupported:
                        raise
                    self._lost(name, refused.message)
                except StoreError as problem:
                    if file.exists():
                        raise
                    self._lost(name, problem.message)
                except CiplugError as problem:
                    self._lost(name, problem.message)
                finally:
                    file.unlink(missing_ok=True)

    def _put_to(self, address: str) -> Callable[[str, Path, set[str]], None] | None:
        """What puts a file at an address of artifacts; None where only the owner of that place can."""
        server, parts = self._server, urlsplit(address)
        if {".", ".."} & set(unquote(parts.path).split("/")):
            raise FilesElsewhere(f"{server.name} keeps files at an address that leads elsewhere: {_place(address)}")
        if parts.scheme == "mlflow-artifacts":
            if parts.netloc and parts.netloc.lower() != urlsplit(server.url).netloc.lower():
                return None
            top = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{quote(parts.path.strip('/'))}"
            return lambda name, file, flat: server.put_file(f"{top}/{quote(name)}", file)
        if parts.scheme in ("http", "https") and server.is_own(address):
            return lambda name, file, flat: self._put_package(address.rstrip("/"), name, file, flat)
        if parts.scheme in ("s3", "gs"):
            from ciplug.stores.bucket.opening import open_bucket

            here = unquote(address).rstrip("/")
            if server.artifacts is None or not f"{here}/".startswith(f"{server.artifacts}/"):
                raise FilesElsewhere(
                    f"{server.name} keeps its files at {_place(address)}, a bucket that you have not named",
                    hint=f"if it is yours, export with --artifacts {_bucket(parts)}",
                )
            bucket = open_bucket(here, server.env)
            return lambda name, file, flat: bucket.upload(name, _chunks(file), file.stat().st_size)
        return None

    def _put_package(self, top: str, name: str, file: Path, flat: set[str]) -> None:
        """Put a file into GitLab's package of a run. A GitLab that keeps no folders gets a name without any."""
        folders, refusal = "folders in packages", None
        if "/" in name and folders not in self._server.lacks:
            try:
                self._server.put_file(f"{top}/{quote(name)}", file)
                return
            except Refused as refused:
                if not refused.is_unsupported and not refused.is_about_value:
                    raise
                refusal = refused
        own = name.replace("/", FLAT)
        if own in flat:
            raise Refused(f"another file has the name {own} there", status=400, code="")
        self._server.put_file(f"{top}/{quote(own)}", file)
        flat.add(own)
        if refusal is not None:
            self._server.lacks.add(folders)


_ADVICE = (
    ", which this export does not write: `ciplug pull` brings the files of a version, and the tool of that "
    "platform uploads them"
)


def _place(address: str) -> str:
    return clean(redact(address).partition("?")[0], 200)


def _bucket(parts: SplitResult) -> str:
    return shlex.quote(clean(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", 200))


def _shown(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}:" if parts.scheme else "a folder of its own disk"


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while part := content.read(_PART):
            yield part


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Texts as MLflow's API has them."""
    return [{"key": key, "value": value} for key, value in values.items()]
