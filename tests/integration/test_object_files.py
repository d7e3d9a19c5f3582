"""Files in object stores: real S3, Azure and GCS servers on loopback, and a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partialmethod
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from ciplug.errors import FileChanged, StoreError
from ciplug.stores import Files, open_files
from ciplug.stores.bucket.base import PART
from ciplug.stores.bucket.files import get_address, measure
from ciplug.stores.bucket.obstore_bucket import ObstoreBucket
from ciplug.stores.bucket.opening import open_bucket
from ciplug.stores.files import DropsFiles
from tests.file_samples import make, noise, nothing, sha
from tests.servers.loopback import Loopback

PLENTY = 10**9
LARGE = 2 * PART + 12345


class Where(NamedTuple):
    """A fresh prefix, and the environment that reaches it."""

    uri: str
    env: Mapping[str, str]

    def open(self) -> Files:
        return open_files(self.uri, None, self.env)

    def damage(self, digest: str, data: bytes) -> None:
        open_bucket(self.uri, self.env).put(f"files/{digest[7:9]}/{digest[7:]}", data)


@pytest.fixture(
    params=["file", *(pytest.param(name, marks=pytest.mark.e2e) for name in ("s3", "azure", "gcs"))],
)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    if request.param == "file":
        return Where((tmp_path / "a folder").as_uri(), {})
    server: Any = request.getfixturevalue(request.param)
    scheme = {"s3": "s3", "azure": "az", "gcs": "gs"}[request.param]
    return Where(f"{scheme}://runs/{tmp_path.name}", {**os.environ, **server.env})


def fetch(files: Files, digests: list[str], folder: Path, most: int = PLENTY) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    files.get(digests, folder, nothing, most)
    return {"sha256:" + path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_put_is_got_by_another(where: Where, tmp_path: Path) -> None:
    contents = [b"", b"small", noise(PART, 1), noise(LARGE, 2)]
    files = make(tmp_path / "in", *contents)
    assert where.open().missing(files) == set(files)
    told: list[int] = []
    where.open().put(files, told.append)
    assert sum(told) == sum(map(len, contents))
    assert where.open().missing([*files, sha(b"other")]) == {sha(b"other")}
    assert fetch(where.open(), list(files), tmp_path / "out") == {sha(data): data for data in contents}


def test_what_is_there_is_not_read_again(where: Where, tmp_path: Path) -> None:
    files = make(tmp_path / "in", b"x")
    where.open().put(files, nothing)
    files[sha(b"x")].unlink()
    where.open().put(files, nothing)


@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_file_that_was_changed_is_not_put(where: Where, tmp_path: Path, size: int) -> None:
    files = make(tmp_path / "in", noise(size, 1))
    (path,) = files.values()
    path.write_bytes(noise(size, 2))
    with pytest.raises(FileChanged):
        where.open().put(files, nothing)
    assert where.open().missing(files) == set(files)


def test_damaged_bytes_never_get_their_name(where: Where, tmp_path: Path) -> None:
    right = noise(LARGE, 1)
    where.damage(sha(right), right[:-1] + b"?")
    out = tmp_path / "out"
    where.open().put(make(tmp_path / "in", b"sound"), nothing)
    assert where.open().damaged([sha(right), sha(b"sound"), sha(b"absent")], nothing).keys() == {sha(right)}
    with pytest.raises(StoreError, match="another digest"):
        fetch(where.open(), [sha(right)], out)
    with pytest.raises(StoreError, match="more than 1,000 bytes"):
        fetch(where.open(), [sha(right)], out, most=1000)
    assert list(out.iterdir()) == []


def test_what_is_damaged_in_its_size_is_mended_by_who_has_it(where: Where, tmp_path: Path) -> None:
    where.damage(sha(b"right"), b"wr")
    where.open().put(make(tmp_path / "in", b"right"), nothing)
    assert fetch(where.open(), [sha(b"right")], tmp_path / "out") == {sha(b"right"): b"right"}


def test_a_download_goes_on_where_it_was_cut_off(where: Where, tmp_path: Path) -> None:
    model = noise(LARGE, 1)
    where.open().put(make(tmp_path / "in", model), nothing)
    out = tmp_path / "out"
    out.mkdir()
    part = out / f"{sha(model)[7:]}.part"
    part.write_bytes(model[: PART + 5])
    # The store has other bytes by now: what comes out right did not come from there.
    where.damage(sha(model), bytes(PART + 5) + model[PART + 5 :])
    assert fetch(where.open(), [sha(model)], out) == {sha(model): model}


def test_a_damaged_part_is_not_an_obstacle(where: Where, tmp_path: Path) -> None:
    model = noise(LARGE, 1)
    where.open().put(make(tmp_path / "in", model), nothing)
    out = tmp_path / "out"
    out.mkdir()
    for wrong in (b"?" * 1000, b"?" * (LARGE + 1)):
        (out / f"{sha(model)[7:]}.part").write_bytes(wrong)
        assert fetch(where.open(), [sha(model)], out) == {sha(model): model}
        (out / sha(model)[7:]).unlink()
    (out / sha(model)[7:]).write_bytes(b"of somebody else")
    assert fetch(where.open(), [sha(model)], out) == {sha(model): model}


def test_what_is_not_there_is_named(where: Where, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"does not hold {sha(b'gone')}"):
        fetch(where.open(), [sha(b"gone")], tmp_path / "out")


@pytest.mark.e2e
def test_wrong_credentials_are_said(s3: Any, tmp_path: Path) -> None:
    files = make(tmp_path / "in", b"x")
    with pytest.raises(StoreError, match="s3://runs/x"):
        open_files("s3://runs/x", None, {**s3.env, "AWS_SECRET_ACCESS_KEY": "wrong"}).put(files, nothing)


WORK = """
import sys, threading
from pathlib import Path
from ciplug.stores import open_files

