"""Generated runs of one commit: clean and dirty, finished, failed or with an unknown end, of forks and laptops.

`facts` and `commits` are for the pure choice; `objects_of` records them as jobs do, for what reads a store.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from ciplug.comparison.run_that_counts import Facts
from ciplug.records.amendment import Amendment
from ciplug.records.keys import amendment_object
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import File, Run
from ciplug.tracking.run_objects import run_objects

METRICS = ("accuracy", "loss", "size")
HOSTS = ("github_actions", "gitlab_ci", "jenkins", "gitea", "bitbucket", "azure")
MODEL = File(path="https://models.example.com/model.bin", digest="sha256:" + "1" * 64, size=3)


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
        end_unknown=st.booleans(),
        trusted=st.booleans(),
        dirty=st.sampled_from([False, False, True, None]),
        pipeline=st.booleans(),
        set_aside=st.sampled_from([(), (), (), ("train.py",)]),
        objection=st.sampled_from([None, None, "withdrawn by alice"]),
        metrics=st.frozensets(st.sampled_from(METRICS)),
    )
    made = made.map(lambda run: replace(run, end_unknown=run.end_unknown and not run.finished))
    if never is None:
        return made
    return made.filter(lambda run: never == (run.dirty is not False or bool(run.set_aside or run.objection)))


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


def run_of(facts: Facts, commit: str) -> Run:
    """A run of these facts. Its accuracy, its seed, one of three, and its host follow from the id."""
    number = int(facts.id, 36)
    return Run(
        id=f"{number:032x}",
        model="wine",
        status="finished" if facts.finished else "unknown" if facts.end_unknown else "failed",
        started=f"2026-11-20T12:00:0{facts.started or 0}.000Z",
        ended="2026-11-20T13:00:00.000Z",
        commit=commit,
        parent=f"{int(facts.parent, 36):032x}" if facts.parent else None,
        metrics=dict.fromkeys(facts.metrics, 0.8 + number % 20 / 100),
        artifacts=(MODEL,),
        provenance=Provenance(
            seed=number % 3,
            dirty=facts.dirty,
            ignored_files=facts.set_aside,
            context=Context(host=HOSTS[number % len(HOSTS)] if facts.pipeline else "local", trusted=facts.trusted),
        ),
    )


def objects_of(runs: list[Facts], commit: str) -> dict[str, bytes]:
    """The records of these runs, and the withdrawals."""
    objects: dict[str, bytes] = {}
    for facts in runs:
        run = run_of(facts, commit)
        objects |= run_objects(run)
        if facts.objection:
            key, data = amendment_object(
                Amendment(
                    run=run.id, model=run.model, commit=commit, seq=1, created=run.ended, withdrawn=True, by="alice"
                )
            )
            objects[key.key] = data
    return objects
