"""The signature beside an object: which objects it covers, each by its digest. Pure.

It covers a record and what is beside it: a signature of one run says nothing of another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ciplug.errors import RecordError
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import signature_key

SCHEMA = 1
_BYTES_MOST = 64 * 1024
_OBJECTS_MOST = 16


@dataclass(frozen=True)
class Signature:
    """What is signed, and by which signature."""

    objects: Mapping[str, str]
    """Key → sha256 of the bytes."""
    signature: str

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is of."""
        return statement(self.objects)

    def covers(self, objects: Mapping[str, str]) -> bool:
        """Whether these objects (key → sha256) are among those that were signed, as they are."""
        return objects.items() <= self.objects.items()


def statement(objects: Mapping[str, str]) -> bytes:
    """The bytes to sign for objects, given by key and sha256."""
    return dumps({"objects": dict(objects), "schema": SCHEMA})


def by_stem(objects: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """Key of a signature → key → sha256 of the objects that it is to cover."""
    groups: dict[str, dict[str, str]] = {}
    for key, data in objects.items():
        groups.setdefault(signature_key(key), {})[key] = digest(data)
    return groups


def encode(objects: Mapping[str, str], signature: str) -> bytes:
    return dumps({"objects": dict(objects), "schema": SCHEMA, "signature": signature})


def decode(data: bytes, key: str) -> Signature:
    """Return the content of the signature `key`. Raises RecordError for anything else."""
    try:
        if len(data) > _BYTES_MOST:
            raise ValueError
        value = json.loads(data)
        objects, signature = value["objects"], value["signature"]
        if not (isinstance(objects, dict) and isinstance(signature, str) and 0 < len(objects) <= _OBJECTS_MOST):
            raise ValueError
        if not all(isinstance(one, str) and signature_key(name) == key for name, one in objects.items()):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecordError(f"{key}: not a signature of ciplug") from None
    return Signature(objects, signature)
