"""An event of the registry as a row of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ciplug.registry.ladder import NO_STAGE
from ciplug.reports import untrusted
from ciplug.steps.history import PastEvent

EVENT_HEADERS = ("#", "when (UTC)", "event", "version", "change", "who", "verdict", "reason", "not required")

_REASON_MOST = 400
"""As many characters as a smoke test or a deployment keeps of its reason."""


def minute(moment: str) -> str:
    """A time to the minute."""
    return untrusted.clean(moment[:16].replace("T", " "), 16)


def event_row(past: PastEvent) -> list[object]:
    """One row of the history. Of a type that this ciplug does not know, the fields that have the names of ours."""
    made = past.event
    fields = {name: untrusted.clean(str(value), 60) for name, value in made.payload.items() if value is not None}
    return [
        made.seq,
        minute(made.created),
        untrusted.clean(made.type, 40),
        f"v{fields['version']}" if "version" in fields else "-",
        _change(made.type, fields),
        untrusted.clean(made.actor or "-", 40),
        _verdict(past, fields),
        untrusted.clean(str(made.payload.get("reason") or ""), _REASON_MOST) or _imported(made.payload.get("origin")),
        listed_names(texts_of(made.payload.get("exemptions"))),
    ]


def _imported(origin: object) -> str:
    """Where an event was imported from."""
    store = origin.get("imported_from") if isinstance(origin, Mapping) else None
    return untrusted.clean(f"imported from {store}", 60) if store else ""


def _change(kind: str, fields: dict[str, str]) -> str:
    """What an event changed, in a few words."""
    if target := fields.get("target"):
        return f"{fields.get('state') or 'smoke test ' + fields.get('outcome', '').replace('_', ' ')} at {target}"
    if stage := fields.get("stage"):
        replaced = f", in place of v{fields['replaces']}" if "replaces" in fields else ""
        of = f", run of {fields['run_model']}" if "run_model" in fields else ""
        return f"{fields.get('from_stage', NO_STAGE)} → {stage}{replaced}{of}"
    if alias := fields.get("alias"):
        before = f" (was v{fields['replaces']})" if "replaces" in fields else ""
        return f"{'-' if kind == 'unalias' else ''}{alias}{before}"
    if key := fields.get("key"):
        return f"{key}={fields['value']}" if "value" in fields else f"-{key}"
    if other := fields.get("other"):
        return f"{'from' if kind == 'moved_from' else 'to'} {other}"
    return "undone" if fields.get("undo") == "True" else fields.get("description", "")


def _verdict(past: PastEvent, fields: dict[str, str]) -> str:
    """The word of the verdict, how many gates a waiver passed, and the digest's beginning."""
    digest = fields.get("verdict_digest", "")[7:19]
    waived = len(texts_of(past.event.payload.get("waived")))
    words = [past.outcome or "", f"{waived} waived" if waived else "", digest]
    return untrusted.clean(" ".join(filter(None, words)), 60) or "-"


def texts_of(value: object) -> list[str]:
    """The texts in a list of a payload."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def listed_names(names: Iterable[str]) -> str:
    """Names in one cell."""
    return untrusted.clean(", ".join(names), 60)
