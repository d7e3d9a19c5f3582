"""The file that W&B writes an offline run to, `run-ID.wandb`: a log of records, each a message of protobuf.

The log is framed as LevelDB's: blocks of 32 KiB with records, or parts of them, behind a checksum, a length and a type.
Of the messages only the fields below are read, by their numbers, which W&B never changes; so its package, whose Python
reader is gone since its version 0.2x, is not needed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import InputError

_MAGIC = b":W&B"
_FILE_HEADER = 7
_BLOCK = 32 * 1024
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_RECORD_MOST = 256 * 1024 * 1024
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5

HISTORY, SUMMARY, CONFIG, FILES, STATS, RUN, EXIT, ENVIRONMENT = 2, 3, 5, 6, 7, 17, 18, 26
"""The fields of a record, of which it has one."""


class Field(NamedTuple):
    """A field of a message."""

    number: int
    value: int | bytes
    """A number of 4 or 8 bytes is its bytes."""


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message, in order. Raises ValueError for what is not one."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield Field(number, value)
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise ValueError(f"the wire type {kind}")
        if at + size > end:
            raise ValueError("a field beyond the end of its message")
        yield Field(number, message[at : at + size])
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number beyond the end of its message")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def texts(message: bytes, number: int) -> list[str]:
    """Return the texts of a field that may be repeated."""
    return [one.decode(errors="replace") for one in messages(message, number)]


def text(message: bytes, number: int) -> str:
    """Return the text of a field; empty if it is not set."""
    return next(iter(texts(message, number)[-1:]), "")


def messages(message: bytes, number: int) -> list[bytes]:
    """Return the messages of a field that may be repeated."""
    return [one.value for one in fields(message) if one.number == number and isinstance(one.value, bytes)]


def whole(message: bytes, number: int) -> int | None:
    """Return the whole number of a field, signed; None if it is not set."""
    found = [one.value for one in fields(message) if one.number == number and isinstance(one.value, int)]
    return None if not found else found[-1] - (1 << 64) if found[-1] >= 1 << 63 else found[-1]


def seconds(message: bytes, number: int) -> float | None:
    """Return the Unix seconds of a timestamp; None if it is not set."""
    found = messages(message, number)
    return (whole(found[-1], 1) or 0) + (whole(found[-1], 2) or 0) / 1e9 if found else None


def records(file: Path, cut_off: Callable[[InputError], None]) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and message of each record of a file, up to the first that is damaged or cut off.

    Args:
        cut_off: is told of such a record: nothing behind it can be read.

    Raises InputError for a file that is not of W&B, or has no record.
    """
    with file.open("rb") as stream:
        if (header := stream.read(_FILE_HEADER))[: len(_MAGIC)] != _MAGIC:
            if not header:
                raise InputError(f"{file}: the file is empty", hint="the run was killed before W&B wrote it")
            raise InputError(f"{file}: not a run of W&B")
        at, number = _FILE_HEADER, 0
        whole_record = bytearray()
        while True:
            left = _BLOCK - at % _BLOCK
            if left < _HEADER.size:
                stream.read(left)
                at += left
            head = stream.read(_HEADER.size)
            if not head:
                break
            problem = InputError(f"{file}: record {number + 1} is damaged or cut off", what="the rest of the file")
            if len(head) < _HEADER.size:
                return cut_off(problem)
            checksum, length, kind = _HEADER.unpack(head)
            data = stream.read(length)
            at += _HEADER.size + length
            if len(data) < length or not _FULL <= kind <= _LAST or not _fits(checksum, kind, data):
                return cut_off(problem)
            if kind in (_FULL, _FIRST):
                whole_record.clear()
            whole_record += data
            if len(whole_record) > _RECORD_MOST:
                return cut_off(problem)
            if kind in (_FULL, _LAST):
                number += 1
                try:
                    yield from [
                        (one.number, one.value) for one in fields(bytes(whole_record)) if isinstance(one.value, bytes)
                    ]
                except ValueError:
                    return cut_off(problem)
        if not number:
            raise InputError(f"{file}: no record in it", hint="the run was killed before W&B wrote it")


def _fits(checksum: int, kind: int, data: bytes) -> bool:
    """Whether a part has its checksum: CRC-32, without the mask of LevelDB."""
    return zlib.crc32(data, zlib.crc32(bytes([kind]))) == checksum
