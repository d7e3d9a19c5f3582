"""The examples of one evaluation: a row each, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Examples:
    """All columns are as long as `ids`. Labels, predictions, slices and clusters are texts, equal where equal in kind:
    1, 1.0 and "1" are the same class."""

    source: str
    """The file, for messages."""
    ids: Sequence[str]
    labels: Sequence[str | None] | None = None
    """What is right; None where a row does not say, or where no row does."""
    predictions: Sequence[str | None] | None = None
    """What the model said."""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Numeric columns by name (array('d') where they come from a file): a score of each example, a probability, a
    latency. NaN where a row has no such score, ±inf where it has one that is no number."""
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Columns to slice by; "" where a row has no value."""
    clusters: Sequence[str] | None = None
    """Which examples belong together (a user, a document) and so are not independent."""

    def __len__(self) -> int:
        return len(self.ids)
