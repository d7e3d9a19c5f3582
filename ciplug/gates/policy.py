"""The policy: which gates there are and what each allows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ciplug.gates.values import (
    NAMES_SCHEMA,
    PERCENT_SCHEMA,
    Alpha,
    Amount,
    Commit,
    Count,
    Day,
    Fraction,
    Names,
    Number,
    Text,
    names_of,
    number_of,
)
from ciplug.records.canonical import digest, dumps

Action = Literal["fail", "warn"]
Severity = Literal["error", "warning"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Allowance(_Model):
    """How much worse than the baseline is still allowed; with both parts, a gate fails only beyond both."""

    abs: Amount | None = None
    """In the metric's own unit."""
    rel: Fraction | None = None
    """As a fraction of |baseline|."""

    @model_validator(mode="after")
    def _something(self) -> Allowance:
        if self.abs is None and self.rel is None:
            raise ValueError("give 'abs', 'rel' or both")
        return self


def _allowance(value: Any) -> Any:
    if isinstance(value, str):
        return {"rel": value}
    return value if isinstance(value, (dict, Allowance)) else {"abs": number_of(value)}


Allowed = Annotated[
    Allowance,
    BeforeValidator(
        _allowance, json_schema_input_type=Amount | Annotated[str, WithJsonSchema(PERCENT_SCHEMA)] | Allowance
    ),
]

REFERENCES = ("merge-base", "target", "production", "best", "mean")


class Baseline(_Model):
    """What a comparing rule compares with."""

    ref: Text = "merge-base"
    """merge-base, target (the tip of the branch), production, best, mean, tag:NAME or commit:ID."""
    branch: Text | None = None
    """The branch of merge-base, target, best and mean; default: the pull request's target, else the default branch."""
    max_age_days: Annotated[float, BeforeValidator(number_of), Field(gt=0)] | None = None
    """An older run decides nothing."""
    last: Count | None = None
    """For best and mean: of how many of the last recorded runs on the branch (default 10)."""

    @model_validator(mode="after")
    def _consistent(self) -> Baseline:
        if self.last is not None and self.ref not in ("best", "mean"):
            raise ValueError(f"'last' counts runs for 'best' and 'mean', not for '{self.ref}'")
        if self.branch is not None and self.ref not in ("merge-base", "target", "best", "mean"):
            raise ValueError(f"'{self.ref}' is no question of a branch")
        kind, _, name = self.ref.partition(":")
        if kind in ("tag", "commit") and not name.strip():
            raise ValueError(f"write '{kind}:' with a name after it")
        return self

    @property
    def window(self) -> int:
        return self.last or 10


def _baseline(value: Any) -> Any:
    given = {"ref": value} if isinstance(value, str) else value
    if isinstance(given, dict) and isinstance(ref := given.get("ref"), str):
        if ref in REFERENCES or ref.startswith(("tag:", "commit:")):
            return given
        # Any other word is a branch, and the merge base with it is meant.
        return {"branch": ref, **given, "ref": "merge-base"}
    return given


Reference = Annotated[Baseline, BeforeValidator(_baseline, json_schema_input_type=Text | Baseline)]


class Defaults(_Model):
    """What holds for every gate that does not say otherwise."""

    severity: Severity = "error"
    on_missing: Action = "fail"
    on_no_baseline: Action = "warn"
    on_inconclusive: Action = "warn"
    atol: Amount = 1e-9
    alpha: Alpha = 0.05
    """One-sided: how often a gate may fail a candidate that is exactly at its limit."""
    correction: Literal["holm", "none"] = "holm"
    """Over all the tests of a run that can fail it."""


class Slices(_Model):
    """The same gate on parts of the samples."""

    by: Names
    """Columns of the samples; each value of each is a slice."""
    min_samples: Count = 30
    """A slice with fewer examples is not judged."""
    min: Number | None = None
    max: Number | None = None
    max_regression: Allowed | None = None

    @model_validator(mode="after")
    def _something(self) -> Slices:
        if self.min is None and self.max is None and self.max_regression is None:
            raise ValueError("slices need a rule: min, max or max_regression")
        return self


