"""What a run read and made in MLflow's terms: datasets by the digest that their owner gives, and logged models by id.

`Run.datasets` are files that ciplug has read itself, by sha256. A `DatasetInput` is a statement: nothing of it is
checked, and no gate looks at it. The texts of schemas and profiles stand beside the record, by digest.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ciplug.errors import RecordError
from ciplug.records.canonical import digest, dumps

TEXT_MOST = 16 * 1024 * 1024
"""Bytes of one schema or profile: what MLflow takes."""
TEXTS_MOST = 64 * 1024 * 1024
"""Bytes of all schemas and profiles of a run, as JSON."""
NAME_MOST, DIGEST_MOST, SOURCE_MOST = 500, 250, 65_535
"""Characters, as far as MLflow has such a limit."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """A dataset that the training named."""

    name: str
    digest: str
    """As its owner computes it; MLflow's has 8 hex digits."""
    source_type: str
    """local, http, s3, delta_table, code, …"""
    source: str
    """Where it is from; in MLflow a JSON object."""
    context: str | None = None
    """training, validation, …"""
    tags: Mapping[str, str] = field(default_factory=dict)
    schema: str | None = None
    """sha256:<hex> of its text, which is kept beside the record."""
    profile: str | None = None
    """sha256:<hex> of its text, which is kept beside the record."""

    @property
    def identity(self) -> tuple[str, str, str | None]:
        """A run has a dataset in a context once: what is said of it first counts."""
        return self.name, self.digest, self.context


@dataclass(frozen=True, kw_only=True)
class ModelOutput:
    """A logged model that the training made."""

    id: str
    step: int = 0
    name: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    """The address of its files, if they are not among the artifacts of the run."""


def merged_datasets(*parts: Iterable[DatasetInput]) -> tuple[DatasetInput, ...]:
    """Return the datasets of all parts, each once, as it was named first."""
    return _merged(lambda one: one.identity, parts)


def merged_models(*parts: Iterable[ModelOutput]) -> tuple[ModelOutput, ...]:
    """Return the models of all parts, each once, as it was named first."""
    return _merged(lambda one: one.id, parts)


def merged_ids(*parts: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of all parts, each once, in the order in which they were named."""
    return _merged(lambda one: one, parts)


def _merged(identity: Callable[[T], object], parts: Iterable[Iterable[T]]) -> tuple[T, ...]:
    parts = tuple(parts)
    if not parts:
        return ()
    merged: dict[object, T] = {}
    for part in parts:
        for one in part:
            merged.setdefault(identity(one), one)
    return tuple(merged.values())


# Reading, as amendments and journals are read: without pydantic. Unknown fields are skipped.


def parse_dataset(value: object) -> DatasetInput:
    """Return the dataset in a JSON object. Raises ValueError naming the field."""
    fields: dict[str, Any] = _texts(
        value, ("name", "digest", "source_type", "source"), ("context", "schema", "profile")
    )
    return DatasetInput(**fields, tags=_named(value, "tags"))


def parse_model(value: object) -> ModelOutput:
    """Return the model in a JSON object. Raises ValueError naming the field."""
    fields: dict[str, Any] = _texts(value, ("id",), ("name", "location"))
    step = value.get("step", 0) if isinstance(value, Mapping) else 0
    if type(step) is not int or not -(2**63) <= step < 2**63:
        raise ValueError("step: a whole number of 64 bits is expected")
    return ModelOutput(**fields, step=step, params=_named(value, "params"), tags=_named(value, "tags"))


def _named(value: object, name: str) -> dict[str, str]:
    texts = value.get(name) if isinstance(value, Mapping) else None
    if texts is not None and not (isinstance(texts, Mapping) and all(type(one) is str for one in texts.values())):
        raise ValueError(f"{name}: texts are expected")
    return dict(texts or {})


def _texts(value: object, required: Iterable[str], optional: Iterable[str]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("a JSON object is expected")
    texts = {}
    for name in (*required, *optional):
        text = value.get(name)
        if text is None and name in optional:
            continue
        if type(text) is not str:
            raise ValueError(f"{name}: text is expected, not {text!r:.60}")
        texts[name] = text
    return texts


# The texts beside a record


def encode_texts(texts: Iterable[str]) -> bytes:
    """Return the object of schemas and profiles. The same texts are the same bytes, whatever run they are of.

    Raises RecordError for too many.
    """
    by_digest = {digest(data): text for text in texts for data in (text.encode(errors="replace"),)}
    body = dumps(by_digest)
    if len(body) > TEXTS_MOST:
        raise RecordError(
            f"the schemas and profiles of the inputs have {len(body):,} bytes; at most {TEXTS_MOST:,} are kept"
        )
    return zlib.compress(body, 9)


def decode_texts(data: bytes, key: str) -> dict[str, str]:
    """Return digest → text. Raises RecordError, naming `key`, for content that `encode_texts` would not write."""
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(data, TEXTS_MOST)
        value: Any = json.loads(body.decode()) if stream.eof else None
        texts = {name: text for name, text in value.items() if type(text) is str}
        if len(texts) != len(value) or any(digest(text.encode()) != name for name, text in texts.items()):
            raise ValueError
    except (zlib.error, ValueError, AttributeError, RecursionError):
        raise RecordError(f"{key}: not the schemas and profiles of a run, or damaged") from None
    return texts
