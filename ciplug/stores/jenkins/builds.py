"""The archived artifacts of earlier Jenkins builds as a store, for a team that pushes nothing.

A build cannot upload to itself: what it adds goes into a bundle in a folder of its workspace, which the pipeline
archives. What earlier builds have archived is read back by Jenkins' API: of a job the last few builds, and in a
multibranch project those of this branch's job and of the target branch's.

It is no Log, so there is no registry. Of what `base.Store` promises, it does not keep `drop`, since Jenkins deletes
builds by itself, and with them what they hold; and not every run is seen, since only the last few builds are read.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ciplug._version import __version__
from ciplug.bundles.jenkins import bundles_of_build
from ciplug.errors import Cause, CiplugError, ConfigError, Conflict, RecordError, StoreError
from ciplug.locking import write_atomically
from ciplug.records import bundle
from ciplug.records.canonical import digest
from ciplug.records.keys import parse_runs
from ciplug.stores.base import Problem, Trial
from ciplug.stores.jenkins import api as jenkins_api

if TYPE_CHECKING:
    from ciplug.records.columns import Columns

BUILDS = 50
"""So many builds of a job are read, the newest."""
MAX_BUILDS = 1000
MAX_TOTAL = 512 * 1024 * 1024
"""Bytes of all bundles together: they are held in memory."""
_MAX_BUNDLES = 256
"""Of one build."""
_MAIN = ("main", "master")
"""Branches that are read where none is named."""
_BUILD = re.compile(r"(https?://[^/?#]+(?:/[^?#]*)?/job/[^/?#]+)/(\d+)/?")
_CHANGE = re.compile(r"(?:PR|MR)-\d+(?:-head|-merge)?")
"""Names of the jobs of pull requests in a multibranch project: which of them are of a fork, Jenkins does not say."""


class Check(Protocol):
    """Raises RecordError for objects that may not be taken from the bundle `name`.

    `trusted`: whether a job wrote it that may write a store; any other must say itself that it may not.
    """

    def __call__(self, objects: Mapping[str, bytes], name: str, *, trusted: bool) -> object: ...


@dataclass(frozen=True)
class Place:
    """Which builds are read, and where the one that runs now puts what it adds."""

    uri: str
    """As the user named it."""
    url: str
    """Of the job, or of a multibranch project."""
    branches: tuple[str, ...] = ()
    """Whose jobs are read, of a multibranch project."""
    builds: int = BUILDS
    own_job: str | None = None
    """The job of the build that runs now."""
    own_build: int | None = None

    @property
    def address(self) -> str:
        return f"jenkins+{self.url}"

    @property
    def writes(self) -> bool:
        """Whether what the running build archives is read by who reads this place."""
        return self.own_job is not None and self.url in (self.own_job, _project(self.own_job))


def place_of(uri: str, env: Mapping[str, str]) -> Place:
    """What a URI names: `jenkins:`, the job of this build, or `jenkins+https://host/job/demo`.

    `?branch=NAME` names a branch of a multibranch project, and may be repeated; `?builds=N` is how many builds of a
    job are read. Raises ConfigError.
    """
    address, _, query = uri.partition("?")
    asked, builds = _options(uri, query)
    own = _BUILD.fullmatch(env.get("BUILD_URL", ""))
    own_job, own_build = (own[1], int(own[2])) if own else (None, None)
    if address == "jenkins:":
        if own_job is None:
            raise ConfigError(
                "the store 'jenkins:' is the job of this build, and BUILD_URL names no build",
                hint="in Jenkins, set its URL (Manage Jenkins > System); elsewhere name the job: "
                "--store jenkins+https://jenkins.example.com/job/demo",
            )
        multibranch = bool(env.get("BRANCH_NAME"))
        if asked and not multibranch:
            raise ConfigError(f"store '{uri}': this job is of no multibranch project", hint="leave ?branch= out")
        target = [env["CHANGE_TARGET"]] if env.get("CHANGE_TARGET") else []
        url = _project(own_job) if multibranch else own_job
        return Place(uri, url, (*target, *(asked or _MAIN)) if multibranch else (), builds, own_job, own_build)
    url = address.removeprefix("jenkins+").rstrip("/")
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname or "/job/" not in parts.path:
        raise ConfigError(
            f"store 'jenkins+{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}' names no job",
            hint="write it like jenkins+https://jenkins.example.com/job/demo, without credentials",
        )
    return Place(uri, url, tuple(asked or _MAIN), builds, own_job, own_build)


def _options(uri: str, query: str) -> tuple[list[str], int]:
    branches: list[str] = []
    builds = BUILDS
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "branch" and value:
            branches.append(value)
        elif name == "builds" and value.isascii() and value.isdigit() and 0 < int(value) <= MAX_BUILDS:
            builds = int(value)
        else:
            raise ConfigError(
                f"store '{uri.partition('?')[0].rpartition('@')[2]}': '{name}={value}' is no option",
                hint=f"?branch=NAME, and ?builds=N up to {MAX_BUILDS}",
            )
    return branches, builds


def _project(job: str) -> str:
    """What holds a job: a multibranch project, a folder."""
    return job.rpartition("/job/")[0]


class _Build(NamedTuple):
    """What one build has archived."""

    name: str
    """For people: main #12."""
    objects: Mapping[str, bytes]
    refused: tuple[str, ...] = ()
    """Why which of its bundles are passed over."""
    final: bool = True
    """Whether that can change no more."""


