"""What a store keeps of a run: its record, and what is beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ciplug.records.canonical import dumps
from ciplug.records.inputs import encode_texts
from ciplug.records.keys import run_key

if TYPE_CHECKING:
    from ciplug.records.run import Run
    from ciplug.records.series import Series


def run_objects(
    run: Run,
    series: Mapping[str, Series] | None = None,
    examples: bytes | None = None,
    texts: Iterable[str] = (),
) -> dict[str, bytes]:
    """Return the objects of a run; `examples` as `ciplug.records.examples` encodes them.

    Args:
        texts: the schemas and profiles of its inputs, which name them by digest.
    """
    key = run_key(run)
    objects = {key.key: dumps(run)}
    if examples:
        objects[key.examples] = examples
    if series:
        from ciplug.records.series import encode

        objects[key.series] = encode(series)
    if texts := tuple(texts):
        objects[key.inputs] = encode_texts(texts)
    return objects
