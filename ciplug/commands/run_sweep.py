"""`ciplug runs sweep`: the child runs of a run as one table of parameters and metrics."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands.output import tell_problems
from ciplug.commands.run_tables import drawn, marks_of, shown
from ciplug.errors import counted
from ciplug.records.canonical import dumps, plain
from ciplug.records.run import metric_name
from ciplug.reports import untrusted
from ciplug.steps.all_runs import all_runs
from ciplug.steps.named_run import HELP, find_run
from ciplug.steps.session import Session
from ciplug.steps.sweep import Sweep, sweep_of
from ciplug.tracking.entries import Entry
from ciplug.tracking.hidden import hidden_states
from ciplug.tracking.query import Key

FORMATS = ("table", "markdown", "csv", "json")
_METRICS_MOST = 6
"""Metrics in a table for the eye."""
_WHOLE = ("run", "marks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"the run that started the others: {HELP}")
    parser.add_argument("--model", metavar="M", help="which model's run of a commit (default: that of ciplug.yaml)")
    parser.add_argument("--metric", metavar="NAME", help="metric to rank by (default: the first gate's)")
    direction = parser.add_mutually_exclusive_group()
    for word, higher in (("higher", True), ("lower", False)):
        direction.add_argument(
            f"--{word}-is-better", dest="higher", action="store_const", const=higher, help=f"{word} values are better"
        )
    parser.add_argument("--all", action="store_true", help="list deleted runs too")
    parser.add_argument("--format", choices=FORMATS, default="table")


def show_sweep(args: argparse.Namespace, session: Session) -> int:
    """Print the child runs of the run that is named."""
    runs = all_runs(session)
    parent = find_run(session, runs, args.run, args.model, any_run=True).run
    metric = None if args.metric is None else metric_name(args.metric)
    sweep = sweep_of(session, runs, parent, metric, args.higher, hide=() if args.all else hidden_states(()))
    if args.format == "json":
        console.out(dumps(_as_json(sweep)))
    else:
        console.out(_table(sweep, args.format))
    runs.problems.update(runs.catalog.problems)
    tell_problems(runs)
    _tell(sweep, args.format)
    return 0


def _table(sweep: Sweep, form: str) -> str:
    entries = sweep.entries
    exact = form == "csv"
    metrics = sweep.metrics if exact else sweep.metrics[:_METRICS_MOST]
    keys = [*(Key("param", name) for name in sweep.params), *(Key("metric", name) for name in metrics)]
    columns = {"run": [entry.id if exact else entry.id[:12] for entry in entries]}
    if any("name" in entry.attributes for entry in entries):
        names = [entry.attributes.get("name", "") for entry in entries]
        columns["name"] = names if exact else [untrusted.clean(name, 30) for name in names]
    for key in keys:
        title = str(key) if exact or (key.name in metrics and key.name in sweep.params) else key.name
        columns[title] = shown(entries, key, form)
    columns["marks"] = [", ".join(_marks(sweep, entry)) for entry in entries]
    # A narrow terminal has the parameters and the first metric: that by which the best is chosen.
    titles = [title for title in columns if title not in ("run", "marks")]
    first = len(titles) - len(metrics)
    spared = [*titles[first + 1 :][::-1], *(["name"] if "name" in columns else []), *titles[: first - 1][::-1]]
    return drawn(list(columns), zip(*columns.values(), strict=True), form, spared=spared, whole=_WHOLE, named=True)


def _marks(sweep: Sweep, entry: Entry) -> list[str]:
    status = entry.attributes.get("status", "unknown")
    states = [] if status == "finished" else [status]
    states += [] if entry.standing == "active" else [entry.standing]
    own = [mark for mark in marks_of(entry) if mark != "child"]
    return [*(["best"] if entry.id == sweep.best else []), *states, *own]


def _tell(sweep: Sweep, form: str) -> None:
    if form not in ("table", "markdown"):
        return
    parent = sweep.parent
    alike = ", ".join(f"{name}={value}" for name, value in sweep.alike.items())
    of = f"run {parent.id[:12]} ({untrusted.clean(parent.model, 40)})"
    console.say(f"{counted(len(sweep.entries), 'child run')} of {of}")
    if alike:
        console.say(f"the same in all of them: {untrusted.clean(alike, 400)}")
    if sweep.hidden:
        console.say(f"{sweep.hidden:,} deleted: --all lists them too")
    if (more := len(sweep.metrics) - _METRICS_MOST) > 0:
        console.say(f"{counted(more, 'more metric')}: --format csv has all")
    if sweep.metric is None:
        console.say("the best is not marked: no gate names a direction; --metric NAME with --higher-is-better does")
    if parent.commit:
        console.say(_who_counts(sweep))


def _who_counts(sweep: Sweep) -> str:
    commit = (sweep.parent.commit or "")[:8]
    if sweep.counts is None:
        return f"no run counts for commit {commit}"
    if sweep.counts == sweep.parent.id:
        return f"for commit {commit} the run that started them counts, with its own metrics"
    of = "one of these" if sweep.counts in {entry.id for entry in sweep.entries} else "another run"
    return f"for commit {commit} {of} counts, {sweep.counts[:12]}"


def _as_json(sweep: Sweep) -> dict[str, object]:
    return {
        "schema": 1,
        "parent": sweep.parent.id,
        "model": sweep.parent.model,
        "commit": sweep.parent.commit,
        "metric": sweep.metric,
        "higher_is_better": sweep.higher_is_better,
        "best": sweep.best,
        "counts_for_commit": sweep.counts,
        "runs": [
            {
                "id": entry.id,
                "name": entry.attributes.get("name"),
                "status": entry.attributes.get("status"),
                "lifecycle": entry.standing,
                "params": plain(entry.params),
                "metrics": plain(entry.metrics),
            }
            for entry in sweep.entries
        ],
    }
