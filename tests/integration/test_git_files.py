"""Files in git keep their promises against a real git server over HTTP, of every kind, and against a plain path."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ciplug.errors import FileChanged, StoreError
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.files import LOOK_FROM, GitFiles
from ciplug.stores.git.folding import FOLD_AT
from ciplug.stores.git.objects import BLOB, LooseObjects
from tests.file_samples import make, noise, nothing, sha
from tests.project import git
from tests.servers.git_http import GitServer

Open = Callable[[], GitFiles]
PLENTY = 10**9


def opener(url: str, folder: Path) -> Open:
    """Opens the place as a new process with an empty cache would."""
    number = iter(range(10_000))

    def open_() -> GitFiles:
        remote = CachedRemote(url, cache=folder / f"cache-{next(number)}", name="files", config=())
        return GitFiles(remote, "ciplug", uri="git:", limit=None)

    return open_


@pytest.fixture(
    params=[
        *("path", "http", "http-no-custom-refs"),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("http-no-filter", "http-no-atomic")),
    ]
)
def fresh(request: pytest.FixtureRequest, tmp_path: Path, git_server: GitServer) -> Iterator[Open]:
    if request.param == "path":
        git(tmp_path, "init", "-q", "--bare", "remote.git")
        yield opener((tmp_path / "remote.git").as_uri(), tmp_path)
        return
    options = {
        "http": {},
        "http-no-filter": {"filters": False},
        "http-no-atomic": {"atomic": False},
        "http-no-custom-refs": {"custom_refs": False},
    }[request.param]
    git_server.create("remote", **options)
    yield opener(git_server.url("remote"), tmp_path)


@pytest.fixture
def served(git_server: GitServer, tmp_path: Path) -> tuple[GitServer, Open]:
    git_server.create("remote")
    return git_server, opener(git_server.url("remote"), tmp_path)


def fetch(files: GitFiles, digests: list[str], folder: Path, most: int = PLENTY) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    files.get(digests, folder, nothing, most)
    return {"sha256:" + path.name: path.read_bytes() for path in folder.iterdir()}


def refs(server: GitServer) -> list[str]:
    return git(server.path("remote"), "for-each-ref", "--format=%(refname)").split()


@pytest.mark.slow
def test_what_is_put_is_got_by_another_before_and_after_a_fold(fresh: Open, tmp_path: Path) -> None:
    contents = [b"", b"small", noise(LOOK_FROM, 1), noise(2 * LOOK_FROM, 2)]
    files = make(tmp_path / "in", *contents)
    assert fresh().missing(files) == set(files)
    told: list[int] = []
    fresh().put(files, told.append)
    assert sum(told) == sum(map(len, contents))
    expected = {sha(data): data for data in contents}
    assert fetch(fresh(), list(files), tmp_path / "one") == expected
    assert fresh().compact() == 1
    assert fresh().compact() == 0
    assert fresh().missing([*files, sha(b"other")]) == {sha(b"other")}
    assert fetch(fresh(), list(files), tmp_path / "two") == expected
    # A second fold, onto the first.
    more = make(tmp_path / "in", b"more", noise(LOOK_FROM + 1, 3))
    fresh().put({**files, **more}, nothing)
    assert fresh().compact() == 1
    assert fresh().missing([*files, *more]) == set()


@pytest.mark.slow
def test_what_is_there_is_not_sent_again(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    model, other = noise(2_000_000, 1), noise(300_000, 2)
    open_().put(make(tmp_path / "in", model), nothing)
    server.requests.clear()
    told: list[int] = []
    open_().put(make(tmp_path / "in", model), told.append)
    assert not [r for r in server.requests if r.service == "receive-pack"]
    assert sum(told) == len(model)
    open_().put(make(tmp_path / "in", model, other), nothing)
    assert sum(r.bytes_in for r in server.requests if r.service == "receive-pack") < 400_000
    # No look-up brings a file along.
    assert sum(r.bytes_out for r in server.requests if r.service == "upload-pack") < 10_000


@pytest.mark.slow
def test_a_fold_sends_and_fetches_names_only(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    for round_ in range(3):
        for number in range(3):
            open_().put(make(tmp_path / "in", noise(200_000, 10 * round_ + number)), nothing)
        server.requests.clear()
        assert open_().compact() == 3
        assert sum(r.bytes_in + r.bytes_out for r in server.requests) < 20_000
    assert refs(server) == ["refs/ciplug/files/folded"]
    git(server.path("remote"), "fsck", "--strict")


@pytest.mark.slow
def test_no_clone_and_no_fetch_of_a_colleague_brings_files(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    git(tmp_path, "init", "-q", "-b", "main", "code")
    git(tmp_path / "code", "commit", "-q", "--allow-empty", "-m", "code")
    git(tmp_path / "code", "push", "-q", server.url("remote"), "main")
    git(tmp_path, "clone", "-q", server.url("remote"), "colleague")
    models = [noise(300_000, number) for number in range(6)]
    for some in (models[:3], models[3:]):
        open_().put(make(tmp_path / "in", *some), nothing)
    assert open_().compact() == 2
    server.requests.clear()
    git(tmp_path / "colleague", "fetch", "-q")
    git(tmp_path, "clone", "-q", server.url("remote"), "new")
    assert sum(r.bytes_out for r in server.requests) < 5_000
    # One ref for all models, and whoever wants one fetches that one.
    assert refs(server) == ["refs/ciplug/files/folded", "refs/heads/main"]
    server.requests.clear()
    assert fetch(open_(), [sha(models[3])], tmp_path / "out") == {sha(models[3]): models[3]}
    assert sum(r.bytes_out for r in server.requests) < 310_000
    assert len(server.requests) <= 8


@pytest.mark.slow
def test_files_move_out_of_the_branches_once_the_host_takes_other_refs(git_server: GitServer, tmp_path: Path) -> None:
    repository = git_server.create("remote", custom_refs=False)
    open_ = opener(git_server.url("remote"), tmp_path)
    old, new = noise(300_000, 1), noise(300_000, 2)
    open_().put(make(tmp_path / "in", old), nothing)
    assert (open_().compact(), open_().compact()) == (1, 0)
    assert refs(git_server) == ["refs/heads/ciplug-files"]
    (repository / "hooks" / "update").unlink()
    open_().put(make(tmp_path / "in", new), nothing)
    assert fetch(open_(), [sha(old), sha(new)], tmp_path / "out").keys() == {sha(old), sha(new)}
    git_server.protect("remote", "ciplug-files")
    open_().compact()
    (problem,) = open_().check(lacks=False)
    assert (problem.where, "lift its protection" in problem.what) == ("refs/heads/ciplug-files", True)
    git(repository, "config", "--unset-all", "receive.procReceiveRefs")
    git_server.requests.clear()
    open_().compact()
    assert open_().check(lacks=False) == []
    assert sum(r.bytes_in + r.bytes_out for r in git_server.requests) < 20_000
    assert refs(git_server) == ["refs/ciplug/files/folded"]
    assert fetch(open_(), [sha(old), sha(new)], tmp_path / "again").keys() == {sha(old), sha(new)}


def test_a_reader_fetches_what_it_asks_for_only(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    contents = [noise(300_000, number) for number in range(8)]
    open_().put(make(tmp_path / "in", *contents), nothing)
    open_().compact()
    server.requests.clear()
    fetch(open_(), [sha(contents[0])], tmp_path / "out")
    assert sum(r.bytes_out for r in server.requests) < 320_000


def test_many_pending_pushes_are_folded_by_a_reader(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    repository = server.path("remote")
    written = LooseObjects(repository, "sha1")
    contents = [b"file %d" % number for number in range(FOLD_AT)]
    for data in contents:
        commit = written.commit(written.tree({sha(data)[7:]: (BLOB, written.blob(data))}), (), "files", 0)
        git(repository, "update-ref", f"refs/ciplug/files/{sha(data)[7:20]}", commit)
    assert open_().missing([sha(contents[0])]) == set()
    assert refs(server) == ["refs/ciplug/files/folded"]
    assert open_().missing([*map(sha, contents)]) == set()


NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)


@pytest.mark.slow
def test_what_becomes_of_a_file_that_is_set_aside(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    open_ = opener((tmp_path / "remote.git").as_uri(), tmp_path)
    contents = [b"sent again", b"unneeded anew", b"gone", b"kept", b"named again"]
    again, anew, gone, kept, named = digests = map_of(contents)
    open_().put(make(tmp_path / "in", *contents), nothing)
    assert open_().drop([again, anew, gone, named], digests, NOW) == (4, 0, False)
    open_().put(make(tmp_path / "in", contents[0]), nothing)
    open_().compact()
    assert open_().missing(digests) == set()
    assert open_().drop([anew], [anew, kept, named], NOW + DAY) == (1, 1, False)
    assert not open_().due(NOW + DAY)
    assert open_().missing(digests) == {gone}
    assert open_().drop([], [kept, named], NOW + 2 * DAY) == (0, 1, False)
    assert open_().missing(digests) == {anew, gone}


@pytest.mark.slow
def test_a_host_that_takes_branches_only_for_a_while(git_server: GitServer, tmp_path: Path) -> None:
    hook = git_server.create("other", custom_refs=False) / "hooks" / "update"
    repository = git_server.create("remote")
    open_ = opener(git_server.url("remote"), tmp_path)
    one = b"one"
    other = next(data for n in range(10_000) if sha(data := b"%d" % n)[7:9] == sha(one)[7:9])
    folded, branch = "refs/ciplug/files/folded", "refs/heads/ciplug-files"
    for data, expected in ((one, [folded]), (other, [folded, branch]), (b"last", [folded])):
        if data == other:
            hook.rename(repository / "hooks" / "update")
        open_().put(make(tmp_path / "in", data), nothing)
        assert open_().compact() == 1
        assert refs(git_server) == expected
        assert open_().missing([sha(one), sha(data)]) == set()
        (repository / "hooks" / "update").unlink(missing_ok=True)
    assert open_().missing([sha(one), sha(other)]) == set()


@pytest.mark.slow
def test_files_are_set_aside_for_a_day_and_then_gone_physically(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    repository = server.path("remote")
    contents = [noise(200_000, number) for number in range(6)]
    old, again, named, *kept = map(sha, contents)
    open_().put(make(tmp_path / "in", *contents[:3]), nothing)
    open_().compact()
    open_().put(make(tmp_path / "in", *contents[3:]), nothing)
    server.requests.clear()
    unneeded = {old, again, named}
    # What waits to be folded counts too, and one that is already set aside is not set aside again.
    assert open_().drop(unneeded, {*unneeded, *kept}, NOW) == (3, 0, False)
    assert open_().drop(unneeded, {*unneeded, *kept}, NOW + DAY / 2) == (0, 0, False)
    assert (open_().due(NOW + DAY / 2), open_().due(NOW + DAY)) == (False, True)
    # A reader finds what is set aside; whoever records such a file sends it again.
    assert fetch(open_(), [old], tmp_path / "out") == {old: contents[0]}
    assert open_().missing(unneeded) == set()
    open_().put(make(tmp_path / "in", contents[1]), nothing)
    open_().put(make(tmp_path / "in", noise(300_000, 9), contents[1]), nothing)
    assert open_().drop([], {again, named, *kept}, NOW + DAY) == (0, 1, False)
    assert open_().missing(map_of(contents)) == {old}
    assert not open_().due(NOW + 9 * DAY)
    # From a tip without a parent on as well, and neither way a file is sent or fetched.
    assert open_().drop([named], {named, *kept}, NOW + 2 * DAY) == (1, 0, False)
    assert open_().drop([], kept, NOW + 3 * DAY) == (0, 1, False)
    assert open_().missing(map_of(contents)) == {old, named}
    assert sum(r.bytes_out for r in server.requests if r.service == "upload-pack") < 300_000
    assert refs(server) == ["refs/ciplug/files/folded"]
    git(repository, "fsck", "--strict")
    git(repository, "gc", "-q", "--prune=now")
    assert sum(path.stat().st_size for path in (repository / "objects").rglob("*") if path.is_file()) < 1_200_000


def map_of(contents: list[bytes]) -> list[str]:
    return [sha(data) for data in contents]


@pytest.mark.slow
@pytest.mark.parametrize("forced", [True, False])
def test_files_in_branches_are_dropped_too(git_server: GitServer, tmp_path: Path, forced: bool) -> None:
    """Also where a branch cannot begin a new history: there the dropped file stays in the old one."""
    repository = git_server.create("remote", custom_refs=False)
    git(repository, "config", "receive.denyNonFastForwards", str(not forced).lower())
    open_ = opener(git_server.url("remote"), tmp_path)
    files = make(tmp_path / "in", b"old", b"kept")
    open_().put(files, nothing)
    assert open_().drop([sha(b"old")], files, NOW) == (1, 0, False)
    assert open_().drop([], [sha(b"kept")], NOW + DAY) == (0, 1, not forced)
    assert open_().missing(files) == {sha(b"old")}


@pytest.mark.slow
def test_a_pull_that_has_begun_survives_a_drop(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    files = make(tmp_path / "in", b"old", b"kept")
    open_().put(files, nothing)
    open_().drop([sha(b"old")], files, NOW)
    other, dropped = open_(), []

    def before(method: str, service: str | None) -> None:
        wanted = [r for r in server.requests if (r.method, r.service) == ("POST", "upload-pack")]
        # The reader has found the file, and asks for its bytes.
        if len(wanted) == 4 and not dropped:
            dropped.append(True)
            dropped.append(other.drop([], [sha(b"kept")], NOW + DAY).dropped)

    server.requests.clear()
    server.before_request = before
    assert fetch(open_(), [sha(b"old")], tmp_path / "out") == {sha(b"old"): b"old"}
    assert dropped == [True, 1]
    with pytest.raises(StoreError, match="does not hold 1 of 1 files"):
        fetch(open_(), [sha(b"old")], tmp_path / "again")


@pytest.mark.slow
def test_two_that_fold_and_drop_at_once_lose_nothing(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    contents = [b"%d" % number for number in range(4)]
    digests = map_of(contents)
    for data in contents:
        open_().put(make(tmp_path / "in", data), nothing)
    one, other, raced = open_(), open_(), []

    def before(method: str, service: str | None) -> None:
        if (method, service) == ("POST", "receive-pack") and not raced:
            raced.append(True)
            other.compact()

    server.before_request = before
    assert one.drop(digests[:1], digests, NOW) == (1, 0, False)
    raced.clear()
    assert open_().drop(digests[1:2], digests[2:], NOW + DAY) == (1, 1, False)
    server.before_request = None
    assert open_().missing(digests) == {digests[0]}


def test_who_may_not_fold_does_not(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    open_().put(make(tmp_path / "in", b"x"), nothing)
    server.protect("remote", "refs/ciplug/files/folded", "ciplug-files")
    with pytest.raises(StoreError, match="did not take the push"):
        open_().compact()
    assert open_().missing([sha(b"x")]) == set()


def test_a_file_that_was_changed_is_not_sent(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    _, open_ = served
    files = make(tmp_path / "in", b"as recorded")
    (path,) = files.values()
    path.write_bytes(b"written since")
    with pytest.raises(FileChanged) as caught:
        open_().put(files, nothing)
    assert [caught.value.digest] == list(files)
    path.unlink()
    with pytest.raises(FileChanged, match="can no longer be read"):
        open_().put(files, nothing)
    assert open_().missing(files) == set(files)


def test_what_others_pushed_there_is_left_alone(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    repository = server.path("remote")
    written = LooseObjects(repository, "sha1")
    blob = written.blob(b"x")
    name = sha(b"y")[7:]
    odd = {
        "name": written.tree({"../../x": (BLOB, blob)}),
        "link": written.tree({name: ("120000", blob)}),
        "deep": written.nested_tree({f"{name}/{name}": blob}),
        "empty": written.tree({}),
    }
    for ref, tree in odd.items():
        git(repository, "update-ref", f"refs/ciplug/files/{ref}", written.commit(tree, (), ref, 0))
    parent = written.commit(written.tree({name: (BLOB, blob)}), (), "one", 0)
    child = written.commit(written.tree({name: (BLOB, blob)}), (parent,), "with a history", 0)
    git(repository, "update-ref", "refs/ciplug/files/child", child)
    git(repository, "update-ref", "refs/ciplug/files/blob", blob)
    assert open_().missing([sha(b"y")]) == {sha(b"y")}
    open_().put(make(tmp_path / "in", b"z"), nothing)
    assert open_().compact() == 1
    assert len(refs(server)) == 1 + len(odd) + 2


def test_nobody_keeps_a_file_out_by_taking_its_ref(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    repository = server.path("remote")
    open_().put(make(tmp_path / "in", b"known to others"), nothing)
    (ref,) = refs(server)
    written = LooseObjects(repository, "sha1")
    git(repository, "update-ref", ref, written.commit(written.tree({}), (), "taken", 0))
    assert open_().missing([sha(b"known to others")])
    open_().put(make(tmp_path / "in", b"known to others"), nothing)
    assert open_().missing([sha(b"known to others")]) == set()
    assert len(refs(server)) == 2


@pytest.mark.slow
def test_a_ref_above_those_of_files_is_named(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    repository = server.path("remote")
    written = LooseObjects(repository, "sha1")
    git(repository, "update-ref", "refs/ciplug/files", written.commit(written.tree({}), (), "above", 0))
    with pytest.raises(StoreError, match="refs/ciplug/files stands in the way") as caught:
        open_().put(make(tmp_path / "in", b"x"), nothing)
    assert ":refs/ciplug/files" in (caught.value.hint or "")


@pytest.mark.parametrize("folded", [False, True])
def test_damaged_bytes_never_get_their_name(served: tuple[GitServer, Open], tmp_path: Path, folded: bool) -> None:
    server, open_ = served
    repository = server.path("remote")
    written = LooseObjects(repository, "sha1")
    right = noise(300_000, 5)
    tree = written.tree({sha(right)[7:]: (BLOB, written.blob(right[:-1] + b"?"))})
    git(repository, "update-ref", "refs/ciplug/files/wrong", written.commit(tree, (), "wrong", 0))
    if folded:
        open_().compact()
    out = tmp_path / "out"
    with pytest.raises(StoreError, match="another digest"):
        fetch(open_(), [sha(right)], out)
    assert list(out.iterdir()) == []
    assert "300,000 bytes have the digest" in open_().damaged([sha(right)], nothing)[sha(right)]
    with pytest.raises(StoreError, match="more than 1,000 bytes"):
        fetch(open_(), [sha(right)], out, most=1000)
    assert list(out.iterdir()) == []


def test_folded_files_that_somebody_has_deleted_are_set_again(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    ours = open_()
    ours.put(make(tmp_path / "in", b"old"), nothing)
    ours.compact()
    assert ours.check(lacks=True) == []
    before = git(server.path("remote"), "rev-parse", "refs/ciplug/files/folded").strip()
    git(server.path("remote"), "update-ref", "-d", "refs/ciplug/files/folded")
    assert ours.check(lacks=False) == []
    (problem,) = ours.check(lacks=True)
    assert problem.where == "refs/ciplug/files/folded"
    assert f"git update-ref refs/ciplug/files/folded {before}" in problem.what
    # Who has never read them cannot tell what they were.
    assert open_().check(lacks=True) == []


def test_what_was_sent_and_changed_since_then_is_not_sent_again(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    _, open_ = served
    right = noise(300_000, 5)
    files = make(tmp_path / "in", right)
    open_().put(files, nothing)
    files[sha(right)].write_bytes(b"changed")
    (tmp_path / "in/large").write_bytes(noise(300_000, 6))
    assert open_().batches({**files, sha(b"other"): tmp_path / "in/large"}, nothing) == [
        {sha(b"other"): tmp_path / "in/large"}
    ]
    assert fetch(open_(), [sha(right)], tmp_path / "out") == {sha(right): right}


@pytest.mark.slow
@pytest.mark.parametrize("folded", [False, True])
def test_what_is_damaged_is_mended_by_who_has_it(served: tuple[GitServer, Open], tmp_path: Path, folded: bool) -> None:
    server, open_ = served
    repository = server.path("remote")
    written = LooseObjects(repository, "sha1")
    right = noise(300_000, 5)
    tree = written.tree({sha(right)[7:]: (BLOB, written.blob(right[:-1] + b"?"))})
    git(repository, "update-ref", "refs/ciplug/files/wrong", written.commit(tree, (), "wrong", 0))
    if folded:
        open_().compact()
    open_().put(make(tmp_path / "in", right), nothing)
    assert fetch(open_(), [sha(right)], tmp_path / "out") == {sha(right): right}
    assert open_().damaged([sha(right), sha(b"absent")], nothing) == {}
    open_().compact()
    assert fetch(open_(), [sha(right)], tmp_path / "again") == {sha(right): right}
    # Now that the right bytes are there, nothing is sent any more.
    server.requests.clear()
    open_().put(make(tmp_path / "in", right), nothing)
    assert not [r for r in server.requests if r.service == "receive-pack"]


def test_what_is_not_there_is_named(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    _, open_ = served
    open_().put(make(tmp_path / "in", b"there"), nothing)
    with pytest.raises(StoreError, match=f"does not hold 1 of 2 files, {sha(b'gone')}"):
        fetch(open_(), [sha(b"there"), sha(b"gone")], tmp_path / "out")


@pytest.mark.slow
def test_a_download_goes_on_where_it_was_cut_off(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    _, open_ = served
    model = noise(3_000_000, 1)
    open_().put(make(tmp_path / "in", model), nothing)
    out = tmp_path / "out"
    out.mkdir()
    part = out / f"{sha(model)[7:]}.part"
    part.write_bytes(model[:2_100_000])
    assert fetch(open_(), [sha(model)], out) == {sha(model): model}
    (out / sha(model)[7:]).unlink()
    part.write_bytes(b"?" * 1000)
    assert fetch(open_(), [sha(model)], out) == {sha(model): model}


def test_many_files_go_in_pushes_of_some_size(
    served: tuple[GitServer, Open], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, open_ = served
    monkeypatch.setattr("ciplug.stores.git.files._PUSH_MOST", 500_000)
    contents = [noise(200_000, number) for number in range(6)]
    files = make(tmp_path / "in", *contents)
    open_().put(files, nothing)
    assert len(refs(server)) == 3
    assert open_().missing(files) == set()


@pytest.mark.slow
def test_a_push_larger_than_any_buffer(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    model = noise(6_000_000, 1)
    open_().put(make(tmp_path / "in", model), nothing)
    assert "chunked" in {r.framing for r in server.requests}
    assert fetch(open_(), [sha(model)], tmp_path / "out") == {sha(model): model}


@pytest.mark.parametrize("fault", ["before", "after", "503"])
def test_a_broken_connection_is_tried_again(served: tuple[GitServer, Open], tmp_path: Path, fault: str) -> None:
    server, open_ = served
    files = make(tmp_path / "in", b"x")
    server.fail_next(fault)  # type: ignore[arg-type]
    open_().put(files, nothing)
    assert open_().missing(files) == set()
    assert len(refs(server)) == 1


def test_the_hosts_own_words_on_a_file_that_it_refuses(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    hook = server.path("remote") / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'error: File x is 123 MB; this exceeds the limit of 100 MB' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(StoreError, match="this exceeds the limit of 100 MB") as caught:
        open_().put(make(tmp_path / "in", b"x"), nothing)
    assert "--artifact-store" in (caught.value.hint or "")


@pytest.mark.slow
def test_sixty_four_writers_and_folders_at_once_lose_nothing(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    contents = [noise(2_000, number) for number in range(64)]
    shared = b"the same in all"
    places = [open_() for _ in range(70)]
    done = threading.Event()

    def fold(files: GitFiles) -> None:
        while not done.is_set():
            files.compact()
            time.sleep(0.05)

    def put(number: int) -> None:
        places[number].put(make(tmp_path / f"in-{number}", contents[number], shared), nothing)

    with ThreadPoolExecutor(2) as folders, ThreadPoolExecutor(16) as writers:
        folding = [folders.submit(fold, files) for files in places[64:66]]
        list(writers.map(put, range(64)))
        done.set()
        for one in folding:
            one.result()
    places[66].compact()
    assert places[67].missing([sha(shared), *map(sha, contents)]) == set()
    assert len(fetch(places[68], [sha(data) for data in contents], tmp_path / "out")) == 64
    git(server.path("remote"), "fsck", "--strict")


PUT = """
import sys
from pathlib import Path
from ciplug.stores.git import files as git_files
from ciplug.stores.git.files import GitFiles
from ciplug.stores.git.cached_remote import CachedRemote

