"""The parts of a query over many runs: keys, conditions, orders, and the columns that answer them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

Kind = Literal["metric", "param", "tag", "attribute", "dataset"]


class Key(NamedTuple):
    """A key of a run: metrics.accuracy, params.depth, tags.team, attributes.commit, datasets.name."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        plain = re.fullmatch(r"\w([./@-]?\w)*", self.name)
        return f"{self.kind}s.{self.name if plain else self.name.join(_quotes_for(self.name))}"


def _quotes_for(name: str) -> str:
    return '""' if '"' not in name else "``"


STARTED, ENDED, RUN_ID, STATUS, LIFECYCLE = (
    Key("attribute", name) for name in ("started", "ended", "id", "status", "lifecycle")
)
MODEL, COMMIT, BRANCH, PARENT = (Key("attribute", name) for name in ("model", "commit", "branch", "parent"))
HOST, DIRTY, TRUSTED = (Key("attribute", name) for name in ("host", "dirty", "trusted"))
SET_ASIDE, SEED, READ, KIND = (Key("attribute", name) for name in ("set_aside", "seed", "read", "kind"))


class Comparison(NamedTuple):
    """One condition."""

    key: Key
    comparator: str
    value: float | str | tuple[str, ...]


class AnyOf(NamedTuple):
    """It holds where all conditions of one of the alternatives hold."""

    alternatives: tuple[tuple[Condition, ...], ...]


Condition = Comparison | AnyOf
"""Conditions that stand beside one another are joined by AND."""


def comparisons_in(where: Iterable[Condition]) -> Iterator[Comparison]:
    """Yield every comparison in these conditions, wherever it stands."""
    for condition in where:
        if isinstance(condition, Comparison):
            yield condition
        else:
            for alternative in condition.alternatives:
                yield from comparisons_in(alternative)


class Order(NamedTuple):
    key: Key
    descending: bool = False


class Column(NamedTuple):
    """The values of a key, and the rows that they stand in, which rise; a run with several datasets has several."""

    rows: Sequence[int]
    values: Sequence[Any]


Columns = Callable[[Key], Column]


class MatchedRows(NamedTuple):
    rows: Sequence[int]
    undefined: int
    """Runs that are left out only because a number that decides is NaN."""


def comparable_time(value: str) -> str:
    """ISO 8601 in UTC to the millisecond, always as long, so that its order is that of the text."""
    return (value.rstrip("Z") + ".000")[:23]
