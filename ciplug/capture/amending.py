"""The part of an open run that has been recorded before: what it may still log, before it is sealed as an amendment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ciplug.capture.events import Event
from ciplug.errors import UsageError
from ciplug.records.change import same_param

_LATE = frozenset(("metric", "param", "tag", "untag", "name", "input", "model_input", "output", "ended", "left_out"))
_BY_A_CLIENT = _LATE | {"status", "lifecycle", "file"}
"""What is logged to a recorded run through MLflow's client, or about an experiment or a logged model."""
_NOUNS = {
    "artifact": "an artifact",
    "file": "a file",
    "dataset": "a file of data",
    "model": "another model",
    "seed": "a seed",
    "started": "another start",
}


def check_late(run_id: str, params: Mapping[str, Any], events: Iterable[Event], *, by_client: bool = False) -> None:
    """Check what is logged to a run that is recorded, and whose parameters are known.

    Args:
        by_client: it comes through MLflow's client, which may also change states, and add files.

    Raises UsageError for what an amendment cannot hold, and for a parameter with another value than the run has.
    """
    for event in events:
        if "param" in event and event["param"] in params:
            name, value, kept = event["param"], event["value"], params[event["param"]]
            if not same_param(kept, value):
                raise UsageError(
                    f"the parameter '{name}' of run {run_id[:12]} is {kept!r}, and cannot become {value!r}",
                    hint="give it another name, or start a run of its own: ciplug.start_run()",
                )
        elif not (_BY_A_CLIENT if by_client else _LATE) & event.keys():
            noun = next((noun for kind, noun in _NOUNS.items() if kind in event), "this")
            raise UsageError(
                f"run {run_id[:12]} is recorded, and {noun} cannot be added to it",
                hint="it takes metrics, parameters, tags, inputs and outputs; else start a run of its own: "
                "ciplug.start_run()",
            )
