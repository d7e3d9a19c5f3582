"""What dvc.yaml and dvc.lock say: which files have the metrics, parameters and plots, and the digests of their content.

Pure. A path of a template, such as `metrics/${item}.json`, stands for the outputs in dvc.lock that fit it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from ciplug.interop.dvc_yaml import load
from ciplug.records.canonical import digest, dumps

_TEMPLATE = re.compile(r"\$\{[^}]*\}")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
PARAMS = "params.yaml"


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
    """Path → MD5 of the files that dvc.lock says these stages have read."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path of a file of parameters → name → value, as dvc.lock says these stages have read it."""
    evidence: str = ""
    """Changes whenever a stage with metrics or plots has run; of a dvc.yaml without one, whenever any stage has."""
    problems: tuple[str, ...] = ()
    """What is in dvc.yaml and was not understood."""


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
    reader.top(top)
    for name, stage in _mapping(top.get("stages")).items():
        reader.stage(str(name), _mapping(stage))
    return reader.project()


class _Reader:
    def __init__(self, folder: str, locked: Mapping[str, Any]) -> None:
        self._folder, self._locked = folder, locked
        self._metrics: dict[str, None] = {}
        self._params: dict[str, None] = {}
        self._plots: dict[str, Plot] = {}
        self._artifacts: dict[str, None] = {}
        self._outputs: dict[str, str] = {}
        self._problems: dict[str, None] = {}
        self._measuring: list[Any] = []
        """What dvc.lock has of the stages with metrics or plots."""
        self._read: list[tuple[str, bool, Mapping[str, Any]]] = []
        """The folder of each stage in dvc.lock, whether it has metrics or plots, and what it has there."""

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
        mine = [one for key, one in self._locked.items() if key == name or str(key).startswith(f"{name}@")]
        outputs = [out for one in mine for out in _listed(_mapping(one).get("outs")) if isinstance(out, Mapping)]
        for out in outputs:
            path, md5 = self._path(folder, out.get("path")), str(out.get("md5", ""))
            if path and _MD5.fullmatch(md5):
                self._outputs[path] = md5
        known = [str(out.get("path")) for out in outputs]
        measures = bool(about.get("metrics") or about.get("plots"))
        self._measuring += mine if measures else []
        self._read += [(folder, measures, _mapping(one)) for one in mine]
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

    def _paths(self, listed: object, folder: str, known: Iterable[str] = (), stage: str = "") -> Iterator[str]:
        """The paths of a list whose items are paths, or a path with settings."""
        for one in _listed(listed):
            for plain in one if isinstance(one, Mapping) else [one]:
                for path in self._expanded(plain, known, stage):
                    if found := self._path(folder, path):
                        yield found

    def _expanded(self, path: object, known: Iterable[str], stage: str) -> list[str]:
        text = str(path)
        if not _TEMPLATE.search(text):
            return [text]
        pattern = re.compile(".+".join(map(re.escape, _TEMPLATE.split(text))))
        fitting = [one for one in known if pattern.fullmatch(one)]
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

    def _counted(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The stages with metrics or plots; all of them where none has."""
        some = any(measures for _, measures, _ in self._read)
        yield from ((folder, one) for folder, measures, one in self._read if measures or not some)

    def _dependencies(self) -> dict[str, str]:
        found = {}
        for folder, stage in self._counted():
            for one in map(_mapping, _listed(stage.get("deps"))):
                md5 = str(one.get("md5", ""))
                if _MD5.fullmatch(md5) and not md5.endswith(".dir") and (path := self._path(folder, one.get("path"))):
                    found[path] = md5
        return found

    def _settings(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for folder, stage in self._counted():
            for file, values in _mapping(stage.get("params")).items():
                if path := self._path(folder, file):
                    found.setdefault(path, {}).update(_mapping(values))
        return found

    def project(self) -> Project:
        default = normpath(f"{self._folder}/{PARAMS}") if self._folder else PARAMS
        return Project(
            metrics=tuple(self._metrics),
            params=tuple({**self._params, default: None}),
            plots=tuple(self._plots.values()),
            artifacts=tuple(self._artifacts),
            outputs=self._outputs,
            dependencies=self._dependencies(),
            settings=self._settings(),
            evidence=digest(dumps(self._measuring or self._locked)),
            problems=tuple(self._problems),
        )


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