class Past(_Model):
    """Judge by how much the metric has varied on the target branch."""

    test: Literal["t"] = "t"
    window: Annotated[int, Field(ge=2)] = 30
    """How many of the last runs."""
    min_samples: Annotated[int, Field(ge=2)] = 8
    """With fewer, there is not enough history to judge by."""


MetricTest = Literal["auto", "point", "welch", "newcombe", "mcnemar", "bootstrap", "sign-flip"]
DriftTest = Literal["auto", "psi", "ks", "chi2"]
AnyTest = Literal["auto", "point", "welch", "newcombe", "mcnemar", "bootstrap", "sign-flip", "psi", "ks", "chi2"]
BY_EXAMPLE = ("mcnemar", "bootstrap", "sign-flip")
"""Tests that compare example by example."""


class Gate(_Model):
    """One gate. Its rules are min, max and max_regression; at least one is there."""

    kind: Literal["metric", "drift"] = "metric"
    metric: Text | None = None
    """Defaults to the gate's id."""
    higher_is_better: bool | None = None
    """Required as soon as a rule compares: a direction is never guessed from a name."""
    min: Number | None = None
    max: Number | None = None
    max_regression: Allowed | None = None
    baseline: Reference | None = None
    test: Literal["auto", "point", "welch", "newcombe", "mcnemar", "bootstrap", "sign-flip", "psi", "ks", "chi2"] = (
        "auto"
    )
    """How the uncertainty is judged; auto: by the best that the data allow."""
    n: Text | None = None
    """The metric that says of how many examples this one is a proportion."""
    history: Past | None = None
    slices: Slices | None = None
    reference: Text | None = None
    """kind drift: the file that the current one is compared with."""
    current: Text | None = None
    """kind drift: the current file; default: the samples."""
    columns: Names | None = None
    """kind drift: which columns; default: all that both files have."""
    severity: Severity | None = None
    on_missing: Action | None = None
    on_no_baseline: Action | None = None
    on_inconclusive: Action | None = None
    atol: Amount | None = None
    alpha: Alpha | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Gate:
        if self.kind == "drift":
            return self._drift()
        if strays := [key for key in ("reference", "current", "columns") if getattr(self, key) is not None]:
            raise ValueError(f"'{strays[0]}' is for a gate of kind drift: add 'kind: drift', or take it out")
        if self.test not in get_args(MetricTest):
            raise ValueError(f"the test '{self.test}' is for a gate of kind drift")
        if self.min is None and self.max is None and self.max_regression is None:
            raise ValueError("a gate needs a rule: min, max or max_regression")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        if self.compares and self.higher_is_better is None:
            raise ValueError("max_regression compares, so say which way is better: higher_is_better: true or false")
        for key in ("baseline", "history", "n"):
            if getattr(self, key) is not None and not self.compares:
                raise ValueError(f"'{key}' is for a rule that compares: add max_regression, or take it out")
        return self

    @property
    def compares(self) -> bool:
        """Whether one of its rules needs a baseline."""
        return self.max_regression is not None or (self.slices is not None and self.slices.max_regression is not None)

    def _drift(self) -> Gate:
        if self.reference is None:
            raise ValueError("a gate of kind drift needs a reference: the file to compare with")
        only = {"kind", "reference", "current", "columns", "test", "alpha", "severity", "on_missing", "on_inconclusive"}
        if strays := sorted(self.model_fields_set - only):
            raise ValueError(f"'{strays[0]}' says nothing to a gate of kind drift")
        if self.test not in get_args(DriftTest):
            raise ValueError(f"the test '{self.test}' is not for a gate of kind drift: psi, ks, chi2 or auto")
        return self


