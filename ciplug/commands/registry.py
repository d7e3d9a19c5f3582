"""Show the registry: models, versions, stages, and who moved what when, on which evidence."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence

from ciplug import console
from ciplug.commands import options
from ciplug.errors import BrokenLog, UsageError
from ciplug.records.canonical import dumps, plain
from ciplug.records.keys import log_of
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model
from ciplug.reports import untrusted
from ciplug.steps.registered import read_if_whole, read_model
from ciplug.steps.session import Session
from ciplug.steps.vouch import vouch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|history|vouch")
    for name, what in (
        ("list", "all models, and the version in each stage"),
        ("show", "the versions of a model"),
        ("history", "every event of a model"),
        ("vouch", "sign for all events of a model that nobody has signed, as its log is now"),
    ):
        verb = verbs.add_parser(name, help=what, allow_abbrev=False)
        if name != "list":
            verb.add_argument("model", metavar="MODEL")
        verb.add_argument("--json", action="store_true", help="as JSON on stdout")
        options.repeat_common(verb)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.verb == "list":
        return _list(session, args.json)
    events = ledger.read(session.log, args.model).events
    _tell_store(session)
    if not events:
        names = ledger.models(session.log)
        raise UsageError(
            f"the registry has no model '{args.model}'",
            hint=f"it has: {', '.join(names)}" if names else "promote a run first: ciplug promote MODEL --to staging",
        )
    if args.verb == "vouch":
        console.out(_history(events))
        console.say(f"vouched for {len(events)} events, as event {vouch(session, args.model)}")
        return 0
    model = read_model(session, args.model)
    _tell_notes(model)
    if args.verb == "history":
        console.out(_stored(session, args.model) if args.json else _history(events))
    elif args.json:
        console.out(dumps(_plain(model)))
    else:
        console.out(_versions(model))
    return 0


def _list(session: Session, as_json: bool) -> int:
    models = [read_if_whole(session, name) for name in ledger.models(session.log)]
    _tell_store(session)
    for model in models:
        _tell_notes(model)
    broken = next((model.problem for model in models if model.problem), None)
    models = [model for model in models if not model.problem]
    if as_json:
        console.out(dumps([_plain(model) for model in models]))
    elif models:
        ladders = [section.policy.ladder for section in session.config.sections()]
        stages = dict.fromkeys(stage for group in (*ladders, *(m.stages for m in models)) for stage in group)
        rows = [[untrusted.clean(m.name, 60), len(m.versions), *(_at(m, stage) for stage in stages)] for m in models]
        console.out(_draw(["model", "versions", *map(str.lower, stages)], rows))
    else:
        console.say("the registry is empty" if not broken else "no other model is registered")
    return BrokenLog.exit_code if broken else 0


def _tell_store(session: Session) -> None:
    for note in session.store.notes:
        console.complain(note)


def _tell_notes(model: Model) -> None:
    for note in model.notes:
        console.complain(note)


def _stored(session: Session, model: str) -> bytes:
    """The events as they are stored, with fields that this ciplug does not know."""
    return dumps([json.loads(entry) for entry in session.log.entries(log_of(model))])


def _plain(model: Model) -> dict[str, object]:
    return {"name": model.name, "versions": [plain(version) for version in model.versions]}


def _at(model: Model, stage: str) -> str:
    holder = model.holder(stage)
    return f"v{holder.number}" if holder else "-"


def _versions(model: Model) -> str:
    rows = [
        [
            v.number,
            v.stage,
            (v.run or "-")[:12],
            (v.commit or "-")[:8],
            _minute(v.created),
            len(v.files),
            _exempt(v.exemptions),
        ]
        for v in reversed(model.versions)
    ]
    return _draw_filled(["version", "stage", "run", "commit", "registered (UTC)", "files", "not required"], rows)


def _exempt(exemptions: Sequence[str]) -> str:
    return untrusted.clean(", ".join(exemptions), 60)


def _history(events: Iterable[RegistryEvent]) -> str:
    headers = ["#", "when (UTC)", "event", "version", "move", "who", "verdict", "reason", "not required"]
    return _draw_filled(headers, [_event(event) for event in events])


def _event(event: RegistryEvent) -> list[object]:
    """One row of the history. Of a type that this ciplug does not know, the fields that have the names of ours."""
    fields = {name: untrusted.clean(str(value), 60) for name, value in event.payload.items()}
    stage = fields.get("stage")
    return [
        event.seq,
        _minute(event.created),
        untrusted.clean(event.type, 40),
        f"v{fields['version']}" if "version" in fields else "-",
        f"{fields.get('from_stage', NO_STAGE)} → {stage}" if stage else "",
        untrusted.clean(event.actor or "-", 40),
        fields.get("verdict_digest", "-")[7:19] or "-",
        fields.get("reason", ""),
        _exempt(_texts(event.payload.get("exemptions"))),
    ]


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _minute(moment: str) -> str:
    return untrusted.clean(moment[:16].replace("T", " "), 16)


def _draw_filled(headers: list[str], rows: Sequence[Sequence[object]]) -> str:
    """Draw a table, without its last column where no row has a value there."""
    filled = any(row[-1] for row in rows)
    return _draw(headers, rows) if filled else _draw(headers[:-1], [row[:-1] for row in rows])


def _draw(headers: list[str], rows: Sequence[Sequence[object]]) -> str:
    from tabulate import tabulate

    return untrusted.defuse(tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True))
