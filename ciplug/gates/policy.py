"""The policy: which gates there are and what each allows, read from ciplug.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ciplug.errors import ConfigError, nearest
from ciplug.records.canonical import digest, dumps

Action = Literal["fail", "warn"]


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


Number = Annotated[float, BeforeValidator(_number)]
Amount = Annotated[float, BeforeValidator(_number), AfterValidator(_not_negative)]
Fraction = Annotated[float, BeforeValidator(_percent), AfterValidator(_not_negative)]


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
    return value if isinstance(value, dict) else {"abs": _number(value)}


class Defaults(_Model):
    """What holds for every gate that does not say otherwise."""

    severity: Literal["error", "warning"] = "error"
    on_missing: Action = "fail"
    on_no_baseline: Action = "warn"
    on_inconclusive: Action = "warn"
    atol: Amount = 1e-9


class Gate(_Model):
    """One gate. Its rules are min, max and max_regression; at least one is there."""

    metric: Annotated[str, Field(min_length=1)] | None = None
    """Defaults to the gate's id."""
    higher_is_better: bool | None = None
    """Required as soon as a rule compares: a direction is never guessed from a name."""
    min: Number | None = None
    max: Number | None = None
    max_regression: Annotated[Allowance, BeforeValidator(_allowance)] | None = None
    severity: Literal["error", "warning"] | None = None
    on_missing: Action | None = None
    on_no_baseline: Action | None = None
    on_inconclusive: Action | None = None
    atol: Amount | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Gate:
        if self.min is None and self.max is None and self.max_regression is None:
            raise ValueError("a gate needs a rule: min, max or max_regression")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        if self.max_regression is not None and self.higher_is_better is None:
            raise ValueError("max_regression compares, so say which way is better: higher_is_better: true or false")
        return self


class Policy(_Model):
    """All gates of a model."""

    defaults: Defaults = Defaults()
    gates: dict[str, Gate] = {}

    @property
    def digest(self) -> str:
        """sha256 of what the policy means; comments and the order of keys do not count."""
        return digest(dumps(self.model_dump(exclude_none=True)))

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


class _Source(Protocol):
    @property
    def policy(self) -> Mapping[str, Any]: ...

    def where(self, *keys: str | int) -> str: ...


def read(source: _Source) -> Policy:
    """The policy of a configuration. Raises ConfigError naming file, line, key and the nearest valid key."""
    try:
        policy = Policy.model_validate(dict(source.policy))
    except ValidationError as problem:
        raise _explained(problem, source) from None
    for name, gate in policy.gates.items():
        for other, second in policy.gates.items():
            if policy.metric_of(name) == policy.metric_of(other) and (
                {gate.higher_is_better, second.higher_is_better} == {True, False}
            ):
                raise ConfigError(
                    f"{source.where('gates', other)}: gates.{other}: the gate '{name}' says the other "
                    f"direction for the metric '{policy.metric_of(name)}'"
                )
    return policy


def _explained(problem: ValidationError, source: _Source) -> ConfigError:
    first = problem.errors(include_url=False)[0]
    path = tuple(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    hint = None
    if first["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        message = "unknown key"
        hint = nearest(str(path[-1]), known)
    elif first["type"] in ("model_type", "dict_type"):
        message = f"a mapping is expected, like {{min: 0.8}}, not {first['input']!r}"
    elif "Input should be" in message:
        message = f"{message[0].lower()}{message[1:]}, and it is {first['input']!r}"
    return ConfigError(f"{source.where(*path)}: {'.'.join(map(str, path))}: {message}", hint=hint)


def _keys_at(path: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = Policy
    if path[:1] == ("defaults",):
        model = Defaults
    elif path[:1] == ("gates",):
        model = Allowance if path[-1] == "max_regression" else Gate
    return list(model.model_fields)
