"""Check an untrusted bundle: it may hold runs, the objects beside them, amendments and verdicts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ciplug.errors import RecordError
from ciplug.records import beside, moment, read, signature
from ciplug.records.keys import SIGNATURE, is_run, is_verdict, parse_amendment, verdict_key
from ciplug.records.read import read_run
from ciplug.records.run import Run, is_model_name

MAX_RECORD = 8 * 1024 * 1024
"""Bytes of a run or a verdict; as objects of Python they are about twenty times that."""
_ID = re.compile("[0-9a-f]{32}")


def check(
    objects: Mapping[str, bytes],
    name: str,
    *,
    trusted: bool,
    commits: Collection[str] | None = None,
    kept_at: str | None = None,
) -> list[Run]:
    """Return the runs of the bundle `name`; each of its objects must be one of them, or belong to one.

    A trusted bundle may amend runs that are recorded elsewhere, and hold nothing else; any other amends its own runs.

    Args:
        trusted: whether it comes from a job that may write the store. Any other says in its own record that it may
            not, and one that claims to be trusted is refused: so whatever a store holds as trusted is trusted.
        commits: those that the runs of an untrusted bundle can be of; None where nobody knows.
        kept_at: where the files of a trusted bundle go; None where no file comes with it.

    Raises RecordError, naming the bundle and the key, for the first object that is anything else.
    """
    runs: dict[str, Run] = {}
    for key, data in objects.items():
        if is_run(key):
            run = _run(data, key, name, kept_at if trusted else None)
            if run.id in runs:
                raise RecordError(f"{name}: {key}: the bundle has the run {run.id} twice")
            if not trusted:
                _check_claims(run, f"{name}: {key}", commits)
            runs[run.id] = run
    for key, data in objects.items():
        where = f"{name}: {key}"
        if of := beside.owner(key):
            if of not in objects:
                raise RecordError(f"{where}: its {'run' if is_run(of) else 'amendment'} is not in the bundle")
            beside.check(key, data, where)
        elif parse_amendment(key):
            _check_amendment(key, data, name, runs, trusted=trusted)
        elif is_verdict(key):
            _check_verdict(key, data, where, runs)
        elif trusted and key.endswith(SIGNATURE):
            signature.decode(data, where.removeprefix(f"{name}: "))
        elif not is_run(key):
            raise RecordError(
                f"{where}: a bundle holds runs, their series, examples, inputs, amendments and verdicts only"
            )
    if not runs and not (trusted and any(map(parse_amendment, objects))):
        raise RecordError(f"{name}: it has no run")
    return list(runs.values())


def _run(data: bytes, key: str, name: str, kept_at: str | None) -> Run:
    where = f"{name}: {key}"
    if len(data) > MAX_RECORD:
        raise RecordError(f"{where}: {len(data):,} bytes; a run in a bundle has at most {MAX_RECORD:,}")
    try:
        run = read_run(data, key)
    except RecordError as problem:
        raise RecordError(f"{name}: {problem.message}", hint=problem.hint) from None
    if not _ID.fullmatch(run.id):
        raise RecordError(f"{where}: {run.id!r:.80} is not the id of a run")
    if not is_model_name(run.model):
        raise RecordError(f"{where}: {run.model!r:.80} cannot be the name of a model")
    if run.monitor is not None:
        # A training that hands itself over could otherwise have the version in production rolled back.
        raise RecordError(f"{where}: it is a run of ciplug monitor, which no bundle brings")
    if stored := [file for file in run.artifacts if file.store not in (None, kept_at)]:
        place = f"{stored[0].path!r:.80} is kept in {stored[0].store!r:.80}"
        if kept_at is None:
            raise RecordError(f"{where}: it says that {place}, and no file is taken from this bundle")
        hint = "name one artifact_store for both jobs, in ciplug.yaml"
        raise RecordError(f"{where}: it says that {place}, and this job keeps files in {kept_at}", hint=hint)
    for when in (run.started, run.ended):
        try:
            if moment.parse(when).tzinfo is None:
                raise ValueError
        except ValueError:
            raise RecordError(f"{where}: {when!r:.40} is not a point in time") from None
    return run


def _check_claims(run: Run, where: str, commits: Collection[str] | None) -> None:
    if run.provenance.context.trusted:
        raise RecordError(
            f"{where}: it claims to be of a trusted job, and the bundle comes from one that is not",
            hint="a fork's run says so in its own record",
        )
    if commits is not None and run.commit not in commits:
        raise RecordError(f"{where}: it claims the commit {run.commit}, and that pipeline ran on {', '.join(commits)}")


def _check_amendment(key: str, data: bytes, name: str, runs: Mapping[str, Run], *, trusted: bool) -> None:
    where = f"{name}: {key}"
    if len(data) > MAX_RECORD:
        raise RecordError(f"{where}: {len(data):,} bytes; an amendment in a bundle has at most {MAX_RECORD:,}")
    try:
        amendment = read.amendment(data, key)
    except RecordError as problem:
        raise RecordError(f"{name}: {problem.message}", hint=problem.hint) from None
    if amendment.signs:
        raise RecordError(f"{where}: it signs a run", hint="an allowed signer does that: ciplug runs sign")
    run = runs.get(amendment.run)
    if run is not None and (run.model, run.commit) != (amendment.model, amendment.commit):
        raise RecordError(f"{where}: it is about another model or commit than its run")
    if trusted:
        return
    if run is None:
        raise RecordError(f"{where}: it amends a run that is not in the bundle", hint="a fork amends its own runs only")
    if amendment.context.trusted:
        raise RecordError(f"{where}: it claims to be of a trusted job, and the bundle comes from one that is not")


def _check_verdict(key: str, data: bytes, where: str, runs: Mapping[str, Run]) -> None:
    if len(data) > MAX_RECORD:
        raise RecordError(f"{where}: {len(data):,} bytes; a verdict in a bundle has at most {MAX_RECORD:,}")
    verdict = read.verdict(data, where)
    run = runs.get(verdict.run)
    if run is None or (run.model, run.commit) != (verdict.model, verdict.commit):
        raise RecordError(f"{where}: it is about no run of the bundle")
    if key != verdict_key(verdict, data):
        raise RecordError(f"{where}: its key is not that of the verdict in it")
