"""Reading records back: bytes from a store are input like any other, and are checked as such."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ciplug.errors import NewerRecord, RecordError
from ciplug.records import bounds, canonical
from ciplug.records.canonical import NOT_FINITE
from ciplug.records.decode import Mismatched, decode

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from ciplug.records.amendment import Amendment
    from ciplug.records.registry_event import RegistryEvent
    from ciplug.records.run import Run
    from ciplug.records.verdict import Verdict

T = TypeVar("T")

MAX_DEPTH = 16
_DIGITS_MOST = 300


def run(data: bytes, key: str) -> Run:
    """Return the run from the content of `key`. Raises RecordError naming the key and the field."""
    from ciplug.records.run import Run

    return _record(Run, data, key)


def read_run(data: bytes, key: str) -> Run:
    """Return the run from the content of `key`. Raises RecordError if it is not a run, or does not match its key."""
    from ciplug.records.keys import misplaced
    from ciplug.records.run import METRIC_NAME

    record = run(data, key)
    if wrong := misplaced(key, record.commit, record.id):
        raise RecordError(wrong)
    if odd := [name for name in record.metrics if not METRIC_NAME.fullmatch(name)]:
        raise RecordError(f"{key}: {odd[0][:60]!r} cannot be the name of a metric")
    return record


def amendment(data: bytes, key: str) -> Amendment:
    """Return the amendment from the content of `key`. Raises RecordError if it does not match its key."""
    from ciplug.records.amendment import SCHEMA, parse
    from ciplug.records.keys import amendment_key, parse_amendment

    if parse_amendment(key) is None:
        raise RecordError(f"{key}: not the key of an amendment")
    value = _parse(data, key)
    try:
        made = parse(value)
    except ValueError as problem:
        raise _error(f"{key}: {problem}", value, SCHEMA) from None
    if amendment_key(made, data).key != key:
        raise RecordError(f"{key}: the amendment in it has the key {amendment_key(made, data).key}")
    return made


def verdict(data: bytes, key: str) -> Verdict:
    """Return the verdict from the content of `key`. Raises RecordError naming the key and the field."""
    from ciplug.records.verdict import Verdict

    return _record(Verdict, data, key)


def verdict_on(judged: Run, data: bytes, key: str) -> Verdict:
    """The verdict on a run that the bytes of `key` hold. Raises RecordError for a verdict on another run, or none."""
    made = verdict(data, key)
    if (made.run, made.commit, made.model) != (judged.id, judged.commit, judged.model):
        of = f"the run '{made.run}' of '{made.model}' on commit '{made.commit}'"
        raise RecordError(f"{key}: it holds a verdict on {of}")
    return made


def registry_event(data: bytes, key: str) -> RegistryEvent:
    """Return the registry event from the content of `key`, with its payload unparsed.

    Of an event of a newer schema that differs in shape, what every schema has. Raises RecordError naming the key and
    the field.
    """
    from ciplug.records.registry_event import SCHEMA, RegistryEvent

    try:
        return _canonical(RegistryEvent, data) or _record(RegistryEvent, data, key)
    except RecordError:
        value = _parse(data, key)
        schema = value.get("schema") if isinstance(value, dict) else None
        if not isinstance(schema, int) or schema <= SCHEMA:
            raise
        lasting = ("schema", "seq", "previous", "type", "model")
        return _record(RegistryEvent, canonical.dumps({name: value[name] for name in lasting if name in value}), key)


def payload(kind: type[T], value: Mapping[str, Any], key: str) -> T:
    """Return an event's payload as the dataclass of its type. Raises RecordError naming the key and the field."""
    data = canonical.dumps(value)
    if (made := _sound(kind, value, data)) is not None:
        return made
    from pydantic import ValidationError

    try:
        return _valid(kind, data)
    except ValidationError:
        return _record(kind, data, key)


_SMALL = 100_000
_LONG_NUMBER = re.compile(rb"\d{%d}" % (_DIGITS_MOST + 1))


