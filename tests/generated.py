"""How many generated examples a test tries: a third by default, and all where CIPLUG_TEST_EXAMPLES is `all`.

They are the same every time, so a third is the first third. `.ci/run` tries all.
"""

from __future__ import annotations

import os

ALL = os.environ.get("CIPLUG_TEST_EXAMPLES") == "all"


def examples(count: int) -> int:
    """The number of examples to try now, of `count`."""
    return count if ALL else -(-count // 3)