@dataclass
class _View:
    """What the builds hold, as they were when they were asked."""

    objects: dict[str, bytes] = field(default_factory=dict)
    segments: dict[str, list[str]] = field(default_factory=dict)
    """Name → keys, of a build that has ended."""
    problems: list[Problem] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """Jobs of which there are older builds than those that are read."""


class JenkinsBuilds:
    """A Store: runs and verdicts, in what builds archive."""

    def __init__(self, place: Place, *, env: Mapping[str, str], cache: Path, folder: Path, check: Check, trusted: bool):
        """
        Args:
            cache: where the bundles of builds that have ended are kept: they never change.
            folder: where this build puts what it adds, for the pipeline to archive.
            check: what may be taken from a bundle.
            trusted: whether the running build's own job may write a store; False for a fork's.
        """
        self.uri, self.address = place.uri, place.address
        self.notes: list[str] = []
        self._place = place
        self._env = env
        self._cache = cache
        self._folder = folder
        self._check = check
        self._trusted = trusted

    def refresh(self) -> None:
        self.notes = []
        vars(self).pop("_view", None)

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """Put objects into a bundle of this build. It is in the store once the pipeline has archived it.

        A bundle is named by what it holds and takes the place of those that it includes, so many may add at once, and
        none archives over another's.
        """
        if not self._place.writes:
            raise StoreError(
                self._no_uploads(),
                hint="record it in that job; or in git: or a bucket, which anybody may write: see docs/store.md",
            )
        before, known = self._here()
        if "_view" in vars(self):  # The runs that verdicts are of, if another workspace has archived them.
            known = {**{key: self._view.objects[key] for key in self._own_keys()}, **known}
        if wrong := [key for key, data in objects.items() if known.get(key, data) != data]:
            raise Conflict(f"this build has other bytes under the same key: {min(wrong)}")
        if all(key in known for key in objects) and before:
            return
        try:
            data = bundle.pack({**known, **objects})
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"bundle-{self._place.own_build}-{digest(data)[7:19]}.ndjson"
            write_atomically(path, data)
            for old in before:
                if old != path:
                    old.unlink(missing_ok=True)
        except (OSError, RecordError) as problem:
            why = problem.message if isinstance(problem, RecordError) else f"{problem.strerror}: {problem.filename}"
            raise StoreError(f"no bundle can be written into {self._folder}: {why}") from None

    def _here(self) -> tuple[list[Path], dict[str, bytes]]:
        """The bundles of this build that lie in this workspace, and all that they hold."""
        if not self._place.writes or not self._folder.is_dir():
            return [], {}
        while True:
            paths = sorted(self._folder.glob(f"bundle-{self._place.own_build}-*.ndjson"))
            try:
                found = {k: data for path in paths for k, data in bundle.unpack(path.read_bytes(), str(path)).items()}
            except FileNotFoundError:
                continue  # Another process has just put what it held into a larger one.
            except (OSError, RecordError) as problem:
                why = problem.message if isinstance(problem, RecordError) else f"{problem.filename}: {problem.strerror}"
                raise StoreError(why, hint="it is no bundle of this build: move it away") from None
            return paths, found

    def compact(self) -> int:
        return 0

    def drop(self, keys: Collection[str], reason: str) -> int:
        if not any(key in self._objects for key in keys):
            return 0
        raise StoreError(
            f"{self.uri} drops nothing: its runs are what builds have archived",
            hint="Jenkins deletes builds, and so their runs, by the job's own rule (Discard old builds)",
        )

    # Reading

    @property
    def _objects(self) -> dict[str, bytes]:
        return {**self._here()[1], **self._view.objects}

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        objects = self._objects
        return {key: objects[key] for key in keys if key in objects}

    def keys(self, *prefixes: str) -> list[str]:
        found = sorted(key for key in self._objects if key.startswith(prefixes)) if prefixes else []
        if prefixes and not found and self._view.cut:
            self._note(
                f"of {' and '.join(self._view.cut)} the last {self._place.builds} builds are read: "
                "what is older is not seen; read more by ?builds=N"
            )
        return found

    def segments(self) -> list[str]:
        return list(self._view.segments)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        from ciplug.records import columns

        there = self._view
        known = {name: there.segments[name] for name in segments if name in there.segments}
        return {name: columns.of((key, there.objects[key]) for key in keys) for name, keys in known.items()}

    def loose(self) -> list[str]:
        closed = {key for keys in self._view.segments.values() for key in keys}
        return sorted(key for key in self._objects if key not in closed)

    def check(self, *, repair: bool = False) -> list[Problem]:
        return list(self._view.problems)

    def try_writes(self) -> list[Trial]:
        """See Store. All that ciplug itself writes is the folder; whether the pipeline archives it, it cannot see."""
        if not self._place.writes:
            return [Trial("write", Cause.RULE, self._no_uploads())]
        folder = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):
                return [Trial("write", None, str(self._folder))]
        except OSError as problem:
            return [Trial("write", Cause.RULE, f"{folder}: {problem.strerror}")]

    def _no_uploads(self) -> str:
        return f"only a build of {self._place.url} adds to {self.uri}: Jenkins takes no uploads"

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _own_keys(self) -> list[str]:
        closed = {key for keys in self._view.segments.values() for key in keys}
        return [key for key in self._view.objects if key not in closed]

    @cached_property
    def _view(self) -> _View:
        """All that is read, of each job the oldest build first: of two builds that share a key, the first counts.

        The jobs that are trusted come first, so that no other takes a key or an id of theirs.
        """
        view = _View()
        runs: dict[str, str] = {}
        room = MAX_TOTAL
        with jenkins_api.errors(self._place.url, "read the builds"):
            client = jenkins_api.client(self._place.url, self._env)
            for url, trusted, builds in self._jobs(client):
                name = unquote(unquote(url.rpartition("/")[2]))
                if len(builds) >= self._place.builds and builds[-1]["number"] > 1:
                    view.cut.append(name)
                builds = [build for build in builds if not build["building"] or self._is_own(url, build)]
                self._forget(url, builds)
                for listed in sorted(builds, key=lambda build: build["number"]):
                    build = self._build(client, url, listed, trusted=trusted, room=room)
                    room -= sum(map(len, build.objects.values()))
                    view.problems += [Problem(build.name, why) for why in build.refused]
                    self._take(view, build, runs, trusted)
        if view.problems:
            where, what, *_ = view.problems[0]
            more = f" (and {len(view.problems) - 1} more: ciplug fsck)" if len(view.problems) > 1 else ""
            self._note(f"passed over: {where}: {what}{more}")
        return view

    def _take(self, view: _View, build: _Build, runs: dict[str, str], trusted: bool) -> None:
        """Put what a build holds beside the rest. Of one that is not trusted, a contradiction costs all of it."""
        wrong = [
            f"{key}: an earlier build has other bytes under this key"
            for key, data in build.objects.items()
            if view.objects.get(key, data) != data
        ]
        own_runs = {run.id: run.key for run in parse_runs(build.objects)}
        if not trusted:
            wrong += [
                f"{key}: that run is recorded already, as {runs[run]}"
                for run, key in own_runs.items()
                if runs.get(run, key) != key
            ]
        view.problems += [Problem(build.name, what) for what in wrong]
        if wrong and not trusted:
            return
        runs.update({run: key for run, key in own_runs.items() if run not in runs})
        own = {key: data for key, data in build.objects.items() if key not in view.objects}
        view.objects.update(own)
        if own and build.final:
            view.segments[digest(bundle.pack(own))] = sorted(own)

    def _jobs(self, client: Any) -> Iterator[tuple[str, bool, list[dict[str, Any]]]]:
        """Address, trust and newest builds of each job that is read, the trusted ones first."""
        own = self._place.own_job
        builds = f"allBuilds[number,timestamp,building,artifacts[relativePath]]{{0,{self._place.builds}}}"

        def ask(url: str, tree: str) -> Any:
            return client.get_data(f"{url}/api/json", tree=tree)

        place = self._place.url
        first = ask(place, f"jobs[name],{builds}")
        if "jobs" not in first:
            yield place, self._is_trusted(place), first["allBuilds"]
            return
        jobs = _of_branches(first, self._place.branches)
        if not jobs:
            self._note(
                f"{place} has no job of {' or '.join(dict.fromkeys(self._place.branches))}: "
                "name branches by ?branch=NAME"
            )
        urls = [
            f"{place}/job/{quote(job['name'], safe='')}"
            for job in jobs
            if own is None or unquote(own) != f"{unquote(place)}/job/{job['name']}"
        ]
        if own is not None and _project(own) == place:
            urls.append(own)
        for url in sorted(urls, key=lambda url: not self._is_trusted(url)):
            yield url, self._is_trusted(url), ask(url, builds)["allBuilds"]

    def _is_trusted(self, job: str) -> bool:
        """Whether a job is known to build no fork's code."""
        if job == self._place.own_job:
            return self._trusted
        return not _CHANGE.fullmatch(unquote(job.rpartition("/")[2]))

    def _is_own(self, job: str, build: Mapping[str, Any]) -> bool:
        return job == self._place.own_job and build["number"] == self._place.own_build

    # One build

    def _build(self, client: Any, job: str, listed: Mapping[str, Any], *, trusted: bool, room: int) -> _Build:
        """What a build has archived: of one that has ended, from the cache if it is there."""
        number = int(listed["number"])
        name = f"{unquote(unquote(job.rpartition('/')[2]))} #{number}"
        if not listed["artifacts"]:
            return _Build(name, {})
        file = None if listed["building"] else self._folder_of(job) / _file_name(listed, trusted)
        known = _cached(file, name) if file else None
        if known is not None and sum(map(len, known.objects.values())) <= room:
            return known
        objects: dict[str, bytes] = {}
        refused: list[str] = []
        whole = not listed["building"]
        for count, found in enumerate(bundles_of_build(client, f"{job}/{number}", listed["artifacts"])):
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
                self._check(new, shown, trusted=trusted)
            except RecordError as problem:
                refused.append(" ".join(problem.message.split()))
                if room < 0 or count >= _MAX_BUNDLES:
                    break
                continue
            for key, data in new.items():
                if objects.setdefault(key, data) != data:
                    refused.append(f"{shown}: {key}: another bundle of this build has other bytes under this key")
        build = _Build(name, objects, tuple(refused), final=not listed["building"])
        if file and whole:
            _keep(file, build)
        return build

    def _folder_of(self, job: str) -> Path:
        return self._cache / digest(job.encode())[7:23]

    def _forget(self, job: str, builds: Iterable[Mapping[str, Any]]) -> None:
        """Remove from the cache what Jenkins has deleted, or is not read any more."""
        listed = {_file_name(build, trusted) for build in builds for trusted in (True, False)}
        folder = self._folder_of(job)
        for path in folder.glob("*.ndjson") if folder.is_dir() else ():
            if path.name not in listed:
                path.unlink(missing_ok=True)


