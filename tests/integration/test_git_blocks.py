"""The older entries of a log are in blocks: nothing is lost by it, and nothing can be changed or taken out unseen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from benchmarks.registry import MODEL, events, repository
from ciplug.errors import BrokenLog, StoreError
from ciplug.records.canonical import digest
from ciplug.records.keys import EntryKey, log_of
from ciplug.registry import ledger
from ciplug.stores.base import Head
from ciplug.stores.git.blocks import LOOSE, SIZE, Block
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content
from ciplug.stores.git.log_entries import block_of, close_blocks
from ciplug.stores.git.store import GitStore
from tests.attacks.attacker import BRANCH, KEEP, Attacker
from tests.stores import Place, git_fsck

LOG = log_of(MODEL)
FIRST = Block(LOG, 1).path


@cache
def entries() -> list[bytes]:
    """The entries of a log that is long enough for its first block."""
    return list(events(LOOSE))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store whose log has just got its first block."""
    remote = tmp_path / "remote"
    repository(remote, LOOSE - 1)
    place = Place(tmp_path, f"git+{remote.as_uri()}", sound=lambda: git_fsck(remote))
    head = Head(LOOSE - 1, digest(entries()[-2]))
    assert opened(place).append(LOG, head, entries()[-1]) == Head(LOOSE, digest(entries()[-1]))
    return place


@pytest.fixture
def attacker(place: Place, tmp_path: Path) -> Attacker:
    return Attacker(tmp_path / "attacker", (tmp_path / "remote").as_uri())


def opened(place: Place, cache: Path | None = None) -> GitStore:
    store = place.open(cache=cache)
    assert isinstance(store, GitStore)
    return store


def rewrite(attacker: Attacker, changes: Mapping[str, bytes | None]) -> None:
    """Push a commit on top of the branch, with other files; None takes one away."""
    tip, files = attacker.refs()[BRANCH], dict(attacker.fetch(BRANCH))
    files.update({path: attacker.written.blob(data) for path, data in changes.items() if data is not None})
    kept = {path: oid for path, oid in files.items() if changes.get(path, b"") is not None}
    attacker.push(attacker.branch_commit(kept, tip), BRANCH)


@pytest.mark.slow
def test_a_log_reads_as_before_and_its_newest_entries_without_the_block(
    place: Place, attacker: Attacker, tmp_path: Path
) -> None:
    files = attacker.fetch(BRANCH)
    of_log = [path for path in files if path.startswith(LOG)]
    assert of_log == [FIRST, *(EntryKey(LOG, seq).key for seq in range(SIZE + 1, LOOSE + 1))]
    cache = tmp_path / "new"
    assert opened(place, cache).entries(LOG, after=SIZE) == entries()[SIZE:]
    (fetched,) = cache.rglob("*.git")
    absent = subprocess.run(["git", "cat-file", "-e", files[FIRST]], cwd=fetched, check=False, capture_output=True)
    assert absent.returncode != 0, "the block was fetched"
    store = opened(place)
    assert store.entries(LOG) == entries() and store.head(LOG) == Head(LOOSE, digest(entries()[-1]))
    assert store.entries(LOG, after=9) == entries()[9:] and store.logs("registry/") == [LOG]
    old = EntryKey(LOG, 3).key
    assert store.read([old]) == {old: entries()[2]} and len(store.keys("registry/")) == LOOSE
    assert ledger.read(store, MODEL).head == Head(LOOSE, digest(entries()[-1]))
    place.check()
    # Who was killed before it could keep its tip has lost nothing, although the kept one has no block.
    attacker.push(attacker.git("rev-parse", "refs/copy^"), KEEP)
    assert opened(place).lost_logs() == [] and not opened(place).notes


