"""How a policy that extends another lets pass what that one does not: the facts, and their words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ciplug.config.kinds import Path


class How(Enum):
    """What was done to a key of the policy that is extended."""

    CHANGED = auto()
    """A value without an order of strictness has another value."""
    REPLACED = auto()
    """The same, of a value that is too long to be shown."""
    REORDERED = auto()
    """The stages are others, or in another order."""
    REMOVED = auto()
    TURNED_OFF = auto()
    OPTIONAL = auto()
    """A pull request may go without a run."""
    BOUND_REMOVED = auto()
    RULE_REMOVED = auto()
    SLICES_REMOVED = auto()
    ITEM_REMOVED = auto()
    """One item of a list is missing."""
    GATE_LEFT_OUT = auto()
    NARROWED = auto()
    """Some gates in place of all."""
    BELOW = auto()
    ABOVE = auto()
    MORE = auto()
    FEWER = auto()
    FEWER_SLICES = auto()
    ABSOLUTE = auto()
    """The absolute allowance is larger."""
    RELATIVE = auto()
    """The relative allowance is larger."""
    TRADE_OFF_ADDED = auto()
    """A loss is allowed in exchange for the gain of another metric."""
    OLDER = auto()
    """An older baseline is allowed."""
    LEFT_OPEN = auto()
    """A gate may be left undecided, or without a baseline, where it would fail."""
    LOWERED = auto()
    """An error became a warning."""
    SEVERITY_REMOVED = auto()
    """Gates of a stage or branch may only warn again."""
    SOFTENED = auto()
    """'fail' became 'warn'."""
    SOFTENED_BY_DEFAULT = auto()
    """'fail' is not stated any more."""
    NOT_CI_ONLY = auto()
    """Runs of a person's machine count, which did not."""
    WAIVED = auto()


@dataclass(frozen=True)
class Loosening:
    """One key that lets more pass."""

    at: Path
    how: How
    was: Any = None
    now: Any = None

    @property
    def words(self) -> str:
        return _WORDS[self.how](self)


def _steps(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _given(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _more(key: str, one: Loosening) -> str:
    return f"'{key}' {one.now:g} allows more than {'nothing' if one.was is None else format(one.was, 'g')}"


_WORDS: dict[How, Callable[[Loosening], str]] = {
    How.CHANGED: lambda one: f"it may not be changed from {_given(one.was)} to {_given(one.now)}",
    How.REPLACED: lambda one: "it may not be changed",
    How.REORDERED: lambda one: f"the order of stages may not be changed from {_steps(one.was)} to {_steps(one.now)}",
    How.REMOVED: lambda one: "it may not be removed",
    How.TURNED_OFF: lambda one: "it may not be turned off",
    How.OPTIONAL: lambda one: "a pull request would not need a run any more",
    How.BOUND_REMOVED: lambda one: "the bound may not be removed",
    How.RULE_REMOVED: lambda one: "the rule may not be removed",
    How.SLICES_REMOVED: lambda one: "the slices may not be removed",
    How.ITEM_REMOVED: lambda one: f"'{one.was}' may not be removed",
    How.GATE_LEFT_OUT: lambda one: f"'{one.was}' may not be left out",
    How.NARROWED: lambda one: "'all' may not be narrowed",
    How.BELOW: lambda one: f"{one.now:g} is below {one.was:g}",
    How.ABOVE: lambda one: f"{one.now:g} is above {one.was:g}",
    How.MORE: lambda one: f"{one.now:g} is more than {one.was:g}",
    How.FEWER: lambda one: f"{one.now} is fewer than {one.was}",
    How.FEWER_SLICES: lambda one: f"{one.now} is more than {one.was}: fewer slices are judged",
    How.ABSOLUTE: lambda one: _more("abs", one),
    How.RELATIVE: lambda one: _more("rel", one),
    How.TRADE_OFF_ADDED: lambda one: "it lets a loss pass that max_regression does not: it may not be added",
    How.OLDER: lambda one: f"max_age_days {one.was:g} may not be raised or removed",
    How.LEFT_OPEN: lambda one: (
        f"it can leave the gate '{one.now}' open where it would fail: give that gate "
        f"{', '.join(f'{action}: fail' for action in one.was)}"
    ),
    How.LOWERED: lambda one: "a gate of severity error may not be lowered to warning",
    How.SEVERITY_REMOVED: lambda one: "'error' may not be removed",
    How.SOFTENED: lambda one: "'fail' may not be changed to 'warn'",
    How.SOFTENED_BY_DEFAULT: lambda one: "'fail' may not be removed",
    How.NOT_CI_ONLY: lambda one: f"'{one.was}: ci' may not be {'changed' if one.was == 'record' else 'removed'}",
    How.WAIVED: lambda one: f"a waiver for the gate '{one.was}' loosens it: put it into the file of the gate",
}
