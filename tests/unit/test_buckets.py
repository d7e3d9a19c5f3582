"""Addresses of object stores: what they mean, and that nothing secret is taken from them or shown."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ciplug.errors import ConfigError, StoreError
from ciplug.stores import open_store
from ciplug.stores.bucket.opening import open_bucket
from tests.servers.program import missing

EMULATORS = ["localhost:8333", "notaurl"]
S3 = {"AWS_ACCESS_KEY_ID": "ak", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_REGION": "eu-central-1"}


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:s3cret@bucket/runs",
        "s3://AKIA@bucket",
        "s3://bucket/runs?AWS_SECRET_ACCESS_KEY=s3cret",
        "az://container/runs?sv=1&sig=s3cret",
        "gs://user:s3cret@bucket/x",
        "file://user:s3cret@/folder",
        "s3://bucket/runs#s3cret",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_store(uri, None, S3)
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"
    assert "AKIA" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://", "a bucket is expected"),
        ("az:///runs", "a container is expected"),
        ("file://", "the full path of a folder"),
        ("file://host/runs", "the full path of a folder"),
        ("file:///a/../b", "is not a path"),
        ("s3://bucket/a//b", "is not a path"),
        ("s3://bucket/a\nb", "is not a path"),
    ],
)
def test_what_is_not_an_address(uri: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store(uri, None, S3)


def test_one_place_has_one_address() -> None:
    assert open_bucket("s3://bucket/runs", S3).address == "s3://bucket/runs"
    assert open_bucket("s3://bucket/runs/", S3).address == "s3://bucket/runs"
    other = open_bucket("s3://bucket/runs", {**S3, "AWS_ENDPOINT_URL": "http://user:s3cret@minio:9000/"})
    assert other.address == "s3://bucket/runs#http://minio:9000"
    account = {"AZURE_STORAGE_ACCOUNT_NAME": "acme", "AZURE_STORAGE_ACCOUNT_KEY": "YWJj"}
    assert open_bucket("az://container", account).address == "az://container/#acme"


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "Größe é +&= %20"
    bucket = open_bucket(folder.as_uri(), {})
    assert bucket.create("a/b", b"1")
    assert (folder / "a" / "b").read_bytes() == b"1"
    assert not bucket.create("a/b", b"2")
    assert bucket.get("a/b") == b"1"
    assert bucket.get("a/c") is None
    bucket.delete("a/c")
    assert [entry.name for entry in bucket.list("a")] == ["a/b"]


@pytest.mark.parametrize(
    ("uri", "module", "extra"),
    [
        ("s3://bucket", "obstore.store", "s3"),
        ("az://container", "obstore.store", "azure"),
        ("gs://bucket", "google.cloud.storage", "gcs"),
        ("file:///x", "obstore.store", "objects"),
    ],
)
def test_a_library_that_is_missing_is_named(uri: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreError, match="not installed") as missing:
        open_store(uri, None, S3)
    assert missing.value.hint == f"pip install 'ciplug[{extra}]'"


def test_a_profile_needs_amazons_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = ak\naws_secret_access_key = sk\n")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StoreError, match="boto3") as missing:
        open_store("s3://bucket", None, {"HOME": str(tmp_path)}).keys("")
    assert missing.value.hint == "pip install 'ciplug[s3]'"


def test_an_authority_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AWS_CA_BUNDLE"):
        open_store("s3://bucket", None, {**S3, "AWS_CA_BUNDLE": str(tmp_path / "none.pem")}).keys("")


def test_credentials_are_missed_only_where_they_are_needed(tmp_path: Path) -> None:
    """A fork's job has none, and trains all the same."""
    store = open_store("az://container/runs", None, {"HOME": str(tmp_path)})
    assert store.address == "az://container/runs"
    with pytest.raises(StoreError) as missed:
        store.keys("")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in (missed.value.hint or "")


def test_a_folder_that_may_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as refused:
        open_store((tmp_path / "file" / "store").as_uri(), None, {})
    assert "does it exist" in (refused.value.hint or "")


