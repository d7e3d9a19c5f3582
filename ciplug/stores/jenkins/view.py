"""The combined content of a place's builds: its jobs, the trusted ones first, and of each the newest builds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ciplug.records import bundle
from ciplug.records.canonical import digest
from ciplug.records.keys import parse_runs
from ciplug.stores.base import Problem
from ciplug.stores.jenkins import api
from ciplug.stores.jenkins.build import MAX_TOTAL, Build, BuildReader, Check
from ciplug.stores.jenkins.place import Place, project_of

_CHANGE = re.compile(r"(?:PR|MR)-\d+(?:-head|-merge)?")
"""Names of the jobs of pull requests in a multibranch project: which of them are of a fork, Jenkins does not say."""


@dataclass
class View:
    """The content of the builds when they were read."""

    objects: dict[str, bytes] = field(default_factory=dict)
    segments: dict[str, list[str]] = field(default_factory=dict)
    """Name → keys, of a build that has ended."""
    problems: list[Problem] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """Jobs of which there are older builds than those that are read."""
    notes: list[str] = field(default_factory=list)
    """Sentences that a person must see."""

    @property
    def closed(self) -> set[str]:
        """Keys in segments."""
        return {key for keys in self.segments.values() for key in keys}


@dataclass(frozen=True)
class Jobs:
    """The jobs of a place."""

    place: Place
    env: Mapping[str, str]
    cache: Path
    """The cache for the bundles of builds that have ended: they never change."""
    check: Check
    """The check that every object of a bundle must pass."""
    own_trusted: bool
    """Whether the running build's own job may write a store; False for a fork's."""

    def read(self) -> View:
        """All that is read, of each job the oldest build first: of two builds that share a key, the first counts.

        The jobs that are trusted come first, so that no other takes a key or an id of theirs. Raises StoreError.
        """
        view = View()
        runs: dict[str, str] = {}
        room = MAX_TOTAL
        with api.errors(self.place.url, "read the builds"):
            reader = BuildReader(api.client(self.place.url, self.env), self.cache, self.check)
            for url, trusted, builds in self._jobs(reader.client, view):
                if len(builds) >= self.place.builds and builds[-1]["number"] > 1:
                    view.cut.append(unquote(unquote(url.rpartition("/")[2])))
                builds = [build for build in builds if not build["building"] or self._is_own(url, build)]
                reader.forget(url, builds)
                for listed in sorted(builds, key=lambda build: build["number"]):
                    build = reader.read(url, listed, trusted=trusted, room=room)
                    room -= sum(map(len, build.objects.values()))
                    view.problems += [Problem(build.name, why) for why in build.refused]
                    _take(view, build, runs, trusted)
        if view.problems:
            where, what, *_ = view.problems[0]
            more = f" (and {len(view.problems) - 1} more: ciplug fsck)" if len(view.problems) > 1 else ""
            view.notes.append(f"skipped: {where}: {what}{more}")
        return view

    def _jobs(self, client: Any, view: View) -> Iterator[tuple[str, bool, list[dict[str, Any]]]]:
        """Address, trust and newest builds of each job that is read, the trusted ones first."""
        own = self.place.own_job
        builds = f"allBuilds[number,timestamp,building,artifacts[relativePath]]{{0,{self.place.builds}}}"

        def ask(url: str, tree: str) -> Any:
            return client.get_data(f"{url}/api/json", tree=tree)

        place = self.place.url
        first = ask(place, f"jobs[name],{builds}")
        if "jobs" not in first:
            yield place, self._is_trusted(place), first["allBuilds"]
            return
        jobs = _of_branches(first, self.place.branches)
        if not jobs:
            branches = " or ".join(dict.fromkeys(self.place.branches))
            view.notes.append(f"{place} has no job of {branches}: name branches by ?branch=NAME")
        urls = [
            f"{place}/job/{quote(job['name'], safe='')}"
            for job in jobs
            if own is None or unquote(own) != f"{unquote(place)}/job/{job['name']}"
        ]
        if own is not None and project_of(own) == place:
            urls.append(own)
        for url in sorted(urls, key=lambda url: not self._is_trusted(url)):
            yield url, self._is_trusted(url), ask(url, builds)["allBuilds"]

    def _is_trusted(self, job: str) -> bool:
        """Whether a job is known to build no fork's code."""
        if job == self.place.own_job:
            return self.own_trusted
        return not _CHANGE.fullmatch(unquote(job.rpartition("/")[2]))

    def _is_own(self, job: str, build: Mapping[str, Any]) -> bool:
        return job == self.place.own_job and build["number"] == self.place.own_build


def _take(view: View, build: Build, runs: dict[str, str], trusted: bool) -> None:
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


def _of_branches(project: Mapping[str, Any], branches: Iterable[str]) -> list[Mapping[str, Any]]:
    """The jobs of these branches; a multibranch project calls that of `feature/x` by `feature%2Fx`."""
    wanted = list(dict.fromkeys(branches))
    jobs = {unquote(job["name"]): job for job in project["jobs"]}
    return [jobs[branch] for branch in wanted if branch in jobs]
