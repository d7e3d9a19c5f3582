"""What amendments cost a reader: `ciplug runs list` over a store with amended runs, by the same store without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Arm, Result, Skipped, call, interleave
from benchmarks.places import Clones, Tools, scratch, server
from ciplug.stores.git.folding import SEGMENT_AT
from tests.servers.git_http import GitServer

LIST = ("runs", "list", "--where", "metrics.accuracy > 0.9", "--order-by", "metrics.accuracy DESC")


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    runs, amendments = 2000 if quick else 10_000, SEGMENT_AT  # a whole segment of them
    with scratch() as folder:
        for part in ("with", "without"):
            (folder / part).mkdir()
        with server(folder / "with", runs, amendments) as amended, server(folder / "without", runs) as plain:
            clones = [Clones(folder / f"clones-{number}", git) for number, git in enumerate((amended, plain))]

            def listed(clone: Path) -> None:
                call([*tools.ciplug, *LIST], clone, tools.env)

            requests = [_requests(git, each.fresh(), tools) for git, each in zip((amended, plain), clones, strict=True)]
            if requests[0] > requests[1]:
                raise RuntimeError(f"amendments cost requests: {requests[0]} in place of {requests[1]}")
            kept = [each.fresh() for each in clones]
            for clone in kept:
                listed(clone)
            for state, arms in (
                ("first query", [Arm(each.fresh, listed) for each in clones]),
                ("again", [Arm(lambda clone=clone: clone, listed) for clone in kept]),
            ):
                ours, floor = interleave(*arms, pairs)
                name = f"`ciplug runs list`, {runs:,} runs, {amendments:,} amendments, {state}"
                notes = f"{requests[0]} requests, and {requests[1]} without" if state == "first query" else ""
                yield Result(name, ours, "no amendment", floor, None, notes)


def _requests(git: GitServer, clone: Path, tools: Tools) -> int:
    """How many requests the first query of a clone makes."""
    before = len(git.requests)
    call([*tools.ciplug, *LIST], clone, tools.env)
    return len(git.requests) - before
