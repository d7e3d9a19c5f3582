"""What dvc.yaml and dvc.lock say: which files have the metrics, parameters and plots, and the digests of their content.

Pure. A path of a template, such as `metrics/${item}.json`, stands for the outputs in dvc.lock that fit it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from posixpath import dirname, normpath
from typing import Any, NamedTuple

from ciplug.errors import InputError
from ciplug.interop.dvc_yaml import load
from ciplug.records.canonical import digest, dumps

_TEMPLATE = re.compile(r"\\?\$\{[^{}]*\}")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
PARAMS = "params.yaml"
_COMPARED_MOST = 5_000_000
"""Pairs of a template and an output: a larger file would take minutes."""


@dataclass(frozen=True)
class Plot:
    """A file of numbers, or of an image, that DVC draws."""

    path: str
    x: str | None = None
    """The column of the horizontal axis, if dvc.yaml names it."""


@dataclass(frozen=True)
class Project:
    """The files of a dvc.yaml; all paths are from the top of the repository."""

    metrics: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    artifacts: tuple[str, ...] = ()
    """The paths of the section `artifacts`."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Path → MD5 of an output in dvc.lock; of a folder, it ends with `.dir`."""
    dependencies: Mapping[str, str] = field(default_factory=dict)
    """Path → MD5 of what dvc.lock says these stages, and those before them, have read; empty: it says none."""
    is_other: bool = False
    """Whether dvc.yaml has other commands, dependencies or parameters of these stages than dvc.lock."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path of a file of parameters → name → value, as dvc.lock says these stages have read it."""
    whole: frozenset[str] = frozenset()
    """The files of parameters of which these stages have read all."""
    evidence: str = ""
    """Changes whenever a stage with metrics or plots has run; of a dvc.yaml without one, whenever any stage has."""
    problems: tuple[str, ...] = ()
    """What is in dvc.yaml and was not understood."""


def output_of(project: Project, path: str) -> str | None:
    """Return the MD5 of an output in dvc.lock: the file, or the folder that it is in; None for none."""
    return next((project.outputs[one] for one in _upwards(path) if one in project.outputs), None)


def parse_project(folder: str, dvc_yaml: bytes, lock: bytes | None, where: str) -> Project:
    """Return the files that a dvc.yaml names.

    Args:
        folder: of the dvc.yaml, from the top of the repository; empty: the top.
        lock: the content of the dvc.lock beside it, if there is one.
        where: the commit, for errors.

    Raises InputError for what is not YAML.
    """
    named = f"{folder}/" if folder else ""
    top = _mapping(load(dvc_yaml, f"{where}:{named}dvc.yaml"))
    locked = _mapping(_mapping(load(lock, f"{where}:{named}dvc.lock") if lock else {}).get("stages"))
    reader = _Reader(folder, locked)
    try:
        reader.top(top)
        for name, stage in _mapping(top.get("stages")).items():
            reader.stage(str(name), _mapping(stage))
    except InputError as problem:
        raise InputError(f"{where}:{named}dvc.yaml: {problem.message}") from None
    return reader.project()


class _Stage(NamedTuple):
    """A stage, and what dvc.lock has of it: of a template, an entry for each item."""

    folder: str
    about: Mapping[str, Any]
    locked: Sequence[Mapping[str, Any]]
    measures: bool
    """Whether it has metrics or plots."""
    items: int | None
    """How many entries it should have there; None: a template says it."""


