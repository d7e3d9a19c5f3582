"""Show what was deployed where, and ask the targets what they serve."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from ciplug import console
from ciplug.commands import options
from ciplug.records.canonical import dumps
from ciplug.registry.model import Deployed, DeployEvent, Model, SmokeTest
from ciplug.reports.untrusted import clean
from ciplug.steps.deployment.status import Status, deployed_models, statuses, worst
from ciplug.steps.event_text import minute


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, what in (
        ("list", "what the log says of each target: version, state, since when, by whom"),
        ("status", "ask each target what it serves, and compare that with the log"),
    ):
        verb = verbs.add_parser(name, help=what, allow_abbrev=False)
        verb.add_argument("model", metavar="MODEL", nargs="?", help="only this model")
        verb.add_argument("--json", action="store_true", help="as JSON on stdout")
        options.repeat_common(verb)


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.verb == "list":
        _list(deployed_models(session, args.model), as_json=args.json)
        return 0
    found = list(statuses(session, args.model))
    if args.json:
        console.out(dumps([_plain_status(one) for one in found]))
    elif found:
        console.out(_table(["model", "target", "kind", "state", "log", "served"], map(_status_row, found)))
    else:
        console.say("no registered model has a target, in targets: of ciplug.yaml on the default branch")
    for one in found:
        if one.problem or one.remedy:
            words = clean(one.problem or one.state.word.replace("_", " "), 300)
            console.complain(
                f"{clean(one.model, 80)} at {clean(one.target, 80)}: {words}", one.remedy and clean(one.remedy, 300)
            )
    return worst(found)


def _list(models: Iterable[Model], *, as_json: bool) -> None:
    rows = [(model.name, target, said) for model in models for target, said in sorted(model.deployed.items())]
    if as_json:
        console.out(dumps([{"model": name, "target": target, **_plain_logged(said)} for name, target, said in rows]))
    elif rows:
        headers = [
            "model",
            "target",
            "kind",
            "state",
            "version",
            "serves",
            "smoke test",
            "when (UTC)",
            "who",
            "reference",
        ]
        console.out(_table(headers, (_list_row(name, target, said) for name, target, said in rows)))
    else:
        console.say("nothing was deployed")


def _list_row(name: str, target: str, said: Deployed) -> list[object]:
    last = said.last
    return [
        clean(name, 60),
        clean(target, 60),
        clean(last.kind, 20),
        clean(last.state, 20),
        f"v{last.version}",
        f"v{said.serves.version}" if said.serves else "-",
        f"{clean(said.tested.outcome.replace('_', ' '), 20)} (v{said.tested.version})" if said.tested else "-",
        minute(last.created),
        clean(last.actor or "-", 40),
        clean(last.reference or last.reason or "-", 160),
    ]


def _status_row(one: Status) -> list[object]:
    said = one.logged.serves if one.logged else None
    return [
        clean(one.model, 60),
        clean(one.target, 60),
        clean(one.kind, 20),
        one.state.word.replace("_", " "),
        f"v{said.version}" if said else "-",
        clean(one.live.endpoint or one.live.reference, 160) if one.live else "-",
    ]


def _plain(event: DeployEvent | SmokeTest | None) -> Mapping[str, Any] | None:
    return event._asdict() if event else None


def _plain_logged(said: Deployed | None) -> Mapping[str, Any]:
    facts = (said.last, said.serves, said.tested) if said else (None, None, None)
    return dict(zip(("last", "serves", "smoke_test"), map(_plain, facts), strict=True))


def _plain_status(one: Status) -> Mapping[str, Any]:
    return {
        "model": one.model,
        "target": one.target,
        "kind": one.kind,
        "state": one.state.word,
        **_plain_logged(one.logged),
        "live": one.live._asdict() if one.live else None,
        "holder": one.holder,
        "problem": one.problem,
        "remedy": one.remedy,
    }


def _table(headers: list[str], rows: Iterable[list[object]]) -> str:
    from tabulate import tabulate

    return tabulate(list(rows), headers, tablefmt="simple", disable_numparse=True)
