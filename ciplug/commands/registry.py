"""Show the registry, check it, and change what needs no evidence: aliases, tags, descriptions, unused versions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ciplug import console
from ciplug.commands import options, registry_changes
from ciplug.commands import registry_tables as tables
from ciplug.errors import BrokenLog, NotFound, UsageError, counted
from ciplug.records.canonical import dumps
from ciplug.records.registry_labels import MovedFrom
from ciplug.registry import ledger
from ciplug.registry.model import Model
from ciplug.reports import untrusted
from ciplug.steps import history as past
from ciplug.steps.kept_entries import lost_models
from ciplug.steps.promotion.after import notify
from ciplug.steps.registered_model import no_model, read_if_whole, read_model
from ciplug.steps.registry_checks import check_model
from ciplug.steps.session import Session
from ciplug.steps.vouch import vouch

_SHOWN_MOST = 100
"""Events that `history` shows, where nobody asks for more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, what in (
        ("list", "all models, the version in each stage, and the aliases"),
        ("show", "the versions of a model, its description and tags"),
        ("history", "the events of a model, with their verdicts"),
        ("at", "who was in which stage at a time of the past"),
        ("verify", "verify every event: its chain, the rules that it followed, its evidence"),
        ("notify", "send the webhook of the last promotion, rollback or demotion again"),
        ("vouch", "sign for all events of a model that nobody has signed, as its log is now"),
    ):
        verb = verbs.add_parser(name, help=what, allow_abbrev=False)
        if name == "at":
            verb.add_argument("time", metavar="TIME", help="like 2026-11-23, or 2026-11-23T12:00:00Z; UTC by default")
        if name in ("at", "verify"):
            verb.add_argument("model", metavar="MODEL", nargs="?", help="only this model, with its versions")
        elif name != "list":
            verb.add_argument("model", metavar="MODEL")
        if name == "history":
            verb.add_argument(
                "--limit",
                metavar="N",
                type=int,
                help=f"the last N events (default: {_SHOWN_MOST}; with --json: all); 0: all",
            )
            verb.add_argument("--event", metavar="N", type=int, help="one event, with all of its evidence")
        if name == "notify":
            verb.add_argument("--event", metavar="N", type=int, help="of this event (default: the last one)")
        verb.add_argument("--json", action="store_true", help="as JSON on stdout")
        options.repeat_common(verb)
    registry_changes.add_verbs(verbs)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.verb in registry_changes.VERBS:
        return registry_changes.run(session, args)
    return {
        "list": _list,
        "show": _show,
        "history": _history,
        "at": _at,
        "verify": _verify,
        "vouch": _vouch,
        "notify": _notify,
    }[args.verb](session, args)


def _list(session: Session, args: argparse.Namespace) -> int:
    models = [read_if_whole(session, name) for name in ledger.models(session.log)]
    _tell_store(session)
    for model in models:
        _tell_notes(model)
    broken = next((model.problem for model in models if model.problem), None)
    models = [model for model in models if model.exists]
    if args.json:
        console.out(dumps([tables.plain_model(model) for model in models]))
    elif models:
        console.out(tables.models(models, session.config))
    else:
        console.say("the registry is empty" if not broken else "no other model is registered")
    return BrokenLog.exit_code if broken else 0


def _show(session: Session, args: argparse.Namespace) -> int:
    model = read_model(session, args.model)
    _tell_store(session)
    _need(session, model)
    _tell_notes(model)
    if args.json:
        console.out(dumps(tables.plain_model(model)))
        return 0
    for line in tables.words(model):
        console.out(line)
    console.out(tables.versions(model))
    return 0


