"""Files out of a zip archive that a stranger can have made: read in memory, never extracted, bounded in each way."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from ciplug.errors import RecordError

MAX_ARCHIVE = 256 * 1024 * 1024
MAX_ENTRIES = 10_000
MAX_FILE = 256 * 1024 * 1024
MAX_UNFOLDED = 512 * 1024 * 1024
"""The limit for all selected files together: entries may share bytes, so a small archive can be endless."""
MAX_RATIO = 200
"""Bytes out of one byte in, beyond the first mebibyte; JSON comes to 30 at most."""
_FREE = 1024 * 1024
_ENTRY = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, OverflowError)


def files(
    data: bytes, name: str, wanted: Callable[[str], bool], *, of_strangers: bool = True
) -> Iterator[tuple[str, bytes | RecordError]]:
    """The files of the archive `name` whose path is wanted, each with its content or with what is wrong with it.

    A path is for matching and for showing only: nothing is written, so `../` leads nowhere.

    Args:
        of_strangers: a file that is packed too well is refused. Of our own jobs, it may be a model of zeros.

    Raises RecordError when the archive as a whole cannot be read.
    """
    if len(data) > MAX_ARCHIVE:
        raise RecordError(f"{name}: {len(data):,} bytes; an archive has at most {MAX_ARCHIVE:,}")
    # Each entry begins with these four bytes, wherever the archive says that its directory is: a bound that is
    # known before the first entry becomes an object.
    entries = data.count(_ENTRY)
    if entries > MAX_ENTRIES:
        raise RecordError(f"{name}: {entries:,} entries; an archive has at most {MAX_ENTRIES:,}")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _BROKEN as problem:
        raise RecordError(f"{name}: not a zip archive, or a damaged one: {problem}") from None
    room = MAX_UNFOLDED
    for info in archive.infolist():
        # ZipInfo.is_dir fails on an empty name, which a damaged archive has.
        if not info.filename.endswith("/") and wanted(info.filename):
            if room < 0:
                raise RecordError(f"{name}: its files have more than {MAX_UNFOLDED:,} bytes in all: a zip bomb?")
            # What the archive says of its sizes may be wrong, so the bound is on what comes out.
            most = min(MAX_FILE, _FREE + MAX_RATIO * max(info.compress_size, 0)) if of_strangers else MAX_FILE
            content = _read(archive, info, most, f"{name}: {info.filename}")
            room -= len(content) if isinstance(content, bytes) else most
            yield info.filename, content


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int, where: str) -> bytes | RecordError:
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        return RecordError(f"{where}: encrypted, or compressed in a way that is not read here")
    try:
        with archive.open(info) as file:
            content = file.read(most + 1)
    except _BROKEN as problem:
        return RecordError(f"{where}: damaged: {problem}")
    if len(content) > most:
        return RecordError(f"{where}: more than {most:,} bytes out of {info.compress_size:,}: a zip bomb?")
    return content
