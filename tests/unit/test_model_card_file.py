"""README.md of a model for Hugging Face: what people have written there stays, and is never taken for our part."""

from __future__ import annotations

import pytest
import yaml

from ciplug.errors import InputError
from ciplug.interop.huggingface import BEGIN, END, merged

CARD = "---\ntags:\n- ciplug\nmodel_name: wine\nmodel-index: []\n---\n\n# wine\n"


def _front(text: str) -> str:
    return text.split("---\n")[1]


@pytest.mark.parametrize(
    "key",
    [
        'model_name: ours', '"model_name": ours', "'model_name': ours", "? model_name\n: ours", "model_name:\n  ours",
        "model_name : ours", "model_name: ours\nmodel_name: again", "model_name: |\n  tags: x\n  model_name: y",
    ],
)  # fmt: skip
def test_a_key_is_there_once(key: str) -> None:
    once = merged(f"---\n# our file\nlicense: mit  # really\n{key}\nzebra: 1\n---\nText\n", CARD, "README.md")
    nodes = yaml.compose(_front(once), Loader=yaml.SafeLoader)
    assert isinstance(nodes, yaml.MappingNode)
    assert sorted(key.value for key, _ in nodes.value) == ["license", "model-index", "model_name", "tags", "zebra"]
    assert yaml.safe_load(_front(once))["model_name"] == "wine"
    assert once.startswith("---\n# our file\nlicense: mit  # really\n") and "\nText\n" in once
    assert merged(once, CARD, "README.md") == once


def test_front_matter_after_a_blank_line_is_front_matter() -> None:
    assert merged("\n---\nlicense: mit\n---\nText\n", CARD, "README.md").count("---\n") == 2


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("{license: mit, tags: [a]}", "README.md:2: the front matter stands in braces"),
        ("tags: &all [a]\nother: *all", "README.md:1: the front matter has an alias"),
        ("a: 2024-99-99", "is not YAML"),
        ("a: " + "[" * 600, "is not YAML"),
        ("- a", "not a table"),
    ],
)
def test_front_matter_that_cannot_be_kept_is_refused(front: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        merged(f"---\n{front}\n---\nText\n", CARD, "README.md")


@pytest.mark.parametrize("text", ["---\nlicense: mit\n", "\n---\nlicense: mit\n...\nText\n", "---"])
def test_front_matter_without_an_end_is_refused(text: str) -> None:
    """Its keys would become text, and the license would be gone."""
    with pytest.raises(InputError, match=r"README.md:1: the front matter has no end"):
        merged(text, CARD, "README.md")


@pytest.mark.parametrize(
    "body", [f"a\n{END}\nb", f"a\n{BEGIN}\nb", f"{END}\n{BEGIN}", f"{BEGIN}{END}\n{END}", f"{BEGIN}{BEGIN}{END}"]
)
def test_marks_that_are_no_part_are_refused(body: str) -> None:
    with pytest.raises(InputError, match=r"README.md:\d: the marks of this export"):
        merged(f"Ours\n{body}\n", CARD, "README.md")


def test_a_mark_in_the_card_ends_nothing() -> None:
    once = merged("Ours\n", f"{CARD}\n| {END} | {BEGIN} |\n", "README.md")
    assert merged(once, f"{CARD}\n| {END} | {BEGIN} |\n", "README.md") == once
    assert merged(once, CARD, "README.md") == merged("Ours\n", CARD, "README.md")
