"""The content of the git store's branch, piece by piece, in a repository on this disk: what is read of a view, what is
folded, what is restored, and what a check reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from ciplug.errors import Cause, Conflict, GitError, GitKind, RecordError, RemoteError, StoreError
from ciplug.git.bare import init_bare
from ciplug.git.failures import Failure
from ciplug.git.objects import object_id
from ciplug.git.push import PushResult
from ciplug.git.run import run_git
from ciplug.records import columns
from ciplug.records.canonical import digest
from ciplug.stores.base import Head
from ciplug.stores.files import FilesApart
from ciplug.stores.git import content as content_module
from ciplug.stores.git import folding, segments
from ciplug.stores.git import log as log_module
from ciplug.stores.git import pending as pending_module
from ciplug.stores.git import reader as reader_module
from ciplug.stores.git import remote as remote_module
from ciplug.stores.git import view as view_module
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.check import find_problems
from ciplug.stores.git.content import Content, folders, is_readable, read_content, root_tree, unfoldable
from ciplug.stores.git.files import GitFiles
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.restore import KeptLogs, kept_logs, lost_entries, lost_objects, restore_objects
from ciplug.stores.git.snapshot import Snapshot
from ciplug.stores.git.store import GitStore
from ciplug.stores.git.view import View, fetch_view

KEEP = "refs/ciplug/keep/tip"
REFS = Refs("ciplug")


class Remote:
    """A bare repository on this disk, written without git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        init_bare(folder, "sha1")
        self.written = LooseObjects(folder, "sha1")

    def commit(self, tree: str, *parents: str) -> str:
        return self.written.commit(tree, parents, "x", 0)

    def set(self, ref: str, oid: str | None) -> None:
        path = self.folder / ref
        if oid is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(oid + "\n")

    def ref(self, ref: str) -> str | None:
        path = self.folder / ref
        return path.read_text().strip() if path.exists() else None

    def write(self, objects: Mapping[str, bytes]) -> str:
        """A pending write."""
        tree = self.written.nested_tree({f"new/{key}": self.written.blob(data) for key, data in objects.items()})
        ref = f"refs/ciplug/inbox/{self.commit(tree)}"
        self.set(ref, ref.rpartition("/")[2])
        return ref


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote.git")


@pytest.fixture
def cached(tmp_path: Path, remote: Remote) -> CachedRemote:
    one = CachedRemote(remote.folder.as_uri(), cache=tmp_path / "cache", name="ciplug", config=())
    init_bare(one.repository, "sha1")
    return one


@pytest.fixture
def written(cached: CachedRemote) -> LooseObjects:
    """Writes into the cache."""
    return LooseObjects(cached.repository, "sha1")


@pytest.fixture
def fresh(tmp_path: Path, remote: Remote) -> Callable[..., GitStore]:
    url, number = remote.folder.as_uri(), iter(range(1000))

    def open_(cache: str | None = None, **options: bool) -> GitStore:
        folder = tmp_path / (cache or f"cache-{next(number)}")
        return GitStore(url, uri=url, branch="ciplug", cache=folder, config=(), **options)  # type: ignore[arg-type]

    return open_


def blobs(written: LooseObjects, **objects: bytes) -> dict[str, str]:
    return {key: written.blob(data) for key, data in objects.items()}


# Keys


def test_the_folders_of_a_key() -> None:
    assert list(folders("a/b/c")) == ["a", "a/b"]
    assert list(folders("a")) == []


@pytest.mark.parametrize(
    ("keys", "conflict"),
    [
        ({"a/b": "1"}, False),
        ({"a/b": "2"}, True),
        ({"a/b/c": "1"}, True),
        ({"a": "1"}, True),
        ({"a/c": "1", "x": "9"}, False),
        ({"x": "9", "a": "1"}, True),
        ({}, False),
    ],
)
def test_what_fits_beside_what_is_folded(keys: dict[str, str], conflict: bool) -> None:
    assert unfoldable(keys, {"a/b": "1"}, {"a"}) == conflict


