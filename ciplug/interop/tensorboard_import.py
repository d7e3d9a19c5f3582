"""TensorBoard's event files: a folder with some is a run, with those below it, as `train/` and `validation/` are."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ciplug.capture.event_files import entries_of_events, is_event_file, prefixes
from ciplug.capture.tables.source import Source as File
from ciplug.errors import CiplugError, InputError, UsageError
from ciplug.interop.import_runs import Candidate, Importer, Taken, each_once
from ciplug.interop.source_files import files_below, unreadable
from ciplug.interop.source_run import Log, SourceRun, goes_on, stable_id, unix_seconds
from ciplug.records.canonical import digest

SYSTEM = "tensorboard"
_PARTS = frozenset(("train", "training", "validation", "valid", "val", "eval", "evaluation", "test"))
"""Names of folders that are the parts of one run."""
_HEADER = struct.Struct("<QI")
_FIRST_MOST = 1024


class EventFolder:
    """A folder of event files, or one of them."""

    def __init__(self, importer: Importer, path: Path) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint="name the folder that the training has logged to")
        self._importer, self._path = importer, path

    def runs(self) -> Iterator[Candidate | CiplugError]:
        return each_once(self._found())

    def _found(self) -> Iterator[Candidate | CiplugError]:
        is_other = self._path.is_file() and not is_event_file(self._path.name)
        found = [] if is_other else list(files_below(self._path, is_event_file))
        files = [one for one in found if isinstance(one, Path)]
        yield from (one for one in found if isinstance(one, InputError))
        if not found:
            yield InputError(f"{self._path}: no event file in it", hint="its files are called events.out.tfevents.…")
        for folder, own in _by_run(self._path, files).items():
            try:
                yield self._candidate(folder, own)
            except Exception as problem:
                yield unreadable(folder, problem)

    def _candidate(self, folder: Path, files: Sequence[Path]) -> Candidate:
        first = min(files, key=lambda one: (one.name, one))
        # The time in its first record is exact to the microsecond: no two runs have it, and a copy of a run does.
        run_id = stable_id(SYSTEM, first.name, _first_record(first))
        name = folder.relative_to(self._path).as_posix() if folder != self._path else folder.resolve().name
        state = str(sum(one.stat().st_size for one in files))
        return Candidate(run_id, f"run {name}", partial(self._read, run_id, name, files, state), state=state)

    def _read(self, run_id: str, name: str, files: Sequence[Path], state: str) -> Taken:
        log = Log()
        problems: list[InputError] = []
        times: list[float] = []
        before: Mapping[Path, str] = prefixes(files)
        for file in sorted(files, key=lambda one: one.name):
            at = f"{before[file]}/" if before[file] else ""

            def other(tag: str, plugin: str, content: bytes, at: str = at) -> None:
                if plugin != "hparams":
                    log.leave_out(f"{at}{tag}", "list", plugin or "not a scalar")
                elif content:
                    log.params(_hparams(content))

            for entry in entries_of_events(File(file), problems.append, other):
                if (moment := unix_seconds(entry.time)) is not None:
                    times.append(moment)
                for tag, value in entry.values.items():
                    log.metric(tag, value, entry.step, entry.time, below=(before[file],) if at else ())
        for problem in problems:
            log.leave_out(problem.what, "line", problem.message[:100])
        ended = max(times, default=None)
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=log.values(),
            name=name,
            status="unknown",
            started=min(times, default=None),
            ended=ended,
        )
        return self._importer.take(run, state=state, problems=problems, is_unfinished=goes_on(ended))


def _by_run(top: Path, files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Folder of a run → its event files."""
    folders = {one.parent for one in files}
    runs: dict[Path, list[Path]] = {}
    for file in files:
        above = [one for one in (file.parent, *file.parent.parents) if one == top or top in one.parents]
        # The outermost folder with event files of its own, but not the one that all runs are in.
        own = [one for one in above if one in folders and (one != top or len(folders) == 1 or _are_parts(top, folders))]
        folder = own[-1] if own else file.parent
        if folder.name.lower() in _PARTS and folder != top and folder.parent not in folders:
            folder = folder.parent
        runs.setdefault(folder, []).append(file)
    return runs


def _are_parts(top: Path, folders: set[Path]) -> bool:
    """Whether all folders below a folder with event files are parts of its run, or numbered by `add_hparams`."""
    names = {one.relative_to(top).parts[0] for one in folders if one != top}
    return all(name.lower() in _PARTS or name.replace(".", "").isdecimal() for name in names)


def _first_record(file: Path) -> str:
    with file.open("rb") as stream:
        header = stream.read(_HEADER.size)
        length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else 0
        data = stream.read(min(length, _FIRST_MOST))
    if not length or len(data) < min(length, _FIRST_MOST):
        raise InputError(f"{file}: no event in it: it was cut off, or is not an event file")
    return digest(data)


def _hparams(content: bytes) -> dict[str, object]:
    """The parameters of a session of the plugin hparams."""
    from tensorboard.plugins.hparams import plugin_data_pb2

    try:
        start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    except Exception:  # Of protobuf, whose errors have no common class.
        return {}
    kinds = {name: one.WhichOneof("kind") for name, one in start.hparams.items()}
    return {name: getattr(start.hparams[name], kind) for name, kind in sorted(kinds.items()) if kind}
