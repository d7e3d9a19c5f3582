"""The tables of `ciplug registry`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ciplug.config import Config
from ciplug.records.canonical import plain
from ciplug.registry.model import Model, Version
from ciplug.reports import untrusted
from ciplug.steps.event_text import EVENT_HEADERS, event_row, listed_names, minute, texts_of
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
            listed_names(f"{name}=v{number}" for name, number in sorted(model.aliases.items())),
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
            listed_names(model.aliases_of(one.number)),
            "" if one.yanked is None else untrusted.clean(one.yanked or "yes", 60),
            listed_names(one.exemptions),
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
    return _draw_filled(list(EVENT_HEADERS), [event_row(past) for past in events])


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
        texts = texts_of(values) or [f"{one}: {it}" for one, it in values.items()] if isinstance(values, dict) else (
            texts_of(values)
        )  # fmt: skip
        if texts:
            yield f"  {untrusted.clean(name.replace('_', ' '), 40)}:"
            yield from (f"    {untrusted.clean(text, 400)}" for text in texts)
    if made.signature:
        yield "  signed: yes"


def _tags(of: Model | Version) -> str:
    return listed_names(f"{key}={value}" for key, value in sorted(of.tags.items()))


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
