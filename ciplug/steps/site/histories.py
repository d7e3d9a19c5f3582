"""The histories of metrics for the site, with the commits that moved them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ciplug.errors import CiplugError, NotFound, counted
from ciplug.reports.site import scripts
from ciplug.steps.branches import target_branch
from ciplug.steps.change_text import history_page
from ciplug.steps.metric_history import metric_history, metrics_on
from ciplug.steps.metric_order import gated_metrics, gated_order
from ciplug.steps.site.folder import DATA, SiteFolder

if TYPE_CHECKING:
    from ciplug.reports.history_page import HistoryPage
    from ciplug.steps.session import Session
    from ciplug.tracking.runs import Runs

MODELS_MOST = 50
METRICS_MOST = 12
"""Metrics of a model, those with gates first."""


def write_histories(
    session: Session, runs: Runs, models: Sequence[str], branch: str | None, limit: int, folder: SiteFolder
) -> tuple[list[list[Any]], list[str]]:
    """Write the histories of the metrics of models.

    Returns the model, the file and the names of the metrics of each; and notes on what is not there.
    """
    if session.workspace is None or session.head is None:
        return [], ["there is no history: this is not a git repository with a commit"]
    branch = branch or target_branch(session, session.workspace)
    files: list[list[Any]] = []
    notes: list[str] = []
    for model in models[:MODELS_MOST]:
        metrics, left, problem = _of_model(session, runs, model, branch, limit)
        if metrics:
            name = f"{DATA}/history/{hashlib.sha256(model.encode(errors='replace')).hexdigest()[:24]}.js"
            record = {"kind": "history", "model": scripts.model_name(model), "branch": scripts.shown(branch or "HEAD")}
            folder.put(name, scripts.script({**record, "metrics": [_record(one) for one in metrics]}))
            files.append([scripts.model_name(model), name, [scripts.shown(one.metric) for one in metrics]])
            if left:
                more = f"{counted(left, 'more metric')} of {model} {'has' if left == 1 else 'have'} no history here"
                notes.append(scripts.shown(f"{more}: ciplug history METRIC"))
        elif problem:
            notes.append(scripts.shown(f"no history of {model}: {problem}"))
    if len(models) > MODELS_MOST:
        notes.append(f"no history of {counted(len(models) - MODELS_MOST, 'more model')}")
    return files, notes


def _of_model(
    session: Session, runs: Runs, model: str, branch: str | None, limit: int
) -> tuple[list[HistoryPage], int, str | None]:
    """The histories of the metrics of a model on the branch, how many more metrics there are, and why there is none."""
    pages: list[HistoryPage] = []
    problem = None
    try:
        names = gated_order(metrics_on(session, runs, model, branch, limit), gated_metrics(session, model))
        problem = None if names else f"no run of '{model}' on the commits of {branch or 'HEAD'} has a metric"
        for metric in names[:METRICS_MOST]:
            try:
                known = metric_history(session, runs, metric, model=model, branch=branch, limit=limit)
            except NotFound as absent:
                problem = absent.message
            else:
                pages.append(history_page(session, known))
    except CiplugError as error:
        return pages, 0, error.message
    return pages, max(0, len(names) - METRICS_MOST), problem


def _record(page: HistoryPage) -> dict[str, Any]:
    return {
        "metric": scripts.shown(page.metric),
        "higher": page.higher_is_better,
        "bounds": [[bound, word] for bound, word in page.bounds],
        "notes": list(map(scripts.shown, page.notes)),
        "changes": [[one.at, scripts.shown(one.words), one.is_worse] for one in page.changes],
        "rows": [
            [
                row.at,
                row.commit[:12],
                row.run,
                scripts.number(row.value),
                row.runs,
                *map(scripts.shown, (row.date, row.author, row.subject, ", ".join(row.versions))),
            ]
            for row in page.rows
        ],
    }
