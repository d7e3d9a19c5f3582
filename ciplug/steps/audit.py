"""Audit the gates of a model by the runs that the store holds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ciplug.config import DEFAULT_MODEL
from ciplug.errors import ConfigError, NotFound, counted, nearest
from ciplug.records.verdict import PolicySource
from ciplug.steps.branches import target_branch
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session
from ciplug.tracking.hidden import NOT_RANKED, only_trainings
from ciplug.tracking.query import BRANCH, COMMIT, DIRTY, MODEL, PARENT, STARTED, STATUS, TRUSTED, Comparison, Key

if TYPE_CHECKING:
    from ciplug.gates.audit import GateAudit, Past
    from ciplug.tracking.catalog import Catalog

Row = int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The record of all gates of a model."""

    model: str
    branch: str | None
    policy: PolicySource
    runs: int
    """Runs that were looked at: those that finished, of a clean tree and a trusted job."""
    commits: int
    """Commits of the branch that one of them stands for."""
    gates: Sequence[GateAudit]
    not_replayed: Sequence[str]
    """Gates without a rule on a number of a run: of kind drift, by slices alone, of a trend."""

    @property
    def replayed(self) -> str:
        """What the gates are replayed over, as a clause."""
        branch = f" of {self.branch}" if self.branch else ""
        runs = counted(self.runs, "run")
        return f"{counted(self.commits, 'commit')}{branch} with a run, and repeats among {runs}"


def audit_gates(session: Session, catalog: Catalog, model: str | None, branch: str | None) -> Audit:
    """Replay every gate of a model over its runs. Raises ConfigError without gates, NotFound without runs."""
    from ciplug.gates.audit import audit, in_order

    policies = read_policies(session)
    name = model or session.config.model or (DEFAULT_MODEL if not session.config.models else None)
    if name is None:
        raise ConfigError("ciplug.yaml has several models", hint="name one with --model")
    in_force = policies.of(name)
    policy = in_force.policy.renamed(in_force.metrics.rename)
    branch = branch or policy.baseline.branch or _branch(session)
    rows = _rows(catalog, name)
    if not rows:
        models = sorted(map(str, catalog.values(MODEL)))
        raise NotFound(f"no run of '{name}' that counts is recorded", hint=nearest(name, models) if models else None)
    line = _line(catalog, rows, branch)
    again = _again(catalog, rows, policy.seeds.key if policy.seeds else "seed")
    gates = {one: policy.resolved(one) for one in policy.gates}
    replayed = {
        one: gate
        for one, gate in gates.items()
        if gate.kind == "metric" and (gate.min, gate.max, gate.max_regression) != (None, None, None)
    }
    pasts = {metric: _past(catalog, metric, line, again) for metric in {gate.metric for gate in replayed.values()}}
    return Audit(
        model=name,
        branch=branch,
        policy=in_force.source,
        runs=len(rows),
        commits=len(line),
        gates=tuple(in_order([audit(one, gate, pasts[gate.metric]) for one, gate in replayed.items()])),
        not_replayed=tuple(one for one in gates if one not in replayed),
    )


def _branch(session: Session) -> str | None:
    if session.workspace is None:
        return session.context.branch
    return target_branch(session, session.workspace)


def _rows(catalog: Catalog, model: str) -> list[Row]:
    """The runs of a model that may count for their commit, by the time at which they started."""
    rows = catalog.rows([Comparison(MODEL, "=", model), *only_trainings(())], hide=NOT_RANKED)
    status, trusted, dirty, started = (_cells(catalog, key) for key in (STATUS, TRUSTED, DIRTY, STARTED))
    fit = (row for row in rows if status(row) == "finished" and trusted(row) != "false" and dirty(row) != "true")
    return sorted(fit, key=lambda row: (started(row) or "", row))


def _line(catalog: Catalog, rows: Sequence[Row], branch: str | None) -> list[Row]:
    """The last run of each commit of a branch, and never a child run; branch None: of any."""
    of_branch, commit, parent = (_cells(catalog, key) for key in (BRANCH, COMMIT, PARENT))
    last: dict[str, Row] = {}
    for row in rows:
        if (one := commit(row)) and (branch is None or of_branch(row) == branch) and parent(row) is None:
            last[one] = row
    # A commit keeps the place of its first run: a run again, long after, moves nothing.
    return list(last.values())


def _again(catalog: Catalog, rows: Sequence[Row], seed: str) -> list[list[Row]]:
    """The runs of each commit that have the same parameters, whatever their seed, where there are several."""
    commit = _cells(catalog, COMMIT)
    by_commit: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if one := commit(row):
            by_commit[one].append(row)
    several = {one: of for one, of in by_commit.items() if len(of) > 1}
    params: dict[Row, list[tuple[str, Any]]] = defaultdict(list)
    if several:
        among = {row for of in several.values() for row in of}
        for name in catalog.names("param"):
            if name != seed:
                column = catalog.column(Key("param", name))
                for row, value in zip(column.rows, column.values, strict=True):
                    if row in among:
                        params[row].append((name, value))
    alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for one, of in several.items():
        for row in of:
            settings = (one, *params[row])
            alike[settings].append(row)
    return [of for of in alike.values() if len(of) > 1]


def _past(catalog: Catalog, metric: str, line: Sequence[Row], again: Sequence[Sequence[Row]]) -> Past:
    from ciplug.gates.audit import Past

    column = catalog.column(Key("metric", metric))
    values = dict(zip(column.rows, column.values, strict=True))

    def finite(rows: Sequence[Row]) -> list[float]:
        return [value for value in map(values.get, rows) if value is not None and math.isfinite(value)]

    repeated = map(finite, again)
    return Past(branch=finite(line), again=[numbers for numbers in repeated if len(numbers) > 1])


def _cells(catalog: Catalog, key: Key) -> Callable[[Row], Any]:
    """Row → value, None where there is none."""
    column = catalog.column(key)
    if isinstance(column.rows, range):
        return column.values.__getitem__
    return dict(zip(column.rows, column.values, strict=True)).get
