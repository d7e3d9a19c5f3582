"""Check everything that the store holds, record by record, and repair what can be repaired without losing data."""

from __future__ import annotations

import argparse
from functools import partial

from ciplug import console
from ciplug.commands import options
from ciplug.records.canonical import dumps
from ciplug.steps.fsck import Checked, accept_registry, check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="repair what can be repaired without losing data")
    parser.add_argument(
        "--restore-registry", action="store_true", help="put back the entries that the registry has lost"
    )
    parser.add_argument(
        "--accept-registry",
        action="store_true",
        help="accept the registry as it is now, even if this clone has seen another one",
    )
    parser.add_argument(
        "--no-files", action="store_true", help="do not read the files of artifacts, only see that they are there"
    )
    parser.add_argument("--json", action="store_true", help="the problems as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    if args.accept_registry:
        session = options.session_of(args)
        for words in accept_registry(session):
            console.out(f"accepted: {words}")
    progress = None if args.no_files else partial(console.transfer, "files read")
    checked = check(options.session_of(args), repair=args.repair, restore=args.restore_registry, progress=progress)
    for place, count in checked.unchecked.items():
        console.say(f"{count} artifacts are kept in {place}, which is not checked")
    for note in checked.notes:
        console.complain(note)
    if args.json:
        console.out(_as_json(checked))
    else:
        _show(checked)
    problems = checked.open_problems
    console.say(f"{checked.runs} runs, {checked.models} models in the registry, {_counted(len(problems))}")
    if any(problem.repairable for problem in problems):
        console.say("some of these can be repaired: ciplug fsck --repair")
    if checked.kept:
        console.say("if these entries are genuine, put them back: ciplug fsck --restore-registry")
    return 3 if problems else 0


def _show(checked: Checked) -> None:
    for words in checked.restored:
        console.out(f"restored: {words}")
    for words in checked.kept:
        console.out(f"lost: {words}")
    for problem in checked.problems:
        console.out(f"{'repaired' if problem.repaired else 'problem'}: {problem.where}: {problem.what}")


def _as_json(checked: Checked) -> bytes:
    problems = [problem._asdict() for problem in checked.problems]
    entries = {"lost_entries": list(checked.kept), "restored_entries": list(checked.restored)}
    return dumps({"schema": 1, "runs": checked.runs, "problems": problems, **entries})


def _counted(problems: int) -> str:
    return f"{problems} problem{'s' if problems > 1 else ''}" if problems else "no problem"
