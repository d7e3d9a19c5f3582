"""JSON on stdout holds what strangers wrote, and moves no terminal."""

from __future__ import annotations

import json

import pytest

from ciplug import console
from ciplug.records.canonical import dumps

HOSTILE = "a\x9b31m\x85\u2028\u202e\u2066\x7f ##[error]é日本\u200d"


def test_what_moves_a_terminal_is_escaped_and_means_the_same(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    console.out(dumps({"name": HOSTILE, "list": [HOSTILE]}))
    printed = capfdbinary.readouterr().out
    assert json.loads(printed) == {"name": HOSTILE, "list": [HOSTILE]}
    text = printed.decode()
    assert not [one for one in text if one in HOSTILE and ord(one) in (0x9B, 0x85, 0x2028, 0x202E, 0x2066, 0x7F)]
    assert "é日本" in text and "##" not in text
