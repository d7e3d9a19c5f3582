"""Fetch the artifacts of a run, each verified by its digest."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciplug import console
from ciplug.capture.files import digest_file
from ciplug.commands import options
from ciplug.commands.output import make_folder
from ciplug.errors import NotFound, RecordError, StoreError, UsageError
from ciplug.records.run import File, Run
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Version
from ciplug.registry.resolve import VersionName, find_version, parse_version_name
from ciplug.registry.state import read_model
from ciplug.reports import text
from ciplug.steps import placing
from ciplug.steps.select import candidates, resolve_commit
from ciplug.steps.session import Session
from ciplug.stores.files import hex_of

_MANIFEST_MOST = 256 * 1024 * 1024
_NAMED_MOST = 20


@dataclass(frozen=True)
class _Item:
    """One file to write."""

    artifact: File
    digest: str
    parts: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id or its beginning, a commit, MODEL@STAGE or MODEL@vN")
    parser.add_argument("path", metavar="PATH", nargs="*", help="artifacts, or files in them (default: all)")
    parser.add_argument("--model", metavar="M", help="which model's run of a commit (default: that of ciplug.yaml)")
    parser.add_argument("--to", metavar="DIR", default=".", help="the folder to write into (default: this one)")
    parser.add_argument("--force", action="store_true", help="overwrite files that differ")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    folder = Path(args.to)
    placing.check_folder(folder)
    found = _run_named(session, args.run, args.model)
    if args.model and found.model != args.model:
        raise UsageError(f"run {found.id} is of the model '{text.clean(found.model, 120)}', not '{args.model}'")
    paths = [os.path.normpath(path).replace(os.sep, "/") if "://" not in path else path for path in args.path]
    paths = [] if "." in paths else paths
    artifacts, lacking = _chosen(found, paths)
    make_folder("--to", folder)
    with placing.coming(folder) as coming:
        items = _items(session, artifacts, paths, coming)
        wanted = _wanted(folder, items, force=args.force)
        if wanted:
            whole = not paths or all(artifact.path in paths for artifact in artifacts)
            total = sum(artifact.size for artifact in artifacts) if whole and len(wanted) == len(items) else None
            with console.transfer("files fetched", len({item.digest for item in wanted}), total) as tell:
                _fetch(session, [(i.artifact, i.digest, i.artifact.size) for i in wanted], coming, tell)
            placing.place(folder, {item.parts: item.digest for item in wanted}, coming)
    for item in items:
        console.out(str(folder.joinpath(*item.parts)))
    if len(wanted) < len(items):
        console.say(f"{len(items) - len(wanted)} of {len(items)} files were there already")
    return UsageError.exit_code if lacking else 0


def _run_named(session: Session, name: str, model: str | None) -> Run:
    """The run that a user means; of a commit that several models ran on, that of `model`, or of ciplug.yaml's."""
    runs = options.runs_of(session)
    if named := parse_version_name(name):
        version = _version(session, named)
        found = runs.at(version.commit, version.run)
        if version.files != {file.path: file.digest for file in found.artifacts}:
            raise StoreError(
                f"run {found.id} names other artifacts than version {version.number} of '{named.model}' "
                "was registered with",
                hint="the registry's entry is part of a chain, the run's record is not: trust neither before a look",
            )
        return found
    try:
        return runs.get(name)
    except NotFound as no_run:
        try:
            commit = resolve_commit(session, name)
        except NotFound:
            raise no_run from None
    of_commit = candidates(session, runs, commit, model)
    if len(of_commit) > 1 and len(session.config.models) < 2:
        own = session.config.of(None).model
        of_commit = [run for run in of_commit if run.model == own] or of_commit
    if len(of_commit) > 1:
        ids = ", ".join(f"{r.id[:12]} ({text.clean(r.model, 40)})" for r in of_commit)
        raise UsageError(f"'{name}' has runs of {len(of_commit)} models", hint=f"name one by --model, or a run: {ids}")
    return of_commit[0]


def _version(session: Session, name: VersionName) -> Version:
    model = read_model(session.log, name.model)
    for note in model.notes:
        console.complain(note)
    return find_version(model, name.selector, Ladder(session.config.ladder_of(name.model)))