class _Reader:
    def __init__(self, folder: str, locked: Mapping[str, Any]) -> None:
        self._folder, self._locked = folder, locked
        self._entries: dict[str, list[Mapping[str, Any]]] = {}
        """Stage → what dvc.lock has of it."""
        for key, one in locked.items():
            self._entries.setdefault(key.partition("@")[0], []).append(_mapping(one))
        self._compared = 0
        self._metrics: dict[str, None] = {}
        self._params: dict[str, None] = {}
        self._plots: dict[str, Plot] = {}
        self._artifacts: dict[str, None] = {}
        self._outputs: dict[str, str] = {}
        self._problems: dict[str, None] = {}
        self._measuring: list[Any] = []
        """What dvc.lock has of the stages with metrics or plots."""
        self._stages: list[_Stage] = []

    def top(self, document: Mapping[str, Any]) -> None:
        self._metrics.update(dict.fromkeys(self._paths(document.get("metrics"), "")))
        self._params.update(dict.fromkeys(self._paths(document.get("params"), "")))
        for one in _listed(document.get("plots")):
            for name, about in one.items() if isinstance(one, Mapping) else [(one, None)]:
                self._top_plot(str(name), _mapping(about))
        for about in _mapping(document.get("artifacts")).values():
            if path := self._path("", _mapping(about).get("path")):
                self._artifacts[path] = None

    def _top_plot(self, name: str, about: Mapping[str, Any]) -> None:
        """A plot is named by its file, or has any name, and its files and columns under `y`."""
        x, y = about.get("x"), about.get("y")
        files = [str(one) for one in y] if isinstance(y, Mapping) else [name]
        for file in files:
            column = x.get(file) if isinstance(x, Mapping) else x
            self._plot("", file, column)

    def stage(self, name: str, stage: Mapping[str, Any]) -> None:
        about = _mapping(stage["do"]) if "do" in stage else stage
        folder = str(about.get("wdir") or stage.get("wdir") or "")
        if _TEMPLATE.search(folder):
            self._problems[f"the stage '{name}' runs in a folder of a template: {folder}"] = None
            return
        mine = self._entries.get(name, [])
        outputs = [out for one in mine for out in _listed(one.get("outs")) if isinstance(out, Mapping)]
        for out in outputs:
            path, md5 = self._path(folder, out.get("path")), str(out.get("md5", ""))
            if path and _MD5.fullmatch(md5):
                self._outputs[path] = md5
        known = [str(out.get("path")) for out in outputs]
        measures = bool(about.get("metrics") or about.get("plots"))
        self._measuring += mine if measures else []
        self._stages.append(_Stage(folder, about, mine, measures, _items(stage)))
        self._metrics.update(dict.fromkeys(self._paths(about.get("metrics"), folder, known, name)))
        for one in _listed(about.get("params")):
            for file in one if isinstance(one, Mapping) else [PARAMS]:
                if path := self._path(folder, file):
                    self._params[path] = None
        for one in _listed(about.get("plots")):
            for plain, settings in one.items() if isinstance(one, Mapping) else [(one, None)]:
                for path in self._expanded(plain, known, name):
                    self._plot(folder, path, _mapping(settings).get("x"))

    def _plot(self, folder: str, path: object, x: object) -> None:
        if found := self._path(folder, path):
            self._plots[found] = Plot(found, str(x) if x is not None else None)

    def _paths(self, listed: object, folder: str, known: Collection[str] = (), stage: str = "") -> Iterator[str]:
        """The paths of a list whose items are paths, or a path with settings."""
        for one in _listed(listed):
            for plain in one if isinstance(one, Mapping) else [one]:
                for path in self._expanded(plain, known, stage):
                    if found := self._path(folder, path):
                        yield found

    def _expanded(self, path: object, known: Collection[str], stage: str) -> list[str]:
        text = str(path)
        if not _TEMPLATE.search(text):
            return [text]
        self._compared += len(known)
        if self._compared > _COMPARED_MOST:
            raise InputError(f"more than {_COMPARED_MOST:,} outputs to compare with templates")
        fitting = [one for one in known if fits(text, one)]
        if not fitting:
            self._problems[f"the stage '{stage}' has '{text}', and dvc.lock has no output that fits"] = None
        return fitting

    def _path(self, folder: str, path: object) -> str | None:
        """A path from the top of the repository; None for one that is outside, or that git cannot have."""
        if not isinstance(path, str) or not path.strip() or not path.isprintable():
            return None
        whole = normpath("/".join(part for part in (self._folder, folder, path) if part))
        if path.startswith("/") or whole.startswith("..") or "://" in path or whole == ".":
            self._problems[f"'{path}' is not a path in the repository"] = None
            return None
        return whole

    def _counted(self) -> list[_Stage]:
        """The stages with metrics or plots, and those that have written what these have read.

        All of them, where a file of metrics is of no stage: any may have written it.
        """
        made: dict[str, int] = {}
        inside: dict[str, set[int]] = {}
        """Folder → the stages that have written something in it."""
        for number, stage in enumerate(self._stages):
            for path in self._listed(stage, "outs"):
                made[path] = number
                for folder in _upwards(dirname(path)):
                    inside.setdefault(folder, set()).add(number)
        waiting = {number for number, one in enumerate(self._stages) if one.measures}
        if not waiting or not made.keys() >= {*self._metrics, *self._plots}:
            return self._stages
        counted: set[int] = set()
        while waiting:
            number = waiting.pop()
            counted.add(number)
            for path in self._listed(self._stages[number], "deps"):
                makers = {made[one] for one in _upwards(path) if one in made} | inside.get(path, set())
                waiting |= makers - counted
        return [self._stages[number] for number in sorted(counted)]

    def _listed(self, stage: _Stage, kind: str) -> dict[str, str]:
        """Path → MD5 of what dvc.lock says a stage has read or written; empty where it says none."""
        found = {}
        for one in (_mapping(one) for entry in stage.locked for one in _listed(entry.get(kind))):
            md5 = str(one.get("md5", ""))
            if path := self._path(stage.folder, one.get("path")):
                found[path] = md5 if _MD5.fullmatch(md5) else ""
        return found

    def _settings(self, counted: Iterable[_Stage]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for stage in counted:
            for file, values in (item for entry in stage.locked for item in _mapping(entry.get("params")).items()):
                if path := self._path(stage.folder, file):
                    found.setdefault(path, {}).update(_mapping(values))
        return found

    def project(self) -> Project:
        counted = self._counted()
        default = normpath(f"{self._folder}/{PARAMS}") if self._folder else PARAMS
        return Project(
            metrics=tuple(self._metrics),
            params=tuple({**self._params, default: None}),
            plots=tuple(self._plots.values()),
            artifacts=tuple(self._artifacts),
            outputs=self._outputs,
            dependencies={path: md5 for stage in counted for path, md5 in self._listed(stage, "deps").items()},
            is_other=bool(self._locked) and any(map(_is_other, counted)),
            settings=self._settings(counted),
            whole=frozenset(
                path
                for stage in counted
                for file, names in _params(stage.about.get("params")).items()
                if not names and (path := self._path(stage.folder, file))
            ),
            evidence=digest(dumps(self._measuring or self._locked)),
            problems=tuple(self._problems),
        )


def _items(stage: Mapping[str, Any]) -> int | None:
    """How many entries a stage should have in dvc.lock, one for each item of its lists; None: a template says it."""
    if "foreach" in stage:
        return len(stage["foreach"]) if isinstance(stage["foreach"], (list, Mapping)) else None
    axes = _mapping(stage.get("matrix")).values()
    return prod(map(len, axes)) if all(isinstance(one, list) for one in axes) else None


def _is_other(stage: _Stage) -> bool:
    """Whether a stage is not as dvc.lock has it: its commands, or the names of what it reads."""
    if not stage.locked or stage.items not in (None, len(stage.locked)):
        return True
    wanted, files = _names(stage.about.get("deps")), _params(stage.about.get("params"))
    has_template = any(map(_TEMPLATE.search, (*wanted, *files, *(name for names in files.values() for name in names))))
    for entry in stage.locked:
        if not _same_commands(stage.about.get("cmd"), entry.get("cmd")):
            return True
        read = [normpath(str(_mapping(one).get("path"))) for one in _listed(entry.get("deps"))]
        if not _same_names(wanted, read):
            return True
        settings = {str(file): [*_mapping(values)] for file, values in _mapping(entry.get("params")).items()}
        if not has_template and files.keys() != settings.keys():
            return True
        # Without names, all of a file counts.
        if any(
            names and not _same_names(names, settings.get(file, ()))
            for file, names in files.items()
            if not has_template
        ):
            return True
    return False


def _upwards(path: str) -> Iterator[str]:
    """A path, and the folders that it is in."""
    while path:
        yield path
        path = dirname(path)


def _names(listed: object) -> list[str]:
    return [normpath(str(name)) for one in _listed(listed) for name in (one if isinstance(one, Mapping) else [one])]


def _params(listed: object) -> dict[str, list[str]]:
    """File → the names of its parameters."""
    found: dict[str, list[str]] = {}
    for one in _listed(listed):
        for file, names in one.items() if isinstance(one, Mapping) else [(PARAMS, [one])]:
            found.setdefault(str(file), []).extend(map(str, _listed(names)))
    return found


def _same_names(wanted: Sequence[str], read: Sequence[str]) -> bool:
    """Whether each name that is wanted was read, and no other one."""
    plain = {name for name in wanted if not _TEMPLATE.search(name)}
    templates, others = [name for name in wanted if name not in plain], [one for one in read if one not in plain]
    if len(templates) * len(others) > _COMPARED_MOST or not plain <= set(read):
        return False
    return all(any(fits(name, one) for one in read) for name in templates) and all(
        any(fits(name, one) for name in templates) for one in others
    )


def _same_commands(wanted: object, ran: object) -> bool:
    ours, theirs = ([" ".join(str(line).split()) for line in _listed(one)] for one in (wanted, ran))
    return len(ours) == len(theirs) and all(map(fits, ours, theirs))


def fits(template: str, text: str) -> bool:
    """Whether a text is a template with something in the place of each `${…}`."""
    first, *parts = _TEMPLATE.split(template)
    if not parts:
        return template == text
    *middle, last = parts
    if not (text.startswith(first) and text.endswith(last) and len(first) + len(last) <= len(text)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def parse_tracked(data: bytes, where: str) -> str | None:
    """Return the MD5 of the output of a .dvc file; None for one that has none. Raises InputError."""
    outputs = _listed(_mapping(load(data, where)).get("outs"))
    md5 = str(_mapping(outputs[0]).get("md5", "")) if outputs else ""
    return md5 if _MD5.fullmatch(md5) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    """The items of a list; of a mapping, a mapping for each name; of a single value, itself."""
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [{name: one} for name, one in value.items()]
    return [] if value is None else [value]
