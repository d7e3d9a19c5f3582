"""ciplug.yaml: what to record, where to keep it, what to compare with. Its policy is read by `gates.policy`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.errors import ConfigError, nearest

FILE = "ciplug.yaml"
POLICY_KEYS = (
    "evaluation",
    "samples",
    "seeds",
    "baseline",
    "defaults",
    "gates",
    "branches",
    "waivers",
    "stages",
    "monitor",
    "policy_tests",
)
"""What `gates.policy` reads."""
SECTION_KEYS = ("extends", "metrics", "params", "artifacts", "datasets", *POLICY_KEYS)
"""What may be said of each model."""
STORE_KEYS = ("store", "artifact_store", "artifact_limit", "keep")
"""What is said once, for all models."""
KEYS = ("version", *STORE_KEYS, "model", "models", *SECTION_KEYS)
_MERGED = {"defaults": 1, "gates": 2, "branches": 2, "stages": 2}
"""Sections that a file shares with the one that it extends, and how deep: the others are replaced."""
EXTENDS_MOST = 8

Place = tuple[str | int, ...]
Reader = Callable[[str], str]
"""Text of the file of this path, as `extends` or the command line names it. Raises ConfigError."""


@dataclass(frozen=True)
class Keep:
    """What is kept beside what is protected: a run that either rule keeps is kept. None: no such rule."""

    last: int | None = None
    """So many runs of each model, by the order in which the store accepted them."""
    days: float | None = None
    """Runs that ended in so many days."""

    def __str__(self) -> str:
        rules = [f"last {self.last}"] if self.last is not None else []
        return ", ".join(rules + ([f"{self.days:g} days"] if self.days is not None else []))


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The file of the examples, and which of its columns is what."""

    file: str
    """Relative to the folder of the configuration."""
    format: str | None = None
    id: str = "id"
    label: str = "label"
    prediction: str = "prediction"
    cluster: str | None = None
    slices: tuple[str, ...] = ()
    """The columns that gates slice by."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a repository, or of one model of several. Every field has a default: no file is needed."""

    path: Path | None = None
    store: str | None = None
    model: str | None = None
    metrics: tuple[str, ...] = ()
    """Paths relative to the folder of the file, as are the next three."""
    params: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    artifact_store: str | None = None
    """URI of the place for the artifacts' bytes; `none`: only digests are kept. None: the store of the runs."""
    artifact_limit: int | None = None
    """Bytes of the largest artifact that goes to git."""
    keep: Keep | None = None
    """Which runs `ciplug compact` keeps; None: all of them."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """The keys of POLICY_KEYS, as they stand, with what is inherited."""
    places: Mapping[Place, str] = field(default_factory=dict)
    """Where each key of the policy stands: `ciplug.yaml:7`."""
    base: Config | None = None
    """What this one extends."""
    models: Mapping[str, Config] = field(default_factory=dict)
    """Of a file of several models, each one's settings; then only `store` is said here."""

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path else Path.cwd()

    @property
    def samples(self) -> Samples | None:
        """What is recorded of each example. Raises ConfigError where it is no file that is named."""
        said = self.policy.get("samples")
        if said is None:
            return None
        given = {"file": said} if isinstance(said, str) else said
        names = ("file", "format", "id", "label", "prediction", "cluster")
        if (
            not isinstance(given, dict)
            or not given.get("file")
            or not all(key in names and isinstance(value, str) for key, value in given.items())
        ):
            raise ConfigError(f"{self.where('samples')}: samples: a file is expected, like {{file: predictions.jsonl}}")
        gates = self.policy.get("gates") or {}
        parts = [gate.get("slices") for gate in gates.values() if isinstance(gate, dict)]
        by = [part.get("by") for part in parts if isinstance(part, dict)]
        columns = [column for names in by for column in ([names] if isinstance(names, str) else names or ())]
        return Samples(**given, slices=tuple(dict.fromkeys(map(str, columns))))

    def of(self, model: str | None) -> Config:
        """The settings of a model. Raises ConfigError where it is not clear which of several is meant."""
        if not self.models:
            return self
        if model is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        names = ", ".join(self.models)
        if model is None:
            raise ConfigError(f"{self.path or FILE} has several models", hint=f"name one with --model: {names}")
        if model not in self.models:
            raise ConfigError(f"{self.path or FILE} has no model '{model}'", hint=f"it has: {names}")
        return self.models[model]

    def where(self, *keys: str | int) -> str:
        """`ciplug.yaml:7` of the nearest key that stands in the file."""
        path: Place = keys
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, f"{self.path or FILE}:1")


