"""What each example adds to an estimate, for a correction of many tests by how they go together. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Contributions:
    of: str
    """Which examples, and clusters, these are: contributions of others are not drawn together."""
    units: NDArray[np.int64]
    """The number of the example, or of the cluster, for each entry of `each`; ascending."""
    each: NDArray[np.float64]
    """Summing up to 0; their scale does not matter."""
