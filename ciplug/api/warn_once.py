"""Warnings about what a program logs, each given once: the training goes on."""

from __future__ import annotations

from ciplug import console
from ciplug.capture import events
from ciplug.errors import quoted
from ciplug.records.left_out import LeftOut, summary
from ciplug.records.run import METRIC_NAME_HINT

_warned: set[object] = set()
"""What a warning was given for."""


def tell_left_out(one: LeftOut) -> None:
    """Warn of a part of a run that is left out."""
    if (one.name, one.why) not in _warned:
        _warned.add((one.name, one.why))
        after = "no gate looks at this file" if one.why == "artifact" else "a gate on a metric of this name is an error"
        console.complain(f"warning: {summary([one])}", f"the run goes on; {after}")


def is_taken(name: str) -> bool:
    """Whether a metric can have this name. If not, or if it looks like a mistake, say so once: a training goes on."""
    taken = events.is_metric_name(name)
    if (not taken or name != name.strip()) and name not in _warned:
        _warned.add(name)
        problem = (
            "begins or ends with a space, and is kept unchanged"
            if taken
            else "cannot be used for a metric: not recorded"
        )
        console.complain(f"warning: the name {quoted(name)} {problem}", METRIC_NAME_HINT)
    return taken
