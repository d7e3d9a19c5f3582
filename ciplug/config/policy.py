"""The policy of ciplug.yaml: the keys that decide on a model, and what they come to for a gate, branch or stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar, Literal

from ciplug.config import kinds, stages, values
from ciplug.config.gate import BASELINE, SOURCE, Baseline, Defaults, Gate, ResolvedGate, Source
from ciplug.config.kinds import Listed, Mistake, Named, Table, key, one_of, required
from ciplug.config.monitor import Monitor
from ciplug.config.stages import Narrowing, Stage


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The file with a row for each example of the evaluation, and the roles of its columns."""

    file: str = required(kinds.TEXT)
    """Relative to the folder of the configuration."""
    format: str | None = key(kinds.TEXT)
    """Default: by the extension and the content."""
    id: str = key(kinds.TEXT, "id")
    label: str = key(kinds.TEXT, "label")
    prediction: str = key(kinds.TEXT, "prediction")
    cluster: str | None = key(kinds.TEXT)
    """Examples with the same value here belong together (a user, a document), and are not independent."""
    weight: str | None = key(kinds.TEXT)
    """How much each example counts in the mean: a number above 0."""
    slices: tuple[str, ...] = ()
    """The columns that gates slice by: not a key of its own."""

    def mistakes(self) -> Iterator[Mistake]:
        columns = {name: getattr(self, name) for name in ("id", "label", "prediction", "weight")}
        for name, other in combinations(columns, 2):
            if columns[name] == columns[other]:
                words = f"the column '{columns[name]}' is the {name}, too: one column cannot be both"
                yield Mistake((other,), words, None, ((name,), (other,)))


