"""Check everything that the store holds, record by record, and repair what can be repaired without losing data."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from ciplug import console
from ciplug.commands import options
from ciplug.errors import CiplugError, UsageError
from ciplug.git.credentials import redact
from ciplug.records import canonical
from ciplug.records.keys import EVERY_AMENDMENT, log_of, parse_amendment, parse_late_series, run_key
from ciplug.records.registry_event import Promote
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.registry.state import fold
from ciplug.steps.session import Session
from ciplug.stores import Problem, Store
from ciplug.stores.files import OWN
from ciplug.tracking.runs import Runs

_AT_ONCE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="repair what can be repaired without losing data")
    parser.add_argument("--json", action="store_true", help="the problems as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.repair and not session.context.trusted:
        raise UsageError("a fork's job must not write the store", hint="repair in the pipeline of a trusted branch")
    store = session.store
    problems = store.check(repair=args.repair)
    reported = {problem.where for problem in problems}
    runs = Runs(store)
    count = 0
    kept: dict[str, dict[str, str]] = {}
    keys = runs.recorded()
    for at in range(0, len(keys), _AT_ONCE):
        for record in runs.load(keys[at : at + _AT_ONCE]):
            count += 1
            for file in record.artifacts:
                if file.store:
                    kept.setdefault(file.store, {})[file.digest] = f"{run_key(record).key}: {file.path}"
    problems += [Problem(key, why) for key, why in sorted(runs.problems.items()) if key not in reported]
    problems += _of_amendments(store, runs)
    problems += _of_files(session, kept)
    models = ledger.models(session.log)
    for model in models:
        problems += _of_model(session, model)
    open_problems = [problem for problem in problems if not problem.repaired]
    if args.json:
        console.out(
            canonical.dumps({"schema": 1, "runs": count, "problems": [problem._asdict() for problem in problems]})
        )
    else:
        for problem in problems:
            console.out(f"{'repaired' if problem.repaired else 'problem'}: {problem.where}: {problem.what}")
    console.say(f"{count} runs, {len(models)} models in the registry, {_counted(len(open_problems))}")
    if any(problem.repairable for problem in open_problems):
        console.say("some of these can be repaired: ciplug fsck --repair")
    return 3 if open_problems else 0


def _counted(problems: int) -> str:
    return f"{problems} problem{'s' if problems > 1 else ''}" if problems else "no problem"


def _of_amendments(store: Store, runs: Runs) -> Iterator[Problem]:
    """Amendments of runs that are not there. What one says is checked when its run is read."""
    recorded, listed = set(runs.recorded()), set(store.keys(EVERY_AMENDMENT))
    for key in sorted(listed):
        amendment = parse_amendment(key) or parse_late_series(key)
        if amendment is None:
            yield Problem(key, "not the key of an amendment")
        elif amendment.key not in listed:
            yield Problem(key, "its amendment is not in the store")
        elif amendment.run_key not in recorded:
            yield Problem(key, "its run is not in the store")


def _of_files(session: Session, kept: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    """Artifacts whose bytes are missing, in the places that this checkout uses.

    Args:
        kept: place → digest → the artifact of a record that names it.
    """
    own = {OWN, *(redact(uri) for uri in (session.artifact_store, session.store_uri) if uri)}
    for place, artifacts in sorted(kept.items()):
        if place not in own:
            console.say(f"{len(artifacts)} artifacts are kept in {place}, which is not checked")
            continue
        for digest in sorted(session.files_at(place).missing(artifacts.keys())):
            yield Problem(artifacts[digest], f"its bytes are missing from {place}: record the same file again")


def _of_model(session: Session, model: str) -> Iterator[Problem]:
    """The chain of a model's events, and the evidence that they name."""
    try:
        events = ledger.read(session.log, model).events
        for note in fold(model, events).notes:
            console.complain(note)
    except CiplugError as problem:
        yield Problem(log_of(model), problem.message)
        return
    promotions = {event.seq: payload for event in events if isinstance(payload := payload_of(event), Promote)}
    evidence = session.store.read(promotion.verdict for promotion in promotions.values() if promotion.verdict)
    for seq, promotion in promotions.items():
        if promotion.verdict and promotion.verdict not in evidence:
            yield Problem(promotion.verdict, f"event {seq} of '{model}' names this verdict, which is missing")
        elif promotion.verdict and promotion.verdict_digest != canonical.digest(evidence[promotion.verdict]):
            yield Problem(promotion.verdict, f"event {seq} of '{model}' was made with other content of this verdict")
