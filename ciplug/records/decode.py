"""Sound values of JSON as records, without pydantic: a job reads a handful, and its import takes longer than all else.

What is not as it should be is Mismatched, without a reason: pydantic then finds the words, or another reading. So this
takes nothing that pydantic, strict, does not take, and gives what it gives.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ciplug.records.canonical import NOT_FINITE

T = TypeVar("T")
_Decoder = Callable[[Any], Any]
_EXACT = 2**53
"""From here on, not every whole number is a float."""


class Mismatched(Exception):
    """The value is not as the type wants it, or the type is not one that is known here."""


def decode(kind: type[T], value: Any) -> T:
    """Return the dataclass `kind` from a value of JSON. Unknown fields are skipped. Raises Mismatched."""
    made: T = _decoder_of(cast(Hashable, kind))(value)
    return made


@cache
def _decoder_of(kind: Any) -> _Decoder:
    try:
        return _decoder(kind)
    except Mismatched:
        return _refuse


def _refuse(value: Any) -> Any:
    raise Mismatched


@cache
def _decoder(kind: Any) -> _Decoder:
    if kind is Any:
        return _any
    if kind in (str, int, bool, types.NoneType):
        return _of_type(kind)
    if kind is float:
        return _float
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _one_of(inner)
    if origin in (Union, types.UnionType):
        return _union(inner)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return _sequence(_decoder(inner[0]))
    if origin in (Mapping, dict) and inner[0] is str:
        return _mapping(_decoder(inner[1]))
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind)
    raise Mismatched


def _any(value: Any) -> Any:
    return value


def _of_type(kind: type) -> _Decoder:
    def decode_it(value: Any) -> Any:
        if type(value) is not kind:
            raise Mismatched
        return value

    return decode_it


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and -_EXACT < value < _EXACT:
        return float(value)
    if type(value) is str and value in NOT_FINITE:
        return NOT_FINITE[value]
    raise Mismatched


def _one_of(choices: tuple[Any, ...]) -> _Decoder:
    if not all(type(choice) is str for choice in choices):
        raise Mismatched

    def decode_it(value: Any) -> Any:
        if type(value) is not str or value not in choices:
            raise Mismatched
        return value

    return decode_it


def _union(kinds: tuple[Any, ...]) -> _Decoder:
    """Of simple types, or of one other type and None: of more, only pydantic knows which is meant."""
    by_type = {kind: _decoder(kind) for kind in kinds if kind in (str, int, float, bool, types.NoneType)}
    others = [_decoder(kind) for kind in kinds if kind not in by_type]
    if len(others) > 1 or (others and len(by_type) != 1) or (others and types.NoneType not in by_type):
        raise Mismatched
    only_float = by_type.keys() == {float, types.NoneType}

    def decode_it(value: Any) -> Any:
        if type(value) in by_type:
            return value
        if others:
            return others[0](value)
        if only_float:
            return _float(value)
        raise Mismatched

    return decode_it


def _sequence(inner: _Decoder) -> _Decoder:
    def decode_it(value: Any) -> Any:
        if type(value) is not list:
            raise Mismatched
        return tuple(map(inner, value))

    return decode_it


def _mapping(inner: _Decoder) -> _Decoder:
    def decode_it(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatched
        return {name: inner(one) for name, one in value.items()}

    return decode_it


def _dataclass(kind: type) -> _Decoder:
    hints = get_type_hints(kind)
    known = fields(cast(Any, kind))
    if not all(field.init for field in known):
        raise Mismatched
    decoders = {field.name: _decoder(hints[field.name]) for field in known}
    needed = {field.name for field in known if field.default is MISSING and field.default_factory is MISSING}

    def decode_it(value: Any) -> Any:
        if type(value) is not dict or not needed <= value.keys():
            raise Mismatched
        given = {name: inner(value[name]) for name, inner in decoders.items() if name in value}
        try:
            return kind(**given)
        except (TypeError, ValueError):
            raise Mismatched from None

    return decode_it