git_files._PUSH_MOST = 500_000
url, cache, *paths = sys.argv[1:]
files = GitFiles(CachedRemote(url, cache=Path(cache), name="files", config=()), "ciplug", uri="git:", limit=None)
files.put({f"sha256:{Path(path).name}": Path(path) for path in paths}, lambda _: None)
"""


@pytest.mark.slow
def test_a_killed_upload_is_taken_up_again(served: tuple[GitServer, Open], tmp_path: Path) -> None:
    server, open_ = served
    contents = [noise(400_000, number) for number in range(2)]
    folder = tmp_path / "in"
    folder.mkdir()
    for data in contents:
        (folder / sha(data)[7:]).write_bytes(data)
    paths = sorted(folder.iterdir())
    pushes = itertools.count(1)
    second, killed = threading.Event(), threading.Event()

    def lose_the_second(method: str, service: str | None) -> None:
        if (method, service) == ("POST", "receive-pack") and next(pushes) == 2:
            second.set()
            killed.wait()
            raise ConnectionAbortedError

    server.before_request = lose_the_second
    process = subprocess.Popen(
        [sys.executable, "-c", PUT, server.url("remote"), str(tmp_path / "cache"), *map(str, paths)],
        env=dict(os.environ),
        start_new_session=True,
    )
    while not second.wait(0.05):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed.set()
    server.before_request = None
    digests = [f"sha256:{path.name}" for path in paths]
    left = open_().missing(digests)
    assert left == {digests[1]}
    open_().put(dict(zip(digests, paths, strict=True)), nothing)
    assert open_().missing(digests) == set()


@pytest.mark.parametrize("request_number", range(1, 4))
def test_the_first_fold_hides_no_file_from_a_reader(
    served: tuple[GitServer, Open], tmp_path: Path, request_number: int
) -> None:
    """It may come between a reader's look for the branch and its look at what is pending."""
    server, open_ = served
    open_().put(make(tmp_path / "in", b"x"), nothing)
    reader, folder = open_(), open_()
    folded: list[int] = []
    seen = 0

    def before(method: str, service: str | None) -> None:
        nonlocal seen
        seen += service == "upload-pack" and method == "POST"
        if seen == request_number and not folded:
            folded.append(0)
            folded[0] = folder.compact()

    server.before_request = before
    assert reader.missing([sha(b"x")]) == set()


