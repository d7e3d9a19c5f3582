"""From the address of a store, as the spool keeps it, to the words of the command line that name that store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ciplug.stores import open_store, reached_by

MINIO = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/"}


@pytest.mark.parametrize(
    ("uri", "then", "now", "words"),
    [
        ("git+https://host/a.git", {}, {}, "--store git+https://host/a.git"),
        ("git+ssh://git@host/a.git?branch=ml", {}, {}, "--store 'git+ssh://host/a.git?branch=ml'"),
        ("git+file:///srv/a.git", {}, {}, "--store git+file:///srv/a.git"),
        ("s3://b/p", {}, {}, "--store s3://b/p"),
        ("s3://b/p", MINIO, {}, "--store s3://b/p with AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000"),
        ("s3://b/p", MINIO, MINIO, "--store s3://b/p"),
        ("s3://b/p", {}, MINIO, "--store s3://b/p without AWS_ENDPOINT_URL"),
        ("az://c/p", {"AZURE_STORAGE_ACCOUNT_NAME": "me"}, {}, "--store az://c/p with AZURE_STORAGE_ACCOUNT_NAME=me"),
        (
            "az://c/p",
            {"AZURE_STORAGE_ENDPOINT": "http://x"},
            {},
            "--store az://c/p with AZURE_STORAGE_ENDPOINT=http://x",
        ),
    ],
)
def test_words_for_an_address(uri: str, then: Mapping[str, str], now: Mapping[str, str], words: str) -> None:
    assert reached_by(open_store(uri, None, then).address, now) == words


def test_words_for_a_folder(tmp_path: Path) -> None:
    address = open_store((tmp_path / "a b").as_uri(), None, {}).address
    assert reached_by(address, {}) == f"--store {(tmp_path / 'a b').as_uri()}"


def test_a_remote_that_only_git_can_name_has_no_words() -> None:
    assert reached_by("host:team/a.git#ciplug", {}) is None