@pytest.mark.parametrize("number", [7, 8, 9])
def test_a_write_is_as_large_for_its_writer_as_for_its_readers(
    remote: Remote, cached: CachedRemote, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for module in (content_module, view_module):
        monkeypatch.setattr(module, "WRITE_MOST", 10)
    # With new/ and runs/, eight files are ten entries.
    objects = {f"runs/{name}": b"1" for name in range(number)}
    ref = remote.write(objects)
    view = fetch_view(cached, REFS)
    assert is_readable(objects) == (number <= 8) == (ref in view.pending) == (ref not in view.unsound)


@pytest.mark.parametrize("depth", [7, 8, 9])
def test_a_key_is_as_deep_for_its_writer_as_for_its_readers(remote: Remote, cached: CachedRemote, depth: int) -> None:
    key = "d/" * (depth - 1) + "x"
    ref = remote.write({key: b"1"})
    view = fetch_view(cached, REFS)
    assert is_readable([key]) == (depth <= 8) == (ref in view.pending) == (ref not in view.unsound)


# The content of a branch


def test_content_is_read_as_it_was_written(cached: CachedRemote, written: LooseObjects) -> None:
    name, other = segments.name_of(1, b""), segments.name_of(2, b"x")
    content = Content(
        new={"runs/a": written.blob(b"1"), "x": written.blob(b"2")},
        segments={name: written.blob(b""), other: written.blob(b"x")},
        columns={name: written.blob(b"{}")},
        indexes=[written.blob(b"index")],
        logs={"registry/m/000001.json": written.blob(b"3")},
    )
    tree = root_tree(written, content, b"index")
    files = {"FORMAT": ("100644", object_id("blob", b"ciplug git store 1\n", "sha1"))}

    def walk(tree: str, folder: str) -> None:
        for entry, (mode, oid) in cached.trees([tree])[tree].items():
            if mode == "40000":
                walk(oid, f"{folder}{entry}/")
            else:
                files[folder + entry] = (mode, oid)

    walk(tree, "")
    assert read_content(cached, files, "ciplug") == content
    # What a later version may put beside the segments is no segment.
    files["segments/later.ndjson"] = files["segments/000003-zzz.ndjson"] = files["FORMAT"]
    files["segments/NOTES"] = files["FORMAT"]
    assert read_content(cached, files, "ciplug") == content
    files["FORMAT"] = ("100644", written.blob(b"ciplug git store 9\n" + b"x" * 100))
    with pytest.raises(StoreError, match="another format: 'ciplug git store 9") as error:
        read_content(cached, files, "ciplug")
    assert error.value.cause == Cause.FORMAT
    assert error.value.message.count("x") == 41


def test_a_copy_of_content_is_independent() -> None:
    content = Content({"a": "1"}, {"s": "1"}, {"s": "1"}, ["1"], {"l": "1"})
    copy = content.copy()
    assert copy == content
    for part in (copy.new, copy.segments, copy.columns, copy.logs):
        part.clear()
    copy.indexes.clear()
    assert content == Content({"a": "1"}, {"s": "1"}, {"s": "1"}, ["1"], {"l": "1"})


def test_the_sequence_of_a_log() -> None:
    paths = ["registry/m/000010.json", "registry/m/000002.json", "registry/m/x.json", "registry/m/n/000001.json"]
    content = Content(logs=dict.fromkeys([*paths, "registry/mm/000001.json", "README.md"], "1"))
    assert content.sequence("registry/m") == [2, 10]
    assert content.sequence("registry") == []


# What a branch has lost


def test_what_is_lost_is_named() -> None:
    assert lost_objects("ciplug", "", "") == ()
    (sentence,) = lost_objects("ciplug", "2 objects", "1 segment")
    assert "'ciplug'" in sentence and "readers take 2 objects, 1 segment from what was kept" in sentence
    assert lost_entries("ciplug", KeptLogs()) == ()
    one, other = lost_entries("ciplug", KeptLogs({"l/2": "2"}, ("m", "n")))
    assert "1 entry of the registry more, which do not count" in one
    assert "another history of m, n" in other


def test_entries_that_the_branch_lacks(cached: CachedRemote) -> None:
    before = Content(logs={"l/1": "1", "l/2": "2", "l/3": "3", "m/1": "1", "n/1": "1"})
    assert not kept_logs(cached, before, before)
    # A branch that is ahead has lost nothing.
    assert not kept_logs(cached, before, Content(logs={**before.logs, "l/4": "4", "o/1": "1"}))
    behind = kept_logs(cached, before, Content(logs={"l/1": "1", "m/1": "other", "m/2": "2", "n/1": "1"}))
    assert behind == KeptLogs({"l/2": "2", "l/3": "3"}, ("m",))
    assert (behind.of("l"), behind.of("m")) == (["l/2", "l/3"], [])


def segment(written: LooseObjects, number: int, *keys: str) -> tuple[str, str]:
    lines = segments.write_lines(dict.fromkeys(keys, b"{}\n"), {})
    return segments.name_of(number, lines), written.blob(lines)


def test_the_branch_counts_before_what_was_kept_of_it(cached: CachedRemote, written: LooseObjects) -> None:
    first, second, third = (segment(written, n, *keys) for n, keys in ((1, "ab"), (2, "cd"), (3, "ce")))
    empty = written.blob(b"{}\n")
    before = Content(
        {"x": "1", "e": "5", "a": "forged", "both": "old", "both/below": "7"},
        dict([first, second]),
        {first[0]: "c1", second[0]: "c2"},
        ["i1"],
        {"m/1": "1", "m/2": "2"},
    )
    now = Content({"y": "2", "both": "new"}, dict([first, third]), {first[0]: "c9", third[0]: "c3"}, [], {"m/1": "1"})
    restored = restore_objects(cached, before, now)
    # Of the second segment, the third has a key; of what is loose, the branch has some in its own segments.
    assert restored.objects == {"x": "1", "d": empty}
    assert restored.content == now
    assert restored.number == 3


def test_a_kept_segment_is_taken_whole_where_the_branch_has_none_of_it(
    cached: CachedRemote, written: LooseObjects
) -> None:
    first, second = (segment(written, n, *keys) for n, keys in ((1, "ab"), (2, "cd")))
    misnamed = (second[0], first[1])
    before = Content({}, dict([first, second]), {second[0]: "forged"}, ["forged"])
    restored = restore_objects(cached, before, Content({}, dict([first])))
    assert (restored.objects, restored.number) == ({}, 2)
    assert restored.content.segments == dict([first, second])
    assert "forged" not in (restored.content.columns[second[0]], *restored.content.indexes)
    (index,) = cached.sound_blobs(restored.content.indexes).values()
    assert segments.read_index(index) == {second[0]: segments.marks_of("cd")}
    forged = restore_objects(cached, Content({}, dict([misnamed])), Content({"z": "1"}))
    assert (forged.objects, forged.content.segments, forged.number) == ({}, {}, 0)


# Views


def branch(remote: Remote, content: Content, *parents: str) -> str:
    tip = remote.commit(root_tree(remote.written, content, b""), *parents)
    remote.set(REFS.tip, tip)
    return tip


def test_a_view_of_the_branch_what_is_kept_and_what_waits(remote: Remote, cached: CachedRemote) -> None:
    first = branch(remote, Content(blobs(remote.written, a=b"1")))
    remote.set(KEEP, first)
    one, two = remote.write({"b": b"2", "c": b"3"}), remote.write({"b": b"other", "a": b"9"})
    moved = remote.write({"d": b"4"})
    spare = moved.replace("refs/ciplug/inbox/", "refs/heads/ciplug-inbox/")
    remote.set(spare, remote.ref(moved))
    remote.set(moved, None)
    misnamed = "refs/ciplug/inbox/0"
    remote.set(misnamed, remote.ref(one))
    remote.set("refs/ciplug/series", first)
    view = fetch_view(cached, REFS)
    assert (view.tip, view.keep, view.parents, view.lost, view.gone) == (first, (KEEP, first), (first,), (), None)
    assert view.pending.keys() == {one, two, spare}
    assert view.pending[one] == (remote.ref(one), blobs(remote.written, b=b"2", c=b"3"))
    assert view.unsound == {misnamed: remote.ref(one)}
    # What is folded counts before all; of two writes with different bytes, neither does.
    assert view.objects == blobs(remote.written, a=b"1", c=b"3", d=b"4")
    assert view.contested == {"b": tuple(sorted([one, two]))}
    assert cached.remembered() == first
    # A tip that follows what was kept has lost nothing.
    second = branch(remote, Content(), first)
    view = fetch_view(cached, REFS)
    assert (view.tip, view.keep, view.lost, view.parents) == (second, (KEEP, first), (), (second,))


def test_a_view_of_a_branch_that_lost_something(
    remote: Remote, cached: CachedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(view_module.time, "sleep", pauses.append)
    kept = branch(remote, Content(blobs(remote.written, a=b"1")))
    remote.set(KEEP, kept)
    other = branch(remote, Content(blobs(remote.written, b=b"2")))
    view = fetch_view(cached, REFS)
    assert "readers take 1 object from what was kept" in view.lost[0]
    assert view.content.new == blobs(remote.written, b=b"2")
    assert view.objects == blobs(remote.written, a=b"1", b=b"2")
    assert view.parents == (other,)
    assert pauses == [0.3]
    remote.set(REFS.tip, remote.commit(remote.written.tree({})))
    view = fetch_view(cached, REFS)
    assert view.content.new == blobs(remote.written, a=b"1")
    assert view.parents == (kept,)
    remote.set(REFS.tip, None)
    view = fetch_view(cached, REFS)
    assert (view.tip, view.parents, view.content.new) == (None, (kept,), blobs(remote.written, a=b"1"))
    assert view.gone is None
    remote.set(KEEP, None)
    view = fetch_view(cached, REFS)
    assert (view.tip, view.keep, view.parents, view.lost, view.content) == (None, (KEEP, None), (), (), Content())
    assert view.gone == kept


def test_a_branch_of_somebody_is_not_a_store(remote: Remote, cached: CachedRemote) -> None:
    remote.set(REFS.tip, remote.commit(remote.written.nested_tree({"README.md": remote.written.blob(b"mine")})))
    with pytest.raises(StoreError, match="the branch 'ciplug' is not a store of ciplug") as error:
        fetch_view(cached, REFS)
    assert error.value.cause == Cause.FORMAT


@pytest.mark.parametrize(
    ("path", "mode", "sound"),
    [
        ("new/runs/x", "100644", True),
        ("new/runs/x", "100755", True),
        ("new/runs/x", "120000", False),
        ("new/runs/x\n", "100644", False),
        ("new/runs/..", "100644", False),
        ("new/.Git/x", "100644", False),
        ("new", "100644", False),
        ("old/x", "100644", False),
        ("FORMAT", "100644", False),
    ],
)
def test_what_a_write_may_hold(remote: Remote, cached: CachedRemote, path: str, mode: str, sound: bool) -> None:
    *above, name = path.split("/")
    tree = remote.written.tree({name: (mode, remote.written.blob(b"x"))})
    for folder in reversed(above):
        tree = remote.written.tree({folder: ("40000", tree)})
    oid = remote.commit(tree)
    ref = f"refs/ciplug/inbox/{oid}"
    remote.set(ref, oid)
    view = fetch_view(cached, REFS)
    assert (ref in view.pending, ref in view.unsound) == (sound, not sound)


def test_a_store_that_cannot_be_reached_says_what_to_check(cached: CachedRemote, remote: Remote) -> None:
    remote.folder.rename(remote.folder.with_name("elsewhere.git"))
    with pytest.raises(RemoteError, match="cannot read the store at file://") as error:
        fetch_view(cached, REFS)
    assert error.value.hint == "is the repository reachable with this checkout's credentials?"
    assert error.value.cause == Cause.NOT_FOUND


def test_a_moment_of_a_server_is_not_a_loss(
    remote: Remote, cached: CachedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows what is kept before the branch that it is kept of."""
    content = Content(blobs(remote.written, a=b"1"))
    remote.set(KEEP, branch(remote, content))
    whole = remote.ref(REFS.tip)
    branch(remote, Content())
    monkeypatch.setattr(view_module.time, "sleep", lambda _: remote.set(REFS.tip, whole))
    assert fetch_view(cached, REFS).lost == ()


def test_of_too_many_writes_the_signed_ones_are_taken(
    remote: Remote, cached: CachedRemote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "WRITES_MOST", 2)
    plain = sorted(remote.write({f"runs/{n}-x.json": b"%d" % n}) for n in range(2))
    view = fetch_view(cached, REFS)
    assert (list(view.pending), view.beyond) == (plain, ())
    signed = remote.write({"runs/9-x.json": b"9", "runs/9-x.sig": b"by somebody"})
    view = fetch_view(cached, REFS)
    assert (set(view.pending), view.beyond) == ({plain[0], signed}, (plain[1],))
    store = fresh()
    assert store.pending == 2 and "1 pending write beyond 20,000 are not read" in store.notes[0]


# Writing


def test_a_write_with_files_is_one_push_where_it_is_one_of_ours(
    tmp_path: Path, remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").write_bytes(b"abc")
    paths = {f"sha256:{sha256(b'abc').hexdigest()}": tmp_path / "model"}
    told: list[int] = []

    def files(branch: str = "ciplug") -> GitFiles:
        beside = CachedRemote(remote.folder.as_uri(), cache=tmp_path / "cache", name="files", config=())
        return GitFiles(beside, branch, uri="git:", limit=None)

    def refs() -> list[str]:
        return run_git("for-each-ref", "--format=%(refname)", cwd=remote.folder).stdout.decode().splitlines()

    monkeypatch.setattr(pending_module, "RECORD_MOST", 9)
    small, large = b"123456789", b"1234567890"
    for objects, beside in [
        ({"runs/1-x.json": large}, files()),
        ({"runs/a/b/c/d/e/f/g/h/i.json": small}, files()),
        ({"runs/1-x.json": small}, files("other")),
    ]:
        with pytest.raises(FilesApart):
            fresh().add_with(objects, beside, paths, told.append)
    assert (refs(), told) == ([], [])
    with pytest.raises(StoreError, match=r"runs/1-x\.json has 10 bytes; readers take at most 9") as error:
        fresh().add({"runs/1-x.json": large})
    assert error.value.cause == Cause.TOO_LARGE
    config = remote.folder / "config"
    before = config.read_text()
    config.write_text(f"{before}[receive]\n\tadvertiseAtomic = false\n")
    with pytest.raises(FilesApart):
        fresh().add_with({"runs/1-x.json": small}, files(), paths, told.append)
    config.write_text(before)
    away = remote.folder.rename(remote.folder.with_name("away.git"))
    with pytest.raises(RemoteError) as unreachable:
        fresh().add_with({"runs/1-x.json": small}, files(), paths, told.append)
    assert unreachable.value.cause == Cause.NOT_FOUND
    away.rename(remote.folder)
    monkeypatch.setattr(remote_module.time, "sleep", lambda _: None)
    # What the host refuses is tried at the other place; after a lost connection, the same is tried again.
    refusal = dict.fromkeys(("a", "b"), PROTECTED.rejected[REFS.tip])
    for result, error_type, tries in ((PushResult(refusal), FilesApart, 2), (NETWORK, RemoteError, 3)):
        with monkeypatch.context() as patch:
            pushes = lose(patch, result)
            with pytest.raises(error_type):
                fresh().add_with({"runs/1-x.json": small}, files(), paths, told.append)
            assert len(pushes) == tries
    assert (refs(), told) == ([], [])
    fresh().add_with({"runs/1-x.json": small, "runs/1-x.series": large}, files(), paths, told.append)
    assert sorted(ref.rpartition("/")[0] for ref in refs()) == ["refs/ciplug/files", "refs/ciplug/inbox"]
    assert told == [3] and files().missing(paths) == set()
    assert fresh().read(["runs/1-x.json", "runs/1-x.series"]) == {"runs/1-x.json": small, "runs/1-x.series": large}


# Reading


def test_a_reader_that_may_folds_what_is_much(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 3)
    monkeypatch.setattr(reader_module, "PENDING_ALARM", 3)
    refs = [remote.write({f"runs/{n}-x.json": b"1"}) for n in range(2)]

    def waiting() -> int:
        return sum(remote.ref(ref) is not None for ref in refs)

    few = fresh()
    assert (len(few.keys("")), few.notes, waiting()) == (2, [], 2)
    refs.append(remote.write({"runs/2-x.json": b"1"}))
    other = fresh(may_fold=False)
    assert (len(other.keys("")), waiting()) == (3, 3)
    assert "3 writes wait to be folded into the branch 'ciplug'" in other.notes[0]
    with monkeypatch.context() as patch:
        pushes = lose(patch, PROTECTED)
        refused = fresh()
        assert (len(refused.keys("")), waiting()) == (3, 3)
        assert "3 writes wait to be folded" in refused.notes[0]
        with pytest.raises(RemoteError):
            refused.add({"runs/3-x.json": b"1"})
        tried = len(pushes)
        assert len(refused.keys("")) == 3 and len(pushes) == tried, "a fold that was refused is not tried again"
        refused.refresh()
        assert len(refused.keys("")) == 3 and len(pushes) > tried
    store = fresh()
    assert (len(store.keys("")), store.notes, waiting()) == (3, [], 0)
    assert len(fresh().keys("")) == 3


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def filled(cached: CachedRemote, written: LooseObjects, notes: list[str]) -> Snapshot:
    """Two segments, loose objects, pending writes and logs."""
    content = Content()
    index: dict[str, bytes] = {}
    for number in (1, 2):
        records = {f"runs/{number}{n}-x.json": b'{"n":%d}\n' % n for n in range(3)}
        apart = {f"runs/{number}0-x.series": written.blob(b"series %d" % number)}
        folding.write_segment(written, content, index, records, apart)
    content.indexes = [written.blob(segments.write_index(index))]
    content.new = {"runs/30-x.json": written.blob(b"loose")}
    for seq in (1, 2):
        content.logs[f"registry/m/{seq:06d}.json"] = written.blob(b"entry %d" % seq)
    content.logs["registry/mm/000001.json"] = written.blob(b"other")
    pending = {
        "refs/a": ("1", {"runs/40-x.json": written.blob(b"waits"), "runs/10-x.json": written.blob(b"claims")}),
    }
    view = View("1", (KEEP, "1"), content, pending, ("1",), {})
    return Snapshot(cached, view, notes.append)


def test_a_snapshot_reads_each_key_where_it_is(filled: Snapshot) -> None:
    first, second = filled.view.content.segments
    assert filled.loose.keys() == {"runs/30-x.json", "runs/40-x.json"}
    expected = {
        "runs/10-x.json": b'{"n":0}\n',
        "runs/22-x.json": b'{"n":2}\n',
        "runs/20-x.series": b"series 2",
        "runs/30-x.json": b"loose",
        "runs/40-x.json": b"waits",
        "registry/m/000002.json": b"entry 2",
    }
    assert filled.read([*expected, "runs/99-x.json"]) == expected
    assert filled.read([]) == {}
    assert filled.keys(("runs/1",)) == {f"runs/1{n}-x.json" for n in range(3)} | {"runs/10-x.series"}
    assert filled.keys(("runs/20-", "runs/30-")) == {"runs/20-x.json", "runs/20-x.series", "runs/30-x.json"}
    assert filled.keys(("registry/m/",)) == {"registry/m/000001.json", "registry/m/000002.json"}
    assert len(filled.keys(("",))) == 8 + 2 + 3
    assert filled.candidates(["runs/10-x.json"]) == [first]
    assert filled.candidates(["runs/10-", "runs/21-"]) == [first, second]
    assert filled.candidates(["runs/99-"]) == []
    held = filled.in_segments({"runs/10-x.json", "runs/20-x.series", "runs/99-x.json"})
    assert held == {
        "runs/10-x.json": object_id("blob", b'{"n":0}\n', "sha1"),
        "runs/20-x.series": object_id("blob", b"series 2", "sha1"),
    }


def test_a_segment_that_is_in_no_index_is_searched(filled: Snapshot) -> None:
    filled.view.content.indexes.clear()
    assert len(filled.candidates(["runs/99-"])) == 2
    assert filled.read(["runs/10-x.json"]) == {"runs/10-x.json": b'{"n":0}\n'}
    assert Snapshot(filled._remote, replace(filled.view, content=Content()), print).candidates(["a"]) == []


def test_a_damaged_segment_stops_no_other(filled: Snapshot, written: LooseObjects, notes: list[str]) -> None:
    first, second = filled.view.content.segments
    filled.view.content.segments[first] = written.blob(b"nonsense\n")
    assert filled.contents([first, second]).keys() == {second}
    assert filled.read(["runs/11-x.json", "runs/21-x.json"]) == {"runs/21-x.json": b'{"n":1}\n'}
    filled.view.content.segments[first] = "1" * 40
    assert filled.contents([first, second]).keys() == {second}
    assert "not a line of a segment" in notes[0]
    assert "the store has lost it" in notes[-1]
    assert all(f"segment {first} cannot be read" in note for note in notes)


def test_the_columns_of_segments_are_made_again_where_they_are_damaged(filled: Snapshot, written: LooseObjects) -> None:
    names = list(filled.view.content.segments)
    right = filled.columns(names)
    assert list(right) == names
    assert filled.columns([names[1], "000009-000000000000"]) == {names[1]: right[names[1]]}
    filled.view.content.columns[names[0]] = written.blob(b"nonsense")
    del filled.view.content.columns[names[1]]
    assert filled.columns(names) == right


def test_the_logs_of_a_snapshot(filled: Snapshot) -> None:
    assert filled.head("registry/m") == Head(2, digest(b"entry 2"))
    assert filled.head("registry/none") is None
    assert filled.entries("registry/m") == [b"entry 1", b"entry 2"]
    assert filled.entries("registry/m", 0, 1) == [b"entry 1"] and filled.entries("registry/m", 1, 2) == [b"entry 2"]
    assert filled.entries("registry/m", 1, 1) == filled.entries("registry/m", 2) == []
    assert filled.logs("registry/") == ["registry/m", "registry/mm"]
    assert filled.logs("registry/mm") == ["registry/mm"]
    assert filled.holds("registry/m", Head(1, digest(b"entry 1")))
    assert not filled.holds("registry/m", Head(1, digest(b"entry 2")))
    assert not filled.holds("registry/m", Head(3, digest(b"entry 2")))


# Checking


def problems(snapshot: Snapshot) -> list[tuple[str, bool]]:
    findings = find_problems(snapshot._remote, REFS, snapshot, lambda _: None)
    return [(problem.where, problem.repairable) for problem in findings.problems]


@pytest.fixture
def sound(filled: Snapshot) -> Snapshot:
    del filled.view.pending["refs/a"][1]["runs/10-x.json"]
    return filled


def test_a_sound_store_has_no_problems(sound: Snapshot) -> None:
    findings = find_problems(sound._remote, REFS, sound, lambda _: None)
    assert (findings.problems, findings.index, findings.columns) == ([], {}, {})


def test_every_problem_is_found(
    sound: Snapshot, written: LooseObjects, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ciplug.stores.git.check._AT_ONCE", 2)
    content = sound.view.content
    first, second = content.segments
    sound.view.lost = ("it was moved back",)
    sound.view.unsound.update({"refs/z": "1", "refs/b": "1"})
    missing = "1" * 40
    content.new.update({f"runs/5{n}-x.json": missing if n % 2 else written.blob(b"5") for n in range(5)})
    content.logs["registry/m/000004.json"] = missing
    lines = segments.write_lines({"runs/10-x.json": b"{}\n"}, {"runs/10-x.series": missing})
    content.segments[first] = written.blob(lines)
    content.columns[second] = written.blob(b"nonsense")
    sound.view.pending["refs/b"] = ("1", {"runs/30-x.json": written.blob(b"other bytes")})
    sound.view.pending["refs/c"] = ("1", {"runs/20-x.json": written.blob(b"other bytes")})
    sound.view.pending["refs/d"] = ("1", {"runs": written.blob(b"above"), "s": written.blob(b"")})
    sound.view.pending["refs/e"] = (
        "1",
        {"runs/60-x.json/y": written.blob(b"x"), "runs/20-x.json/z": content.new["runs/30-x.json"]},
    )
    sound.view.pending["refs/f"] = ("1", {"runs/60-x.json": written.blob(b"x")})
    assert problems(sound) == [
        ("refs/heads/ciplug", True),
        ("refs/b", True),
        ("refs/z", True),
        ("runs/51-x.json", False),
        ("runs/53-x.json", False),
        ("registry/m/000004.json", False),
        ("registry/m", False),
        (first, False),
        (first, True),
        (second, True),
        ("runs/10-x.series", False),
        ("runs/30-x.json", False),
        ("runs/20-x.json", False),
        ("runs", False),
        ("runs/60-x.json/y", False),
    ]
    findings = find_problems(sound._remote, REFS, sound, lambda _: None)
    texts = [problem.what for problem in findings.problems]
    assert "it has 3, the last is 4" in texts[6]
    assert "not those that it was closed with" in texts[7]
    assert findings.index == {
        **sound.index,
        first: segments.marks_of(["runs/10-x.json"]),
    }
    assert findings.columns.keys() == {second}
    content.segments[first] = missing
    content.segments[second] = written.blob(b"nonsense\n")
    assert [where for where, _ in problems(sound)][7:9] == [first, second]


def test_columns_of_a_newer_version_are_not_a_problem(sound: Snapshot, written: LooseObjects) -> None:
    content = sound.view.content
    first, second = content.segments
    content.columns[first] = written.blob(json.dumps({"version": columns.VERSION + 1}).encode() + b"\n")
    del content.columns[second]
    assert problems(sound) == [(second, True)]


def test_what_no_writer_of_ours_pushed_is_set_aside(remote: Remote, fresh: Callable[..., GitStore]) -> None:
    oid = remote.ref(remote.write({"runs/x-a.json": b"1"}))
    misnamed, of_a_branch = f"refs/ciplug/inbox/{'0' * 40}", f"refs/heads/ciplug-inbox/{'f' * 40}"
    for ref in (misnamed, of_a_branch):
        remote.set(ref, oid)
    assert {problem.where for problem in fresh().check() if problem.repairable} == {misnamed, of_a_branch}
    assert remote.ref(misnamed) == remote.ref(of_a_branch) == oid, "a look changes nothing"
    # A host may refuse to delete branches.
    config = remote.folder / "config"
    before = config.read_text()
    config.write_text(f"{before}[receive]\n\tdenyDeletes = true\n")
    found = {problem.where: (problem.repaired, problem.repairable) for problem in fresh().check(repair=True)}
    assert found == {misnamed: (True, True), of_a_branch: (False, False)}
    assert (remote.ref(misnamed), remote.ref(f"refs/ciplug/aside/{'0' * 40}"), remote.ref(of_a_branch)) == (
        None,
        oid,
        oid,
    )
    config.write_text(before)
    assert [problem.where for problem in fresh().check(repair=True) if problem.repaired] == [of_a_branch]
    assert (remote.ref(of_a_branch), remote.ref(f"refs/heads/ciplug-aside/{'f' * 40}")) == (None, oid)
    store = fresh()
    assert (store.check(), store.keys("")) == ([], ["runs/x-a.json"])


@pytest.mark.parametrize("wrong", ["columns", "INDEX"])
def test_what_can_be_derived_is_mended(
    remote: Remote, cached: CachedRemote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 2)
    fresh().add({f"runs/{n}-x.json": b"{}\n" for n in range(2)})
    assert fresh().compact() == 1
    content = fetch_view(cached, REFS).content
    (name,) = content.segments
    (index,) = cached.blobs(content.indexes).values()
    if wrong == "columns":
        content.columns[name] = remote.written.blob(b"nonsense")
    else:
        index = segments.write_index({name: segments.marks_of(["runs/9-x.json"])})
    remote.set(REFS.tip, remote.commit(root_tree(remote.written, content, index), remote.ref(REFS.tip) or ""))
    tip = remote.ref(REFS.tip)
    assert [(problem.repairable, problem.repaired) for problem in fresh().check()] == [(True, False)]
    assert remote.ref(REFS.tip) == tip, "a look changes nothing"
    assert [problem.repaired for problem in fresh().check(repair=True)] == [True]
    assert fresh().check() == []
    assert fresh().read(["runs/1-x.json"]) == {"runs/1-x.json": b"{}\n"}


# Folding


def test_a_fold_takes_what_fits_and_leaves_the_rest(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = branch(remote, Content({"runs/x-a.json": remote.written.blob(b"1")}))
    remote.set(KEEP, tip)
    taken = [remote.write({"runs/x-a.json": b"1", "runs/y-c.json": b"2"}), remote.write({"runs/x-d.json": b"3"})]
    left = [
        remote.write({"runs/x-a.json": b"other", "runs/x-e.json": b"4"}),
        # A file above keys would stand in the way of all of them.
        remote.write({"y": b"above"}),
        remote.write({"z": b"above what may come"}),
        remote.write({"runs/x-a.json/x": b"below"}),
    ]
    store = fresh()
    assert store.compact() == 2
    assert [remote.ref(ref) for ref in taken] == [None, None]
    assert all(remote.ref(ref) for ref in left)
    assert remote.ref(KEEP) == remote.ref(REFS.tip) != tip
    assert fresh().pending == 4
    for name in "fgh":
        remote.write({f"runs/z-{name}.json": b"5"})
    monkeypatch.setattr(folding, "WRITES_PER_FOLD", 2)
    assert fresh().compact() == 2
    assert fresh().compact() == 1
    tip = remote.ref(REFS.tip)  # type: ignore[assignment]
    assert fresh().compact() == 0
    assert remote.ref(REFS.tip) == tip
    names = ["x-a.json", "x-a.json/x", "x-d.json", "x-e.json", "y-c.json", "z-f.json", "z-g.json", "z-h.json"]
    assert fresh().loose() == [*(f"runs/{name}" for name in names), "y", "z"]
    assert fresh().read(["runs/x-a.json", "runs/y-c.json", "runs/x-e.json"]) == {
        "runs/x-a.json": b"1",
        "runs/y-c.json": b"2",
        "runs/x-e.json": b"4",
    }


def test_writes_that_claim_a_key_with_different_bytes_are_not_folded(
    remote: Remote, fresh: Callable[..., GitStore]
) -> None:
    claims = [remote.write({"runs/x-a.json": data, f"runs/x-{n}.json": b"{}"}) for n, data in enumerate((b"1", b"2"))]
    fine = remote.write({"runs/x-b.json": b"3"})
    assert fresh().compact() == 1
    assert remote.ref(fine) is None and all(map(remote.ref, claims))
    store = fresh()
    assert store.read(["runs/x-a.json", "runs/x-b.json", "runs/x-0.json"]) == {
        "runs/x-b.json": b"3",
        "runs/x-0.json": b"{}",
    }
    assert "runs/x-a.json is not read: pending writes claim it with different bytes" in store.notes[0]


def test_what_is_too_large_or_lost_is_not_folded(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_module, "RECORD_MOST", 9)
    config = remote.folder / "config"
    config.write_text(config.read_text() + "[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n")
    fine = remote.write({"runs/1-x.json": b"123456789", "runs/1-x.series": b"0123456789"})
    large = remote.write({"runs/2-x.json": b"0123456789", "runs/2-y.json": b"2"})
    lost = remote.write({"runs/3-x.json": b"333", "runs/3-y.json": b"3"})
    oid = remote.written.blob(b"333")
    (remote.folder / "objects" / oid[:2] / oid[2:]).unlink()
    assert fresh().compact() == 1
    assert (remote.ref(fine), bool(remote.ref(large)), bool(remote.ref(lost))) == (None, True, True)
    store = fresh()
    read = store.read(f"runs/{n}-{name}.json" for n in (1, 2, 3) for name in "xy")
    assert read == {"runs/1-x.json": b"123456789", "runs/2-y.json": b"2", "runs/3-y.json": b"3"}
    assert "runs/2-x.json, runs/3-x.json is not read: it is larger than a record can be, or lost" in store.notes[0]
    assert {problem.where for problem in store.check()} == {"runs/2-x.json", "runs/3-x.json"}


def test_a_write_of_what_a_segment_has_is_folded_if_it_is_the_same(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 2)
    fresh().add({f"runs/{n}-x.json": b"{}\n" for n in range(2)})
    assert fresh().compact() == 1
    again = remote.write({"runs/0-x.json": b"{}\n"})
    assert fresh().compact() == 1 and remote.ref(again) is None
    for data in (b"1\n", b"2\n", b"3\n"):
        other = remote.write({"runs/0-x.json": data})
        assert fresh().compact() == 0 and remote.ref(other)
        assert fresh().read(["runs/0-x.json"]) == {"runs/0-x.json": b"{}\n"}
        remote.set(other, None)
    assert (fresh().loose(), len(fresh().segments())) == ([], 1)


@pytest.mark.parametrize(("number", "closed"), [(2, 0), (3, 1), (4, 1)])
def test_a_segment_is_closed_at_its_size(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch, number: int, closed: int
) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 3)
    fresh().add({f"runs/{n}-x.json": b"{}\n" for n in range(number)})
    assert fresh().compact() == 1
    assert len(fresh().segments()) == closed
    assert len(fresh().loose()) == (0 if closed else number)
    assert all(name.startswith("000001-") for name in fresh().segments())
    assert fresh().check() == []
    # Lines alone need no series branch.
    assert remote.ref(REFS.series) is None


def test_a_fold_that_lost_the_race_has_done_nothing(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = remote.write({"runs/x-a.json": b"1"})
    lost = PushResult({REFS.tip: Failure("stale info", frozenset({GitKind.STALE}))})
    with monkeypatch.context() as patch:
        patch.setattr(CachedRemote, "push", lambda *args, **options: lost)
        assert fresh().compact() == 0
    assert remote.ref(ref)
    assert fresh().compact() == 1
    with monkeypatch.context() as patch:
        pushes = lose(patch, lost)
        with pytest.raises(Conflict, match="written meanwhile"):
            fresh().drop(["runs/x-a.json"], "x")
        assert len(pushes) == 1
    assert fresh().drop(["runs/x-a.json", "runs/x-b.json"], "x") == 1
    assert fresh().keys("") == []


@pytest.mark.parametrize("series", [True, False])
def test_a_dropped_run_leaves_its_segment_and_the_series_branch(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch, series: bool
) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 4)
    runs = [
        {f"runs/{n}-x.json": b"{}\n", f"runs/{n}-x.{'series' if series else 'sig'}": b"\0" if series else b"{}\n"}
        for n in range(4)
    ]
    for some in (runs[:2], runs[2:]):
        fresh().add({key: data for run in some for key, data in run.items()})
        assert fresh().compact() == 1
    assert [name[:7] for name in fresh().segments()] == ["000001-", "000002-"]

    def in_series() -> list[str]:
        names = run_git("ls-tree", "-r", "--name-only", REFS.series, cwd=remote.folder).stdout.decode().splitlines()
        return sorted(name.partition("/")[2] for name in names)

    tip = remote.ref(REFS.tip)
    assert fresh().drop(["runs/9-x.json"], "old") == 0 and remote.ref(REFS.tip) == tip
    assert fresh().drop([*runs[0], *runs[2], "runs/9-x.json"], "old") == 4
    # What stays of both is one segment.
    assert [name[:7] for name in fresh().segments()] == ["000001-"]
    left = {**runs[1], **runs[3]}
    assert fresh().read([key for run in runs for key in run]) == left
    assert fresh().check() == []
    if series:
        assert in_series() == ["runs/1-x.series", "runs/3-x.series"]
        assert b"\nparent " not in run_git("cat-file", "commit", REFS.series, cwd=remote.folder).stdout
    else:
        assert remote.ref(REFS.series) is None
    assert fresh().drop(left, "old") == 4
    assert (fresh().segments(), fresh().keys("")) == ([], [])
    assert not series or in_series() == []


# Appending


def lose(monkeypatch: pytest.MonkeyPatch, result: PushResult, times: int = 10**6) -> list[Sequence[str]]:
    """Let pushes from the cache end so, the first `times`; returns what they were."""
    pushes: list[Sequence[str]] = []
    push = CachedRemote.push

    def scripted(
        self: CachedRemote, repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()
    ) -> PushResult:
        pushes.append(refspecs)
        return result if len(pushes) <= times else push(self, repository, refspecs, options)

    monkeypatch.setattr(CachedRemote, "push", scripted)
    return pushes


STALE = PushResult({REFS.tip: Failure("stale info", frozenset({GitKind.STALE}))})
NETWORK = PushResult(failure=Failure("hung up", frozenset({GitKind.NETWORK})))
PROTECTED = PushResult({REFS.tip: Failure("protected", frozenset({GitKind.PROTECTED}))})


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(log_module.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize("result", [STALE, NETWORK])
def test_an_append_is_tried_again_and_not_for_ever(
    fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch, pauses: list[float], result: PushResult
) -> None:
    monkeypatch.setattr(log_module, "_LOG_TRIES", 3)
    with monkeypatch.context() as patch:
        pushes = lose(patch, result)
        with pytest.raises(StoreError, match="registry/m: 3 attempts") as error:
            fresh().append("registry/m", None, b"1")
        assert error.value.cause == Cause.CONFLICT
        assert len(pushes) == len(pauses) == 3
        assert all(0 <= pause <= 0.05 * number for number, pause in enumerate(pauses, 1))
    with monkeypatch.context() as patch:
        pushes = lose(patch, result, times=2)
        assert fresh().append("registry/m", None, b"1") == Head(1, digest(b"1"))
        assert len(pushes) == 3


def test_an_append_that_is_refused_fails_at_once(
    fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    pushes = lose(monkeypatch, PROTECTED)
    with pytest.raises(RemoteError) as error:
        fresh().append("registry/m", None, b"1")
    assert (error.value.cause, error.value.hint) == (Cause.PROTECTED, REFS.push_hint)
    # With what an earlier question saw, once more after a look.
    store = fresh()
    assert store.head("registry/m") is None
    with pytest.raises(RemoteError):
        store.append("registry/m", None, b"1")
    assert len(pushes) == 3


def test_an_append_sees_what_others_appended_since(fresh: Callable[..., GitStore], pauses: list[float]) -> None:
    one, other = fresh(), fresh()
    assert one.head("registry/m") is other.head("registry/m") is None
    first = one.append("registry/m", None, b"1")
    assert first == Head(1, digest(b"1"))
    with pytest.raises(Conflict) as conflict:
        other.append("registry/m", None, b"2")
    assert conflict.value.head == first
    # It is behind, and is told the head by somebody who is not.
    assert other.append("registry/m", first, b"2") == Head(2, digest(b"2"))
    assert fresh().entries("registry/m") == [b"1", b"2"]


@pytest.mark.parametrize("kept", REFS.keep)
def test_nothing_is_added_to_a_log_that_has_lost_entries(
    remote: Remote, fresh: Callable[..., GitStore], monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    monkeypatch.setattr(view_module.time, "sleep", lambda _: None)
    first = fresh().append("registry/m", None, b"1")
    before = remote.ref(REFS.tip)
    second = fresh().append("registry/m", first, b"2")
    tip = remote.ref(REFS.tip)
    remote.set(KEEP, None)
    remote.set(kept, tip)
    remote.set(REFS.tip, before)
    for expected in (first, second):
        with pytest.raises(StoreError, match=f"has lost entries of registry/m.*pushed others to {kept}: ") as error:
            fresh().append("registry/m", expected, b"3")
        assert error.value.cause == Cause.LOST
        assert (error.value.hint or "").endswith(f": git push REMOTE :{kept}")
    assert fresh().lost_logs() == fresh().lost_logs("registry/m", "x") == ["registry/m"]
    assert fresh().lost_logs("registry/n") == []
    assert fresh().append("registry/n", None, b"1") == Head(1, digest(b"1")), "other logs go on"
    assert remote.ref(kept) == tip
    fresh().restore_entries(fresh().kept_entries())
    assert fresh().append("registry/m", second, b"3") == Head(3, digest(b"3"))
    assert fresh().entries("registry/m") == [b"1", b"2", b"3"]


# The cache


def test_a_cache_is_made_anew_for_damage_alone(cached: CachedRemote) -> None:
    marker = cached.repository / "objects" / "pack" / "marker"
    for problem, again in [
        (KeyError("x"), True),
        (ValueError("x"), True),
        (StoreError("x", cause=Cause.LOST), True),
        (StoreError("x", cause=Cause.NETWORK), False),
        (StoreError("x", cause=Cause.FORMAT), False),
        (StoreError("x", cause=Cause.FORBIDDEN), False),
        (StoreError("x", cause=Cause.NOT_FOUND), False),
        (GitError("x", kind=GitKind.NETWORK), False),
        (GitError("x", kind=GitKind.LOCKED), True),
        (RecordError("x"), False),
    ]:
        marker.touch()
        calls: list[bool] = []

        def work(problem: Exception = problem, calls: list[bool] = calls) -> str:
            calls.append(marker.exists())
            if len(calls) == 1:
                raise problem
            return "done"

        if again:
            assert cached.with_cache(work) == "done"
            assert calls == [True, False]
        else:
            with pytest.raises(type(problem)):
                cached.with_cache(work)
            assert calls == [True]
    # Who checks the store begins with an empty one; where that cannot be filled, the old one comes back.
    marker.touch()

    def fetch(problem: Exception | None) -> bool:
        init_bare(cached.repository, "sha1")
        if problem:
            raise problem
        return marker.exists()

    with pytest.raises(StoreError):
        cached.renewed(lambda: fetch(StoreError("x")))
    assert marker.exists()
    assert not cached.renewed(lambda: fetch(None)) and not marker.exists()


@pytest.mark.parametrize(("number", "kept"), [(60, True), (61, False)])
def test_a_cache_of_very_many_packs_is_made_anew(cached: CachedRemote, number: int, kept: bool) -> None:
    for pack in range(number):
        (cached.repository / "objects" / "pack" / f"{pack}.pack").touch()
    assert cached.with_cache(lambda: len(list((cached.repository / "objects" / "pack").iterdir()))) == (
        number if kept else 0
    )


def test_the_last_tip_is_remembered_until_it_is_forgotten(cached: CachedRemote) -> None:
    assert cached.remembered() is None
    cached.remember("1" * 40)
    assert cached.remembered() == "1" * 40
    cached.remember("2" * 40)
    assert cached.remembered() == "2" * 40
    cached.remember(None)
    cached.remember(None)
    assert cached.remembered() is None


def test_the_parents_of_a_commit(cached: CachedRemote, written: LooseObjects) -> None:
    tree = written.tree({})
    commit = written.commit(tree, ("1" * 40, "2" * 40), "parent 3", 0)
    assert cached.parents(commit) == ("1" * 40, "2" * 40)
    assert cached.parents(written.commit(tree, (), "x\n\nparent 3", 0)) == ()
    assert cached.parents(None) == cached.parents("3" * 40) == ()


def test_what_is_missing_is_fetched_or_named(remote: Remote, cached: CachedRemote) -> None:
    (remote.folder / "config").write_text(
        (remote.folder / "config").read_text() + "[uploadpack]\n\tallowAnySHA1InWant = true\n"
    )
    there, gone = remote.written.blob(b"there"), "1" * 40
    folder = remote.written.tree({"x": ("100644", there)})
    assert cached.trees([folder, there]) == {}
    assert cached.fetched_trees([folder]) == {folder: {"x": ("100644", there)}}
    assert cached.fetched_trees([]) == {}
    # A look at the names brings no content along.
    assert not (cached.repository / "objects" / there[:2]).exists()
    assert cached.sound_blobs([there, gone, folder]) == {there: b"there"}
    assert cached.blobs([there, there]) == {there: b"there"}
    with pytest.raises(StoreError, match=f"lost 1 object that it names, {gone} first") as error:
        cached.blobs([there, gone])
    assert error.value.cause == Cause.LOST
    with pytest.raises(StoreError):
        cached.fetched_trees([gone])


def test_of_writes_the_damaged_ones_alone_do_not_come(
    remote: Remote, cached: CachedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    (remote.folder / "config").write_text(
        (remote.folder / "config").read_text() + "[uploadpack]\n\tallowFilter = true\n"
    )
    datas = [b"%d" % n for n in range(5)]
    commits = [remote.ref(remote.write({f"runs/{n}-x.json": data})) or "" for n, data in enumerate(datas)]
    oids = [remote.written.blob(data) for data in datas]
    large, beside = remote.written.blob(b"0123456789"), remote.written.blob(b"beside")
    commits.append(remote.ref(remote.write({"runs/9-x.json": b"0123456789"})) or "")
    assert cached.bring_commits(commits[:2], 9, [beside]) == set() == cached.bring_commits([], 9)
    assert cached.present([*oids[:2], beside]) == {*oids[:2], beside}
    (remote.folder / "objects" / oids[3][:2] / oids[3][2:]).unlink()
    assert cached.bring_commits(commits[2:], 9, [remote.written.blob(b"more")]) == {commits[3]}
    assert cached.present([*oids, large]) == {*oids} - {oids[3]}
    assert cached.bring_commits(commits[5:], 10) == set() and cached.present([large]) == {large}
    # Some servers close the connection when they find the damage.
    both = Failure("early EOF; object is corrupt", frozenset({GitKind.NETWORK, GitKind.DAMAGED}))
    monkeypatch.setattr(cached, "fetch", lambda *args, **options: both)
    assert cached.bring_commits(commits[:1], 9) == {commits[0]}
    assert cached.sound_blobs([oids[3]]) == {}


def test_a_connection_that_fails_is_not_a_lost_object(cached: CachedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(remote_module.time, "sleep", slept.append)
    cached._url = "http://127.0.0.1:9/x.git"
    with pytest.raises(RemoteError, match="cannot read 2 objects of the store") as error:
        cached.sound_blobs(["1" * 40, "2" * 40])
    assert error.value.cause == Cause.NETWORK
    with pytest.raises(RemoteError, match="cannot read 1 write of the store") as error:
        cached.bring_commits(["1" * 40], 9)
    assert error.value.cause == Cause.NETWORK
    full = cached.unreadable("the store", Failure("write error", frozenset({GitKind.DISK_FULL})), hint="credentials?")
    assert full.cause == Cause.FULL and (full.hint or "").startswith("free some space")
    # Tried three times, with a longer pause each time.
    assert len(slept) == 4
    assert all(0.3 * number <= pause <= 0.7 * number for pause, number in zip(slept, (1, 2, 1, 2), strict=True))
