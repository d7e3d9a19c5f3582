"""Reads a policy, and says of a mistake in which file, line and key it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, get_args

from pydantic import BaseModel, ValidationError

from ciplug.errors import ConfigError, nearest
from ciplug.gates.policy import BY_EXAMPLE, Narrowing, Policy, Waiver, waived_rule


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
