"""From the name of a version to the version: MODEL@STAGE, MODEL@ALIAS, MODEL@vN, and MLflow's models:/ URIs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ciplug.errors import NotFound, UsageError, nearest
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Model, Version

_MLFLOW = re.compile(r"models:/+(.+)[/@]([^/@]+)")
_NUMBER = re.compile(r"v?(\d{1,9})")
NAMED_MOST = 10
"""Models that an error names."""
LATEST = "latest"
"""MLflow's word for the version with the highest number."""


class VersionName(NamedTuple):
    """The name of a version, in two parts."""

    model: str
    selector: str
    """A stage, an alias, or the number of a version, with or without `v`."""


def parse_version_name(name: str) -> VersionName | None:
    """Split `wine@production`, `wine@v3`, `models:/wine/3`, `models:/wine@production`; None for any other name.

    Raises UsageError for a models:/ URI without a model, or without a version.
    """
    if not name.startswith("models:"):
        model, at, selector = name.rpartition("@")
        # HEAD@{1} is git's.
        return VersionName(model, selector) if at and not selector.startswith("{") else None
    parts = _MLFLOW.fullmatch(name)
    if parts is None:
        raise UsageError(f"'{name}' does not name a version", hint="like models:/wine/3 or models:/wine/production")
    return VersionName(parts[1], parts[2])


def no_model(model: Model, known: Sequence[str]) -> NotFound:
    """The error of a name of no model.

    Args:
        known: the models that there are.
    """
    moved = f"; it is called '{model.moved_to}' now" if model.moved_to else ""
    if model.unsigned:
        # It may be there by events that do not count.
        hint = model.notes[0]
    elif model.moved_to:
        hint = "name it so"
    elif known:
        hint = nearest(model.name, known, NAMED_MOST)
    else:
        hint = "the registry has no model at all; promote a run first: ciplug promote MODEL --to staging"
    return NotFound(f"the registry has no model '{model.name}'{moved}", hint=hint)


def find_version(model: Model, selector: str, ladder: Ladder) -> Version:
    """Return the version for the second part of the name of a model that exists. Raises NotFound if there is none.

    The stages that versions are in are known even where the ladder lacks them: who deploys may have no ciplug.yaml. A
    stage comes before an alias of the same name.
    """
    if not model.versions:
        hint = f"promote a run: ciplug promote '{model.name}' --to staging"
        raise NotFound(f"'{model.name}' has no version", hint=hint)
    if number := _NUMBER.fullmatch(selector):
        return model.version(int(number[1]))
    if selector == LATEST:
        usable = [version for version in model.versions if version.yanked is None]
        return (usable or model.versions)[-1]
    stages = tuple(dict.fromkeys((*ladder.stages, *model.stages)))
    stage = next((one for one in stages if one.casefold() == selector.strip().casefold()), None)
    if stage is None and selector in model.aliases:
        return model.version(model.aliases[selector])
    if stage is None:
        selectors = [*(one.lower() for one in stages), *sorted(model.aliases)]
        raise NotFound(f"'{model.name}' has no stage or alias '{selector}'", hint=nearest(selector, selectors))
    holder = model.holder(stage)
    if holder is None:
        raise NotFound(f"no version of '{model.name}' is in {stage}", hint=f"see: ciplug registry show '{model.name}'")
    return holder
