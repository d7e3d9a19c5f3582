"""The entries of logs on a store's branch: each in a file of its own, or in a block."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ciplug.errors import StoreError
from ciplug.records.keys import EVERY_LOG, EntryKey, parse_entry
from ciplug.stores.git.blocks import LOOSE, SIZE, Block, lines_of
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content


def block_of(content: Content, key: str) -> Block | None:
    """The block that holds the entry of this key; None where the entry has a file of its own, or is not there."""
    if not content.blocks or not key.startswith(EVERY_LOG):
        return None
    entry = parse_entry(key)
    block = entry and Block.of(entry.log, entry.seq)
    return block if block and block.path in content.blocks else None


def read_entries(remote: CachedRemote, content: Content, keys: Sequence[str]) -> dict[str, bytes]:
    """Key → entry of entries of logs, in files of their own and in blocks, by one fetch.

    Raises StoreError where one is lost.
    """
    blocks = {key: block for key in keys if (block := block_of(content, key))}
    oids = {key: content.logs[key] for key in keys if key not in blocks}
    paths = {block: content.blocks[block.path] for block in blocks.values()}
    blobs = remote.blobs([*paths.values(), *oids.values()])
    opened = {block: lines_of(block, blobs[oid]) for block, oid in paths.items()}
    return {key: opened[blocks[key]][key] if key in blocks else blobs[oids[key]] for key in keys}


def readable_entries(remote: CachedRemote, content: Content, paths: Collection[str]) -> dict[str, bytes]:
    """Key → entry, of those of these blocks that can be read."""
    blobs = remote.sound_blobs(content.blocks[path] for path in paths)
    entries: dict[str, bytes] = {}
    for path in paths:
        block = Block.at(path)
        if block and (data := blobs.get(content.blocks[path])) is not None:
            with contextlib.suppress(StoreError):
                entries.update(lines_of(block, data))
    return entries


def close_blocks(remote: CachedRemote, content: Content, log: str) -> Mapping[Block, bytes]:
    """The blocks that are due in a log, taken out of its entries; none where one of those is not a line."""
    closed: dict[Block, bytes] = {}
    for block in _due(content, log):
        try:
            entries = list(read_entries(remote, content, block.entries).values())
        except StoreError:
            # An append does not fail by what is lost of the past: `verify` and `fsck` name it.
            break
        if any(not entry.endswith(b"\n") or entry.count(b"\n") > 1 for entry in entries):
            break
        for key in block.entries:
            del content.logs[key]
        closed[block] = b"".join(entries)
    return closed


def _due(content: Content, log: str) -> Iterator[Block]:
    if not log.startswith(EVERY_LOG) or len(content.logs) < LOOSE:
        return
    loose = [seq for seq in content.sequence(log) if EntryKey(log, seq).key in content.logs]
    while len(loose) >= LOOSE and loose[:SIZE] == list(range(loose[0], loose[0] + SIZE)):
        block = Block.of(log, loose[0])
        if block.first != loose[0]:
            return
        yield block
        loose = loose[SIZE:]


def every_entry(content: Content) -> Iterable[str]:
    """The keys of the entries of all logs, and the other files beside them."""
    yield from content.logs
    for path in content.blocks:
        block = Block.at(path)
        yield from block.entries if block else ()
