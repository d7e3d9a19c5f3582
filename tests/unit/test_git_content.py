"""The content of a branch of the git store."""

from __future__ import annotations

from pathlib import Path

from ciplug.stores.git import content as content_module
from ciplug.stores.git import folding, pending
from ciplug.stores.git.content import Content, entry_path


def test_the_numbers_of_a_log_are_those_of_its_own_entries() -> None:
    paths = [entry_path("registry/wine", 2), entry_path("registry/wine", 1), entry_path("registry/beer", 7)]
    content = Content(logs=dict.fromkeys([*paths, "registry/wine/notes.txt", entry_path("registry/wine/red", 9)], "0"))
    assert content.sequence("registry/wine") == [1, 2]
    assert content.sequence("registry/cider") == []


def test_an_entry_is_called_by_six_to_twelve_digits() -> None:
    names = {"000007.json": 7, "123456789012.json": 123456789012, "000002.json": 2}
    others = (
        "00003.json",
        "0000005.json",
        "1234567890123.json",
        "000004",
        "000004.txt",
        "00004x.json",
        "\u0660" * 5 + "\u0661.json",
    )
    content = Content(logs=dict.fromkeys((f"registry/wine/{name}" for name in (*names, *others)), "0"))
    assert content.sequence("registry/wine") == sorted(names.values())
    content.logs["registry/wine/000003.json"] = "0"
    assert content.sequence("registry/wine") == [2, 3, 7, 123456789012]


def test_a_copy_changes_by_itself() -> None:
    content = Content(new={"a": "1"}, segments={"s": "2"}, columns={"c": "3"}, indexes=["4"], logs={"l": "5"})
    copy = content.copy()
    assert copy == content
    for part in (copy.new, copy.segments, copy.columns, copy.logs):
        part.clear()
    copy.indexes.clear()
    assert content == Content({"a": "1"}, {"s": "2"}, {"c": "3"}, ["4"], {"l": "5"})


def test_the_limits_are_those_of_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")
    section = text.partition("### Limits of a git store")[2].partition("\n## ")[0]
    limits = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][1:]
    sizes = pending.RECORD_MOST, pending.BESIDE_MOST, pending.TOTAL_MOST, pending.BESIDE_TOTAL_MOST
    record, beside, records, all_beside = (f"{size / 2**20:g} MiB" for size in sizes)
    numbers = (
        *(content_module.WRITE_MOST, content_module.DEEPEST, content_module.WRITES_MOST, content_module.PENDING_MOST),
        *(folding.WRITES_PER_FOLD, folding.SEGMENT_AT, content_module.KEPT_MOST),
    )
    write, deepest, writes, files, fold, segment, branch = (f"{number:,}" for number in numbers)
    assert limits == [
        *(record, beside, write, deepest, writes, files, records, all_beside, fold, segment, branch),
    ]
