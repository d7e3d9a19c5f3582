"""Dropping files of a bucket that no run needs: they are set aside first, and gone a day later.

    files/<first 2 hex digits>/<SHA-256>    what is there
    files/dropped/<time>/<SHA-256>          what is set aside, since that time

Whoever sends a file does not count what is set aside, and sends it again; whoever reads still finds it. Only what is
set aside is ever deleted. So neither loses a race with a drop that is shorter than a day, and a drop that is killed
leaves each file in one of the two places, or in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from ciplug.stores.bucket.base import COPY_MOST, Bucket, each
from ciplug.stores.files import DroppedFiles, hex_of

GRACE = timedelta(days=1)
_FOLDER = "files/dropped"
_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"files/dropped/(?P<at>[0-9]{8}T[0-9]{6}Z)/(?P<sha>[0-9a-f]{64})")

Read = Callable[[str, int], Iterator[bytes]]
"""The bytes of an object, given its name and size."""


class AsideFile(NamedTuple):
    """A file that is set aside."""

    name: str
    """Of its object."""
    digest: str
    since: datetime


def key_of(digest: str) -> str:
    """The name of a file's object."""
    name = hex_of(digest)
    return f"files/{name[:2]}/{name}"


def aside_files(bucket: Bucket) -> list[AsideFile]:
    """What is set aside; by one request."""
    files = []
    for one in bucket.list(_FOLDER):
        if match := _NAME.fullmatch(one.name):
            try:
                since = datetime.strptime(match["at"], _FORMAT).replace(tzinfo=timezone.utc)
            except ValueError:
                continue
            files.append(AsideFile(one.name, f"sha256:{match['sha']}", since))
    return files


def is_due(file: AsideFile, now: datetime) -> bool:
    """Whether a file was set aside so long ago that it can be dropped."""
    return file.since <= now - GRACE


def drop_files(
    bucket: Bucket, read: Read, unneeded: Collection[str], needed: Collection[str], now: datetime
) -> DroppedFiles:
    """As `DropsFiles.drop`."""
    due = [file for file in aside_files(bucket) if is_due(file, now)]
    wanted = {file.digest for file in due} & set(needed)
    present = {digest for digest, size in each(lambda d: bucket.size(key_of(d)), wanted).items() if size is not None}
    dropped = set()
    for file in due:
        if file.digest in wanted and file.digest not in present:
            _move(bucket, read, file.name, key_of(file.digest))
            present.add(file.digest)
        else:
            bucket.delete(file.name)
            if file.digest not in wanted:
                dropped.add(file.digest)
    at = now.strftime(_FORMAT)
    aside = sum(_move(bucket, read, key_of(one), f"{_FOLDER}/{at}/{hex_of(one)}") for one in sorted(set(unneeded)))
    return DroppedFiles(aside, len(dropped))


def _move(bucket: Bucket, read: Read, name: str, to: str) -> bool:
    """Copy an object, then delete the first one; False if there is none."""
    size = bucket.size(name)
    if size is None:
        return False
    if size <= COPY_MOST:
        bucket.copy(name, to)
    else:
        bucket.upload(to, read(name, size), size)
    if bucket.size(to) == size:
        bucket.delete(name)
    return True
