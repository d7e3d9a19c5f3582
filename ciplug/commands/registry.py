"""Show the registry: models, versions, stages, and who moved what when, on which evidence."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ciplug import console
from ciplug.commands import options
from ciplug.errors import NotFound
from ciplug.records.canonical import dumps, plain
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger
from ciplug.registry import state as models
from ciplug.reports import text
from ciplug.steps.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|history")
    for name, what in (
        ("list", "all models, and what stands in each stage"),
        ("show", "the versions of a model"),
        ("history", "every event of a model"),
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
    if not events:
        known = ledger.models(session.log)
        raise NotFound(
            f"the registry has no model '{args.model}'",
            hint=f"it has: {', '.join(known)}" if known else "promote a run first: ciplug promote MODEL --to staging",
        )
    if args.verb == "history":
        console.out(dumps([plain(e) for e in events]) if args.json else _history(events))
        return 0
    model = models.fold(args.model, events)
    if args.json:
        console.out(dumps({"name": model.name, "versions": [plain(v) for v in model.versions]}))
    else:
        rows = [
            [v.number, v.stage, v.run[:12], (v.commit or "-")[:8], v.created[:16].replace("T", " "), len(v.files)]
            for v in reversed(model.versions)
        ]
        console.out(_draw(["version", "stage", "run", "commit", "registered (UTC)", "files"], rows))
    return 0


def _list(session: Session, as_json: bool) -> int:
    found = [models.fold(name, ledger.read(session.log, name).events) for name in ledger.models(session.log)]
    if as_json:
        console.out(dumps([{"name": m.name, "versions": [plain(v) for v in m.versions]} for m in found]))
    elif found:

        def at(model: models.Model, stage: str) -> str:
            holder = model.holder(stage)
            return f"v{holder.number}" if holder else "-"

        rows = [[text.clean(m.name, 60), len(m.versions), at(m, "Staging"), at(m, "Production")] for m in found]
        console.out(_draw(["model", "versions", "staging", "production"], rows))
    else:
        console.say("the registry is empty")
    return 0


def _history(events: tuple[RegistryEvent, ...]) -> str:
    rows = [
        [
            e.seq,
            e.created[:16].replace("T", " "),
            e.type,
            f"v{e.version}",
            f"{e.from_stage} → {e.stage}" if e.stage else "",
            text.clean(e.actor or "-", 40),
            (e.verdict_digest or "-")[7:19] or "-",
            text.clean(e.reason or "", 60),
        ]
        for e in events
    ]
    return _draw(["#", "when (UTC)", "event", "version", "move", "who", "verdict", "reason"], rows)


def _draw(headers: list[str], rows: Sequence[Sequence[object]]) -> str:
    from tabulate import tabulate

    return text.defuse(tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True))
