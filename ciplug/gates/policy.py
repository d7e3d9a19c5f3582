"""The policy: which gates there are and what each allows, read from ciplug.yaml."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal, Protocol, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from ciplug.errors import ConfigError, nearest
from ciplug.records.canonical import digest, dumps

Action = Literal["fail", "warn"]
Severity = Literal["error", "warning"]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a number is expected, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is no bound")
    return number


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("a number from 0 up is expected (for 'must improve' use min or max)")
    return value


def _percent(value: Any) -> Any:
    """A fraction of the baseline: "10%", or 0.1."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return _number(float(text.removesuffix("%")) / 100) if text.endswith("%") else _number(value)
        except ValueError:
            raise ValueError(f"a percentage like 10% is expected, not {value!r}") from None
    number = _number(value)
    if number > 1:
        raise ValueError(
            f"{number:g} means {number * 100:g}%: write it with its sign, {number:g}% or {number * 100:g}%"
        )
    return number


def _names(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(f"a name or a list of names is expected, not {value!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice in {', '.join(names)}")
    return tuple(names)


def _date(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"a day like 2026-12-31 is expected, not {value!r}") from None


def _commit(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{7,64}", value):
        raise ValueError(f"the id of a commit is expected, at least 7 digits in quotes, not {value!r}")
    return value


_NAMES_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_PERCENT_SCHEMA = {"type": "string", "pattern": r"^\s*\d+(\.\d*)?\s*%\s*$"}

Number = Annotated[float, BeforeValidator(_number)]
Amount = Annotated[
    float,
    BeforeValidator(_number),
    AfterValidator(_not_negative),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Fraction = Annotated[
    float,
    BeforeValidator(_percent),
    AfterValidator(_not_negative),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _PERCENT_SCHEMA]}),
]
Alpha = Annotated[float, BeforeValidator(_number), Field(gt=0, lt=0.5)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names), WithJsonSchema(_NAMES_SCHEMA)]
Day = Annotated[date, BeforeValidator(_date)]
Commit = Annotated[str, BeforeValidator(_commit), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{7,64}$"})]


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
    return value if isinstance(value, (dict, Allowance)) else {"abs": _number(value)}


Allowed = Annotated[
    Allowance,
    BeforeValidator(
        _allowance, json_schema_input_type=Amount | Annotated[str, WithJsonSchema(_PERCENT_SCHEMA)] | Allowance
    ),
]

REFERENCES = ("merge-base", "target", "production", "best", "mean")


class Baseline(_Model):
    """What a comparing rule compares with."""

    ref: Text = "merge-base"
    """merge-base, target (the tip of the branch), production, best, mean, tag:NAME or commit:ID."""
    branch: Text | None = None
    """The branch of merge-base, target, best and mean; default: the pull request's target, else the default branch."""
    max_age_days: Annotated[float, BeforeValidator(_number), Field(gt=0)] | None = None
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
    return None if value == "all" else value if value is None else _names(value)


Selection = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_selection),
    WithJsonSchema({"anyOf": [{"const": "all"}, _NAMES_SCHEMA]}),
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
        BeforeValidator(_names),
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


class _Source(Protocol):
    @property
    def policy(self) -> Mapping[str, Any]: ...

    @property
    def base(self) -> _Source | None: ...

    def where(self, *keys: str | int) -> str: ...


def read(source: _Source) -> Policy:
    """The policy of a configuration. Raises ConfigError naming file, line, key and the nearest valid key."""
    from ciplug.gates.extend import loosenings

    policy = _validated(source)
    for path, message, hint in _contradictions(policy):
        raise ConfigError(f"{source.where(*path)}: {'.'.join(map(str, path))}: {message}", hint=hint)
    child, extended = source, source.base
    while extended is not None:
        for way, words in loosenings(_validated(extended), _validated(child)):
            raise ConfigError(
                f"{child.where(*way)}: {'.'.join(way)}: {words}",
                hint="what extends a policy may only tighten it",
            )
        child, extended = extended, extended.base
    return policy


def _validated(source: _Source) -> Policy:
    try:
        return Policy.model_validate(dict(source.policy))
    except ValidationError as problem:
        raise _explained(problem, source) from None


_Problem = tuple[tuple[str | int, ...], str, str | None]