def test_an_entry_that_is_no_line_stays_a_file() -> None:
    log = Content(logs={EntryKey(LOG, seq).key: f"{seq:040x}" for seq in range(1, LOOSE + 1)})
    entries = {f"{seq:040x}": b"{}\n" for seq in range(1, LOOSE + 1)}

    class Remote:
        def blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
            return {oid: entries[oid] for oid in oids}

    for odd in (b"{}", b"", b"{}\n{}\n", b"\n\n"):
        entries[f"{7:040x}"] = odd
        assert not close_blocks(cast("CachedRemote", Remote()), log, LOG) and len(log.logs) == LOOSE
    entries[f"{7:040x}"] = b"[]\n"
    (block,) = close_blocks(cast("CachedRemote", Remote()), log, LOG).values()
    assert block == b"{}\n" * 6 + b"[]\n" + b"{}\n" * 249 and len(log.logs) == SIZE


def test_a_log_that_lacks_an_entry_stays_as_it_is() -> None:
    log = Content(logs={EntryKey(LOG, seq).key: "0" for seq in range(1, LOOSE + 2) if seq != 7})
    assert not close_blocks(cast("CachedRemote", None), log, LOG) and len(log.logs) == LOOSE


def test_the_block_of_an_entry() -> None:
    firsts = {1: 1, SIZE: 1, SIZE + 1: SIZE + 1, 2 * SIZE: SIZE + 1, 2 * SIZE + 1: 2 * SIZE + 1}
    assert {seq: Block.of(LOG, seq).first for seq in firsts} == firsts
    assert Block.at(Block(LOG, SIZE + 1).path) == Block(LOG, SIZE + 1)
    for first in (2, SIZE):
        assert Block.at(Block(LOG, first).path) is None
    content = Content(blocks={FIRST: "0"})
    assert block_of(content, EntryKey(LOG, SIZE).key) == Block(LOG, 1)
    assert block_of(content, EntryKey(LOG, SIZE + 1).key) is block_of(content, "runs/x.json") is None
    assert block_of(Content(), EntryKey(LOG, 1).key) is None


@pytest.mark.slow
def test_what_somebody_changes_in_a_block_is_found(place: Place, attacker: Attacker) -> None:
    block = b"".join(entries()[:SIZE])
    rewrite(attacker, {FIRST: block.replace(b'"ana"', b'"eva"', 1)})
    with pytest.raises(BrokenLog, match="broken at event 2"):
        ledger.read(opened(place), MODEL)
    rewrite(attacker, {FIRST: block.partition(b"\n")[2]})
    with pytest.raises(StoreError, match="does not hold 256 entries"):
        opened(place).entries(LOG)
    assert [problem.where for problem in opened(place).check() if "lost or damaged" in problem.what] == [FIRST]
    # A file beside the block does not count.
    single = EntryKey(LOG, 3).key
    rewrite(attacker, {FIRST: block, single: b"{}\n"})
    assert opened(place).entries(LOG) == entries()
    assert [problem.where for problem in opened(place).check()] == [single]
    # Nor do blocks of other sizes and places: their names are those of no entry.
    strange = {
        f"{LOG}/000513-999999.lines": b"x\n",
        f"{LOG}/000002-000257.lines": block,
        "erased/000001-000256.lines": b"",
    }
    rewrite(attacker, {single: None, **strange})
    assert opened(place).entries(LOG) == entries()


@pytest.mark.slow
def test_a_block_that_somebody_removes_is_missed_and_put_back(place: Place, attacker: Attacker) -> None:
    rewrite(attacker, {FIRST: None})
    store = opened(place)
    assert store.lost_logs() == [LOG]
    kept = store.kept_entries()
    assert list(kept.values()) == entries()[:SIZE]
    with pytest.raises(StoreError, match="has lost entries"):
        store.append(LOG, Head(LOOSE, digest(entries()[-1])), b"{}\n")
    store.restore_entries(kept)
    assert opened(place).entries(LOG) == entries() and opened(place).lost_logs() == []
    place.check()
    # The next entry makes a block of them again.
    opened(place).append(LOG, Head(LOOSE, digest(entries()[-1])), b"{}\n")
    assert FIRST in attacker.fetch(BRANCH) and len(opened(place).entries(LOG)) == LOOSE + 1