def _history(session: Session, args: argparse.Namespace) -> int:
    if args.limit is not None and args.limit < 0:
        raise UsageError(f"--limit {args.limit}: a number from 0 is expected")
    one = args.event is not None
    limit = args.limit if args.limit is not None else None if args.json or one else _SHOWN_MOST
    if args.json and not one:
        events = past.stored(session, args.model, limit or None)
        _tell_store(session)
        _need(session, read_model(session, args.model), events=len(events))
        console.out(dumps(events))
        return 0
    shown = past.history(session, args.model, limit or None)
    _tell_store(session)
    _need(session, shown.model, events=len(shown.events))
    _tell_notes(shown.model)
    if one:
        chosen = next((one for one in shown.events if one.event.seq == args.event), None)
        if chosen is None:
            earlier = _former_name(shown.events)
            raise NotFound(
                f"'{args.model}' has no event {args.event}",
                hint=f"events: 1 to {len(shown.events)}"
                + (f"; those before it was renamed: ciplug registry history '{earlier}'" if earlier else ""),
            )
        console.out(dumps(chosen.event) if args.json else tables.event(chosen))
        return 0
    console.out(tables.history(shown.events))
    if shown.earlier:
        console.say(f"{counted(shown.earlier, 'earlier event')}: --limit 0 shows all")
    return 0


def _at(session: Session, args: argparse.Namespace) -> int:
    names = [args.model] if args.model else ledger.models(session.log)
    states = [past.state_at(session, name, args.time) for name in names]
    _tell_store(session)
    for state in states:
        if state.later:
            console.complain(
                f"warning: {counted(state.later, 'event')} of '{untrusted.clean(state.model.name, 80)}' up to event "
                f"{state.event} say that they were made later: a clock was wrong; the order of the log counts"
            )
    if args.model and not states[0].event:
        _need(session, read_model(session, args.model))
        raise NotFound(
            f"'{args.model}' had no event until {args.time}", hint=f"see: ciplug registry history '{args.model}'"
        )
    models = [state.model for state in states if state.model.exists]
    if args.json:
        console.out(dumps([{"event": s.event, **tables.plain_model(s.model)} for s in states if s.model.exists]))
    elif not models:
        console.say(f"the registry was empty at {args.time}")
    else:
        console.out(tables.versions(models[0]) if args.model else tables.models(models, session.config))
    return 0


def _verify(session: Session, args: argparse.Namespace) -> int:
    names = [args.model] if args.model else sorted({*ledger.models(session.log), *lost_models(session)})
    checks = [check_model(session, name) for name in names]
    _tell_store(session)
    for check in checks:
        for note in check.notes:
            console.complain(note)
        for problem in check.problems:
            console.complain(f"{untrusted.clean(problem.where, 200)}: {untrusted.clean(problem.what, 400)}")
    if args.model and not checks[0].events and not checks[0].problems:
        _need(session, Model(args.model))
    wrong = [check for check in checks if check.problems]
    if wrong:
        console.complain("for details, and what can be put back: ciplug fsck")
    if args.json:
        facts = [
            {"model": c.model, "events": c.events, "problems": [{"where": p.where, "what": p.what} for p in c.problems]}
            for c in checks
        ]
        console.out(dumps(facts))
    for check in checks:
        if not check.problems:
            console.say(f"{untrusted.clean(check.model, 120)}: {counted(check.events, 'event')} verified")
    return BrokenLog.exit_code if wrong else 0


def _vouch(session: Session, args: argparse.Namespace) -> int:
    shown = past.history(session, args.model)
    _need(session, shown.model, events=len(shown.events))
    console.out(tables.history(shown.events))
    event = vouch(session, args.model)
    if not event:
        console.say("nothing to vouch for: every event counts already")
        return 0
    console.say(f"vouched for {counted(event - 1, 'event')}, as event {event}")
    return 0


def _notify(session: Session, args: argparse.Namespace) -> int:
    change = notify(session, args.model, args.event)
    console.say(f"webhook delivered: version {change.version} in {change.stage}, event {change.event}")
    return 0


def _need(session: Session, model: Model, events: int = 0) -> None:
    """Raise NotFound where the registry has no such model; a history outlives it."""
    if model.exists or events or model.skipped or model.unsigned:
        return
    raise no_model(session, model)


def _former_name(events: Sequence[past.PastEvent]) -> str | None:
    """The name that the model had before, whose log has its earlier events."""
    others = [one.event.payload.get("other") for one in events if one.event.type == MovedFrom.type]
    return untrusted.clean(str(others[-1]), 80) if others else None


def _tell_store(session: Session) -> None:
    for note in session.store.notes:
        console.complain(note)


def _tell_notes(model: Model) -> None:
    for note in model.notes:
        console.complain(note)
