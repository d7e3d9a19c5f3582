"""Find the run for a name: a version of a model, the id of a run, or a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import NotFound, StoreError, UsageError
from ciplug.records.run import Run
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Version
from ciplug.registry.resolve import VersionName, find_version, parse_version_name
from ciplug.reports.untrusted import clean
from ciplug.steps.registered import read_model
from ciplug.steps.select import counting, resolve_commit
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


class NamedRun(NamedTuple):
    """The run, version or commit that a name refers to."""

    run: Run
    version: Version | None = None
    """The version of the registry, where the name is a version's."""
    notes: tuple[str, ...] = ()
    """Sentences that a person must see, such as events of the registry that were skipped."""


def find_run(session: Session, runs: Runs, name: str, model: str | None = None) -> NamedRun:
    """Return the run that `name` refers to.

    Args:
        name: MODEL@STAGE, MODEL@vN, a models:/ URI, the id of a run or its beginning, or a commit, branch or tag.
        model: which model's run, of a commit that several models ran on; default: that of ciplug.yaml.

    Raises NotFound where there is no such run, UsageError where there are several, or it is of another model, and
    StoreError where the artifacts of the run are not those that the version was registered with.
    """
    version_name = parse_version_name(name)
    named = _of_version(session, runs, version_name) if version_name else _of_run_or_commit(session, runs, name, model)
    if model and named.run.model != model:
        raise UsageError(f"run {named.run.id} is of the model '{clean(named.run.model, 120)}', not '{model}'")
    return named._replace(notes=(*named.notes, *_objections(runs, named)))


def _objections(runs: Runs, named: NamedRun) -> list[str]:
    """A warning where the run was withdrawn or deleted: a version of it keeps its stage, and can be fetched."""
    changes = runs.changes(named.run)
    if changes.counts:
        return []
    version = f", version {named.version.number} of '{clean(named.run.model, 120)}'," if named.version else ""
    return [f"warning: run {named.run.id[:12]}{version} was {clean(changes.objection or '', 400)}"]


def _of_version(session: Session, runs: Runs, name: VersionName) -> NamedRun:
    model = read_model(session, name.model)
    version = find_version(model, name.selector, Ladder(session.config.ladder_of(name.model)))
    if version.run is None:
        raise NotFound(f"version {version.number} of '{clean(model.name, 80)}' was registered without a run")
    run = runs.at(version.commit, version.run)
    if version.files != {file.path: file.digest for file in run.artifacts}:
        raise StoreError(
            f"run {run.id} does not name the artifacts that version {version.number} of '{model.name}' was registered "
            "with",
            hint="the registry's log is a verified chain, the run's record is not: find out who changed it",
        )
    return NamedRun(run, version, model.notes)


def _of_run_or_commit(session: Session, runs: Runs, name: str, model: str | None) -> NamedRun:
    try:
        return NamedRun(runs.get(name))
    except NotFound as no_run:
        try:
            commit = resolve_commit(session, name)
        except NotFound:
            raise no_run from None
    return NamedRun(_of_commit(session, runs, name, commit, model))


def _of_commit(session: Session, runs: Runs, name: str, commit: str, model: str | None) -> Run:
    of_commit = counting(session, runs, commit, model)
    if len(of_commit) > 1 and len(session.config.models) < 2:
        own = session.config.of(None).model
        of_commit = [run for run in of_commit if run.model == own] or of_commit
    if len(of_commit) > 1:
        ids = ", ".join(f"{run.id[:12]} ({clean(run.model, 40)})" for run in of_commit)
        raise UsageError(f"'{name}' has runs of {len(of_commit)} models", hint=f"name one by --model, or a run: {ids}")
    return of_commit[0]