def _samples(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Runs of one commit that differ in their seed are one candidate."""

    NEEDLESS: ClassVar[Mapping[str, str]] = {"aggregate": "the mean over the seeds is always taken"}

    key: str = key(kinds.TEXT, "seed")
    """The parameter that holds the seed; `seed` is the run's own, too."""
    min_runs: int = kinds.key(kinds.integer_from(2), 2)
    """With fewer, a comparing rule cannot be decided."""


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """An accepted failure: up to a limit, for one commit, until a day."""

    gate: str = required(kinds.TEXT)
    rule: Literal["min", "max", "max_regression"] | None = key(one_of("min", "max", "max_regression"))
    """The rule; default: max_regression if the gate has it, else its only bound."""
    limit: float = required(kinds.NUMBER)
    """The bound, or the allowed regression in the metric's own unit, that replaces the rule's."""
    commit: str = required(kinds.COMMIT)
    expires: date = required(kinds.DAY)
    """The last day on which it holds (UTC)."""
    issue: str | None = key(kinds.TEXT)
    reason: str = required(kinds.TEXT)
    approved_by: str = required(kinds.TEXT)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The policy for a model."""

    evaluation: tuple[str, ...] | None = key(kinds.NAMES)
    """Datasets that the metrics are measured on: runs with other datasets are not comparable."""
    optional: bool = key(kinds.FLAG, False)
    """Whether a pull request may go without a run of the model."""
    record: Source = key(SOURCE, "any")
    """ci: only runs that pipelines recorded count for a commit; one of a person's machine is kept, and never counts."""
    samples: Samples | None = key(
        Table(Samples, "{file: predictions.jsonl}", _samples, ({"type": "string", "pattern": r"\S"},))
    )
    seeds: Seeds | None = key(Table(Seeds, "{min_runs: 5}"))
    baseline: Baseline = key(BASELINE, Baseline())
    defaults: Defaults = key(Table(Defaults, "{on_missing: fail}"), Defaults())
    gates: Mapping[str, Gate] = key(
        Named(Table(Gate, "{min: 0.9}"), empty="nothing would be judged; add a gate, or remove the key"),
        {},
        nullable=False,
    )
    branches: Mapping[str, Narrowing] = key(stages.BRANCHES, {})
    """Pattern of the target branch → its settings; the first match is used."""
    waivers: tuple[Waiver, ...] = key(Listed(Table(Waiver, "{gate: accuracy, limit: 0.02, …}")), ())
    stages: Mapping[str, Stage] = key(stages.STAGES, {})
    """The requirements of each stage. Your own names, lowest first, replace staging and production."""
    monitor: Monitor | None = key(Table(Monitor, "{predictions: predictions.jsonl}"))
    policy_tests: tuple[str, ...] | None = key(kinds.NAMES)
    """Files of cases for `ciplug policy test`; `*` and `**` match."""
    extended: Policy | None = field(default=None, compare=False, repr=False)
    """The policy that this one extends. Its tests are corrected without those that are added to it."""

    @property
    def ladder(self) -> tuple[str, ...]:
        """The stages that a version climbs, lowest first, as the registry names them."""
        return stages.ladder(self.stages)

    def metric_of(self, gate: str) -> str:
        """The metric that a gate is about, as records name it: in Unicode's form C."""
        return values.nfc(self.gates[gate].metric or gate)

    @cached_property
    def gated(self) -> frozenset[str]:
        """The metrics that gates look at."""
        named = {self.metric_of(name) for name, gate in self.gates.items() if gate.kind == "metric"}
        return frozenset(named | {gate.n for gate in self.gates.values() if gate.n})

    def directions(self) -> dict[str, bool]:
        """Metric → higher is better, for the metrics whose direction is given."""
        return {
            self.metric_of(name): gate.higher_is_better
            for name, gate in self.gates.items()
            if gate.higher_is_better is not None
        }

    def tolerance(self, gate: str) -> float:
        own = self.gates[gate].atol
        return self.defaults.atol if own is None else own

    def tolerances(self) -> dict[str, float]:
        """Metric → the smallest `atol` of its gates: a change that any gate counts is never shown as unchanged."""
        smallest: dict[str, float] = {}
        for gate in self.gates:
            metric, own = self.metric_of(gate), self.tolerance(gate)
            smallest[metric] = min(own, smallest.get(metric, own))
        return smallest

    def resolved(self, gate: str) -> ResolvedGate:
        """The gate with the defaults and the baseline filled in."""
        found = self._resolved.get(gate)
        if found is None:
            own = self.gates[gate]
            keys = ("severity", "on_missing", "on_no_baseline", "on_inconclusive", "atol", "alpha")
            defaults = {key: getattr(self.defaults, key) for key in keys if getattr(own, key) is None}
            resolved = {**defaults, "metric": self.metric_of(gate), "baseline": own.baseline or self.baseline}
            found = self._resolved[gate] = ResolvedGate(**{**vars(own), **resolved})
        return found

    @cached_property
    def _resolved(self) -> dict[str, ResolvedGate]:
        """Every gate is asked for many times by each judgement."""
        return {}

    def renamed(self, names: Mapping[str, str]) -> Policy:
        """The policy with its gates on the metrics by their present names; `names`: old → present."""

        def of(name: str, gate: Gate) -> Gate:
            now = names.get(self.metric_of(name)) if gate.kind == "metric" else None
            return replace(gate, metric=now or gate.metric, n=names.get(gate.n or "", gate.n))

        return replace(self, gates={name: of(name, gate) for name, gate in self.gates.items()}) if names else self

    def baselines(self) -> set[Baseline]:
        """Every baseline that a rule compares with."""
        return {gate.baseline or self.baseline for gate in self.gates.values() if gate.compares}

    @property
    def windows(self) -> dict[str, int]:
        """Metric → the number of last runs on a branch that its gates look at: for best, mean and the history."""
        widest: dict[str, int] = {}
        for name, gate in self.gates.items():
            baseline, metric = gate.baseline or self.baseline, self.metric_of(name)
            wanted = [baseline.window] if gate.compares and baseline.ref in ("best", "mean") else []
            wanted += [gate.history.window] if gate.history else []
            if wanted:
                widest[metric] = max(*wanted, widest.get(metric, 0))
        return widest

    def narrowed(self, to: Narrowing | None) -> Policy:
        """The policy with the gates that count for a stage or a branch, and its actions on their outcomes."""
        if to is None:
            return self
        keys = ("severity", "on_missing", "on_no_baseline", "on_inconclusive")
        actions = {key: getattr(to, key) for key in keys if getattr(to, key) is not None}
        gates = {
            name: replace(gate, **actions) for name, gate in self.gates.items() if to.gates is None or name in to.gates
        }
        return replace(self, gates=gates)

    @property
    def reads_files(self) -> bool:
        """Whether a gate reads files of the machine it is judged on."""
        return any(gate.kind == "drift" for gate in self.gates.values())

    def without_files(self) -> Policy:
        """The policy without the gates that read files of the machine they are judged on, where others are left."""
        left = {name: gate for name, gate in self.gates.items() if gate.kind != "drift"}
        narrower = {
            name: replace(stage, gates=tuple(g for g in stage.gates if g in left))
            for name, stage in self.stages.items()
            if stage.gates is not None and set(stage.gates) & set(left)
        }
        return replace(self, gates=left, stages={**self.stages, **narrower}) if left else self

    def for_branch(self, branch: str | None) -> Policy:
        """Return the policy for changes that are to be merged into this branch."""
        patterns = (p for p in self.branches if branch is not None and fnmatchcase(branch, p))
        return self.narrowed(self.branches.get(next(patterns, "")))


def waived_rule(gate: Gate, waiver: Waiver) -> str | None:
    """The rule that a waiver is for; None where the gate has both bounds and the waiver does not say."""
    if waiver.rule is not None:
        return waiver.rule
    has = [rule for rule in ("max_regression", "min", "max") if getattr(gate, rule) is not None]
    return has[0] if "max_regression" in has or len(has) == 1 else None
