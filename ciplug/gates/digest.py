"""The identity of a policy: a digest of its meaning. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

from ciplug.config.kinds import keys_of
from ciplug.config.policy import Policy
from ciplug.records.canonical import digest, dumps


def digest_of(policy: Policy) -> str:
    """sha256 of what the policy means. Comments, values that are the default, and the order of most keys do not count.

    Branches are matched in their order, and stages are a ladder: there the order counts. How a version is watched in
    production judges no run.
    """
    policy = dataclasses.replace(policy, monitor=None)
    facts = {**_facts(policy), "branches": list(map(list, _facts(policy.branches).items())), "ladder": policy.ladder}
    return digest(dumps(facts))


def _facts(value: Any) -> Any:
    kind: Any = type(value)
    if (defaults := _defaults(kind)) is not None:
        given = ((name, getattr(value, name), default) for name, default in defaults)
        return {name: _facts(own) for name, own, default in given if own != default}
    if isinstance(value, Mapping):
        return {name: _facts(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_facts(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...] | None:
    """The keys of a dataclass, each with its default; None for what is not a dataclass."""
    has_keys = dataclasses.is_dataclass(kind)
    return tuple((name, key.default) for name, key in keys_of(kind).items()) if has_keys else None
