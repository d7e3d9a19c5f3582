"""Generated runs of one commit: clean and dirty, finished and failed, of forks, pipelines and laptops."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from ciplug.comparison.selection import Facts

METRICS = ("accuracy", "loss", "size")


def facts(*, never: bool | None = None, prefix: str = "") -> st.SearchStrategy[Facts]:
    """Facts of one top-level run.

    Args:
        never: True: one that never counts; False: one that may; None: any.
        prefix: of the id, so that runs of two strategies never have the same.
    """
    made = st.builds(
        Facts,
        id=st.integers(0, 10**6).map(lambda number: f"{prefix}{number:07}"),
        commit=st.just("c"),
        started=st.integers(0, 5).map(str),
        finished=st.booleans(),
        trusted=st.booleans(),
        dirty=st.sampled_from([False, False, True, None]),
        pipeline=st.booleans(),
        objection=st.sampled_from([None, None, "withdrawn by alice"]),
        metrics=st.frozensets(st.sampled_from(METRICS)),
    )
    if never is None:
        return made
    return made.filter(lambda run: never == (run.dirty is not False or run.objection is not None))


def commits(*, never: bool | None = None, prefix: str = "", most: int = 6) -> st.SearchStrategy[list[Facts]]:
    """Facts of the runs of one commit, each with an id of its own; some are children of others."""
    runs = st.lists(facts(never=never, prefix=prefix), max_size=most, unique_by=lambda run: run.id)
    return runs.flatmap(_with_children)


def _with_children(runs: list[Facts]) -> st.SearchStrategy[list[Facts]]:
    above = st.lists(st.integers(-2, len(runs)), min_size=len(runs), max_size=len(runs))

    def linked(parents: list[int]) -> list[Facts]:
        # A parent comes before its child; one beyond the list is not in the store.
        return [
            replace(run, parent=runs[p].id if p < at else "gone" if p == len(runs) else None) if p >= 0 else run
            for at, (run, p) in enumerate(zip(runs, parents, strict=True))
        ]

    return above.map(linked)
