"""Names that the eye takes for others."""

from __future__ import annotations

import pytest

from ciplug.registry.lookalikes import lookalike

KNOWN = ["production", "staging", "champion", "wine", "latest", "modèle"]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("pr\u043eduction", "production"),  # Cyrillic o
        ("\u0440r\u043educti\u043en", "production"),
        ("st\u0430ging", "staging"),
        ("\u0441h\u0430mpi\u043en", "champion"),
        ("w\u0456ne", "wine"),
        ("W\u0456ne", "wine"),
        ("w\u03b9ne", "wine"),  # Greek iota
        ("l\u0430test", "latest"),
        ("\uff57ine", "wine"),  # full width
        ("𝐰ine", "wine"),
        ("wine\ufe0f", "wine"),  # a mark that shows nothing
        ("win\u3164e", "wine"),
        ("wi\u034fne", "wine"),
        ("mode\u0300le", "modèle"),
    ],
)
def test_other_letters(name: str, other: str) -> None:
    assert lookalike(name, KNOWN) == other
    assert lookalike(other, [name]) == (name if not name.isascii() else None)


@pytest.mark.parametrize("name", ["wine", "Wine", "wine2", "вино", "冠军", "modèle", "señal", "β-tcga", "стажировка"])
def test_names_that_are_what_they_seem(name: str) -> None:
    assert lookalike(name, KNOWN) is None
