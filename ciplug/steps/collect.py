"""Record the runs that other jobs have handed over in bundles: those of forks, and of the legs of a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ciplug.bundles import check
from ciplug.bundles.source import BundleSource, FoundBundle, Origin
from ciplug.errors import CiplugError, InputError, RecordError, UsageError
from ciplug.records import bundle
from ciplug.steps.open_bundles import BundleFilter, Source, open_source
from ciplug.steps.record_bundles import Bundle, Recording, record_bundles
from ciplug.steps.session import Session
from ciplug.steps.trust import need_trusted

MAX_TOTAL = 512 * 1024 * 1024
"""Bytes of all bundles together: they are held in memory until they are pushed."""
MAX_UNTRUSTED = 32 * 1024 * 1024
"""The limit for a fork's bundles: whoever opens a pull request makes the store grow."""
MAX_UNTRUSTED_OBJECTS = 1_000
MAX_SHOWN = 600
"""Characters of a message: the name of a file in an archive can have 65,535."""


@dataclass(frozen=True)
class CollectRequest:
    """The bundles to collect, and the user's statements about them."""

    source: Source | None = None
    """None: the artifacts of this job's pipeline, or of the run that a workflow_run job follows."""
    only: BundleFilter = field(default_factory=BundleFilter)
    commit: str | None = None
    """Take runs of this commit only."""
    trust: Literal["trusted", "untrusted"] | None = None
    """None: trust is decided by the source."""


@dataclass(frozen=True)
class Collected:
    """The source of the bundles, and the result of recording them."""

    source: str
    """For people: GitHub's run 42."""
    trusted: bool
    """False: its runs are recorded as a fork's."""
    recording: Recording


def collect(session: Session, request: CollectRequest) -> Collected:
    """Record the runs of the bundles that are found.

    Raises ForkJob in a fork's job, UsageError for a request that contradicts the place, InputError where there is no
    bundle, StoreError where the store refuses. What is wrong with single bundles is in the result.
    """
    need_trusted(session, hint="collect in the pipeline of a trusted branch")
    with open_source(session, request.source, request.only) as source:
        trusted, origin = _trust(request, source)
        if request.commit:
            origin = _narrowed(origin, request.commit, source)
        bundles = list(_within_limits(source, MAX_TOTAL if trusted else MAX_UNTRUSTED))
    if not bundles:
        looked = f"looked for {request.only.pattern}; did the jobs upload what `--bundle` wrote?"
        raise InputError(f"no bundle in {source.name}", hint=f"{looked} See --artifact and --pattern")
    good, refused = _checked(bundles, origin, trusted=trusted)
    recording = record_bundles(session, good, trusted=trusted)
    return Collected(source.name, trusted, replace(recording, refused=(*refused, *recording.refused)))


def _trust(request: CollectRequest, source: BundleSource) -> tuple[bool, Origin]:
    origin = source.origin()
    if request.trust == "trusted" and origin.trusted is False:
        raise UsageError(f"--trusted: {source.name} is of a fork, which is never trusted")
    return request.trust != "untrusted" and (request.trust == "trusted" or bool(origin.trusted)), origin


def _narrowed(origin: Origin, commit: str, source: BundleSource) -> Origin:
    """Return the origin, limited to the commit that the user named."""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise UsageError(f"--commit {commit}: a full commit id is expected")
    if origin.commits is not None and commit not in origin.commits:
        raise UsageError(f"--commit: {source.name} is of another commit")
    return replace(origin, commits=frozenset({commit}))


def _within_limits(source: BundleSource, most: int) -> Iterator[FoundBundle]:
    """Return the bundles within a total size; those beyond it are named, too."""
    room = most
    for one in source.bundles():
        if not isinstance(one.content, CiplugError):
            room -= len(one.content)
        if room < 0:
            hint = "collect them in several steps: --artifact and --pattern choose"
            beyond = f"{one.name} and the bundles after it are not read: more than {most:,} bytes in total"
            yield FoundBundle(one.name, RecordError(beyond, hint=hint))
            return
        yield one


def _checked(
    bundles: Sequence[FoundBundle], origin: Origin, *, trusted: bool
) -> tuple[list[Bundle], list[CiplugError]]:
    """The bundles that may be recorded, and what is wrong with the others."""
    good: list[Bundle] = []
    refused: list[CiplugError] = []
    room = bundle.MAX_OBJECTS * len(bundles) if trusted else MAX_UNTRUSTED_OBJECTS
    for name, content in bundles:
        shown = _shown(name)
        if isinstance(content, CiplugError):
            refused.append(type(content)(_shown(content.message), hint=content.hint))
            continue
        try:
            objects = bundle.unpack(content, shown)
            if len(objects) > room:
                raise RecordError(f"{shown}: more than {MAX_UNTRUSTED_OBJECTS:,} objects from a fork in total")
            runs = check.check(objects, shown, trusted=trusted, commits=origin.commits)
            room -= len(objects)
            good.append(Bundle(shown, len(content), objects, tuple(runs)))
        except RecordError as problem:
            refused.append(RecordError(_shown(problem.message), hint=problem.hint))
    return good, refused


def _shown(words: str) -> str:
    """Words with names in them that a stranger chose, on one line of a log."""
    line = " ".join(words.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN // 2]} … {line[-MAX_SHOWN // 2 :]}"
