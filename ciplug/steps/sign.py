"""Signing what this job records, where it has a key."""

from __future__ import annotations

from collections.abc import Mapping

from ciplug import signing
from ciplug.records import signature as signatures


def signed(env: Mapping[str, str], objects: Mapping[str, bytes], *, trusted: bool, repository: str) -> dict[str, bytes]:
    """Objects that this job has made, with signatures beside them where it has a key. A fork's job signs nothing.

    Raises ConfigError for a key that cannot sign.

    Args:
        repository: in which they count, from `Session.repository`.
    """
    made = dict(objects)
    namespace = signing.namespace_for(repository)
    if trusted and env.get(signing.SIGNING_KEY):
        for key, covered in signatures.by_stem(objects).items():
            if text := signing.sign(signatures.statement(covered), env, namespace):
                made[key] = signatures.encode(covered, text)
    return made
