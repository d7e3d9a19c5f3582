"""Write the site: only what is new, or has changed, since it was written before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug.reports.site import pages, scripts
from ciplug.steps.metric_history import check_branch
from ciplug.steps.metric_order import gated_metrics
from ciplug.steps.place_names import repository_name
from ciplug.steps.policy_in_force import of_checkout
from ciplug.steps.site.audits import audit_tables
from ciplug.steps.site.details import write_details
from ciplug.steps.site.folder import DATA, SiteFolder
from ciplug.steps.site.histories import write_histories
from ciplug.steps.site.overview import branch_rows, model_rows, registered, registry_models
from ciplug.steps.sweep import counting_of_sweeps
from ciplug.tracking.hidden import hidden_states
from ciplug.tracking.query import RUN_ID, Column

if TYPE_CHECKING:
    from ciplug.registry.model import Model, Version
    from ciplug.steps.session import Session
    from ciplug.tracking.catalog import Catalog
    from ciplug.tracking.runs import Runs

DETAILS = 200
LIMIT = 100
VERSIONS_MOST = 20
"""Versions of a model whose runs have details, beside those in a stage or with an alias."""
SWEEPS_MOST = 30
"""The last runs with child runs, of which the page says which run counts for their commit."""
GATED_MOST = 200
"""Models whose gated metrics the page of runs shows first."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A site that was written."""

    folder: Path
    runs: int
    pieces: int
    new_pieces: int
    written: int
    """Files that were new, or have changed."""
    bytes: int
    """The size of those."""
    notes: list[str]
    others: list[str]
    """What the folder has beside the site."""


def build_site(
    session: Session, runs: Runs, output: Path, *, branch: str | None = None, details: int = DETAILS, limit: int = LIMIT
) -> Built:
    """Write the site into a folder, which is new, or has the site as it was written before.

    Args:
        branch: whose history is shown; None: that of the target branch.
        details: how many of the last runs have their steps and images; runs of registered versions always have.
        limit: how many commits with a run a history has; 0: all of the last 1,000 commits.

    Raises UsageError for a folder with other files or another site, NotFound for a branch that is not there.
    """
    if branch and session.workspace and session.head:
        check_branch(session, branch)
    catalog = runs.catalog
    folder = SiteFolder(output)
    title = session.context.repository or repository_name(session.remote_url) or session.top.name
    branch_of_store = session.store.address.partition("#")[2]
    folder.open(f"{session.place_of_store}#{branch_of_store}", title, session.store_name)
    for name, content in pages.static_files():
        folder.put(name, content)
    written, new = _write_pieces(catalog, folder)
    models = registered(session)
    overview = model_rows(session, runs, models)
    detailed = write_details(session, runs, _detailed(catalog, models, details), folder)
    names = [row.name for row in overview if row.runs]
    histories, notes = write_histories(session, runs, names, branch, limit, folder)
    record = {
        "kind": "site",
        "format": scripts.FORMAT,
        "runs": sum(count for _, count in written),
        "pieces": written,
        "changes": list(_changes(catalog)),
        "gated": [[scripts.model_name(name), _gated(session, name)] for name in names[:GATED_MOST]],
        "directions": [[scripts.model_name(name), _directions(session, name)] for name in names[:GATED_MOST]],
        "counting": [list(one) for one in counting_of_sweeps(session, runs, SWEEPS_MOST)],
        "details": sorted(detailed.items()),
        "histories": histories,
    }
    folder.put(f"{DATA}/site.js", scripts.script(record))
    drawn = {model for model, _, _ in histories}
    shown = pages.Site(
        title=title,
        runs=record["runs"],
        models=[replace(row, has_history=row.shown in drawn) for row in overview],
        branches=branch_rows(catalog),
        registry=registry_models(session, models),
        audits=audit_tables(session, catalog, branch),
        notes=notes,
        details=details,
    )
    for name, content in pages.render(shown):
        folder.put(name, content)
    others = folder.close()
    return Built(
        folder=output,
        runs=record["runs"],
        pieces=len(written),
        new_pieces=new,
        written=folder.written,
        bytes=folder.size,
        notes=notes,
        others=others,
    )


def _write_pieces(catalog: Catalog, folder: SiteFolder) -> tuple[list[list[Any]], int]:
    """The file and the number of runs of each piece, and how many were new. A segment never changes, nor does its."""
    pieces: list[list[Any]] = []
    new = 0
    for part in catalog.parts():
        name = f"{DATA}/runs/{_digest(part.name)}.js" if part.name else f"{DATA}/runs/loose.js"
        if not (part.name and folder.has(name)):
            before = folder.written
            folder.put(name, scripts.runs_piece(name, catalog.recorded(part)))
            new += folder.written - before
        pieces.append([name, part.runs])
    return pieces, new


def _digest(name: str) -> str:
    return hashlib.sha256(f"{scripts.FORMAT} {name}".encode(errors="replace")).hexdigest()[:24]


def _changes(catalog: Catalog) -> Iterator[list[Any]]:
    """Piece, row in it, and what has changed, of each amended run."""
    parts = catalog.parts()
    changed = sorted(catalog.changed_rows.items())
    at = 0
    for row, changes in changed:
        while at < len(parts) and row >= parts[at].first + parts[at].runs:
            at += 1
        if facts := scripts.change(changes):
            yield [at, row - parts[at].first, facts]


def _gated(session: Session, model: str) -> list[str]:
    order = gated_metrics(session, model)
    return [scripts.shown(name) for name in sorted(order, key=order.__getitem__)]


def _directions(session: Session, model: str) -> list[list[Any]]:
    """The metrics of which a gate says whether higher is better, as the ciplug.yaml of this checkout has them."""
    ruling = of_checkout(session, model)
    return [[scripts.shown(name), higher] for name, higher in ruling.policy.directions().items()] if ruling else []


def _detailed(catalog: Catalog, models: list[Model], most: int) -> list[str]:
    """The keys of the runs whose details are written."""
    last = catalog.search(limit=most, hide=hidden_states(())).entries if most else []
    wanted = {version.run for model in models for version in _shown_versions(model) if version.run}
    ids = catalog.column(RUN_ID) if wanted else Column([], [])
    rows = [row for row, run in zip(ids.rows, ids.values, strict=True) if run in wanted]
    return list(dict.fromkeys(entry.key for entry in [*last, *catalog.entries(rows)]))


def _shown_versions(model: Model) -> list[Version]:
    """The versions that are in a stage, or have an alias, and the last ones."""
    last = {one.number for one in model.versions[-VERSIONS_MOST:]}
    return [one for one in model.versions if one.staged or one.number in last or model.aliases_of(one.number)]