verb, uri, digest, path = sys.argv[1:]
files = open_files(uri, None)
done = 0

def tell(count):
    global done
    done += count
    if done > 9_000_000:
        print("enough", flush=True)
        threading.Event().wait()

if verb == "put":
    files.put({digest: Path(path)}, tell)
else:
    files.get([digest], Path(path), tell, 10**9)
"""


def killed(where: Where, *args: str) -> bool:
    """Run the work and kill it in the midst of it, where it waits for that; False when it came to an end before."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, args[0], where.uri, *args[1:]],
        stdout=subprocess.PIPE,
        env={**os.environ, **where.env},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return process.wait() != 0


@pytest.mark.slow
def test_killed_in_the_midst_and_taken_up_again(where: Where, tmp_path: Path) -> None:
    model = noise(40_000_000, 1)
    files = make(tmp_path / "in", model)
    digest = sha(model)
    out = tmp_path / "out"
    out.mkdir()
    assert killed(where, "put", digest, str(files[digest]))
    assert where.open().missing(files) == set(files)
    where.open().put(files, nothing)
    assert killed(where, "get", digest, str(out))
    (part,) = out.iterdir()
    assert part.suffix == ".part"
    assert part.stat().st_size >= PART
    assert fetch(where.open(), [digest], out) == {digest: model}


