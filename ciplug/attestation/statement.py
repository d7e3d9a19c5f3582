"""in-toto Statement v1: what is said of which bytes, and DSSE, the envelope of its signature."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ciplug.attestation.facts import VersionFacts
from ciplug.records.canonical import digest, plain
from ciplug.records.run import File

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
FOLDER = "ciplugFolder"
"""The algorithm of a folder's digest: sha256 of the sorted `digest path` lines of its files."""


def statement(facts: VersionFacts, predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statement that `predicate` holds for the files of the version."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": path, "digest": {"sha256": hex_of(one)}} for path, one in sorted(facts.files.items())],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def hex_of(text: str) -> str:
    """The digits of sha256:<hex>."""
    return text.removeprefix("sha256:")


def file_resource(file: File) -> dict[str, Any]:
    """A file or folder that a run read or wrote, as in-toto describes a resource."""
    algorithm = FOLDER if file.kind == "folder" else "sha256"
    return {"name": file.path, "digest": {algorithm: hex_of(file.digest)}}


def content_resource(name: str, value: Any) -> dict[str, Any]:
    """Facts as JSON, with their digest."""
    data = to_json(value)
    return {
        "name": name,
        "mediaType": "application/json",
        "digest": {"sha256": hex_of(digest(data))},
        "content": base64.b64encode(data).decode(),
    }


def to_json(value: Any) -> bytes:
    """JSON for other programs: sorted, indented, without floats that JSON does not have, and in ASCII."""
    return (json.dumps(plain(value), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def to_sign(payload: bytes) -> bytes:
    """The bytes that a signature in a DSSE envelope is of: its pre-authentication encoding."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope(payload: bytes, signature: bytes, key_id: str) -> bytes:
    """The DSSE envelope of a statement."""
    signed = {"keyid": key_id, "sig": base64.b64encode(signature).decode()}
    return to_json({"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD, "signatures": [signed]})
