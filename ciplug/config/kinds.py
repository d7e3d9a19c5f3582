"""The keys of ciplug.yaml: a dataclass field with a kind, which reads a value and has a form in the JSON schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Protocol

from ciplug.config import values

Path = tuple[str | int, ...]
"""The keys that lead to a value, from the top of the file."""
Schema = dict[str, Any]


class Mistake(NamedTuple):
    """A mistake in the value at `path`."""

    path: Path
    words: str
    hint: str | Unknown | None = None
    about: tuple[Path, ...] = ((),)
    """The places that it concludes from, seen from where `path` begins: where one could not be read, it is dropped. By
    default everything, since what seems to be missing may be a key that is misspelled."""

    def is_known(self, wrong: Collection[Path]) -> bool:
        """Whether none of what it concludes from is wrong. `wrong`: paths that begin where its own does."""
        return not any(_overlap(one, other) for one in self.about for other in wrong)

    def below(self, path: Path) -> Mistake:
        """The mistake seen from further up: `path` leads to where its own paths begin."""
        return self._replace(path=(*path, *self.path), about=tuple((*path, *one) for one in self.about))


def _overlap(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


class Unknown(NamedTuple):
    """A name that does not exist. The nearest one is searched for when the mistake is shown: that takes time."""

    name: str
    names: Collection[str]


Mistakes = list[Mistake]
Define = Callable[[type], Schema]
"""The schema that refers to the definition of a dataclass."""


class Kind(Protocol):
    """The kind of a key's value."""

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        """The value as the dataclass has it. What is wrong is added to `mistakes`, and the result is then of no use."""

    def schema(self, define: Define) -> Schema: ...


@dataclass(frozen=True)
class Scalar:
    """A value of its own, or a list of such."""

    convert: Callable[[Any], Any]
    """Raises ValueError with the reason."""
    form: Schema

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        try:
            return self.convert(value)
        except ValueError as problem:
            mistakes.append(Mistake(path, str(problem)))
            return None

    def schema(self, define: Define) -> Schema:
        return dict(self.form)


@dataclass(frozen=True)
class Table:
    """A mapping with the keys of a dataclass.

    The dataclass may have a method `mistakes`, for what is wrong between its keys: each is a Mistake whose paths begin
    at the table. It is called as well where some keys could not be read, and are as if they were not there. The
    dataclass may have NEEDLESS: keys to remove, and why.
    """

    of: type
    example: str
    short: Callable[[Any], Any] | None = None
    """Takes any value. Returns the dataclass for what may be written in its place, or the mapping to read."""
    short_forms: tuple[Schema, ...] = ()

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        if self.short is not None:
            try:
                value = self.short(value)
            except ValueError as problem:
                mistakes.append(Mistake(path, str(problem)))
                return None
        if isinstance(value, self.of):
            return value
        if not isinstance(value, dict):
            words = f"a mapping is expected, like {self.example}, not {values.shown(value)}"
            mistakes.append(Mistake(path, words))
            return None
        return read_table(self.of, value, path, mistakes)

    def schema(self, define: Define) -> Schema:
        return {"anyOf": [*self.short_forms, define(self.of)]} if self.short_forms else define(self.of)


@dataclass(frozen=True)
class OneKind:
    """A mapping with the keys of one of several dataclasses, which one of its keys chooses."""

    of: type
    """The dataclass that all of them extend."""
    by: str
    """The key that chooses."""
    tables: Mapping[str, Table]

    @property
    def example(self) -> str:
        return next(iter(self.tables.values())).example

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        if not isinstance(value, dict):
            mistakes.append(Mistake(path, f"a mapping is expected, like {self.example}, not {values.shown(value)}"))
            return None
        if value.get(self.by) is None:
            choices = " or ".join(f"'{name}'" for name in self.tables)
            mistakes.append(Mistake((*path, self.by), "this key is missing", f"{self.by}: {choices}"))
            return None
        try:
            chosen = values.one_of(*self.tables)(value[self.by])
        except ValueError as problem:
            mistakes.append(Mistake((*path, self.by), str(problem)))
            return None
        return self.tables[chosen].read(value, path, mistakes)

    def schema(self, define: Define) -> Schema:
        return {"oneOf": [table.schema(define) for table in self.tables.values()]}


