"""Points in time, read alike by every version of Python."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ciplug.records import moment


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-23T19:24:00Z", "2026-11-23T19:24:00.000000+00:00"),
        ("2026-11-23T19:24:00.5+01:00", "2026-11-23T18:24:00.500000+00:00"),
        ("2026-11-23T19:24:00.123456789z", "2026-11-23T19:24:00.123456+00:00"),
    ],
)
def test_what_is_read(text: str, same: str) -> None:
    assert moment.parse(text) == moment.parse(same)


def test_an_offset_is_there_only_where_the_text_has_one() -> None:
    assert moment.parse("2026-11-23").tzinfo is None
    assert moment.parse("2026-11-23T19:24:00Z").utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "Z", "yesterday", "2026-13-01"])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month"):
        moment.parse(text)
