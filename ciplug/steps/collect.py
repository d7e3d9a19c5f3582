"""Record the runs that other jobs have handed over in bundles: those of forks, and of the legs of a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ciplug.bundles import check
from ciplug.bundles.checked import Bundle
from ciplug.bundles.source import BundleSource, FoundBundle, Origin
from ciplug.errors import CiplugError, InputError, RecordError, UsageError, counted
from ciplug.records import bundle
from ciplug.records.run import Run
from ciplug.steps.open_bundles import BundleFilter, Source, open_source
from ciplug.steps.record_bundles import Recording, record_bundles
from ciplug.steps.select import candidates
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
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

    @property
    def exit_code(self) -> int:
        """0 when nothing was refused."""
        return max((problem.exit_code for problem in self.recording.refused), default=0)


def runs_to_judge(session: Session, collected: Collected) -> list[Run]:
    """The runs of this job's commit that a job which has collected them answers for: one of each model.

    Of several of one model, that is the run which counts for the commit, as everywhere. Raises InputError where
    there is none.
    """
    bundles = (*collected.recording.recorded, *collected.recording.repeated)
    handed = [run for one in bundles for run in one.runs if run.parent is None and run.commit == session.head]
    if not handed:
        refused = f"; {counted(len(collected.recording.refused), 'bundle')} refused, see above"
        raise InputError(
            f"no run of commit {(session.head or '')[:8]} in {collected.source}"
            + (refused if collected.recording.refused else ""),
            hint="does the job that trains check out the same commit?",
        )
    by_model: dict[str, list[Run]] = {}
    for run in handed:
        by_model.setdefault(run.model, []).append(run)
    if all(len(runs) == 1 for runs in by_model.values()):
        return handed
    counting = {run.id for run in candidates(session, judged_runs(session), session.need_head())}
    return [next((run for run in runs if run.id in counting), runs[-1]) for runs in by_model.values()]


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
        bundles = list(_within_limits(source, MAX_TOTAL if trusted else MAX_UNTRUSTED, with_files=trusted))
    if not bundles:
        looked = f"looked for {request.only.pattern}; did the jobs upload what `--bundle` wrote?"
        raise InputError(f"no bundle in {source.name}", hint=f"{looked} See --artifact and --pattern")
    destination = session.destination
    kept_at = destination.uri if destination else None
    good, refused = _checked(bundles, origin, trusted=trusted, kept_at=kept_at)
    recording = record_bundles(session, good, trusted=trusted, commits=origin.commits)
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


def _within_limits(source: BundleSource, most: int, *, with_files: bool) -> Iterator[FoundBundle]:
    """Return the bundles within a total size; those beyond it are named, too."""
    room = most
    for one in source.bundles(with_files=with_files):
        if not isinstance(one.content, CiplugError):
            room -= len(one.content)
        if room < 0:
            hint = "collect them in several steps: --artifact and --pattern choose"
            beyond = f"{one.name} and the bundles after it are not read: more than {most:,} bytes in total"
            yield FoundBundle(one.name, RecordError(beyond, hint=hint))
            return
        yield one


def _checked(
    bundles: Sequence[FoundBundle], origin: Origin, *, trusted: bool, kept_at: str | None
) -> tuple[list[Bundle], list[CiplugError]]:
    """The bundles that may be recorded, and what is wrong with the others."""
    good: list[Bundle] = []
    refused: list[CiplugError] = []
    room = bundle.MAX_OBJECTS * len(bundles) if trusted else MAX_UNTRUSTED_OBJECTS
    for name, content, files in bundles:
        shown = _shown(name)
        if isinstance(content, CiplugError):
            refused.append(type(content)(_shown(content.message), hint=content.hint))
            continue
        try:
            objects = bundle.unpack(content, shown)
            if len(objects) > room:
                raise RecordError(f"{shown}: more than {MAX_UNTRUSTED_OBJECTS:,} objects from a fork in total")
            runs = check.check(objects, shown, trusted=trusted, commits=origin.commits, kept_at=kept_at)
            room -= len(objects)
            good.append(Bundle(shown, len(content), objects, tuple(runs), files))
        except RecordError as problem:
            refused.append(RecordError(_shown(problem.message), hint=problem.hint))
    return good, refused


def _shown(words: str) -> str:
    """Words with names in them that a stranger chose, on one line of a log."""
    line = " ".join(words.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN // 2]} … {line[-MAX_SHOWN // 2 :]}"
