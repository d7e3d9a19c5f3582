"""ciplug.yaml: what to record, where to keep it, what to compare with. Its gates are read by `gates.policy`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.errors import ConfigError, nearest

FILE = "ciplug.yaml"
_KEYS = (
    "version",
    "store",
    "model",
    "metrics",
    "params",
    "artifacts",
    "datasets",
    "artifact_store",
    "artifact_limit",
    "baseline",
    "keep",
    "defaults",
    "gates",
)
_POLICY_KEYS = ("defaults", "gates")


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
class Config:
    """The settings of a repository. Every field has a default: ciplug works without a file."""

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
    baseline: str | None = None
    """Name of the branch to compare with; None: the pull request's target, else the default branch."""
    keep: Keep | None = None
    """Which runs `ciplug compact` keeps; None: all of them."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """The sections `gates` and `defaults`, as they stand."""
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path else Path.cwd()

    def where(self, *keys: str | int) -> str:
        """`ciplug.yaml:7` of the nearest key that stands in the file."""
        path: tuple[str | int, ...] = keys
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path or FILE}:{self.lines.get(path, 1)}"


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
    """Read a configuration file. Raises ConfigError naming file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", hint="name another with --config") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: cannot be read: {problem}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """Like `load`, of a text that is in hand."""
    from ciplug.strict_yaml import load as load_yaml

    document = load_yaml(text, str(path), ConfigError)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a mapping of keys is expected, like 'metrics: metrics.json'")

    def fail(key: str, words: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{path}:{document.line((key,))}: {key}: {words}", hint=hint)

    for key in data:
        if key not in _KEYS:
            raise fail(key, "unknown key", nearest(key, _KEYS))
    version = data.get("version", 1)
    if version != 1 or isinstance(version, bool):
        raise fail("version", f"{version!r} is no version that this ciplug reads", "write 'version: 1'")

    def text_of(key: str) -> str | None:
        value = data.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise fail(key, f"text is expected, not {value!r}")
        return value

    def paths(key: str) -> tuple[str, ...]:
        value = data.get(key)
        values = [] if value is None else value if isinstance(value, list) else [value]
        if not all(isinstance(v, str) and v.strip() for v in values):
            raise fail(key, "a path or a list of paths is expected")
        return tuple(values)

    def bytes_of(key: str) -> int | None:
        value = data.get(key)
        if value is None:
            return None
        size = None if isinstance(value, bool) else parse_size(str(value))
        if size is None:
            raise fail(key, f"a size is expected, not {value!r}", "write it like '10 MB', 'kB', 'MB', 'GB' or bytes")
        return size

    def number(key: str, name: str, least: float) -> Any:
        value = data[key].get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
            raise ConfigError(
                f"{path}:{document.line((key, name))}: {key}.{name}: a number from {least:g} up is expected"
            )
        return value

    def kept() -> Keep | None:
        if data.get("keep") is None:
            return None
        rules = data["keep"]
        if not isinstance(rules, dict) or not rules:
            raise fail("keep", "rules are expected", "like 'keep: {last: 1000, days: 365}'")
        for name in rules:
            if name not in ("last", "days"):
                where = f"{path}:{document.line(('keep', name))}"
                raise ConfigError(f"{where}: keep.{name}: unknown key", hint=nearest(str(name), ("last", "days")))
        last = number("keep", "last", 1)
        if last is not None and last != int(last):
            raise fail("keep", "last: a whole number is expected")
        return Keep(last=None if last is None else int(last), days=number("keep", "days", 0))

    for key in _POLICY_KEYS:
        if data.get(key) is not None and not isinstance(data[key], dict):
            raise fail(key, "a mapping is expected")
    if "gates" in data and not data["gates"]:
        raise fail(
            "gates", "empty, so nothing would be judged", "add a gate, like 'accuracy: {min: 0.9}', or take it out"
        )
    return Config(
        path=path,
        store=text_of("store"),
        model=text_of("model"),
        metrics=paths("metrics"),
        params=paths("params"),
        artifacts=paths("artifacts"),
        datasets=paths("datasets"),
        artifact_store=text_of("artifact_store"),
        artifact_limit=bytes_of("artifact_limit"),
        baseline=text_of("baseline"),
        keep=kept(),
        policy={key: data[key] for key in _POLICY_KEYS if data.get(key) is not None},
        lines=document.lines,
    )