class Samples(_Model):
    """The file with a row for each example of the evaluation, and which of its columns is what."""

    file: Text
    format: Text | None = None
    """Default: what the extension and the content say."""
    id: Text = "id"
    label: Text = "label"
    prediction: Text = "prediction"
    cluster: Text | None = None
    """Examples with the same value here belong together (a user, a document), and are not independent."""


SampleFile = Annotated[
    Samples,
    BeforeValidator(lambda v: {"file": v} if isinstance(v, str) else v, json_schema_input_type=Text | Samples),
]


class Seeds(_Model):
    """Runs of one commit that differ in their seed are one candidate."""

    key: Text = "seed"
    """The parameter that holds the seed; `seed` is the run's own, too."""
    aggregate: Literal["mean"] = "mean"
    min_runs: Annotated[int, Field(ge=2)] = 2
    """With fewer, a comparing rule cannot be decided."""


def _selection(value: Any) -> Any:
    return None if value == "all" else value if value is None else names_of(value)


Selection = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_selection),
    WithJsonSchema({"anyOf": [{"const": "all"}, NAMES_SCHEMA]}),
]


class Narrowing(_Model):
    """Which gates count, and what their named outcomes do, whatever the gates say themselves."""

    gates: Selection = None
    """None: all."""
    on_missing: Action | None = None
    on_no_baseline: Action | None = None
    on_inconclusive: Action | None = None


class Approvals(_Model):
    """Who has to agree to a promotion."""

    environment: Text | None = None
    """The protected environment that the job runs in."""
    not_author: bool = False
    """Whoever promotes is neither the author of the commit nor who trained the run."""


class Stage(Narrowing):
    """What a promotion to this stage takes."""

    from_: Annotated[Literal["candidate", "staging"] | None, Field(alias="from")] = None
    """The stage that it takes from."""
    approvals: Approvals = Approvals()
    require: Annotated[
        tuple[Literal["clean_tree", "signature"], ...],
        BeforeValidator(names_of),
        WithJsonSchema({"type": "array", "items": {"enum": ["clean_tree", "signature"]}}),
    ] = ()
    """clean_tree: the run was made from the commit as it is. signature: `git verify-commit` accepts the commit."""


class Waiver(_Model):
    """A failure that somebody has agreed to: up to a limit, of one commit, until a day."""

    gate: Text
    rule: Literal["min", "max", "max_regression"] | None = None
    """Which rule; default: max_regression if the gate has it, else its only bound."""
    limit: Number
    """The bound, or the allowed regression in the metric's own unit, that holds in place of the rule's."""
    commit: Commit
    expires: Day
    """The last day on which it holds (UTC)."""
    issue: Text | None = None
    reason: Text
    approved_by: Text


class Monitor(_Model):
    """What `ciplug monitor` watches."""

    labels: Text | None = None
    gates: Selection = None
    consecutive: Count = 1
    on_fail: Literal["warn", "open_issue", "rollback"] = "warn"


