"""The verbs of `ciplug registry` that change it."""

from __future__ import annotations

import argparse
from typing import Any

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_promotion, tell_still_served
from ciplug.errors import UsageError
from ciplug.records.registry_moves import Yank
from ciplug.steps.promotion import labels, models, moves
from ciplug.steps.promotion.promote import Promotion
from ciplug.steps.promotion.writing import Written
from ciplug.steps.session import Session

VERBS = ("alias", "tag", "describe", "archive", "yank", "delete", "rename")


def add_verbs(verbs: Any) -> None:
    """Add them to the parser of `ciplug registry`."""
    for name, what, add in (
        ("alias", "set or delete an alias of a version", _add_alias),
        ("tag", "set or remove tags of a model or a version", _add_tag),
        ("describe", "set the description of a model or a version", _add_describe),
        ("archive", "archive a version that nobody uses", _add_archive),
        ("yank", "block a version: it can no longer be promoted or pulled", _add_yank),
        ("delete", "hide a model or a version; its history stays", _add_delete),
        ("rename", "give a model another name", _add_rename),
    ):
        verb = verbs.add_parser(name, help=what, allow_abbrev=False)
        add(verb)
        options.repeat_common(verb)


def _add_alias(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("action", choices=("set", "delete"))
    verb.add_argument("model", metavar="MODEL")
    verb.add_argument("alias", metavar="ALIAS", help="such as champion; the name of a stage promotes to it")
    verb.add_argument("version", metavar="N", nargs="?", type=options.version_number, help="the version, with `set`")
    _add_reason(verb)


def _add_tag(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL")
    verb.add_argument("tags", metavar="KEY=VALUE", nargs="*", help="tags to set")
    verb.add_argument("--remove", metavar="KEY", action="append", default=[], help="a tag to remove; may be repeated")
    _add_version(verb)


def _add_describe(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL")
    verb.add_argument("text", metavar="TEXT", help="the description; an empty one removes it")
    _add_version(verb)


def _add_archive(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL")
    verb.add_argument("version", metavar="N", type=options.version_number)
    _add_reason(verb)


def _add_yank(verb: argparse.ArgumentParser) -> None:
    _add_archive(verb)
    verb.add_argument("--undo", action="store_true", help="it is good after all")


def _add_delete(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL")
    _add_version(verb)
    _add_reason(verb)


def _add_rename(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL")
    verb.add_argument("new", metavar="NEW", help="a name that no model ever had")


def _add_version(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--version", metavar="N", type=options.version_number, help="this version, not the model itself")


def _add_reason(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(session: Session, args: argparse.Namespace) -> int:
    """Carry out one of VERBS."""
    name = args.model
    if args.verb == "alias":
        return _alias(session, args)
    if args.verb == "tag":
        return _tag(session, args)
    if args.verb == "describe":
        done: Written[Any] = labels.describe(session, name, args.version, args.text or None)
    elif args.verb == "archive":
        done = moves.archive(session, name, args.version, args.reason)
    elif args.verb == "yank":
        done = moves.yank(session, name, args.version, args.reason, undo=args.undo)
    elif args.verb == "delete" and args.version is not None:
        done = models.delete_version(session, name, args.version, args.reason)
    elif args.verb == "delete":
        done = models.delete_model(session, name, args.reason)
    else:
        done = models.rename_model(session, name, args.new)
    _tell(name, done)
    if done.payload and (args.verb == "archive" or (args.verb == "yank" and not args.undo)):
        tell_still_served(done.model, args.version)
    return 0


def _alias(session: Session, args: argparse.Namespace) -> int:
    if (args.action == "set") != (args.version is not None):
        raise UsageError(
            "`alias set` needs a version, and `alias delete` takes none",
            hint="ciplug registry alias set MODEL ALIAS N; ciplug registry alias delete MODEL ALIAS",
        )
    if args.action == "delete":
        _tell(args.model, labels.delete_alias(session, args.model, args.alias))
        return 0
    done = labels.set_alias(session, args.model, args.alias, args.version, args.reason)
    if isinstance(done, Promotion):
        tell_promotion(done)
    else:
        _tell(args.model, done)
    return 0


def _tag(session: Session, args: argparse.Namespace) -> int:
    pairs = [text.partition("=") for text in args.tags]
    if wrong := next((text for text, pair in zip(args.tags, pairs, strict=True) if not pair[1] or not pair[0]), None):
        raise UsageError(f"'{wrong}' is not a tag", hint="write it as KEY=VALUE; --remove KEY removes one")
    if not pairs and not args.remove:
        raise UsageError("no tag is given", hint="ciplug registry tag MODEL KEY=VALUE, or --remove KEY")
    for key, _, value in pairs:
        _tell(args.model, labels.set_tag(session, args.model, args.version, key, value))
    for key in args.remove:
        _tell(args.model, labels.delete_tag(session, args.model, args.version, key))
    return 0


def _tell(name: str, done: Written[Any]) -> None:
    if done.payload is None:
        console.say(f"{name}: nothing to change")
    else:
        undone = isinstance(done.payload, Yank) and done.payload.undo
        what = "undo of yank" if undone else done.payload.type.replace("_", " ")
        console.say(f"{name}: {what} recorded (event {done.event})")