def _chosen(found: Run, paths: Sequence[str]) -> tuple[list[File], list[File]]:
    """The artifacts that are asked for and can be had, and those that cannot.

    Raises UsageError, saying what there is, where a path means none, or none can be had.
    """

    def meets(artifact: File, path: str) -> bool:
        if path in (artifact.path, placing.own_place(artifact.path)) or artifact.path.startswith(f"{path}/"):
            return True
        return artifact.kind == "folder" and path.startswith(f"{artifact.path}/")

    if not found.artifacts:
        raise UsageError(f"run {found.id} has no artifact", hint="name one when recording: --artifact model.bin")
    for path in paths:
        if not any(meets(artifact, path) for artifact in found.artifacts):
            raise UsageError(
                f"run {found.id} has no artifact '{path}'",
                hint=_there_is(artifact.path for artifact in found.artifacts),
            )
    chosen = [a for a in found.artifacts if not paths or any(meets(a, path) for path in paths)]
    kept = [a for a in chosen if a.store or "://" in a.path]
    lacking = [a for a in chosen if a not in kept]
    for artifact in lacking:
        console.complain(f"{text.clean(artifact.path, 200)}: only its digest was recorded: {artifact.digest}")
    if not kept:
        raise UsageError(f"run {found.id}: none of the bytes asked for were kept", hint="see: --artifact-store")
    return kept, lacking


def _there_is(names: Iterable[str]) -> str:
    known = [text.clean(name, 200) for name in names]
    more = f", and {len(known) - _NAMED_MOST} more" if len(known) > _NAMED_MOST else ""
    return f"there is: {', '.join(known[:_NAMED_MOST])}{more}"


def _items(session: Session, artifacts: Sequence[File], paths: Sequence[str], coming: Path) -> list[_Item]:
    """What is to be written. Of a folder, the list of its files is fetched first."""
    folders = [artifact for artifact in artifacts if artifact.kind == "folder"]
    _fetch(session, [(a, a.digest, _MANIFEST_MOST) for a in folders], coming, lambda _: None)
    items = []
    for artifact in artifacts:
        place = placing.own_place(artifact.path)
        if artifact.kind != "folder":
            items.append(_Item(artifact, artifact.digest, placing.parts(place)))
            continue
        inside = placing.members((coming / hex_of(artifact.digest)).read_bytes(), artifact.path)
        asked = [p.removeprefix(f"{artifact.path}/") for p in paths if p.startswith(f"{artifact.path}/")]
        whole = not asked or artifact.path in paths
        for path in asked:
            if not any(name == path or name.startswith(f"{path}/") for name in inside):
                raise UsageError(f"{artifact.path} has no file '{path}'", hint=_there_is(inside))
        items += [
            _Item(artifact, digest, placing.parts(name if place == "." else f"{place}/{name}"))
            for name, digest in inside.items()
            if whole or any(name == path or name.startswith(f"{path}/") for path in asked)
        ]
    if twice := placing.clash([item.parts for item in items]):
        raise RecordError(f"two files of the run would be written to {twice}", hint="name one of them")
    return items


def _wanted(folder: Path, items: Sequence[_Item], *, force: bool) -> list[_Item]:
    """What is to be written; files that are there already, and are right, are left out."""
    wanted = []
    differing = []
    for item in items:
        target = placing.below(folder, item.parts)
        if target.is_file() and not target.is_symlink() and digest_file(target) == item.digest:
            continue
        if target.is_dir() and not target.is_symlink():
            raise UsageError(f"{target} is a folder, and a file is to be written there", hint="name another --to")
        if target.exists() or target.is_symlink():
            differing.append(str(target))
        wanted.append(item)
    if differing and not force:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UsageError(
            f"{differing[0]}{more}: there, and not what the run recorded",
            hint="--force overwrites, --to writes elsewhere",
        )
    return wanted


def _fetch(
    session: Session, wanted: Iterable[tuple[File, str, int]], coming: Path, tell: Callable[[int], None]
) -> None:
    """Bring the files of (artifact, digest, most bytes), those of one place together."""
    together: dict[str, dict[str, int]] = {}
    for artifact, digest, most in wanted:
        if artifact.store:
            sizes = together.setdefault(artifact.store, {})
            sizes[digest] = max(most, sizes.get(digest, 0))
        else:
            from ciplug.stores.bucket.files import get_address

            get_address(artifact.path, session.env, digest, coming, tell, most)
    for store, sizes in together.items():
        session.files_at(store).get(sizes, coming, tell, max(sizes.values()))
