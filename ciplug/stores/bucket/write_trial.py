"""Whether a bucket accepts what a store writes: tried for real, and nothing of it stays."""

from __future__ import annotations

import secrets

from ciplug.errors import Cause, StoreError
from ciplug.stores.base import Trial
from ciplug.stores.bucket.base import Bucket


def try_writes(bucket: Bucket) -> list[Trial]:
    """Create an object that no reader lists, see that it cannot be created twice, and delete it."""
    name = f"objects/trial-{secrets.token_hex(8)}"
    try:
        bucket.create(name, b"")
        overwritten = bucket.create(name, b"")
    except StoreError as problem:
        return [Trial("write", problem.cause, problem.message)]
    if overwritten:
        words = (
            f"{bucket.address}: this server overwrites existing objects when asked to create only, "
            "so it cannot be used as a store"
        )
        return [Trial("write", Cause.RULE, words), _deleted(bucket, name)]
    return [Trial("write", None, bucket.address), _deleted(bucket, name)]


def _deleted(bucket: Bucket, name: str) -> Trial:
    try:
        bucket.delete(name)
    except StoreError as problem:
        return Trial("delete", problem.cause, f"{problem.message}; {name} is left behind")
    return Trial("delete", None, name)