def parse_size(text: str) -> int | None:
    """Bytes of `10 MB`, `512 kB`, `1.5 GiB` or `1000`; None for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text, re.IGNORECASE)
    if not found or (found[3] and not found[2]):
        return None
    power = " kmgt".index(found[2].lower() or " ")
    base = 1024 if found[3] else 1000
    return round(float(found[1]) * float(base**power))


def find(start: Path, top: Path | None) -> Path | None:
    """The nearest ciplug.yaml from `start` upwards, not beyond `top` (the repository's)."""
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if top is None or folder == top:
            return None
    return None


def load(path: Path) -> Config:
    """Read a configuration file, and what it extends. Raises ConfigError naming file, line and key."""
    return parse(_text(path), path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", hint="name another with --config") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}") from None


def parse(text: str, path: Path, read: Reader | None = None) -> Config:
    """Like `load`, of a text that is in hand.

    Args:
        read: reads the files that it extends, by their path; from disk if None.
    """
    return _parse(text, path, read or (lambda name: _text(Path(name))), ())


def _parse(text: str, path: Path, read: Reader, within: Sequence[str]) -> Config:
    from ciplug.strict_yaml import load as load_yaml

    document = load_yaml(text, str(path), ConfigError)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a mapping of keys is expected, like 'metrics: metrics.json'")
    file = _File(path, data, document.lines, read, (*within, posixpath.normpath(path.as_posix())))
    file.known(data, (), KEYS)
    version = data.get("version", 1)
    if version != 1 or isinstance(version, bool):
        raise file.fail(("version",), f"{version!r} is no version that this ciplug reads", "write 'version: 1'")
    if "models" not in data:
        return file.section(data, ())
    if strays := [key for key in data if key not in ("version", *STORE_KEYS, "models")]:
        raise file.fail((strays[0],), "beside 'models:' it is said of no model", "put it into each model's part")
    models = data["models"]
    if not isinstance(models, dict) or not models:
        raise file.fail(("models",), "a mapping of each model's name to its part is expected")
    sections = {}
    for name, part in models.items():
        if not isinstance(part, dict):
            raise file.fail(("models", name), "a mapping is expected, like {metrics: metrics.json}")
        file.known(part, ("models", name), SECTION_KEYS)
        sections[name] = file.section({**part, "model": name}, ("models", name))
    return Config(
        path=path,
        store=file.text_of(data, (), "store"),
        artifact_store=file.text_of(data, (), "artifact_store"),
        artifact_limit=file.bytes_of("artifact_limit"),
        keep=file.kept(),
        models=sections,
    )


@dataclass(frozen=True)
class _File:
    path: Path
    data: Mapping[str, Any]
    lines: Mapping[Place, int]
    read: Reader
    within: Sequence[str]
    """This file, and before it those that extend it."""

    def place(self, at: Place) -> str:
        while at and at not in self.lines:
            at = at[:-1]
        return f"{self.path}:{self.lines.get(at, 1)}"

    def fail(self, at: Place, words: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self.place(at)}: {'.'.join(map(str, at))}: {words}", hint=hint)

    def known(self, data: Mapping[str, Any], at: Place, keys: Sequence[str]) -> None:
        for key in data:
            if key not in keys:
                raise self.fail((*at, key), "unknown key", nearest(key, keys))

    def text_of(self, data: Mapping[str, Any], at: Place, key: str) -> str | None:
        value = data.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self.fail((*at, key), f"text is expected, not {value!r}")
        return value

    def bytes_of(self, key: str) -> int | None:
        value = self.data.get(key)
        if value is None:
            return None
        size = None if isinstance(value, bool) else parse_size(str(value))
        if size is None:
            hint = "write it like '10 MB', 'kB', 'MB', 'GB' or bytes"
            raise self.fail((key,), f"a size is expected, not {value!r}", hint)
        return size

    def kept(self) -> Keep | None:
        """The rules of `keep`, which are the whole store's."""
        rules = self.data.get("keep")
        if rules is None:
            return None
        if not isinstance(rules, dict) or not rules:
            raise self.fail(("keep",), "rules are expected", "like 'keep: {last: 1000, days: 365}'")
        self.known(rules, ("keep",), ("last", "days"))

        def number(name: str, least: float) -> Any:
            value = rules.get(name)
            if value is None:
                return None
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
                raise self.fail(("keep", name), f"a number from {least:g} up is expected")
            return value

        last = number("last", 1)
        if last is not None and last != int(last):
            raise self.fail(("keep",), "last: a whole number is expected")
        return Keep(last=None if last is None else int(last), days=number("days", 0))

    def section(self, data: Mapping[str, Any], at: Place) -> Config:
        """The settings that `data`, which stands at `at`, says of one model."""

        def paths(key: str) -> tuple[str, ...] | None:
            value = data.get(key)
            values = [] if value is None else value if isinstance(value, list) else [value]
            if not all(isinstance(v, str) and v.strip() for v in values):
                raise self.fail((*at, key), "a path or a list of paths is expected")
            return tuple(values) if key in data else None

        for key in ("defaults", "gates", "branches", "stages", "monitor", "seeds"):
            if data.get(key) is not None and not isinstance(data[key], dict):
                raise self.fail((*at, key), "a mapping is expected")
        if "gates" in data and not data["gates"]:
            hint = "add a gate, like 'accuracy: {min: 0.9}', or take it out"
            raise self.fail((*at, "gates"), "empty, so nothing would be judged", hint)
        base = self.extended(data, at)
        inherited = base or Config()
        policy, places = dict(inherited.policy), dict(inherited.places)
        for key in POLICY_KEYS:
            if data.get(key) is not None:
                self.lay(policy, places, data[key], (key,), at, _MERGED.get(key, 0))

        def own(found: tuple[str, ...] | None, other: tuple[str, ...]) -> tuple[str, ...]:
            return other if found is None else found

        return Config(
            path=self.path,
            store=self.text_of(data, at, "store") or inherited.store,
            artifact_store=self.text_of(data, at, "artifact_store"),
            artifact_limit=self.bytes_of("artifact_limit") if not at else None,
            keep=self.kept() if not at else None,
            model=self.text_of(data, at, "model") or inherited.model,
            metrics=own(paths("metrics"), inherited.metrics),
            params=own(paths("params"), inherited.params),
            artifacts=own(paths("artifacts"), inherited.artifacts),
            # What metrics are measured on is known by its digest.
            datasets=tuple(dict.fromkeys((*own(paths("datasets"), inherited.datasets), *(paths("evaluation") or ())))),
            policy=policy,
            places=places,
            base=base,
        )

    def lay(
        self, policy: dict[str, Any], places: dict[Place, str], value: Any, path: Place, at: Place, depth: int
    ) -> None:
        """Lay a value over what is inherited: mappings are merged to `depth`, all else is replaced."""
        *way, last = path
        under = policy
        for step in way:
            under = under[str(step)]
        if depth and isinstance(value, dict) and isinstance(under.get(str(last)), dict):
            under[str(last)] = dict(under[str(last)])
            for key, inner in value.items():
                self.lay(policy, places, inner, (*path, key), at, depth - 1)
        else:
            under[str(last)] = value
            for old in [p for p in places if p[: len(path)] == path]:
                del places[old]
        whole = (*at, *path)
        for line, number in self.lines.items():
            if line[: len(whole)] == whole:
                places[line[len(at) :]] = f"{self.path}:{number}"

    def extended(self, data: Mapping[str, Any], at: Place) -> Config | None:
        """The settings of the file that this one extends."""
        name = self.text_of(data, at, "extends")
        if name is None:
            return None
        path = posixpath.normpath(posixpath.join(self.path.parent.as_posix(), name))
        if path in self.within:
            raise self.fail((*at, "extends"), f"{name} extends this file in turn")
        if len(self.within) > EXTENDS_MOST:
            raise self.fail((*at, "extends"), f"more than {EXTENDS_MOST} files extend one another")
        try:
            text = self.read(path)
        except ConfigError as problem:
            raise self.fail((*at, "extends"), problem.message) from None
        base = _parse(text, Path(path), self.read, self.within)
        if base.models:
            raise self.fail((*at, "extends"), f"{name} is of several models, and only one can be extended")
        return base
