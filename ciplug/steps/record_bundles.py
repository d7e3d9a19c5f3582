"""Record the runs of checked bundles: all that contradict nothing, in one write if the store can take it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ciplug.bundles.checked import Bundle
from ciplug.errors import CiplugError, Conflict, RecordError, StoreError, counted
from ciplug.records import bundle
from ciplug.records.keys import is_verdict, parse_runs
from ciplug.steps.collected_files import keep_files
from ciplug.steps.session import Session
from ciplug.steps.sign import signed


@dataclass(frozen=True)
class Recording:
    """The result of recording bundles."""

    recorded: tuple[Bundle, ...] = ()
    repeated: tuple[Bundle, ...] = ()
    """They were recorded before."""
    refused: tuple[CiplugError, ...] = ()


@dataclass
class _Sorted:
    """The bundles, apart by what is to be done with them."""

    new: list[Bundle] = field(default_factory=list)
    repeated: list[Bundle] = field(default_factory=list)
    refused: list[CiplugError] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    """The objects to write."""


def record_bundles(
    session: Session, bundles: list[Bundle], *, trusted: bool, commits: Collection[str] | None = None
) -> Recording:
    """Record what is new. Raises StoreError, with how much is recorded, where the store refuses.

    A job with a key signs the runs of the commits that were trained, and what the same bundles add to them: a training
    must not get a signature for a run of another commit, for the withdrawal of another run, or for a verdict.

    Args:
        commits: those that the jobs which wrote the bundles ran on, as their place says; None: this job's commit.
    """
    if not bundles:
        return Recording()
    ours = frozenset(commits or (session.head,)) if trusted and session.context.trusted else frozenset[str | None]()
    pending = _sort(session, bundles, trusted=trusted)
    # No record names bytes that are not there.
    pending.new, without = keep_files(session, pending.new)
    pending.refused += without
    recorded: list[Bundle] = []
    for batch in _batches(pending.new):
        # What two bundles share goes with the first of them.
        keys = (key for item in batch for key in item.objects)
        objects = {key: pending.objects.pop(key) for key in keys if key in pending.objects}
        try:
            session.store.add(_signed(session, objects, ours))
            recorded += batch
        except Conflict:
            # Another job recorded one of them since we looked: find which.
            failures = {item.name: _add(session, item, ours) for item in batch}
            recorded += [item for item in batch if failures[item.name] is None]
            pending.refused += [failure for failure in failures.values() if failure]
        except StoreError as problem:
            raise _interrupted(problem, len(recorded), len(pending.new)) from None
    return Recording(tuple(recorded), tuple(pending.repeated), tuple(pending.refused))


def _sort(session: Session, bundles: list[Bundle], *, trusted: bool) -> _Sorted:
    stored = session.store.read({key for item in bundles for key in item.objects})
    # Only a stranger takes the id of another run, so only for strangers is the store listed.
    places = {} if trusted else {run.id: run.key for run in session.runs().recorded()}
    pending = _Sorted()
    for item in bundles:
        problem = _contradiction(item, ChainMap(stored, pending.objects), places)
        if problem:
            pending.refused.append(problem)
            continue
        places.update({run.id: run.key for run in parse_runs(item.objects)})
        missing = {k: data for k, data in item.objects.items() if k not in stored and k not in pending.objects}
        (pending.new if missing else pending.repeated).append(item)
        pending.objects.update(missing)
    return pending


def _contradiction(item: Bundle, stored: Mapping[str, bytes], places: Mapping[str, str]) -> RecordError | None:
    for key, data in item.objects.items():
        if stored.get(key, data) != data:
            return RecordError(f"{item.name}: {key} is recorded already, with other bytes")
    for run in parse_runs(item.objects):
        if places.get(run.id, run.key) != run.key:
            return RecordError(f"{item.name}: {run.key}: the run {run.id} is recorded already, as {places[run.id]}")
    return None


def _batches(bundles: list[Bundle]) -> Iterator[list[Bundle]]:
    """Bundles that together are as large as one may be at most: no store takes more at once."""
    batch: list[Bundle] = []
    size = objects = 0
    for item in bundles:
        size, objects = size + item.size, objects + len(item.objects)
        if batch and (size > bundle.MAX_BYTES or objects > bundle.MAX_OBJECTS):
            yield batch
            batch, size, objects = [], item.size, len(item.objects)
        batch.append(item)
    if batch:
        yield batch


def _signed(session: Session, objects: Mapping[str, bytes], commits: Collection[str | None]) -> dict[str, bytes]:
    """The objects, with signatures beside runs of these commits, and beside amendments of those."""
    runs = {run for run in parse_runs(objects) if run.commit in commits}
    prefixes = tuple(prefix for run in runs for prefix in run.everything)
    about = {key: data for key, data in objects.items() if key.startswith(prefixes) and not is_verdict(key)}
    return {**objects, **signed(session.env, about, trusted=True, repository=session.repository)}


def _add(session: Session, item: Bundle, commits: Collection[str | None]) -> StoreError | None:
    try:
        session.store.add(_signed(session, item.objects, commits))
    except StoreError as problem:
        return problem.reworded(f"{item.name}: {problem.message}", problem.hint)
    return None


def _interrupted(problem: StoreError, recorded: int, of: int) -> StoreError:
    done = f"{recorded} of {counted(of, 'bundle')} recorded, and no more" if recorded else "nothing is recorded"
    hints = (problem.hint, "the bundles are where they were: collect them again")
    return problem.reworded(f"{done}: {problem.message}", "; ".join(filter(None, hints)))