def _canonical(kind: type[T], data: bytes) -> T | None:
    """The record in bytes that are as we write them, read in a fifth of the time; None for any others.

    They are canonical if writing what they hold gives the same bytes: then no key is there twice.
    """
    if len(data) > _SMALL or _LONG_NUMBER.search(data):
        return None
    try:
        value = json.loads(data)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        if text.encode() + b"\n" != data or deeper_than(value, MAX_DEPTH):
            return None
        return _sound(kind, value, data) or _valid(kind, data)
    except (ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
        return None


_FEW = 200
"""Records that a process reads without pydantic: for more, it is faster."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_read_soundly = 0


def _sound(kind: type[T], value: Any, data: bytes) -> T | None:
    """The record in a value that was read of these bytes, without pydantic; None where only that can tell."""
    global _read_soundly
    if _read_soundly >= _FEW or _SURROGATE.search(data):
        return None
    _read_soundly += 1
    try:
        return decode(kind, value)
    except Mismatched:
        return None


def _valid(kind: type[T], data: bytes) -> T:
    record: T = _adapter(cast(Hashable, kind)).validate_json(data, strict=True)
    return record


class DuplicateKeyError(ValueError):
    """A key occurs twice in one JSON object."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} appears twice in one object")
        self.key = key


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook` for json: a key that stands twice is a DuplicateKeyError, never a silent overwrite."""
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise DuplicateKeyError(name)
        result[name] = value
    return result


def deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and mappings are nested in more than `depth` levels."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


_PROBLEMS_MOST = 50_000
"""Of one record, that are looked at one by one: each takes kilobytes."""


def _record(kind: type[T], data: bytes, key: str) -> T:
    """Validate strictly: no string becomes a number, no number a boolean. Unknown fields are skipped."""
    value = _parse(data, key)
    record: T | None = _sound(kind, value, data)
    if record is not None:
        return record
    record, problems = _validate(kind, value)
    # canonical.plain writes a float that JSON cannot say as a string; only where a float is due is it one.
    words = [p for p in problems if p["type"] == "float_type" and _is_not_finite(p["input"])]
    if words:
        for problem in words:
            *way, last = problem["loc"]
            functools.reduce(lambda at, step: at[step], way, value)[last] = NOT_FINITE[problem["input"]]
        record, problems = _validate(kind, value)
    if record is None:
        field = ".".join(map(str, problems[0]["loc"])) or "the record"
        raise _error(f"{key}: {field}: {problems[0]['msg']}", value, int(getattr(kind, "schema", 0)))
    return record


def _parse(data: bytes, key: str) -> Any:
    if len(data) > canonical.MAX_BYTES:
        raise RecordError(f"{key}: {len(data):,} bytes; a record has at most {canonical.MAX_BYTES:,}")
    bounds.check(data, key)
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=unique_keys, parse_constant=_refuse_constant, parse_int=_whole_number
        )
    except RecursionError:
        raise RecordError(f"{key}: nested too deeply") from None
    except ValueError as error:
        raise RecordError(f"{key}: not a JSON record: {error}") from None
    if deeper_than(value, MAX_DEPTH):
        raise RecordError(f"{key}: nested in more than {MAX_DEPTH} levels")
    return value


def _validate(kind: Any, value: Any) -> tuple[Any, list[Any]]:
    from pydantic import ValidationError

    try:
        # pydantic takes lists for tuples, and objects for dataclasses, strictly from JSON only.
        return _adapter(kind).validate_json(json.dumps(value), strict=True), []
    except ValidationError as error:
        if error.error_count() > _PROBLEMS_MOST:
            words = f"{error.error_count():,} values of a wrong type"
            return None, [{"type": "too_many", "loc": (), "msg": words, "input": None}]
        return None, error.errors(include_url=False, include_context=False)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, str) and value in NOT_FINITE


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _whole_number(digits: str) -> int:
    """No count, size or parameter has more digits, and arithmetic with floats cannot take them."""
    if len(digits) > _DIGITS_MOST:
        raise ValueError(f"a number of {len(digits)} digits; the most are {_DIGITS_MOST}")
    return int(digits)


def _error(message: str, value: Any, known: int) -> RecordError:
    schema = value.get("schema") if isinstance(value, dict) else None
    if isinstance(schema, int) and schema > known:
        newer = f"it was written by a newer ciplug (schema {schema}, this one knows {known}): upgrade ciplug"
        return NewerRecord(message, hint=newer)
    return RecordError(message)
