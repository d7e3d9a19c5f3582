"""Metrics by their present names, where ciplug.yaml says that a name has changed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from ciplug.records.left_out import LeftOut
from ciplug.records.notice import Hindrance
from ciplug.records.run import Run

Value = TypeVar("Value")
Names = Mapping[str, str]
"""Old name → present name."""


def present(values: Mapping[str, Value], names: Names) -> dict[str, Value]:
    """Return values by the present names; an old name stays where there is a value of the present one, too."""
    by_present: dict[str, Value] = {}
    for name, value in values.items():
        now = names.get(name, name)
        by_present[name if now in values or now in by_present else now] = value
    return by_present


def renamed(run: Run, names: Names) -> Run:
    """Return a run with its metrics, and the names that gave none, by their present names."""
    if not names:
        return run
    left = {one.name: one for one in run.left_out}
    recorded = {**run.metrics, **left}
    return replace(
        run,
        metrics={name: run.metrics[old] for name, old in _origins(recorded, names) if old in run.metrics},
        left_out=tuple(_named(left[old], name) for name, old in _origins(recorded, names) if old in left),
    )


def _origins(metrics: Mapping[str, object], names: Names) -> Iterable[tuple[str, str]]:
    """Yield the present name and the recorded one of each."""
    return present({name: name for name in metrics}, names).items()


def _named(one: LeftOut, name: str) -> LeftOut:
    return one if one.name == name else replace(one, name=name)


def hindrance(old: str, new: str, *, candidate: Collection[str], before: Collection[str]) -> Hindrance | None:
    """Return why a rename that a pull request proposes is not followed: it could put another number under a gate.

    Args:
        candidate: the names of the metrics of the runs of the pull request's commit.
        before: the names that the target branch knows: of the metrics of its runs, and of those that its gates look at.
    """
    if new in before:
        return "known"
    return "both" if old in candidate and new in candidate else None
