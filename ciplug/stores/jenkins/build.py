"""The archive of one Jenkins build: checked bundle by bundle, and cached once the build has ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from ciplug._version import __version__
from ciplug.bundles.jenkins import bundles_of_build
from ciplug.errors import CiplugError, RecordError, StoreError
from ciplug.locking import write_atomically
from ciplug.records import bundle
from ciplug.records.canonical import digest

MAX_TOTAL = 512 * 1024 * 1024
"""Bytes of all bundles together: they are held in memory."""
_MAX_BUNDLES = 256
"""Of one build."""


class Check(Protocol):
    """Raises RecordError for objects that may not be taken from the bundle `name`.

    `trusted`: whether a job wrote it that may write a store; any other must say itself that it may not.
    """

    def __call__(self, objects: Mapping[str, bytes], name: str, *, trusted: bool) -> object: ...


class Build(NamedTuple):
    """The bundles that one build has archived."""

    name: str
    """For people: main #12."""
    objects: Mapping[str, bytes]
    refused: tuple[str, ...] = ()
    """Its skipped bundles, each with the reason."""
    final: bool = True
    """Whether that can change no more."""


@dataclass(frozen=True)
class BuildReader:
    """Reads builds, those that have ended from the cache if they are in it."""

    client: Any
    """A jenkinsapi.jenkins.Jenkins."""
    cache: Path
    check: Check

    def read(self, job: str, listed: Mapping[str, Any], *, trusted: bool, room: int) -> Build:
        """Return the content of a build's archive; `room`: bytes that may still be held in memory."""
        number = int(listed["number"])
        name = f"{unquote(unquote(job.rpartition('/')[2]))} #{number}"
        if not listed["artifacts"]:
            return Build(name, {})
        file = None if listed["building"] else self._folder_of(job) / _file_name(listed, trusted)
        cached = _cached(file, name) if file else None
        if cached is not None and sum(map(len, cached.objects.values())) <= room:
            return cached
        objects: dict[str, bytes] = {}
        refused: list[str] = []
        whole = not listed["building"]
        for count, found in enumerate(bundles_of_build(self.client, f"{job}/{number}", listed["artifacts"])):
            shown = " ".join(found.name.split())
            try:
                if isinstance(found.content, CiplugError):
                    whole = whole and not isinstance(found.content, StoreError)
                    raise RecordError(found.content.message)
                if count >= _MAX_BUNDLES:
                    raise RecordError(f"{shown}, and what follows it: more than {_MAX_BUNDLES} bundles of one build")
                room -= len(found.content)
                if room < 0:
                    whole = False  # With other builds before it, there may be room for it.
                    raise RecordError(f"{shown}, and what follows it: more than {MAX_TOTAL:,} bytes in all")
                new = bundle.unpack(found.content, shown)
                self.check(new, shown, trusted=trusted)
            except RecordError as problem:
                refused.append(" ".join(problem.message.split()))
                if room < 0 or count >= _MAX_BUNDLES:
                    break
                continue
            for key, data in new.items():
                if objects.setdefault(key, data) != data:
                    refused.append(f"{shown}: {key}: another bundle of this build has other bytes under this key")
        build = Build(name, objects, tuple(refused), final=not listed["building"])
        if file and whole:
            _keep(file, build)
        return build

    def _folder_of(self, job: str) -> Path:
        return self.cache / digest(job.encode())[7:23]

    def forget(self, job: str, builds: Iterable[Mapping[str, Any]]) -> None:
        """Remove from the cache what Jenkins has deleted, or is not read any more."""
        listed = {_file_name(build, trusted) for build in builds for trusted in (True, False)}
        folder = self._folder_of(job)
        for path in folder.glob("*.ndjson") if folder.is_dir() else ():
            if path.name not in listed:
                path.unlink(missing_ok=True)


def _file_name(build: Mapping[str, Any], trusted: bool) -> str:
    """By the time as well: a job that is made anew counts from 1 again."""
    return f"{int(build['number'])}-{int(build['timestamp'])}{'' if trusted else '-fork'}.ndjson"


def _cached(file: Path, name: str) -> Build | None:
    """Return the cached content of a build; None if there is none, or another version of ciplug checked it."""
    try:
        first, _, packed = file.read_bytes().partition(b"\n")
        header = json.loads(first)
        if (header["ciplug"], header["digest"]) != (__version__, digest(packed)):
            return None
        return Build(name, bundle.unpack(packed, name), tuple(header["refused"]))
    except (OSError, ValueError, KeyError, TypeError, RecordError):
        return None


def _keep(file: Path, build: Build) -> None:
    try:
        packed = bundle.pack(build.objects)
        header = {"ciplug": __version__, "digest": digest(packed), "refused": build.refused}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(header).encode() + b"\n" + packed)
    except (OSError, RecordError):
        pass  # It is read from Jenkins again.
