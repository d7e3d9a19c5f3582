"""The state of a model as JSON's own types, and back: for the states that clones and stores keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ciplug.registry.model import Deployed, DeployEvent, Model, SkippedEvent, SmokeTest, Version

FORMAT = 6
"""Changes with the fields of a model and a version, and with the effect of an event."""

_VERSION = tuple(field.name for field in fields(Version))
_APART = ("by_number", "skipped", "deployed", "problem")
_MODEL = tuple(field.name for field in fields(Model) if field.name not in _APART)
_EXEMPTIONS = _VERSION.index("exemptions")


def model_value(model: Model) -> dict[str, Any]:
    """The state: `versions` has a list of field values for each version."""
    return {
        "versions": [list(one.__dict__.values()) for one in model.by_number.values()],
        "skipped": [[one.seq, one.type, one.newer_schema] for one in model.skipped],
        "deployed": model.deployed,
        "model": {name: getattr(model, name) for name in _MODEL},
    }


def model_from(value: Mapping[str, Any]) -> Model:
    """The state that has this value. Raises KeyError, TypeError, ValueError and the like for any other value."""
    versions = {}
    for row in value["versions"]:
        row[_EXEMPTIONS] = tuple(row[_EXEMPTIONS])
        # As `Version(*row)` makes it, in a third of the time.
        version = object.__new__(Version)
        version.__dict__.update(zip(_VERSION, row, strict=True))
        versions[version.number] = version
    own: dict[str, Any] = dict(value["model"])
    deployed = {
        target: Deployed(DeployEvent(*last), serves and DeployEvent(*serves), tested and SmokeTest(*tested))
        for target, (last, serves, tested) in value["deployed"].items()
    }
    numbers = {name: {of: tuple(them) for of, them in own[name].items()} for name in ("in_stage", "held")}
    return replace(
        Model(own.pop("name"), versions, tuple(SkippedEvent(*row) for row in value["skipped"])),
        **{**own, **numbers, "deployed": deployed, "unsigned": tuple(own["unsigned"])},
    )
