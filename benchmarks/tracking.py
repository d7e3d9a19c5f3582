"""What `ciplug run` adds to a training that logs with MLflow, by what MLflow takes for its own default store.

The training logs 10 parameters, 10 metrics at 20 steps each and an artifact. Alone it takes the store that MLflow has
by default (SQLite, since 3.7), in a folder that has none yet.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.measuring import Arm, Fact, Result, Skipped, call, interleave
from benchmarks.places import Tools, scratch
from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.events import events_of

_TRAINING = """\
import mlflow
with mlflow.start_run():
    mlflow.log_params({f"p{i}": i for i in range(10)})
    for step in range(20):
        mlflow.log_metrics({f"m{i}": i / (step + 1) for i in range(10)}, step=step)
    mlflow.log_dict({"classes": 3}, "classes.json")
    for trial in range(TRIALS):
        with mlflow.start_run(nested=True):
            mlflow.log_param("trial", trial)
            mlflow.log_metric("m0", trial)
"""


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    name = "`ciplug run` of a training that logs with MLflow"
    if tools.mlflow is None:
        yield Skipped(name, "no MLflow")
        return
    python = tools.mlflow
    env = {**tools.env, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with scratch() as folder:
        work = folder / "work"
        work.mkdir()
        call(["git", "init", "--quiet", "-b", "main"], work)
        (work / ".gitignore").write_text("mlruns\nmlflow.db\n")

        def prepare() -> Path:
            shutil.rmtree(work / "mlruns", ignore_errors=True)
            (work / "mlflow.db").unlink(missing_ok=True)
            return work

        _write(work, 0)
        pair = interleave(
            Arm(prepare, lambda place: call([*tools.ciplug, "run", "--quiet", "--", python, "train.py"], place, env)),
            Arm(prepare, lambda place: call([python, "train.py"], place, env)),
            max(1, pairs // 2),
        )
        yield Result(name, pair[0], "the training alone", pair[1], aim=1, notes="recorded in git on this disk")
        yield _given(python, env, work, prepare, pairs)
        for trials in (0, 3 if quick else 20):
            prepare()
            _write(work, trials)
            store = folder / f"store-{trials}"
            call([python, "train.py"], work, {**env, **places.environment(env, "0" * 32, store)})
            seconds = [_read(store) for _ in range(pairs)]
            what = (
                f"reading back what MLflow logged, {trials + 1} runs" if trials else "reading back what MLflow logged"
            )
            yield Fact(what, f"{sorted(seconds)[len(seconds) // 2] * 1000:.0f} ms", "the rest is that of any run")
        before = [_before(work) for _ in range(pairs)]
        yield Fact("before such a training begins", f"{sorted(before)[len(before) // 2] * 1000:.1f} ms", "aim: 50 ms")


def _given(python: str, env: Mapping[str, str], work: Path, prepare: Callable[[], Path], pairs: int) -> Result:
    """The training with the store that ciplug gives it, by the same training with such a store of its own.

    ciplug runs in neither: this is what the training itself takes more.
    """
    own = {**env, places.URI: (work / "mlruns").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    given = {**env, **places.environment(env, "0" * 32, work / "mlruns")}
    pair = interleave(
        Arm(prepare, lambda place: call([python, "train.py"], place, given)),
        Arm(prepare, lambda place: call([python, "train.py"], place, own)),
        pairs,
    )
    what = "such a training with the store that ciplug gives it"
    return Result(what, pair[0], "with a file store of its own", pair[1], aim=1.05, notes="without ciplug")


def _write(work: Path, trials: int) -> None:
    (work / "train.py").write_text(_TRAINING.replace("TRIALS", str(trials)))
    call(["git", "add", "--all"], work)
    call(["git", "commit", "--quiet", "--allow-empty", "--message", "a training"], work)


def _read(store: Path) -> float:
    start = time.perf_counter()
    for run in places.open_store(str(store), store, {}).runs(None):
        list(events_of(run))
    return time.perf_counter() - start


def _before(work: Path) -> float:
    start = time.perf_counter()
    places.names_store({}, work)
    places.stores_below(work)
    places.environment({}, "0" * 32, work / "store")
    return time.perf_counter() - start
