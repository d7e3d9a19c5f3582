"""The tables of `ciplug registry`."""

from __future__ import annotations

from dataclasses import replace

from ciplug.commands import registry_tables as tables
from ciplug.registry.model import Model, Version


def test_the_words_of_a_model_and_of_its_versions_are_shown() -> None:
    model = Model("wine").with_version(Version(1, "a" * 32, "c" * 40, "None", "2026-11-23T12:00:00.000Z"))
    assert "description" not in tables.versions(model) and tables.words(model) == []
    described = replace(model, description="table\n::error::wine", tags={"team": "vision", "a": "b"})
    assert tables.words(described)[1:] == ["tags: a=b, team=vision"]
    assert "\n" not in tables.words(described)[0] and "::error" not in tables.words(described)[0]
    shown = tables.versions(described.changed(1, description="red only", tags={"reviewed": "yes"})).splitlines()
    assert shown[0].split()[-2:] == ["tags", "description"]
    assert shown[-1].endswith("reviewed=yes  red only")