@pytest.mark.parametrize(
    "endpoint",
    [
        *("localhost:8333", "notaurl", "http://", "http:///x", "http://127.0.0.1:8333/ x", "http://127.0.0.1:99999"),
        *("http://127.0.0.1:0", "http://[::1", "http://a b", "ftp://host", "http://127.0.0.1:1?x=1", "http://h\x00st"),
    ],
)
@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket", "AWS_ENDPOINT_URL"),
        ("s3://bucket", "AWS_ENDPOINT_URL_S3"),
        ("az://container", "AZURE_STORAGE_ENDPOINT"),
        ("gs://bucket", "STORAGE_EMULATOR_HOST"),
    ],
)
def test_an_endpoint_that_is_not_an_address(uri: str, name: str, endpoint: str) -> None:
    if name == "STORAGE_EMULATOR_HOST" and endpoint in EMULATORS:
        return
    with pytest.raises(ConfigError, match=name) as wrong:
        open_bucket(uri, {**S3, name: endpoint})
    assert endpoint in str(wrong.value)
    assert "http://127.0.0.1:9000" in (wrong.value.hint or "")


@pytest.mark.e2e
@pytest.mark.parametrize("endpoint", EMULATORS)
def test_google_s_library_wants_no_scheme_of_an_emulator(endpoint: str) -> None:
    if find_spec("google.cloud.storage") is None:
        missing("google-cloud-storage")
    assert open_bucket("gs://bucket", {"STORAGE_EMULATOR_HOST": endpoint}).address == f"gs://bucket/#{endpoint}"


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:9000", "HTTPS://store.example.com/", "http://[::1]:9000", "http://minio_1:9000/below/it"],
)
def test_an_endpoint_is_part_of_the_address(endpoint: str) -> None:
    bucket = open_bucket("s3://bucket/runs", {**S3, "AWS_ENDPOINT_URL": endpoint})
    assert bucket.address == f"s3://bucket/runs#{endpoint.rstrip('/')}"


def test_an_abort_of_the_library_is_an_error_of_the_store(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ciplug.stores.bucket.opening._check_endpoint", lambda *_: None)
    with pytest.raises(StoreError, match="s3://bucket"):
        open_store("s3://bucket", None, {**S3, "AWS_ENDPOINT_URL": "http://a b"}).keys("")
    assert "panicked" in capfd.readouterr().err


def test_a_reader_makes_no_folder_and_a_writer_does(tmp_path: Path) -> None:
    uri = (tmp_path / "new" / "store").as_uri()
    store = open_store(uri, None, {"HOME": str(tmp_path / "home")})
    assert store.keys("") == []
    assert store.read(["runs/a-1.json"]) == {}
    assert store.check() == []
    assert store.compact() == 0
    assert not (tmp_path / "new").exists()
    store.add({"runs/a-1.json": b"{}"})
    assert open_store(uri, None, {"HOME": str(tmp_path / "home")}).keys("runs/") == ["runs/a-1.json"]


@pytest.mark.parametrize("bare", [[], ["--bare"]])
def test_no_store_is_begun_in_a_git_repository(tmp_path: Path, bare: list[str]) -> None:
    subprocess.run(["git", "init", "-q", *bare, str(tmp_path / "repo")], check=True)
    with pytest.raises(StoreError, match="has other content") as refused:
        open_store((tmp_path / "repo").as_uri(), None, {})
    assert f"{(tmp_path / 'repo').as_uri()}/ciplug" in (refused.value.hint or "")


@pytest.mark.parametrize("name", ["inbox/x", "index/1.claim", "files/ab/x"])
def test_a_store_beside_other_things_is_one(tmp_path: Path, name: str) -> None:
    """A listing that a desktop left there, a README: what is ours is known by its names."""
    (tmp_path / ".DS_Store").write_text("")
    with pytest.raises(StoreError):
        open_store(tmp_path.as_uri(), None, {})
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("")
    open_store(tmp_path.as_uri(), None, {})
