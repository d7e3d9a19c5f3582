"""The record of a gate as a row of a table. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ciplug.gates.audit import GateAudit

HEADERS = ("gate", "runs", "false fails", "95% interval", "caught", "flips", "sees", "allows", "proposed")


def row_of(one: GateAudit) -> list[str]:
    """The cells below `HEADERS`."""
    interval = ""
    if one.rate_low is not None and one.rate_high is not None:
        interval = f"{one.rate_low:.1%} to {one.rate_high:.1%}"
    return [
        one.gate,
        f"{one.runs:,}",
        f"{one.false_fails} of {one.checks:,} ({one.rate:.1%})" if one.rate is not None else "",
        interval,
        f"{one.catches}" + (f", {one.open} open" if one.open else ""),
        f"{one.flips} of {one.repeated}" if one.repeated else "",
        *("" if number is None else f"{number:.3g}" for number in (one.sees, one.allowance, one.proposed)),
    ]
