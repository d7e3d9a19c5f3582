"""Rules that hold a metric against a number: `min` and `max`, of the whole metric or of a slice.

As with a regression, the interval of the value decides where the data have one: FAIL where all of it is beyond the
bound, PASS where none of it is. One number a run is compared as it is, and that is said.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ciplug.gates import reason_text
from ciplug.gates.checks import Check, failed, undecided, within
from ciplug.gates.checks import bounds as set_in
from ciplug.gates.choice_of_test import Tested
from ciplug.gates.reason_text import POINT
from ciplug.records.verdict import GateResult
from ciplug.stats.intervals import Undecided, is_measured

if TYPE_CHECKING:
    from ciplug.config.gate import ResolvedGate

Bound = Literal["min", "max"]
__all__ = ["Bound", "check", "set_in"]
IMPROVE = "improve the model, or change the bound on the target branch"


def check(gate: ResolvedGate, key: Bound, bound: float, about: GateResult, tested: Tested) -> Check:
    """A bound held against the candidate of `about`, a finite number, and what the data say of it."""
    value = math.nan if about.candidate is None else about.candidate
    holds = within(value, key, bound)
    reason = reason_text.bound(about, value, bound, least=key == "min", holds=holds)
    notes = (*about.notes, *tested.notes)
    if isinstance(tested.result, Undecided):
        reason = f"{reason}; {tested.result.reason}"
        outcome = undecided(gate) if is_measured(value) else "ERROR"
        result = replace(about, limit=bound, notes=notes, outcome=outcome, reason=reason, advice=tested.advice)
        return Check(gate=gate, rule=key, result=result)
    if tested.result is not None:
        result = replace(about, limit=bound, notes=notes, reason=reason, advice=IMPROVE)
        return Check(gate=gate, rule=key, result=result, interval=tested.result, unknown=tested.unknown)
    result = replace(
        about,
        limit=bound,
        notes=notes,
        outcome="PASS" if holds else failed(gate),
        reason=reason_text.point(reason),
        advice=None if holds else IMPROVE,
        method=POINT,
        point=True,
    )
    return Check(gate=gate, rule=key, result=result)
