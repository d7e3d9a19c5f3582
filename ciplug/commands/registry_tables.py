"""The tables of `ciplug registry`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ciplug.config import Config
from ciplug.records.canonical import plain
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model, Version
from ciplug.reports import untrusted
from ciplug.steps.history import PastEvent


def models(models: Sequence[Model], config: Config) -> str:
    """All models, the version in each stage, and their aliases."""
    ladders = [section.policy.ladder for section in config.sections()]
    stages = dict.fromkeys(stage for group in (*ladders, *(m.stages for m in models)) for stage in group)
    rows = [
        [
            untrusted.clean(model.name, 60),
            len(model.versions),
            *(_at(model, stage) for stage in stages),
            _listed(f"{name}=v{number}" for name, number in sorted(model.aliases.items())),
        ]
        for model in models
    ]
    return _draw_filled(["model", "versions", *map(str.lower, stages), "aliases"], rows)


def versions(model: Model) -> str:
    """The versions of a model, newest first."""
    headers = ["version", "stage", "run", "commit", "registered (UTC)", "files", "aliases", "yanked", "not required"]
    headers += ["tags", "description"]
    rows = [
        [
            one.number,
            untrusted.clean(one.stage, 40),
            (one.run or "-")[:12],
            (one.commit or "-")[:8],
            minute(one.created),
            len(one.files),
            _listed(model.aliases_of(one.number)),
            "" if one.yanked is None else untrusted.clean(one.yanked or "yes", 60),
            _listed(one.exemptions),
            _tags(one),
            untrusted.clean(one.description or "", 60),
        ]
        for one in reversed(model.versions)
    ]
    return _draw_without_empty(headers, rows)


def words(model: Model) -> list[str]:
    """The description and the tags of a model itself, a line each."""
    texts = {"description": untrusted.clean(model.description or "", 400), "tags": _tags(model)}
    return [untrusted.defuse(f"{name}: {text}") for name, text in texts.items() if text]


def history(events: Iterable[PastEvent]) -> str:
    """Events, first to last: what each did, who did it, and the verdict that it stands on."""
    headers = ["#", "when (UTC)", "event", "version", "change", "who", "verdict", "reason", "not required"]
    return _draw_filled(headers, [_event(past) for past in events])


def event(past: PastEvent) -> str:
    """One event with all of its evidence."""
    return "\n".join(_lines(past))


def plain_model(model: Model) -> dict[str, object]:
    """A model for JSON."""
    return {
        "name": model.name,
        "description": model.description,
        "tags": dict(model.tags),
        "aliases": dict(model.aliases),
        "versions": [plain_version(version) for version in model.versions],
    }


def plain_version(version: Version) -> object:
    return plain(version)


def minute(moment: str) -> str:
    return untrusted.clean(moment[:16].replace("T", " "), 16)


def _event(past: PastEvent) -> list[object]:
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
        fields.get("reason") or _imported(made.payload.get("origin")),
        _listed(_texts(made.payload.get("exemptions"))),
    ]


def _imported(origin: object) -> str:
    """Where an event was imported from."""
    store = origin.get("imported_from") if isinstance(origin, Mapping) else None
    return untrusted.clean(f"imported from {store}", 60) if store else ""


def _change(kind: str, fields: dict[str, str]) -> str:
    """What an event changed, in a few words."""
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
    waived = len(_texts(past.event.payload.get("waived")))
    words = [past.outcome or "", f"{waived} waived" if waived else "", digest]
    return untrusted.clean(" ".join(filter(None, words)), 60) or "-"


def _lines(past: PastEvent) -> Iterator[str]:
    made, payload = past.event, past.event.payload
    yield untrusted.clean(f"event {made.seq} of {made.model}: {made.type}", 200)
    confirmed = "confirmed by" if made.actor_confirmed else "claimed by"
    by = f"{made.actor or 'nobody'} ({confirmed} {made.actor_source})" if made.actor_source else made.actor or "nobody"
    facts = {"when": made.created, "who": by, "pipeline": made.run_url, "verdict": past.outcome, "ciplug": made.ciplug}
    facts |= {name: value for name, value in payload.items() if not isinstance(value, list | tuple | dict)}
    for name, value in facts.items():
        if value not in (None, ""):
            yield untrusted.clean(f"  {name.replace('_', ' ')}: {value}", 400)
    for name, values in payload.items():
        texts = _texts(values) or [f"{one}: {it}" for one, it in values.items()] if isinstance(values, dict) else (
            _texts(values)
        )  # fmt: skip
        if texts:
            yield f"  {untrusted.clean(name.replace('_', ' '), 40)}:"
            yield from (f"    {untrusted.clean(text, 400)}" for text in texts)
    if made.signature:
        yield "  signed: yes"


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _tags(of: Model | Version) -> str:
    return _listed(f"{key}={value}" for key, value in sorted(of.tags.items()))


def _listed(names: Iterable[str]) -> str:
    return untrusted.clean(", ".join(names), 60)


def _at(model: Model, stage: str) -> str:
    numbers = model.in_stage.get(stage, ())
    return ", ".join(f"v{number}" for number in numbers) or "-"


def _draw_filled(headers: list[str], rows: Sequence[Sequence[object]]) -> str:
    """Draw a table, without its last column where no row has a value there."""
    filled = any(row[-1] for row in rows)
    return _draw(headers, rows) if filled else _draw(headers[:-1], [row[:-1] for row in rows])


def _draw_without_empty(headers: list[str], rows: Sequence[Sequence[object]]) -> str:
    """Draw a table, without the columns in which no row has a value."""
    kept = [at for at in range(len(headers)) if any(row[at] != "" for row in rows)]
    return _draw([headers[at] for at in kept], [[row[at] for at in kept] for row in rows])


def _draw(headers: list[str], rows: Sequence[Sequence[object]]) -> str:
    from tabulate import tabulate

    return untrusted.defuse(tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True))