def test_of_two_folded_refs_each_file_of_a_folder_stays(tmp_path: Path) -> None:
    """The host has once refused the first ref, so the second one has files, too."""
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    remote, fresh = tmp_path / "remote.git", opener((tmp_path / "remote.git").as_uri(), tmp_path)
    number = (b"%d" % n for n in itertools.count())
    first = next(number)
    folder = sha(first)[7:9]
    second = next(data for data in number if sha(data)[7:9] == folder)
    third = next(data for data in number if sha(data)[7:9] != folder)
    custom, plain = "refs/ciplug/files/folded", "refs/heads/ciplug-files"
    tips = []
    for data in (first, second):
        fresh().put(make(tmp_path, data), nothing)
        assert fresh().compact() == 1
        tips.append(git(remote, "rev-parse", custom).strip())
        git(remote, "update-ref", "-d", custom)
    for ref, tip in zip((plain, custom), tips, strict=True):
        git(remote, "update-ref", ref, tip)
    fresh().put(make(tmp_path, third), nothing)
    assert fresh().compact() == 1
    assert git(remote, "for-each-ref", "--format=%(refname)").split() == [custom]
    wanted = {sha(data): data for data in (first, second, third)}
    assert fetch(fresh(), [*wanted], tmp_path / "fetched") == wanted
    assert fresh().missing([*wanted]) == set()
