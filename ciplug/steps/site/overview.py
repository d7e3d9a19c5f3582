"""What the first page of the site shows: models, their versions and last runs, and branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ciplug.records.keys import parse_runs
from ciplug.registry import ledger
from ciplug.reports import number_format
from ciplug.reports.site import scripts
from ciplug.reports.site.pages import BranchRow, ModelRow, RegistryModel
from ciplug.steps.event_text import EVENT_HEADERS, event_row, listed_names, minute
from ciplug.steps.history import history
from ciplug.steps.metric_order import gated_metrics, gated_order
from ciplug.steps.registered_model import read_if_whole
from ciplug.steps.select import first_counting
from ciplug.tracking.hidden import hidden_states, only_trainings
from ciplug.tracking.query import BRANCH, MODEL, STARTED, Comparison, Key

if TYPE_CHECKING:
    from ciplug.records.run import Run
    from ciplug.registry.model import Model
    from ciplug.steps.session import Session
    from ciplug.tracking.catalog import Catalog
    from ciplug.tracking.entries import Entry
    from ciplug.tracking.runs import Runs

EVENTS_MOST = 200
METRICS_SHOWN = 4
BRANCHES_MOST = 100
MODELS_MOST = 200
LOOKED_AT = 50
"""The last runs of a model, among which the one that counts is looked for."""


def registered(session: Session) -> list[Model]:
    """The models of the registry, also those whose log is broken."""
    models = [read_if_whole(session, name) for name in ledger.models(session.log)]
    return [model for model in models if model.exists or model.problem]


def model_rows(session: Session, runs: Runs, models: Sequence[Model]) -> list[ModelRow]:
    """The models that have runs, the one with the last run first; then those that only the registry has."""
    of_registry = {model.name: model for model in models}
    catalog = runs.catalog
    rows = []
    recorded = _newest(catalog, MODEL)
    for name, (count, last) in list(recorded.items())[:MODELS_MOST]:
        where = [Comparison(MODEL, "=", name), *only_trainings(())]
        found = catalog.search(where, limit=LOOKED_AT, hide=hidden_states(()), fold=True)
        entries = found.entries
        counting = _counting(session, runs, name, entries)
        metrics = counting.metrics if counting else {}
        order = gated_order(metrics, gated_metrics(session, name))[:METRICS_SHOWN]
        rows.append(
            ModelRow(
                name=name,
                shown=scripts.model_name(name),
                runs=count,
                last=minute(last),
                last_run=entries[0].id if entries else None,
                counting=counting.id if counting else None,
                metrics=[(one, number_format.number(metrics[one])) for one in order],
                versions=_stages(of_registry.get(name)),
            )
        )
    rows += [
        ModelRow(
            name=model.name,
            shown=scripts.model_name(model.name),
            runs=0,
            last="",
            last_run=None,
            counting=None,
            metrics=[],
            versions=_stages(model),
        )
        for model in models
        if model.name not in recorded
    ]
    return rows


def _counting(session: Session, runs: Runs, model: str, entries: Sequence[Entry]) -> Entry | Run | None:
    """The last of these runs that counts for its commit; in a store of no repository, the last that finished."""
    if any(entry.attributes.get("commit") for entry in entries):
        return first_counting(session, runs, model, parse_runs(entry.key for entry in entries))
    return next((one for one in entries if one.attributes.get("status") == "finished"), None)


def branch_rows(catalog: Catalog) -> list[BranchRow]:
    """The branches that runs were recorded on, the one with the last run first."""
    found = list(_newest(catalog, BRANCH).items())[:BRANCHES_MOST]
    return [BranchRow(name=name, runs=count, last=minute(last)) for name, (count, last) in found]


def _newest(catalog: Catalog, key: Key) -> dict[str, tuple[int, str]]:
    """Value → how many runs have it, and when the last one started; the newest first."""
    started = catalog.column(STARTED)
    times = dict(zip(started.rows, started.values, strict=True))
    gone = {row for row, changes in catalog.changed_rows.items() if changes.standing == "deleted"}
    column = catalog.column(key)
    found: dict[str, tuple[int, str]] = {}
    for row, value in zip(column.rows, column.values, strict=True):
        if row not in gone:
            count, last = found.get(value, (0, ""))
            found[value] = (count + 1, max(last, times.get(row, "")))
    return dict(sorted(found.items(), key=lambda one: (one[1][1], one[0]), reverse=True))


def _stages(model: Model | None) -> str:
    if model is None:
        return ""
    staged = [f"{stage.lower()} v{number}" for stage, numbers in model.in_stage.items() for number in numbers]
    return listed_names(staged) if staged else f"{len(model.versions)} in no stage" if model.versions else ""


def registry_models(session: Session, models: Sequence[Model]) -> list[RegistryModel]:
    """The story of each model: its versions, and the events of its log."""
    return [_story(session, model) for model in models]


def _story(session: Session, model: Model) -> RegistryModel:
    if model.problem:
        return RegistryModel(name=model.name, problem=model.problem)
    past = history(session, model.name, EVENTS_MOST)
    gated = gated_metrics(session, model.name)
    rows = [list(map(str, event_row(one))) for one in reversed(past.events)]
    versions: list[dict[str, Any]] = [
        {
            "number": one.number,
            "stage": one.stage,
            "run": one.run,
            "commit": (one.commit or "")[:8],
            "created": minute(one.created),
            "aliases": ", ".join(model.aliases_of(one.number)),
            "metrics": [
                (name, number_format.number(one.metrics[name]))
                for name in gated_order(one.metrics, gated)[:METRICS_SHOWN]
            ],
            "yanked": one.yanked,
            "description": one.description or "",
        }
        for one in reversed(model.versions)
    ]
    # A column in which no event has anything says nothing.
    shown = [at for at in range(len(EVENT_HEADERS)) if any(row[at] not in ("", "-") for row in rows)]
    return RegistryModel(
        name=model.name,
        description=model.description or "",
        tags=[f"{key}={value}" for key, value in sorted(model.tags.items())],
        versions=versions,
        event_headers=[EVENT_HEADERS[at] for at in shown],
        events=[[row[at] for at in shown] for row in rows],
        earlier=past.earlier,
        notes=list(model.notes),
    )
