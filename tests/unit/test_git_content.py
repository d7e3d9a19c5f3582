"""The content of a branch of the git store."""

from __future__ import annotations

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
