from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ciplug import strict_yaml
from ciplug.errors import ConfigError, InputError


def data(text: str) -> Any:
    return strict_yaml.load(text, "f.yaml").data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2e+3", -2000.0),
        ("1.e2", 100.0),
        (".5", 0.5),
        ("'1e-3'", "1e-3"),
        ("1e", "1e"),
        ("e3", "e3"),
        ("1_000", 1000),
        ("0x1f", 31),
        # YAML 1.1 says 8, 90 and 90.5.
        ("010", 10),
        ("-007", -7),
        ("'010'", "010"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("true", True),
        ("on", True),
        ("null", None),
        ("~", None),
        ("text", "text"),
        ("[1, [2]]", [1, [2]]),
    ],
)
def test_what_a_value_means(text: str, value: Any) -> None:
    found = data(f"key: {text}")["key"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_text() -> None:
    assert data("on: 1\nyes: 2\n1: 3\n1.5: 4\n~: 5\nnull: 6\n2026-01-01: 7") == {
        **{"on": 1, "yes": 2, "1": 3, "1.5": 4, "~": 5, "null": 6, "2026-01-01": 7}
    }


def test_an_empty_text_says_nothing() -> None:
    assert (data(""), data("# a comment\n"), data("---\n")) == (None, None, None)


def test_a_byte_order_mark_is_not_a_part_of_a_key() -> None:
    assert data("\ufeffversion: 1") == {"version": 1}


def test_lines() -> None:
    document = strict_yaml.load("a: 1\n\nb:\n  - x\n  - c: {d: 2,\n        e: 3}\n", "f.yaml")
    assert document.line(("a",)) == 1
    assert document.line(("b", 1, "c", "d")) == 5
    assert document.line(("b", 1, "c", "e")) == 6
    assert document.line(("b", 1, "c", "nothing", "there")) == 5
    assert document.line(("nothing",)) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: duplicate key 'a', first on line 1"),
        ("a:\n  x: 1\n  x: 1", "f.yaml:3: duplicate key 'x', first on line 2"),
        ("1: a\n'1': b", "f.yaml:2: duplicate key '1'"),
        ("a: &x [1]\nb: *x", "f.yaml:2: aliases (*name) are not supported"),
        ("a: &x 1\nb: *x", "f.yaml:2: aliases (*name) are not supported"),
        ("a: &x [*x]", "f.yaml:1: aliases (*name) are not supported"),
        ("a: &x b\n*x : 1", "f.yaml:2: aliases (*name) are not supported"),
        ("? [a]\n: 1", "f.yaml:1: a key must be plain text"),
        ("a: [1", "f.yaml:1: not valid YAML"),
        ("\ta: 1", "f.yaml:1: not valid YAML"),
        ("a: 1\n---\nb: 2", "f.yaml:2: not valid YAML"),
        ("a: \x00", "f.yaml: not valid YAML"),
        ("x:\n  a: !!python/name:os.system ''", "f.yaml:2: x.a: "),
        ("a: !!int text", "f.yaml:1: a: "),
        ("a: 2026-99-99", "f.yaml:1: a: "),
        ("a:\n" + "  b: " + "9" * 5000, "f.yaml:2: a.b: "),
    ],
)
def test_what_is_refused_and_where(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        data(text)
    assert caught.value.message.startswith(says)


def test_the_error_is_of_the_class_asked_for() -> None:
    with pytest.raises(ConfigError):
        strict_yaml.load("[", "f.yaml", ConfigError)


def test_nesting_has_a_limit() -> None:
    deepest = "[" * strict_yaml.MAX_DEPTH + "]" * strict_yaml.MAX_DEPTH
    assert data(deepest) is not None
    for text in (f"[{deepest}]", f"a: {deepest}", "- " * 40 + "x"):
        with pytest.raises(InputError, match="nested deeper than 32 levels"):
            data(text)


@pytest.mark.parametrize("text", ["[" * 200_000, "x: " + "{a: " * 200_000, "- " * 100_000])
def test_nesting_by_the_thousands_does_not_crash_the_process(text: str) -> None:
    with pytest.raises(InputError, match=r"nested deeper|nesting depth"):
        data(text)


def test_many_shallow_collections_are_fine() -> None:
    assert len(data("[" + "[], " * 5000 + "[]]")) == 5001


def test_size_has_a_limit() -> None:
    with pytest.raises(InputError, match="larger than 1 MiB"):
        data("#" * (strict_yaml.MAX_BYTES + 1))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "N"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@given(PLAIN)
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    text = yaml.safe_dump({"top": value}, allow_unicode=True, default_flow_style=None)
    # Text without digits: what YAML 1.1 calls text, such as 1e5, is a number here.
    if not any(character in text for character in "&*"):
        assert data(text) == {"top": value}


@given(st.text(max_size=200))
def test_no_text_does_anything_but_load_or_raise_its_error(text: str) -> None:
    try:
        data(text)
    except InputError as problem:
        assert problem.message.startswith("f.yaml")
