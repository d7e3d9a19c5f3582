"""Check everything that the store holds, record by record, and repair what can be repaired without losing data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ciplug.errors import CiplugError, RecordError
from ciplug.git.credentials import redact
from ciplug.records import beside, canonical
from ciplug.records.keys import (
    EVERY_AMENDMENT,
    EVERY_RUN,
    log_of,
    parse_amendment,
    parse_late_inputs,
    parse_late_series,
    run_key,
)
from ciplug.records.registry_event import Promote, RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.registry.state import fold
from ciplug.steps.session import Session
from ciplug.steps.trust import need_trusted
from ciplug.stores import Problem, Store
from ciplug.stores.files import OWN
from ciplug.tracking.runs import Runs

_AT_ONCE = 1000
_SERIES_AT_ONCE = 50
"""Objects beside records: each may have megabytes."""

Kept = Mapping[str, Mapping[str, str]]
"""Place → digest → the artifact of a record that is kept there."""


@dataclass(frozen=True)
class Checked:
    """The numbers of checked runs and models, and the problems."""

    runs: int
    models: int
    problems: Sequence[Problem]
    notes: Sequence[str]
    """Entries of the registry's logs that this version of ciplug skips."""
    unchecked: Mapping[str, int]
    """Places that this checkout does not use → how many artifacts are kept there."""

    @property
    def open_problems(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.repaired]


def check(session: Session, *, repair: bool) -> Checked:
    """Read every record of the store. Raises ForkJob where a fork's job would repair."""
    if repair:
        need_trusted(session, hint="repair in the pipeline of a trusted branch")
    store = session.store
    problems = store.check(repair=repair)
    reported = {problem.where for problem in problems}
    runs = Runs(store)
    count, kept = _read_runs(runs)
    problems += [Problem(key, why) for key, why in sorted(runs.problems.items()) if key not in reported]
    problems += [problem for problem in _beside_records(store) if problem.where not in reported]
    problems += _of_amendments(store, runs)
    own = {OWN, *(redact(uri) for uri in (session.artifact_store, session.store_uri) if uri)}
    problems += _of_files(session, {place: kept[place] for place in sorted(own & kept.keys())})
    models = ledger.models(session.log)
    notes: list[str] = []
    for model in models:
        problems += _of_model(session, model, notes)
    return Checked(count, len(models), problems, notes, {p: len(kept[p]) for p in sorted(kept.keys() - own)})


def _read_runs(runs: Runs) -> tuple[int, Kept]:
    """Return the number of readable runs, and the artifacts whose content is kept; bad records go to `problems`."""
    count = 0
    kept: dict[str, dict[str, str]] = {}
    keys = runs.recorded()
    for at in range(0, len(keys), _AT_ONCE):
        for record in runs.load(keys[at : at + _AT_ONCE]):
            count += 1
            for file in record.artifacts:
                if file.store:
                    kept.setdefault(file.store, {})[file.digest] = f"{run_key(record).key}: {file.path}"
    return count, kept


def _beside_records(store: Store) -> Iterator[Problem]:
    """Read what is beside the records: series, examples, schemas and profiles."""
    keys = sorted(key for key in store.keys(EVERY_RUN, EVERY_AMENDMENT) if beside.owner(key))
    for at in range(0, len(keys), _SERIES_AT_ONCE):
        for key, data in store.read(keys[at : at + _SERIES_AT_ONCE]).items():
            try:
                beside.check(key, data, key)
            except RecordError as problem:
                yield Problem(key, problem.message.removeprefix(f"{key}: "))


def _of_amendments(store: Store, runs: Runs) -> Iterator[Problem]:
    """Check amendments whose run does not exist. Other amendments are checked when their run is read."""
    recorded, listed = set(runs.recorded()), set(store.keys(EVERY_AMENDMENT))
    for key in sorted(listed):
        amendment = parse_amendment(key) or parse_late_series(key) or parse_late_inputs(key)
        if amendment is None:
            yield Problem(key, "not the key of an amendment")
        elif amendment.key not in listed:
            yield Problem(key, "its amendment is not in the store")
        elif amendment.run_key not in recorded:
            yield Problem(key, "its run is not in the store")


def _of_files(session: Session, kept: Kept) -> Iterator[Problem]:
    """Artifacts whose bytes are missing."""
    for place, artifacts in kept.items():
        for digest in sorted(session.files_at(place).missing(artifacts.keys())):
            yield Problem(artifacts[digest], f"its bytes are missing from {place}: record the same file again")


def _of_model(session: Session, model: str, notes: list[str]) -> Iterator[Problem]:
    """The chain of a model's events, and the evidence that they name; adds to `notes`."""
    try:
        events = ledger.read(session.log, model).events
        notes += fold(model, events).notes
    except CiplugError as problem:
        yield Problem(log_of(model), problem.message)
        return
    yield from _of_evidence(session.store, model, events)


def _of_evidence(store: Store, model: str, events: Sequence[RegistryEvent]) -> Iterator[Problem]:
    """Verdicts of promotions that are missing, or are not what they were when the model was promoted."""
    promotions = {event.seq: payload for event in events if isinstance(payload := payload_of(event), Promote)}
    evidence = store.read(promotion.verdict for promotion in promotions.values() if promotion.verdict)
    for seq, promotion in promotions.items():
        if promotion.verdict and promotion.verdict not in evidence:
            yield Problem(promotion.verdict, f"event {seq} of '{model}' names this verdict, which is missing")
        elif promotion.verdict and promotion.verdict_digest != canonical.digest(evidence[promotion.verdict]):
            yield Problem(promotion.verdict, f"event {seq} of '{model}' was made with other content of this verdict")
