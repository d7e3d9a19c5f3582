"""Runs in a folder of JSON files: a run a file, a list or lines of them, or a folder a run.

docs/coming-from.md has the shapes. Anything else is refused with the path, and the rest is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from ciplug.capture.metric_files import read_metrics
from ciplug.capture.param_files import read_params
from ciplug.capture.tables.json_text import JsonLines, parse_document
from ciplug.capture.tables.source import Source as File
from ciplug.errors import CiplugError, InputError, UsageError, listed
from ciplug.interop.import_runs import Candidate, Importer, Taken, each_once
from ciplug.interop.source_files import files_below, is_inside, root_of, unreadable
from ciplug.interop.source_run import Log, SourceRun, Values, context_of, full_commit, stable_id, unix_seconds
from ciplug.records.canonical import digest, dumps
from ciplug.records.last_point import last_of
from ciplug.records.run import Status, is_model_name

SYSTEM = "json"
_Value = TypeVar("_Value")
_Wrong = Callable[..., InputError]
"""`File.wrong`, with the place of a run in the file."""
_RUN_FIELDS = {
    *("id", "name", "model", "commit", "branch", "status", "started", "ended", "actor", "parent"),
    *("params", "metrics", "history", "tags", "artifacts"),
}
_OF_A_RECORD = {"last", "left_out", "datasets", "inputs", "model_inputs", "outputs", "provenance", "monitor", "schema"}
"""Further fields of the record of a run, as `ciplug runs show --json` prints it: they are not read."""
_SHAPE = '{"metrics": {"accuracy": 0.93}, "params": {"depth": 6}, "started": "2026-01-31T12:00:00Z"}'
_TIME_HINT = "ISO 8601, or Unix seconds"
_STEPS = ("step", "epoch", "iteration")
_TIMES = ("time", "timestamp")
_ENDINGS = (".json", ".jsonl", ".ndjson")
_METRICS, _PARAMS, _RUN = "metrics.json", ("params.json", "config.json"), "run.json"


class JsonFolder:
    """A folder of JSON files, or one file."""

    def __init__(self, importer: Importer, path: Path) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint="name a folder of JSON files, or one of them")
        self._importer, self._path = importer, path
        self._root = root_of(path)

    def runs(self) -> Iterator[Candidate | CiplugError]:
        return each_once(self._found())

    def _found(self) -> Iterator[Candidate | CiplugError]:
        if self._path.is_file():
            yield from self._in_file(self._path)
            return
        found = list(files_below(self._path, lambda name: Path(name).suffix.lower() in _ENDINGS))
        files = [one for one in found if isinstance(one, Path)]
        folders = {one.parent for one in files if one.name == _METRICS}
        if not found:
            yield InputError(f"{self._path}: no JSON file in it", hint=f"a file has a run: {_SHAPE}")
        for file in found:
            if isinstance(file, InputError):
                yield file
            elif file.name == _METRICS:
                yield self._of_folder(file.parent)
            elif file.parent not in folders:
                yield from self._in_file(file)
            elif file.name not in (*_PARAMS, _RUN) and any(isinstance(one, Candidate) for one in self._in_file(file)):
                what = f"a run beside {_METRICS}, which makes a run of the whole folder"
                yield InputError(f"{file}: {what}", hint="move one of them to a folder of its own")

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._path).as_posix() if path != self._path else path.name

    # A folder is a run

    def _of_folder(self, folder: Path) -> Candidate | CiplugError:
        files = [one for name in (_METRICS, *_PARAMS, _RUN) if (one := folder / name).is_file()]
        if other := next((one for one in files if not is_inside(one, (self._root,))), None):
            return InputError(f"{folder}: {other.name} is a symbolic link that leads out of {self._root}")
        try:
            facts = _object(File(folder / _RUN)) if folder / _RUN in files else {}
            content = digest(b"\0".join(one.read_bytes() for one in files))
            _check(facts, File(folder / _RUN).wrong, is_whole=False)
        except Exception as problem:
            return unreadable(folder, problem)
        return self._candidate(
            facts, folder, f"{self._shown(folder)}/", content, partial(self._read_folder, facts, folder, files)
        )

    def _read_folder(self, facts: Mapping[str, Any], folder: Path, files: Sequence[Path]) -> Values:
        read = read_metrics(folder / _METRICS, f"{self._shown(folder)}/{_METRICS}")
        params: dict[str, Any] = {}
        left = list(read.left_out)
        for file in files:
            if file.name in _PARAMS:
                values, refused = read_params(file)
                params |= values
                left += refused
        own = _values(facts, File(folder / _RUN).wrong) if facts else Values()
        return Values(
            metrics={**own.metrics, **read.values},
            last={**own.last, **{name: point for name, one in read.series.items() if (point := last_of(one))}},
            series={**own.series, **read.series},
            params={**own.params, **params},
            tags={**read.texts, **own.tags},
            left_out=(*own.left_out, *left),
        )

    # A file has runs

    def _in_file(self, path: Path) -> Iterator[Candidate | CiplugError]:
        source = File(path)
        shown = self._shown(path)
        broken: list[InputError] = []
        is_empty = True
        try:
            for number, facts, line in _objects(source, broken):
                is_empty = False
                name = shown if number is None else f"{shown}:{line or f'run {number}'}"
                wrong = partial(source.wrong, line=line, row=number)
                try:
                    _check(facts, wrong)
                except InputError as problem:
                    yield problem
                    continue
                content = digest(dumps(facts))
                yield self._candidate(facts, path.parent, name, content, partial(_values, facts, wrong))
        except Exception as problem:
            yield unreadable(path, problem)
            is_empty = False
        if is_empty and not broken:
            yield source.wrong("no run in it", hint=f"a run is {_SHAPE}")
        yield from broken

    def _candidate(
        self, facts: Mapping[str, Any], folder: Path, name: str, content: str, values: Callable[[], Values]
    ) -> Candidate:
        stated = facts.get("id")
        # A file that states no id is what it holds, at its place.
        run_id = _run_id(str(stated)) if stated is not None else stable_id(SYSTEM, name, content)
        state = content if stated is not None else None
        return Candidate(run_id, name, partial(self._read, run_id, facts, folder, name, state, values), state=state)

    def _read(
        self,
        run_id: str,
        facts: Mapping[str, Any],
        folder: Path,
        name: str,
        state: str | None,
        values: Callable[[], Values],
    ) -> Taken:
        found = values()
        own = {f"{SYSTEM}.file": name}
        commit = full_commit(facts.get("commit"))
        if facts.get("commit") and commit is None:
            own[f"{SYSTEM}.commit"] = str(facts["commit"])
        if facts.get("id") is not None:
            own[f"{SYSTEM}.run_id"] = str(facts["id"])
        parent = facts.get("parent")
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=replace(found, tags={**found.tags, **own}),
            name=_text(facts.get("name")),
            model=_text(facts.get("model")),
            status=facts.get("status", "finished"),
            started=unix_seconds(facts.get("started")),
            ended=unix_seconds(facts.get("ended")),
            commit=commit,
            parent=_run_id(str(parent)) if parent is not None else None,
            provenance=context_of(actor=_text(facts.get("actor")), branch=_text(facts.get("branch"))),
        )
        files = {str(one): folder / str(one) for one in facts.get("artifacts") or () if isinstance(one, str)}
        return self._importer.take(run, files, within=(self._root,), state=state)


def _objects(source: File, broken: list[InputError]) -> Iterator[tuple[int | None, dict[str, Any], int | None]]:
    """The number, content and line of each run of a file; no number where it is the only one.

    Args:
        broken: takes the errors of lines that cannot be read.
    """
    if source.extension in (".jsonl", ".ndjson"):
        for row in JsonLines(source, broken.append).rows():
            yield row.number, dict(row.values), row.line
        return
    document = parse_document(source)
    if isinstance(document, list):
        for number, one in enumerate(document, 1):
            yield number, one, None
    else:
        yield None, document, None


def _object(source: File) -> dict[str, Any]:
    document = parse_document(source)
    if not isinstance(document, dict):
        raise source.wrong("an object is expected", hint=_SHAPE)
    return document


def _check(facts: Any, wrong: _Wrong, *, is_whole: bool = True) -> None:
    """Raise InputError for what is not a run.

    Args:
        wrong: makes the error, with the place of the run.
        is_whole: False: its metrics are in another file.
    """
    if not isinstance(facts, dict):
        raise wrong("a run is an object", hint=_SHAPE)
    if is_whole and "metrics" not in facts and "history" not in facts:
        names = listed([repr(str(name)[:40]) for name in facts]) or "nothing"
        raise wrong(f"not a run: no 'metrics' among {names}", hint=f"a run is {_SHAPE}")
    if unknown := [str(name) for name in facts if name not in _RUN_FIELDS | _OF_A_RECORD]:
        hint = f"the fields of a run are {listed(sorted(_RUN_FIELDS), most=20)}"
        raise wrong("unknown field of a run", column=unknown[0], hint=hint)
    for name, kind, words in (
        ("params", dict, "an object"),
        ("metrics", dict, "an object"),
        ("tags", dict, "an object"),
        ("history", list, "a list of objects"),
        ("artifacts", list, "a list of paths"),
    ):
        if not isinstance(facts.get(name, kind()), kind):
            raise wrong(f"{words} is expected", column=name, hint=_SHAPE)
    if facts.get("status", "finished") not in get_args(Status):
        raise wrong(f"{facts['status']!r:.60} is not one of {', '.join(get_args(Status))}", column="status")
    if (model := facts.get("model")) is not None and not (isinstance(model, str) and is_model_name(model)):
        raise wrong(f"{model!r:.60} cannot be the name of a model", column="model")
    for name in ("id", "parent"):
        if isinstance(facts.get(name), (dict, list, bool)):
            raise wrong(f"{facts[name]!r:.60} is not an id", column=name, hint="a text, or a whole number")
    for one in facts.get("artifacts", ()):
        if not (isinstance(one, str) or _is_file_of_a_record(one)):
            raise wrong(f"{one!r:.60} is not a path", column="artifacts")
    for name in ("started", "ended"):
        if facts.get(name) is not None and unix_seconds(facts[name]) is None:
            raise wrong(f"{facts[name]!r:.60} is not a time", column=name, hint=_TIME_HINT)


def _values(facts: Mapping[str, Any], wrong: _Wrong) -> Values:
    """The values of a run. What is stated as the value of a metric counts, and `history` has its steps."""
    log, stated = Log(), Log()
    log.params(facts.get("params") or {})
    for name, value in (facts.get("tags") or {}).items():
        log.tag(str(name), value)
    for one in facts.get("artifacts") or ():
        if _is_file_of_a_record(one):
            log.leave_out(one["path"], "output", "its content is where the run was recorded")
    _history(log, facts.get("history") or (), wrong)
    for name, value in (facts.get("metrics") or {}).items():
        if isinstance(value, list) and value:
            _points(log, str(name), value, wrong)
        else:
            stated.metric(str(name), value)
    logged, only = log.values(), stated.values()
    # What is stated and no number leaves nothing to count: the history does not take its place.
    refused = {one.name for one in only.left_out if one.why != "null"}
    return replace(
        logged,
        metrics={**_without(logged.metrics, refused), **only.metrics},
        last={**only.last, **_without(logged.last, refused)},
        series=_without(logged.series, refused),
        left_out=(*logged.left_out, *(one for one in only.left_out if one not in logged.left_out)),
    )


def _is_file_of_a_record(value: Any) -> bool:
    """Whether it is an artifact as `ciplug runs show --json` prints it."""
    return isinstance(value, dict) and isinstance(value.get("path"), str) and "digest" in value


def _without(values: Mapping[str, _Value], names: Set[str]) -> dict[str, _Value]:
    return {name: value for name, value in values.items() if name not in names}


def _points(log: Log, name: str, values: Sequence[Any], wrong: _Wrong) -> None:
    """A list of numbers by steps, or of {"step", "value", "time"}."""
    for step, one in enumerate(values):
        if isinstance(one, dict) and "value" in one:
            time = unix_seconds(one.get("time"))
            if time is None and one.get("time") is not None:
                raise wrong(f"{one['time']!r:.60} is not a time", column=name, hint=_TIME_HINT)
            log.metric(name, one["value"], one.get("step", step), time)
        else:
            log.metric(name, one, step)


def _history(log: Log, rows: Sequence[Any], wrong: _Wrong) -> None:
    """Rows of metrics. The other columns that could have the step or the time are metrics like any other."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise wrong(f"row {number} is not an object", column="history")
    steps = _column(rows, _STEPS, _is_whole)
    times = _column(rows, _TIMES, lambda value: unix_seconds(value) is not None)
    for number, row in enumerate(rows):
        step = number if row.get(steps) is None else row[steps]
        time = unix_seconds(row.get(times))
        for name, value in row.items():
            if name not in (steps, times):
                log.metric(str(name), value, step, time)


def _column(rows: Sequence[dict[str, Any]], names: Sequence[str], fits: Callable[[Any], bool]) -> str | None:
    """The first of these columns that has a value, and only values that fit."""
    for name in names:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values and all(map(fits, values)):
            return name
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1


def _run_id(stated: str) -> str:
    """An id of ciplug or MLflow is kept."""
    is_own = len(stated) == 32 and set(stated) <= set("0123456789abcdef")
    return stated if is_own else stable_id(SYSTEM, "id", stated)


def _text(value: object) -> str | None:
    return str(value) if value is not None and str(value).strip() else None
