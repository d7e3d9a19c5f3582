"""What the best of many runs cost, by MLflow's search over the same runs in SQLite.

Ours: `ciplug leaderboard` as a user types it: a fresh process that asks the store over HTTP for what is new, in a
clone that has fetched the store before. Without its catalog, which it then builds from what was fetched; with the
catalog of all but the last segment; and with the whole catalog. MLflow: the call of `search_runs` alone, the same
filter and order, in a process that has started and has searched before, over a database with fresh statistics.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from benchmarks.measuring import Arm, Result, Skipped, Timing, call, interleave
from benchmarks.places import OUT, Clones, Tools, scratch, server, stored_runs

WHERE, ORDER = "metrics.f1 > 0.88", "metrics.accuracy DESC"
_SCRIPT = str(Path(__file__).with_name("mlflow_runs.py"))
LEADERBOARD = ("leaderboard", "--metric", "accuracy", "--higher-is-better", "--where", WHERE)


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    before: dict[str, Timing] = {}
    for runs in (2000, 3000) if quick else (10_000, 100_000):
        with scratch() as folder, server(folder, runs) as git:
            clone = Clones(folder / "clones", git).fresh()
            answer = json.loads(call([*tools.ciplug, *LEADERBOARD, "--format", "json"], clone, tools.env))
            best = [run["run"] for run in answer["runs"]]
            name = f"`ciplug leaderboard`, {runs:,} runs"
            if tools.mlflow is None:
                yield Skipped(f"{name}, by MLflow", "MLflow is not installed")
                continue
            with _mlflow(tools.mlflow, runs) as search:
                if search() != best:
                    raise RuntimeError("MLflow finds other runs than ciplug")
                for state, prepare in _states(clone).items():
                    ours, theirs = interleave(
                        Arm(prepare, lambda clone: call([*tools.ciplug, *LEADERBOARD], clone, tools.env)),
                        Arm(lambda clone=clone: clone, lambda _, search=search: search()),
                        pairs,
                    )
                    notes = []
                    if state in before:
                        growth = ours.median / before[state].median
                        notes = ["aim: 1 s", f"{growth:.1f} times as long as for a tenth of the runs"]
                    before[state] = ours
                    yield Result(
                        f"{name}, {state}", ours, "MLflow's `search_runs` in SQLite", theirs, None, "; ".join(notes)
                    )


def _states(clone: Path) -> dict[str, Callable[[], Path]]:
    """State of the catalog → what brings the clone into it."""
    (catalog,) = (clone / ".git" / "ciplug" / "catalog").glob("*.sqlite")
    kept = clone / "catalog.sqlite"
    shutil.copy(catalog, kept)

    def without() -> Path:
        catalog.unlink()
        return clone

    def behind() -> Path:
        shutil.copy(kept, catalog)
        with sqlite3.connect(catalog) as db:
            (last,) = db.execute("SELECT max(name) FROM segments").fetchone()
            db.execute("DELETE FROM columns WHERE segment = ?", (last,))
            db.execute("DELETE FROM amendments WHERE segment = ?", (last,))
            db.execute("DELETE FROM segments WHERE name = ?", (last,))
        db.close()
        return clone

    def whole() -> Path:
        shutil.copy(kept, catalog)
        return clone

    return {"first query": without, "one segment more": behind, "again": whole}


def mlflow_database(python: str, runs: int, *, of_mlflow: bool = False) -> Path:
    """A database of MLflow with the runs that a store of this size holds, kept from one benchmark to the next."""
    name = f"mlflow-{runs}-of-mlflow" if of_mlflow else f"mlflow-{runs}"
    file, filling = OUT / f"{name}.sqlite", OUT / f"{name}.part.sqlite"
    if file.exists():
        return file
    filling.unlink(missing_ok=True)
    source = filling.with_suffix(".ndjson")
    with source.open("w") as lines:
        for run in stored_runs(runs, of_mlflow=of_mlflow):
            moment = int(datetime.fromisoformat(run.started.replace("Z", "+00:00")).timestamp() * 1000)
            facts = {"id": run.id, "moment": moment, "metrics": dict(run.metrics), "params": dict(run.params)}
            tags = {"mlflow.source.git.commit": run.commit, **run.tags}
            lines.write(json.dumps({**facts, "tags": tags}) + "\n")
    subprocess.run([python, _SCRIPT, str(filling), str(source)], check=True, capture_output=True, input=b"")
    source.unlink()
    filling.rename(file)
    return file


@contextmanager
def _mlflow(python: str, runs: int) -> Iterator[Callable[[], list[str]]]:
    """The search of MLflow over the runs that a store of this size holds."""
    command = [python, _SCRIPT, str(mlflow_database(python, runs))]
    asking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert asking.stdin and asking.stdout
    if asking.stdout.readline() != "ready\n":
        raise RuntimeError(f"{_SCRIPT} does not start")

    def search() -> list[str]:
        assert asking.stdin and asking.stdout
        asking.stdin.write(json.dumps([WHERE, ORDER]) + "\n")
        asking.stdin.flush()
        found: list[str] = json.loads(asking.stdout.readline())
        return found

    try:
        yield search
    finally:
        asking.stdin.close()
        asking.wait()