def _of_branches(project: Mapping[str, Any], branches: Iterable[str]) -> list[Mapping[str, Any]]:
    """The jobs of these branches; a multibranch project calls that of `feature/x` by `feature%2Fx`."""
    wanted = list(dict.fromkeys(branches))
    jobs = {unquote(job["name"]): job for job in project["jobs"]}
    return [jobs[branch] for branch in wanted if branch in jobs]


def _file_name(build: Mapping[str, Any], trusted: bool) -> str:
    """By the time as well: a job that is made anew counts from 1 again."""
    return f"{int(build['number'])}-{int(build['timestamp'])}{'' if trusted else '-fork'}.ndjson"


def _cached(file: Path, name: str) -> _Build | None:
    """What was kept of a build; None where there is nothing, or another version of ciplug has checked it."""
    try:
        first, _, packed = file.read_bytes().partition(b"\n")
        header = json.loads(first)
        if (header["ciplug"], header["digest"]) != (__version__, digest(packed)):
            return None
        return _Build(name, bundle.unpack(packed, name), tuple(header["refused"]))
    except (OSError, ValueError, KeyError, TypeError, RecordError):
        return None


def _keep(file: Path, build: _Build) -> None:
    try:
        packed = bundle.pack(build.objects)
        header = {"ciplug": __version__, "digest": digest(packed), "refused": build.refused}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(header).encode() + b"\n" + packed)
    except (OSError, RecordError):
        pass  # It is read from Jenkins again.
