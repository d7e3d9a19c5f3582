"""What a bucket has answered is there offline; what it was not asked, or what is damaged here, is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciplug.errors import Cause, StoreError
from ciplug.stores.bucket.folder import open_folder
from ciplug.stores.bucket.remembered import RememberedBucket


def test_answers_are_the_same_offline(tmp_path: Path) -> None:
    bucket = open_folder(str(tmp_path / "bucket").lstrip("/"))
    bucket.put("logs/a", b"one")
    online = RememberedBucket(bucket, tmp_path / "kept")
    offline = RememberedBucket(bucket, tmp_path / "kept", offline=True)
    answers = online.get("logs/a"), online.get("logs/b"), online.list("logs")
    assert (offline.get("logs/a"), offline.get("logs/b"), offline.list("logs")) == answers
    assert answers[:2] == (b"one", None)

    def refused(question: object) -> None:
        with pytest.raises(StoreError, match=r"has not read .* before") as caught:
            question()  # type: ignore[operator]
        assert caught.value.cause is Cause.NETWORK

    refused(lambda: offline.get("logs/c"))
    refused(lambda: offline.put("logs/a", b"two"))
    # What is written is asked again: no listing of before hides it.
    online.put("logs/b", b"two")
    refused(lambda: offline.list("logs"))
    assert online.get("logs/b") == offline.get("logs/b") == b"two"
    online.list("logs")
    for file in (tmp_path / "kept").glob("*/*"):
        file.write_bytes(file.read_bytes()[:-1])
    refused(lambda: offline.list("logs"))
