"""Which metrics are of a single class, label or task, beside others that are of all of them. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection

_OVERALL = re.compile(r"(?i)(?<![a-z])(macro|micro|weighted|samples|avg|average|mean|overall|total|all)(?![a-z])")
_SPLIT = re.compile(r"(?i)(train|training|val|valid|validation|dev|test|testing|eval|evaluation|cv|oof|holdout)[_\d]*")
_NUMBER = re.compile(r"(?i)(?:class|label)?[ _-]?\d+")
_NUMBERED = re.compile(r"(?P<of>.+?)[_-](?:class[_-]?)?(?P<number>\d+)")
_PER_CLASS = re.compile(r"(?i)(.+[ _-])?(per|by)[ _-].+")
_FAMILY = 3
"""As many names that differ in one part are a family: the averages and the classes of a report on two classes are."""


def of_classes(names: Collection[str]) -> frozenset[str]:
    """Return the names that are of one class: `cat/recall` beside `macro avg/recall`, `f1_0`, `per_type/ORG/f`.

    Names with the same parts but one are a family; what is an average or a part of the data is never a class.
    """
    families: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for name in names:
        parts = name.split("/")
        for place, part in enumerate(parts) if len(parts) > 1 else ():
            families["/".join(parts[:place]), "/".join(parts[place + 1 :])][part] = name
        if numbered := _NUMBERED.fullmatch(name):
            families[numbered["of"], "#"][numbered["number"]] = name
    named = {name for (_, after), family in families.items() for name in _classes(family, after)}
    return frozenset(named | {name for name in names if any(map(_PER_CLASS.fullmatch, name.split("/")[:-1]))})


def _classes(family: dict[str, str], after: str) -> list[str]:
    members = {part: name for part, name in family.items() if not _SPLIT.fullmatch(part)}
    classes = {part: name for part, name in members.items() if not _OVERALL.search(part)}
    has_average = len(classes) < len(members)
    numbers = all(_NUMBER.fullmatch(part) for part in classes) and any(part.endswith("0") for part in classes)
    if after == "#" or (not after and not has_average):
        # top_1 and top_5, or the parts of one run: only classes are counted from 0.
        is_family = len(classes) > 1 and numbers
    else:
        is_family = len(members) >= _FAMILY or (len(classes) > 1 and numbers)
    return list(classes.values()) if is_family else []
