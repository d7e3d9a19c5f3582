"""Which runs of a store began last, as MLflow's search shows them."""

from __future__ import annotations

from random import Random

from ciplug.mlflow.rows import Rows


def test_a_page_is_what_the_whole_order_begins_with() -> None:
    """Many runs begin in the same moment; of these the lower id comes first."""
    dice = Random(7)
    count = 200
    rows = Rows(
        ids=[f"{dice.getrandbits(64):016x}" for _ in range(count)],
        commits=[None] * count,
        starts=[f"2026-01-01T00:00:0{dice.randrange(5)}.000" for _ in range(count)],
        experiments=["0"] * count,
        names={},
    )
    for size in (0, 1, 30, 49, 50, 150, count):
        some = sorted(dice.sample(range(count), size))
        whole = sorted(some, key=lambda row: rows.ids[row])
        whole.sort(key=lambda row: rows.starts[row], reverse=True)
        assert rows.newest_first(some) == whole
        for most in (1, 2, 45, size + 1):
            assert rows.newest_first(some, most) == whole[:most]
