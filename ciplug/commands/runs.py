"""List, show, compare and amend recorded runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options, run_diff, run_list, run_sweep
from ciplug.commands.run_details import CHILDREN_MOST, as_json, details, verdict_json
from ciplug.commands.run_tables import metrics_line
from ciplug.errors import UsageError, counted
from ciplug.records.canonical import dumps, plain
from ciplug.records.keys import RunKey
from ciplug.records.run_diff import SeriesSummary
from ciplug.steps.all_runs import all_runs
from ciplug.steps.amend import (
    DELETE,
    RESTORE,
    WITHDRAW,
    Amended,
    RequestedChange,
    Target,
    View,
    amend,
    targets_of,
    view_of,
)
from ciplug.steps.erase import erase
from ciplug.steps.named_run import HELP, find_key, find_run
from ciplug.steps.promotion.held_stages import held_stages
from ciplug.steps.recorded_verdicts import verdicts_on
from ciplug.steps.session import Session
from ciplug.steps.signers import signed_by
from ciplug.tracking.amended import newer_notes
from ciplug.tracking.entries import Entry
from ciplug.tracking.query import PARENT, Comparison

if TYPE_CHECKING:
    from ciplug.tracking.entries import Entry

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = "list|show|diff|sweep|tag|rename|withdraw|delete|restore|sign"
    verbs = parser.add_subparsers(dest="verb", required=True, metavar=words)
    looking = (_add_list, _add_show, _add_diff, _add_sweep)
    adders = (*looking, _add_tag, _add_rename, _add_withdraw, _add_delete, _add_restore, _add_sign)
    for verb in [add(verbs) for add in adders]:
        options.repeat_common(verb)


def _add_list(verbs: Verbs) -> argparse.ArgumentParser:
    listing = verbs.add_parser("list", help="list runs, the latest first", allow_abbrev=False)
    run_list.add_arguments(listing)
    return listing


def _add_sweep(verbs: Verbs) -> argparse.ArgumentParser:
    sweeping = verbs.add_parser("sweep", help="show the child runs of a run as one table", allow_abbrev=False)
    run_sweep.add_arguments(sweeping)
    return sweeping


def _add_show(verbs: Verbs) -> argparse.ArgumentParser:
    showing = verbs.add_parser("show", help="show one run, and how it was amended", allow_abbrev=False)
    showing.add_argument("id", metavar="RUN", help=HELP)
    showing.add_argument("--model", metavar="M", help="which model's run of a commit (default: that of ciplug.yaml)")
    showing.add_argument("--json", action="store_true", help="as JSON on stdout")
    return showing


def _add_diff(verbs: Verbs) -> argparse.ArgumentParser:
    diffing = verbs.add_parser("diff", help="show what differs between runs", allow_abbrev=False)
    run_diff.add_arguments(diffing)
    return diffing


def _add_tag(verbs: Verbs) -> argparse.ArgumentParser:
    tagging = verbs.add_parser("tag", help="set or remove tags of recorded runs", allow_abbrev=False)
    tagging.add_argument(
        "items", metavar="RUN|KEY=VALUE", nargs="+", help=f"runs, and the tags to set on them; a run: {HELP}"
    )
    tagging.add_argument(
        "--remove", metavar="KEY", action="append", default=[], help="remove this tag; may be repeated"
    )
    return tagging


def _add_rename(verbs: Verbs) -> argparse.ArgumentParser:
    renaming = verbs.add_parser("rename", help="give a recorded run another name", allow_abbrev=False)
    renaming.add_argument("id", metavar="RUN", help=HELP)
    renaming.add_argument("name", metavar="NAME", help="the new name")
    return renaming


def _add_withdraw(verbs: Verbs) -> argparse.ArgumentParser:
    words = "state that the numbers of runs do not count: no gate compares with them, and they are not promoted"
    withdrawing = _add_ids(verbs.add_parser("withdraw", help=words, allow_abbrev=False))
    words = "also erase the runs from the store, for example after a secret was recorded"
    withdrawing.add_argument("--erase", action="store_true", help=words)
    return withdrawing


def _add_delete(verbs: Verbs) -> argparse.ArgumentParser:
    words = "hide runs from lists; like withdrawn ones they do not count, and nothing is erased"
    return _add_ids(verbs.add_parser("delete", help=words, allow_abbrev=False))


def _add_restore(verbs: Verbs) -> argparse.ArgumentParser:
    words = "undo the deletion of runs, or the withdrawal of runs that are not deleted"
    return _add_ids(verbs.add_parser("restore", help=words, allow_abbrev=False))


def _add_sign(verbs: Verbs) -> argparse.ArgumentParser:
    words = "sign runs as they are now, with the key of this job: those that were recorded before your team signed"
    signing = verbs.add_parser("sign", help=words, allow_abbrev=False)
    signing.add_argument("ids", metavar="RUN", nargs="+", help=HELP)
    return signing


def _add_ids(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("ids", metavar="RUN", nargs="+", help=HELP)
    parser.add_argument("--reason", metavar="TEXT", help="the reason, kept with the run; withdraw needs one")
    return parser


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if args.verb == "list":
        return run_list.show_list(args, session)
    if args.verb == "show":
        return _show(args, session)
    if args.verb == "sweep":
        return run_sweep.show_sweep(args, session)
    if args.verb == "sign":
        return _sign(session, args.ids)
    if args.verb == "diff":
        return run_diff.show_diff(args, session)
    ids, change = _targets_and_change(args)
    if args.verb == "withdraw" and args.erase:
        _erase(session, ids, args.reason)
    else:
        _amend(session, ids, change)
    return 0


def _erase(session: Session, ids: list[str], reason: str) -> None:
    from ciplug.reports.untrusted import clean

    view = View(session.runs())
    targets = targets_of(view, _keys_of(session, view, ids))
    erased = erase(session, [target.key for target in targets], reason)
    for target in targets:
        console.say(f"run {target.key.id[:12]} ({clean(target.model, 40)}): erased")
    console.say(f"{counted(erased.objects, 'object')} removed from {session.store_name} and from this machine")
    for note in erased.notes:
        console.complain(f"warning: {note}")
    console.complain(
        "warning: other clones, comments and reports may still show them, and the host keeps old objects for a while",
        "change a secret that was recorded: treat it as leaked; ask the host to remove unreachable objects",
    )


def _sign(session: Session, ids: list[str]) -> int:
    from ciplug.reports.untrusted import clean
    from ciplug.steps.sign_runs import sign_runs

    for one in sign_runs(session, ids):
        name = f"run {one.run.id[:12]} ({clean(one.run.model, 40)})"
        numbers = metrics_line(one.run.metrics)
        if one.objects:
            console.say(f"{name}: signed by {one.by}, {counted(one.objects, 'object')}; {numbers or 'no metrics'}")
        else:
            console.say(f"{name}: signed by {one.by} already")
        if one.unsigned_parent:
            console.complain(
                f"warning: a run that started {one.run.id[:12]} is not signed, so neither counts as signed",
                f"sign that one, too: ciplug runs sign {(one.run.parent or '')[:12]}",
            )
    return 0


def _show(args: argparse.Namespace, session: Session) -> int:
    from ciplug.steps.pictures import images_of

    runs = all_runs(session)
    shown_run = find_run(session, runs, args.id, args.model, any_run=True).run
    changes, refused = runs.changes(shown_run), runs.refused_params(shown_run)
    is_child = [Comparison(PARENT, "=", shown_run.id)]
    verdicts, series = verdicts_on(session, runs, shown_run), runs.series(shown_run)
    signed = signed_by(session, runs, shown_run)
    if args.json:
        children = runs.catalog.search(is_child).entries
        beside = {
            **({} if signed is None else {"signed_by": signed or None}),
            "verdicts": list(map(verdict_json, verdicts)),
            "series": {name: plain(SeriesSummary.of(one)) for name, one in series.items() if one.steps},
            "children": list(map(_child, children)),
        }
        console.out(dumps({**as_json(shown_run, changes, refused), **beside}))
    else:
        below = runs.catalog.search(is_child, limit=CHILDREN_MOST)
        more = below.total - len(below.entries)
        images, unlisted = images_of(session, shown_run.artifacts)
        outline = details(
            shown_run,
            changes,
            refused,
            images=images,
            unlisted=unlisted,
            verdicts=verdicts,
            series=series,
            signed=signed,
            children=below.entries,
            more=more,
        )
        console.out(outline)
    for note in newer_notes(changes.newer):
        console.complain(f"warning: {note}")
    return 0


def _child(entry: Entry) -> dict[str, object]:
    """A child run, as far as the list of runs knows it; `ciplug runs show` with its id has the rest."""
    name, status = entry.attributes.get("name"), entry.attributes.get("status", "unknown")
    return {
        "id": entry.id,
        **({"name": name} if name else {}),
        "status": status,
        **({"lifecycle": entry.state} if entry.state != "active" else {}),
        "metrics": plain(entry.metrics),
    }


def _targets_and_change(args: argparse.Namespace) -> tuple[list[str], RequestedChange]:
    """The runs that are named, and what is to be changed about them. Raises UsageError."""
    if args.verb == "rename":
        return [args.id], RequestedChange(name=args.name)
    if args.verb == "tag":
        ids = [item for item in args.items if "=" not in item]
        tags = dict(item.split("=", 1) for item in args.items if "=" in item)
        if not ids:
            raise UsageError("no run is named", hint="ciplug runs tag RUN KEY=VALUE")
        if not (tags or args.remove):
            raise UsageError("no tag is named", hint=f"ciplug runs tag {ids[0]} KEY=VALUE, or --remove KEY")
        return ids, RequestedChange(tags=tags, untag=tuple(dict.fromkeys(args.remove)))
    change = {"withdraw": WITHDRAW, "delete": DELETE, "restore": RESTORE}[args.verb]
    if args.verb == "withdraw" and args.reason is None:
        raise UsageError(
            "--reason is missing", hint=f"ciplug runs withdraw {' '.join(args.ids)} --reason 'wrong labels'"
        )
    if args.reason is not None and not args.reason.strip():
        raise UsageError("--reason: a text is expected", hint="say why, for those who read it later")
    return args.ids, replace(change, reason=args.reason)


def _keys_of(session: Session, view: View, names: Sequence[str]) -> list[RunKey]:
    """The runs that are named; what a person must know about them is printed."""
    found = [find_key(session, view.runs, name, any_run=True) for name in names]
    for note in dict.fromkeys(note for one in found for note in one.notes):
        console.complain(note)
    return [one.key for one in found]


def _amend(session: Session, ids: list[str], change: RequestedChange) -> None:
    from ciplug.reports.untrusted import clean

    view = view_of(session)
    if view.offline:
        console.complain(f"warning: runs are looked up in the local cache: {view.offline.message}")
    amended = amend(session, targets_of(view, _keys_of(session, view, ids)), change)
    for done in amended:
        run_id, model = done.target.key.id[:12], clean(done.target.model, 40)
        console.say(f"run {run_id} ({model}): {clean(_outcome_of(done, change), 400)}")
    if change.withdrawn or change.lifecycle == "deleted":
        _tell_held_stages(session, [done.target for done in amended])


def _tell_held_stages(session: Session, targets: Sequence[Target]) -> None:
    """Warn of versions that keep their stage though the numbers of their run do not count any more."""
    import shlex

    from ciplug.reports.untrusted import clean

    for model, version in held_stages(session, {target.key.id for target in targets}):
        stage, name, run = version.stage.lower(), clean(model, 120), (version.run or "")[:12]
        console.complain(
            f"warning: version {version.number} of '{name}' comes from run {run} and stays in {stage}",
            f"promote another run: ciplug promote {shlex.quote(name)} --to {shlex.quote(stage)} --run ID",
        )


def _outcome_of(done: Amended, requested: RequestedChange) -> str:
    """Describe the change, in one clause."""
    if done.change.is_empty:
        out = requested.withdrawn or requested.lifecycle == "deleted"
        return f"{done.changes.objection} already" if out else "as it was"
    before, new = done.target, done.change
    parts = [f"tag {key}={value}" + _was(before.tags.get(key)) for key, value in sorted(new.tags.items())]
    parts += [f"tag {key} removed" for key in new.untag]
    parts += [f"name {new.name}{_was(before.name)}"] if new.name is not None else []
    if new.withdrawn is not None or new.lifecycle is not None:
        parts.append(_restored(done) if requested.lifecycle == "active" else _ended(done))
    return ", ".join(parts)


def _ended(done: Amended) -> str:
    """Describe a withdrawal or a deletion, and the deletion that was in force before."""
    if done.change.lifecycle == "deleted":
        return "deleted"
    return f"withdrawn; it is still {done.changes.objection}" if done.changes.deletion else "withdrawn"


def _restored(done: Amended) -> str:
    """Describe what was undone, and what is still in force."""
    undone = f"restored; it was {done.target.changes.objection}"
    if done.changes.state == "active":
        return undone
    return f"{undone}; it is still {done.changes.objection}; to undo this too, restore it again"


def _was(value: str | None) -> str:
    return f" (was {value})" if value is not None else ""