@dataclass(frozen=True)
class Named:
    """A mapping of names to tables."""

    of: Table | OneKind
    empty: str | None = None
    """The message if there is no name."""
    name: Callable[[str], str] = str
    """Raises ValueError for a name that cannot be."""
    name_form: Schema | None = None
    """What `name` takes, for the schema."""
    may_be_empty: bool = False
    """Whether a name may stand without a value, for a table of defaults."""

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        if self.empty and (value is None or value == {}):
            mistakes.append(Mistake(path, f"empty: {self.empty}", f"like {{NAME: {self.of.example}}}"))
            return {}
        if not isinstance(value, dict):
            example = f"{{NAME: {self.of.example}}}"
            mistakes.append(Mistake(path, f"a mapping of names is expected, like {example}, not {values.shown(value)}"))
            return {}
        return dict(self._entries(value, path, mistakes))

    def _entries(self, value: Mapping[str, Any], path: Path, mistakes: Mistakes) -> Iterator[tuple[str, Any]]:
        """The names, and of each table what could be read."""
        for name, inner in value.items():
            try:
                self.name(name)
            except ValueError as problem:
                mistakes.append(Mistake((*path, name), str(problem)))
            table = self.of.read({} if inner is None and self.may_be_empty else inner, (*path, name), mistakes)
            if isinstance(table, self.of.of):
                yield name, table

    def schema(self, define: Define) -> Schema:
        inner = self.of.schema(define)
        entry = {"anyOf": [inner, {"type": "null"}]} if self.may_be_empty else inner
        names = {"propertyNames": dict(self.name_form)} if self.name_form else {}
        least = {"minProperties": 1} if self.empty else {}
        return {"type": "object", **names, "additionalProperties": entry, **least}


@dataclass(frozen=True)
class Listed:
    """A list of tables."""

    of: Table
    may_be_one: bool = False
    """Whether a single table may stand without the list."""

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        if self.may_be_one and not isinstance(value, list):
            return (self.of.read(value, path, mistakes),)
        if not isinstance(value, list):
            words = f"a list is expected, like [{self.of.example}], not {values.shown(value)}"
            mistakes.append(Mistake(path, words))
            return ()
        # One that cannot be read keeps its place: mistakes name the others by their numbers.
        return tuple(self.of.read(inner, (*path, number), mistakes) for number, inner in enumerate(value))

    def schema(self, define: Define) -> Schema:
        one = self.of.schema(define)
        several: Schema = {"type": "array", "items": one}
        return {"anyOf": [one, several]} if self.may_be_one else several


@dataclass(frozen=True)
class Later:
    """A kind whose dataclasses are imported once a file has the key: few files do."""

    kind: Callable[[], Kind]

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        return self.kind().read(value, path, mistakes)

    def schema(self, define: Define) -> Schema:
        return self.kind().schema(define)


def key(kind: Kind, default: Any = None, *, nullable: bool = True) -> Any:
    """A field that is a key of the file.

    Args:
        nullable: whether `key:` without a value means the default.
    """
    metadata = {"kind": kind, "nullable": nullable}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def required(kind: Kind) -> Any:
    """A field that is a key that must be there."""
    return field(metadata={"kind": kind, "nullable": True})


def inline(table: type) -> Any:
    """A field whose keys stand beside those of its dataclass."""
    return field(default_factory=table, metadata={"inline": table})


@cache
def keys_of(table: type) -> dict[str, dataclasses.Field[Any]]:
    """Name in the file → field, of a dataclass and of what is inline in it."""
    keys: dict[str, dataclasses.Field[Any]] = {}
    for one in dataclasses.fields(table):
        if "inline" in one.metadata:
            keys |= keys_of(one.metadata["inline"])
        elif "kind" in one.metadata:
            keys[one.name] = one
    return keys