class Policy(_Model):
    """All that decides on a model."""

    evaluation: Names | None = None
    """Datasets that the metrics are measured on: runs that had others are not comparable."""
    samples: SampleFile | None = None
    seeds: Seeds | None = None
    baseline: Reference = Baseline()
    defaults: Defaults = Defaults()
    gates: dict[str, Gate] = {}
    branches: dict[str, Narrowing] = {}
    """Pattern of the target branch → what counts there; the first that matches."""
    waivers: Annotated[tuple[Waiver, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()
    stages: dict[str, Stage] = {}
    monitor: Monitor | None = None
    policy_tests: Names | None = None
    """Files of cases for `ciplug policy test`; `*` and `**` match."""

    @property
    def digest(self) -> str:
        """sha256 of what the policy means; comments and the order of keys do not count."""
        return digest(dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)))

    def metric_of(self, gate: str) -> str:
        return self.gates[gate].metric or gate

    def directions(self) -> dict[str, bool]:
        """Metric → higher is better, for the metrics whose direction is said."""
        return {
            self.metric_of(name): gate.higher_is_better
            for name, gate in self.gates.items()
            if gate.higher_is_better is not None
        }

    def tolerance(self, gate: str) -> float:
        own = self.gates[gate].atol
        return self.defaults.atol if own is None else own

    def resolved(self, gate: str) -> Gate:
        """The gate with the defaults and the baseline filled in."""
        own = self.gates[gate]
        keys = ("severity", "on_missing", "on_no_baseline", "on_inconclusive", "atol", "alpha")
        unsaid = {key: getattr(self.defaults, key) for key in keys if getattr(own, key) is None}
        return own.model_copy(
            update={**unsaid, "metric": self.metric_of(gate), "baseline": own.baseline or self.baseline}
        )

    def slice_columns(self) -> tuple[str, ...]:
        """The columns of the samples that some gate slices by."""
        return tuple(dict.fromkeys(c for gate in self.gates.values() if gate.slices for c in gate.slices.by))

    def baselines(self) -> set[Baseline]:
        """Every baseline that a rule compares with."""
        gates = (self.resolved(name) for name in self.gates)
        return {
            g.baseline for g in gates if g.baseline and (g.max_regression or (g.slices and g.slices.max_regression))
        }

    def narrowed(self, to: Narrowing | None) -> Policy:
        """The policy with the gates that count for a stage or a branch, and its word on their outcomes."""
        if to is None:
            return self
        keys = ("on_missing", "on_no_baseline", "on_inconclusive")
        said = {key: getattr(to, key) for key in keys if getattr(to, key) is not None}
        return self.model_copy(
            update={
                "gates": {
                    name: gate.model_copy(update=said)
                    for name, gate in self.gates.items()
                    if to.gates is None or name in to.gates
                }
            }
        )

    @property
    def reads_files(self) -> bool:
        """Whether a gate reads files of the machine it is judged on."""
        return any(gate.kind == "drift" for gate in self.gates.values())

    def without_files(self) -> Policy:
        """The policy without the gates that read files of the machine they are judged on, where others are left."""
        left = {name: gate for name, gate in self.gates.items() if gate.kind != "drift"}
        stages = {
            name: stage.model_copy(update={"gates": tuple(g for g in stage.gates if g in left)})
            for name, stage in self.stages.items()
            if stage.gates is not None and set(stage.gates) & set(left)
        }
        return self.model_copy(update={"gates": left, "stages": {**self.stages, **stages}}) if left else self

    def for_branch(self, branch: str | None) -> Policy:
        """What counts for what is to go into this branch."""
        from fnmatch import fnmatchcase

        patterns = (p for p in self.branches if branch is not None and fnmatchcase(branch, p))
        return self.narrowed(self.branches.get(next(patterns, "")))


class Section(Policy):
    """All that ciplug.yaml says of one model."""

    extends: Text | None = None
    metrics: Names | None = None
    params: Names | None = None
    artifacts: Names | None = None
    datasets: Names | None = None


class Keep(_Model):
    """Which runs `ciplug compact` keeps, beside what is protected."""

    last: Count | None = None
    days: Amount | None = None


class File(Section):
    """All of ciplug.yaml: one model, or several under `models`."""

    version: Literal[1] = 1
    store: Text | None = None
    artifact_store: Text | None = None
    """Where the bytes of artifacts are kept; `none`: only their digests."""
    artifact_limit: (
        Annotated[str | int, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})] | None
    ) = None
    """The largest artifact that goes to git, like `25 MB`."""
    keep: Keep | None = None
    model: Text | None = None
    models: dict[str, Section] = {}


def waived_rule(gate: Gate, waiver: Waiver) -> str | None:
    """The rule that a waiver is for; None where the gate has both bounds and the waiver does not say."""
    if waiver.rule is not None:
        return waiver.rule
    has = [rule for rule in ("max_regression", "min", "max") if getattr(gate, rule) is not None]
    return has[0] if "max_regression" in has or len(has) == 1 else None