def _contradictions(policy: Policy) -> Iterator[_Problem]:
    """What is wrong between one part of the policy and another."""
    for name, gate in policy.gates.items():
        for other, second in policy.gates.items():
            if policy.metric_of(name) == policy.metric_of(other) and (
                {gate.higher_is_better, second.higher_is_better} == {True, False}
            ):
                yield (
                    ("gates", other),
                    f"the gate '{name}' says the other direction for the metric '{policy.metric_of(name)}'",
                    None,
                )
        if gate.slices and not policy.samples:
            yield ("gates", name, "slices"), "slices are cut from the samples: name their file with 'samples:'", None
        if gate.test in BY_EXAMPLE and not policy.samples:
            yield (
                ("gates", name, "test"),
                f"the test '{gate.test}' compares example by example: name their file with 'samples:'",
                None,
            )
        if gate.test == "newcombe" and not (gate.n or policy.samples):
            yield ("gates", name, "test"), "say of how many examples it is a proportion: n: METRIC", None
        if gate.test == "welch" and policy.seeds is None:
            yield ("gates", name, "test"), "it compares runs with different seeds: add seeds: {min_runs: 2}", None
        if gate.kind == "drift" and not (gate.current or policy.samples):
            yield ("gates", name), "say which file is compared with the reference: current: FILE", None
    for place, selection in (
        *(((key, name, "gates"), part.gates) for key in ("branches", "stages") for name, part in _parts(policy, key)),
        (("monitor", "gates"), policy.monitor.gates if policy.monitor else None),
    ):
        for gate_id in selection or ():
            if gate_id not in policy.gates:
                yield place, f"there is no gate '{gate_id}'", nearest(gate_id, list(policy.gates))
    for name, stage in policy.stages.items():
        before = {"staging": "candidate", "production": "staging"}
        if name not in before:
            yield ("stages", name), f"'{name}' is no stage", "staging or production"
        elif stage.from_ not in (None, before[name]):
            yield ("stages", name, "from"), f"{name} takes from {before[name]} only, not from {stage.from_}", None
    for number, waiver in enumerate(policy.waivers):
        for path, words, hint in _waiver_problems(policy, waiver):
            yield ("waivers", number, *path), words, hint


def _parts(policy: Policy, key: str) -> list[tuple[str, Narrowing]]:
    return list(getattr(policy, key).items())


def _waiver_problems(policy: Policy, waiver: Waiver) -> Iterator[_Problem]:
    gate = policy.gates.get(waiver.gate)
    if gate is None:
        yield ("gate",), f"there is no gate '{waiver.gate}'", nearest(waiver.gate, list(policy.gates))
        return
    rule = waived_rule(gate, waiver)
    if rule is None:
        yield (), f"say which rule of '{waiver.gate}' it is for: rule: min or max", None
        return
    own = getattr(gate, rule)
    if own is None:
        yield ("rule",), f"the gate '{waiver.gate}' has no rule '{rule}'", None
        return
    if rule == "max_regression":
        stricter = waiver.limit < 0 or (own.rel is None and waiver.limit <= own.abs)
        said = f"max_regression {own.abs:g}" if own.rel is None else "0"
    else:
        stricter = waiver.limit >= own if rule == "min" else waiver.limit <= own
        said = f"{rule} {own:g}"
    if stricter:
        yield ("limit",), f"{waiver.limit:g} allows no more than {said} does: the waiver would waive nothing", None


def waived_rule(gate: Gate, waiver: Waiver) -> str | None:
    """The rule that a waiver is for; None where the gate has both bounds and the waiver does not say."""
    if waiver.rule is not None:
        return waiver.rule
    has = [rule for rule in ("max_regression", "min", "max") if getattr(gate, rule) is not None]
    return has[0] if "max_regression" in has or len(has) == 1 else None


def _explained(problem: ValidationError, source: _Source) -> ConfigError:
    first = problem.errors(include_url=False)[0]
    path = tuple(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    hint = None
    if first["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        message = "unknown key"
        hint = nearest(str(path[-1]), known)
    elif first["type"] == "missing":
        message = "it is missing"
    elif first["type"] in ("model_type", "dict_type", "tuple_type"):
        form = "a list" if first["type"] == "tuple_type" else "a mapping"
        message = f"{form} is expected, like {_like(path)}, not {first['input']!r}"
    elif "Input should be" in message:
        message = f"{message[0].lower()}{message[1:]}, and it is {first['input']!r}"
    return ConfigError(f"{source.where(*path)}: {'.'.join(map(str, path))}: {message}", hint=hint)


def _like(path: tuple[str | int, ...]) -> str:
    examples = {
        "gates": "{min: 0.8}",
        "waivers": "[{gate: accuracy, limit: 0.02, …}]",
        "baseline": "{ref: merge-base, max_age_days: 30}",
        "seeds": "{min_runs: 5}",
        "stages": "{gates: all, require: [clean_tree]}",
        "branches": "{on_no_baseline: fail}",
        "defaults": "{on_missing: fail}",
        "samples": "{file: predictions.jsonl}",
        "monitor": "{gates: all}",
    }
    return examples.get(str(path[0]), "{key: value}")


def _keys_at(path: tuple[str | int, ...]) -> list[str]:
    """The keys that the mapping at `path` may have."""
    model: type[BaseModel] = Policy
    for step in path:
        field = model.model_fields.get(str(step)) or next(
            (f for f in model.model_fields.values() if f.alias == step), None
        )
        # A step that is no field is a name or a number within the one before.
        if field is not None:
            model = _model_in(field.annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