def is_required(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _unknown_keys(table: type, data: Mapping[str, Any], path: Path, mistakes: Mistakes) -> None:
    keys, needless = keys_of(table), getattr(table, "NEEDLESS", {})
    for name in data:
        if name not in keys:
            hint = f"remove it: {needless[name]}" if name in needless else Unknown(name, keys)
            mistakes.append(Mistake((*path, name), "unknown key", hint))


def read_table(table: type, data: Mapping[str, Any], path: Path, mistakes: Mistakes, *, part: bool = False) -> Any:
    """A dataclass from a mapping. None where a key is missing. `part`: the mapping has keys of others, too."""
    before = len(mistakes)
    if not part:
        _unknown_keys(table, data, path, mistakes)
    given = dict(_values(table, data, path, mistakes))
    if missing := [one.name for one in keys_of(table).values() if is_required(one) and one.name not in given]:
        mistakes += [Mistake((*path, name), "this key is missing") for name in missing if data.get(name) is None]
        return None
    result = table(**given)
    if hasattr(result, "mistakes"):
        wrong = {mistake.path for mistake in mistakes[before:]}
        mistakes += [mistake for one in result.mistakes() if (mistake := one.below(path)).is_known(wrong)]
    return result


def _values(table: type, data: Mapping[str, Any], path: Path, mistakes: Mistakes) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass that are given, and have no mistake."""
    for one in dataclasses.fields(table):
        if "inline" in one.metadata:
            yield one.name, read_table(one.metadata["inline"], data, path, mistakes, part=True)
        elif "kind" in one.metadata and one.name in data:
            value, before = data[one.name], len(mistakes)
            if value is None and one.metadata["nullable"]:
                continue
            result = one.metadata["kind"].read(value, (*path, one.name), mistakes)
            # Of a list, mapping or table, what is right is kept: other parts may refer to it.
            if len(mistakes) == before or isinstance(result, (dict, tuple)) or dataclasses.is_dataclass(result):
                yield one.name, result


def one_of(*choices: str) -> Scalar:
    return Scalar(values.one_of(*choices), {"enum": list(choices)})


def list_of(*choices: str) -> Scalar:
    items = {"enum": list(choices)}
    return Scalar(values.list_of(*choices), {"anyOf": [items, {"type": "array", "items": items, "uniqueItems": True}]})


def integer_from(least: int) -> Scalar:
    return Scalar(values.integer_from(least), {"type": "integer", "minimum": least})


_TEXT_FORM: Schema = {"type": "string", "pattern": r"\S"}
_NAMES_FORM: Schema = {
    "anyOf": [_TEXT_FORM, {"type": "array", "items": _TEXT_FORM, "minItems": 1, "uniqueItems": True}]
}
_PATHS_FORM: Schema = {"anyOf": [_TEXT_FORM, {"type": "array", "items": _TEXT_FORM}]}
_AMOUNT_FORM: Schema = {"type": "number", "minimum": 0}
PERCENT_FORM: Schema = {"type": "string", "pattern": r"^\s*\+?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*%\s*$"}

NUMBER = Scalar(values.number, {"type": "number"})
AMOUNT = Scalar(values.amount, _AMOUNT_FORM)
POSITIVE = Scalar(values.positive, {"type": "number", "exclusiveMinimum": 0})
ERROR_RATE = Scalar(values.error_rate, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5})
ALLOWED_LOSS = Scalar(values.allowed_loss, _AMOUNT_FORM)
FRACTION = Scalar(values.fraction, {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, PERCENT_FORM]})
FLAG = Scalar(values.flag, {"type": "boolean"})
TEXT = Scalar(values.text, _TEXT_FORM)
NAMES = Scalar(values.names, _NAMES_FORM)
SELECTION = Scalar(values.selection, {"anyOf": [{"const": "all"}, *_NAMES_FORM["anyOf"]]})
PATHS = Scalar(values.paths, _PATHS_FORM)
DAY = Scalar(values.day, {"type": "string", "format": "date"})
COMMIT = Scalar(values.commit, {"type": "string", "pattern": "^[0-9a-f]{7,64}$"})
SIZE = Scalar(
    values.size,
    {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([kmgtKMGT]i?)?[bB]?\s*$"},
        ]
    },
)
VERSION = Scalar(values.version, {"const": 1})
