"""What a comparison of two commits costs, by DVC on the same repository.

DVC reads the metrics file that is tracked in both commits; ciplug the runs that were recorded on them. DVC's
analytics and its search for updates are off. The repository is local, so that only the tools are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Arm, Result, Skipped, call, interleave
from benchmarks.places import Tools, project, scratch


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    stores = {"the repository itself": None, "a bare repository on this disk": "remote.git"}
    for where, remote in stores.items():
        name = f"`ciplug compare`, store in {where}"
        if tools.dvc is None:
            yield Skipped(name, "DVC is not installed")
            continue
        with scratch() as folder:
            work = folder / "work"
            project(work)
            _declare(work, tools.dvc)
            if remote:
                call(["git", "init", "--quiet", "--bare", remote], folder)
                call(["git", "remote", "add", "origin", str(folder / remote)], work)
                call(["git", "push", "--quiet", "origin", "main", "better"], work)
            for branch in ("main", "better"):
                call(["git", "checkout", "--quiet", branch], work)
                call([*tools.ciplug, "record", "--quiet"], work, tools.env)

            def arm(*argv: str, work: Path = work) -> Arm:
                return Arm(lambda: work, lambda place: call(argv, place, tools.env))

            compare = arm(*tools.ciplug, "compare", "main", "better")
            diff = arm(tools.dvc, "metrics", "diff", "main", "better")
            ours, theirs = interleave(compare, diff, pairs)
            yield Result(name, ours, "`dvc metrics diff`", theirs, aim=1.0)


def _declare(work: Path, dvc: str) -> None:
    """Make it a DVC project in both commits."""
    call(["git", "checkout", "--quiet", "main"], work)
    call([dvc, "init", "--quiet"], work)
    for key in ("core.analytics", "core.check_update"):
        call([dvc, "config", key, "false"], work)
    (work / "dvc.yaml").write_text("metrics:\n  - metrics.json\n")
    call(["git", "add", "--all"], work)
    call(["git", "commit", "--quiet", "--message", "dvc"], work)
    call(["git", "rebase", "--quiet", "main", "better"], work)