class _Web(SimpleHTTPRequestHandler):
    """A folder over HTTP, without ranges."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        return str(self.server.owner.folder / unquote(path).lstrip("/"))  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


class _WebServer(Loopback):
    handler = _Web

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder


@pytest.fixture
def web(tmp_path: Path) -> Iterator[_WebServer]:
    (tmp_path / "web").mkdir()
    with _WebServer(tmp_path / "web") as server:
        yield server


def test_an_address_on_the_web(web: _WebServer, tmp_path: Path) -> None:
    model = noise(5_000_000, 1)
    (web.folder / "models").mkdir()
    (web.folder / "models" / "a b.bin").write_bytes(model)
    address = f"{web.origin}/models/a b.bin"
    assert measure(address, {}) == (sha(model), len(model))
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{sha(model)[7:]}.part").write_bytes(model[:3_000_000])
    get_address(address, {}, sha(model), out, nothing, PLENTY)
    assert (out / sha(model)[7:]).read_bytes() == model
    with pytest.raises(StoreError, match="nothing at this address"):
        measure(f"{web.origin}/models/none.bin", {})
    for other in ("hf://a/b", "file:///etc/passwd", "://x"):
        with pytest.raises(StoreError, match="not an address"):
            get_address(other, {}, sha(b"?"), out, nothing, PLENTY)
    (web.folder / "models" / "a b.bin").write_bytes(b"another model")
    with pytest.raises(StoreError, match="another digest"):
        get_address(address, {}, sha(b"?"), out, nothing, PLENTY)


@pytest.mark.e2e
def test_an_address_in_a_bucket(s3: Any, tmp_path: Path) -> None:
    model = noise(LARGE, 1)
    open_bucket("s3://runs/models", s3.env).upload("m.bin", iter([model]), len(model))
    assert measure("s3://runs/models/m.bin", s3.env) == (sha(model), LARGE)
    with pytest.raises(StoreError, match="nothing at this address"):
        measure("s3://runs/models/none.bin", s3.env)


DAY = timedelta(days=1)
MOMENT = datetime(2026, 11, 23, tzinfo=timezone.utc)


def dropping(where: Where) -> DropsFiles:
    files = where.open()
    assert isinstance(files, DropsFiles)
    return files


def test_files_that_no_run_needs_are_set_aside_for_a_day(where: Where, tmp_path: Path) -> None:
    kept, old, again, back = sha(b"kept"), sha(b"old"), sha(b"again"), sha(b"back")
    where.open().put(make(tmp_path / "in", b"kept", b"old", b"again", b"back"), nothing)
    assert not dropping(where).due(MOMENT)
    named = [kept, old, again, back]
    assert dropping(where).drop([old, again, back, sha(b"never there")], named, MOMENT) == (3, 0, False)
    # Readers find what is set aside; who sends a file does not count it.
    assert where.open().missing(named) == set()
    assert fetch(where.open(), [old], tmp_path / "out") == {old: b"old"}
    assert where.open().damaged(named, nothing) == {}
    where.open().put(make(tmp_path / "later", b"again"), nothing)
    assert not dropping(where).due(MOMENT + DAY / 2)
    assert dropping(where).drop([], [kept], MOMENT + DAY / 2) == (0, 0, False)
    # A run that was recorded since names one of them.
    assert dropping(where).due(MOMENT + DAY)
    assert dropping(where).drop([], [kept, back], MOMENT + DAY) == (0, 2, False)
    assert where.open().missing(named) == {old}
    assert not dropping(where).due(MOMENT + 9 * DAY)
    # What was dropped is sent again by who records it.
    where.open().put(make(tmp_path / "new", b"old"), nothing)
    assert fetch(where.open(), named, tmp_path / "all").keys() == set(named)


def test_a_drop_that_is_killed_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before each of its requests that write, and carried out by another."""
    uri = (tmp_path / "place").as_uri()
    named = [sha(data) for data in (b"a", b"b", b"c")]
    for killed_at in range(8):
        open_files(uri, None, {}).put(make(tmp_path / f"in-{killed_at}", b"a", b"b", b"c"), nothing)
        for day, unneeded, needed in ((0, named[:2], named), (2, (), [named[1], named[2]])):
            left = iter(range(killed_at))

            def killed(self: Any, *names: str, method: Any, left: Any = left) -> Any:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return method(self, *names)

            with monkeypatch.context() as patch:
                for name in ("copy", "delete"):
                    patch.setattr(ObstoreBucket, name, partialmethod(killed, method=getattr(ObstoreBucket, name)))
                files = open_files(uri, None, {})
                assert isinstance(files, DropsFiles)
                with suppress(KeyboardInterrupt):
                    files.drop(unneeded, needed, MOMENT + day * DAY)
            assert not open_files(uri, None, {}).missing(needed), "what a run names is there"
            again = open_files(uri, None, {})
            assert isinstance(again, DropsFiles)
            again.drop(unneeded, needed, MOMENT + day * DAY)
            assert not open_files(uri, None, {}).missing(needed)
        assert open_files(uri, None, {}).missing(named) == {named[0]}
