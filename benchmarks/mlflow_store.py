"""MLflow on a ciplug store, by MLflow on SQLite: a whole training, one metric, searches, the server, the disk.

Trainings and searches are measured by the CPU that they and the programs that they start take: on a busy machine that
is the steadier figure. Each side has an environment of its own with the same MLflow; ciplug is on one side only.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.measuring import Arm, Fact, Result, Skipped, Timing, call, interleave
from benchmarks.places import OUT, ROOT, Clones, Tools, packed_size, scratch, server, venv
from benchmarks.querying import mlflow_database

TRAINING = """\
import mlflow
with mlflow.start_run():
    mlflow.log_params({f"p{i}": i for i in range(10)})
    mlflow.log_metrics({f"m{i}": i / 10 for i in range(10)})
    mlflow.log_dict({"classes": 3}, "classes.json")
"""
ONE_METRIC = """\
import sys, time
from mlflow import MlflowClient
client, number = MlflowClient(), int(sys.argv[1])
run = client.create_run("0").info.run_id
client.log_metric(run, "loss", 1.0)
start = time.perf_counter()
for step in range(number):
    client.log_metric(run, "loss", 1.0, step=step)
print((time.perf_counter() - start) / number)
client.set_terminated(run)
"""
SEARCHES = """\
import json, resource, sys
from mlflow import MlflowClient
def spent():
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
QUESTIONS = {"newest": ("", []), "best": ("metrics.f1 > 0.88", ["metrics.accuracy DESC"])}
rounds = int(sys.argv[1])
start = spent()
client = MlflowClient()
experiment = client.get_experiment_by_name("wine").experiment_id
def ask(name):
    where, order = QUESTIONS[name]
    found = client.search_runs([experiment], where, order_by=order, max_results={"newest": 100, "best": 20}[name])
    return [run.info.run_id for run in found]
ids = {"newest": ask("newest")}
seconds = {"first": [spent() - start]}
ids["best"] = ask("best")
for name in QUESTIONS:
    seconds[name] = []
    for _ in range(rounds):
        start = spent()
        ask(name)
        seconds[name].append(spent() - start)
print(json.dumps({"seconds": seconds, "ids": ids}))
"""
SQLITE = "MLflow on SQLite"


@dataclass(frozen=True)
class Sides:
    """Interpreters: with MLflow and ciplug, with the small MLflow and ciplug, with MLflow alone."""

    ours: str
    skinny: str | None
    theirs: str
    env: Mapping[str, str]


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    if tools.mlflow is None:
        yield Skipped("MLflow on a ciplug store", "no MLflow")
        return
    sides = _sides(tools, quick=quick)
    with scratch() as folder:
        yield from _processes(sides, folder, pairs)
        yield _one_metric(sides, folder, pairs, 50 if quick else 300)
        yield _first_answer(sides, folder, max(1, pairs // 3))
    for runs in (2_000,) if quick else (10_000, 100_000):
        yield from _searches(sides, runs, pairs)
    yield _disk(sides, 2_000 if quick else 10_000)


def _sides(tools: Tools, *, quick: bool) -> Sides:
    assert tools.mlflow
    env = {**tools.env, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    if quick:
        return Sides(sys.executable, None, tools.mlflow, env)
    made = {}
    for extra in ("mlflow", "mlflow-skinny"):
        folder = OUT / f"venv-ciplug-{extra}"
        venv(folder, f"{ROOT}[{extra}]")
        made[extra] = str(folder / "bin" / "python")
    return Sides(made["mlflow"], made["mlflow-skinny"], tools.mlflow, env)


def _project(folder: Path) -> Path:
    """A checkout with a remote on this disk."""
    work = folder / "work"
    call(["git", "init", "--quiet", "--bare", "-b", "main", str(folder / "remote.git")], ROOT)
    call(["git", "init", "--quiet", "-b", "main", str(work)], ROOT)
    (work / "train.py").write_text(TRAINING)
    (work / ".gitignore").write_text("mlruns\nmlflow.db\ntimes\n")
    call(["git", "add", "--all"], work)
    call(["git", "commit", "--quiet", "--message", "a training"], work)
    call(["git", "remote", "add", "origin", str(folder / "remote.git")], work)
    return work


def _on_ciplug(sides: Sides) -> dict[str, str]:
    return {**sides.env, "MLFLOW_TRACKING_URI": "ciplug:"}


def _on_sqlite(sides: Sides, work: Path) -> dict[str, str]:
    return {**sides.env, "MLFLOW_TRACKING_URI": f"sqlite:///{work}/mlflow.db"}


def _processes(sides: Sides, folder: Path, pairs: int) -> Iterator[Result | Fact]:
    work = _project(folder)

    def prepare() -> Path:
        shutil.rmtree(work / "mlruns", ignore_errors=True)
        (work / "mlflow.db").unlink(missing_ok=True)
        return work

    floor = _ByCpu(prepare, lambda place: call([sides.theirs, "train.py"], place, _on_sqlite(sides, place)))
    for python, name in ((sides.ours, "mlflow"), (sides.skinny, "mlflow-skinny")):
        if python is None:
            continue
        ours = _ByCpu(prepare, lambda place, python=python: call([python, "train.py"], place, _on_ciplug(sides)))
        yield Result(f"a whole training with {name}", *_named(interleave(ours, floor, pairs)), 0.5, "CPU; pushed")
        imported = _ByCpu(prepare, lambda place, python=python: call([python, "-c", "import mlflow"], place, sides.env))
        pair = interleave(ours, imported, pairs)
        notes = f"CPU; {pair[0].median - pair[1].median:.2f} s over the import; aim: 0.35 s"
        yield Result(f"a whole training with {name}, by its import", pair[0], "`import mlflow`", pair[1], notes=notes)
        pair = interleave(imported, floor, pairs)
        yield Result(f"`import mlflow` alone, of {name}", *_named(pair), notes="CPU; no training can take less")
        # With the whole of MLflow, its import alone takes more than this aim.
        yield Result(
            f"a training with {name} under `ciplug run`",
            *_named(_under_ciplug_run(python, sides, prepare, floor, pairs)),
            aim=0.4 if name == "mlflow-skinny" else None,
            notes="CPU of the training's own process; ciplug sends its run afterwards",
        )


class _ByCpu(Arm):
    """An arm whose seconds are those of CPU."""

    def seconds(self) -> float:
        place = self.prepare()
        before = _cpu()
        self.timed(place)
        return _cpu() - before


def _cpu() -> float:
    """Seconds of CPU of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _named(pair: tuple[Timing, Timing]) -> tuple[Timing, str, Timing]:
    return pair[0], SQLITE, pair[1]


def _under_ciplug_run(
    python: str, sides: Sides, prepare: Callable[[], Path], floor: Arm, pairs: int
) -> tuple[Timing, Timing]:
    """Seconds of CPU of the training's own process, told by the shell around it."""

    def once() -> float:
        place = prepare()
        command = [python, "-m", "ciplug", "run", "--quiet", "--", "sh", "-c", '"$0" train.py; times > times', python]
        call(command, place, _on_ciplug(sides))
        # The second line is about the programs that the shell has started: 0m1.020s 0m0.110s
        user, system = (place / "times").read_text().splitlines()[1].split()
        return sum(60 * float(m) + float(s) for m, s in (one.rstrip("s").split("m") for one in (user, system)))

    if pairs > 1:
        once(), floor.seconds()
    taken = [(once(), floor.seconds()) for _ in range(pairs)]
    return Timing(tuple(a for a, _ in taken)), Timing(tuple(b for _, b in taken))


def _one_metric(sides: Sides, folder: Path, pairs: int, number: int) -> Result:
    work = folder / "work"

    def seconds(python: str, env: Mapping[str, str], times: int) -> float:
        return float(call([python, "-c", ONE_METRIC, str(times)], work, env))

    taken = [
        (
            seconds(sides.ours, _on_ciplug(sides), 30 * number),
            seconds(sides.theirs, _on_sqlite(sides, work), number),
        )
        for _ in range(pairs)
    ]
    ours, theirs = (Timing(tuple(column)) for column in zip(*taken, strict=True))
    rate = f"{1 / ours.median:,.0f} and {1 / theirs.median:,.0f} metrics a second"
    return Result("`MlflowClient.log_metric`", ours, SQLITE, theirs, aim=0.01, notes=rate)


def _first_answer(sides: Sides, folder: Path, pairs: int) -> Result:
    """From the start of the server to the first list of experiments."""
    work = folder / "work"
    store = ["--backend-store-uri", f"sqlite:///{work}/served.db"]

    def once(command: Sequence[str]) -> None:
        port = _free_port()
        quiet = subprocess.DEVNULL
        argv = [*command, "--port", str(port)]
        process = subprocess.Popen(argv, cwd=work, env=sides.env, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            _await(f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search", process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    ours, theirs = interleave(
        Arm(lambda: work, lambda _: once([sides.ours, "-m", "ciplug", "ui"])),
        Arm(lambda: work, lambda _: once([sides.theirs, "-m", "mlflow", "server", *store])),
        pairs,
    )
    return Result("`ciplug ui`, to its first answer", ours, "`mlflow server` on SQLite", theirs, aim=0.5)


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body, kind = json.dumps({"max_results": 10}).encode(), {"Content-Type": "application/json"}
    while process.poll() is None:
        try:
            with opener.open(urllib.request.Request(address, body, kind), timeout=30):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the server ended with {process.returncode}")


def _searches(sides: Sides, runs: int, pairs: int) -> Iterator[Result]:
    database = mlflow_database(sides.theirs, runs)
    theirs = {**sides.env, "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    with scratch() as folder, server(folder, runs) as git:
        clones = Clones(folder / "clones", git, "main")
        kept = clones.fresh()
        numbers = count()

        def ask(python: str, cwd: Path, env: Mapping[str, str]) -> dict[str, dict[str, list[float]]]:
            next(numbers)
            return dict(json.loads(call([python, "-c", SEARCHES, "5"], cwd, env)))

        ask(sides.ours, kept, _on_ciplug(sides))
        rows: dict[str, list[tuple[float, float]]] = {}
        for _ in range(max(1, pairs // 2)):
            control = ask(sides.theirs, kept, theirs)
            again, fresh = (ask(sides.ours, clone, _on_ciplug(sides)) for clone in (kept, clones.fresh()))
            if control["ids"] != again["ids"]:
                raise RuntimeError("MLflow finds other runs in a ciplug store than in SQLite")
            first = control["seconds"]["first"][0]
            rows.setdefault("first question, in a new clone", []).append((fresh["seconds"]["first"][0], first))
            rows.setdefault("first question", []).append((again["seconds"]["first"][0], first))
            for name, words in (("newest", "the newest 100"), ("best", "the best 20 of a filter")):
                rows.setdefault(f"warm, {words}", []).extend(
                    zip(again["seconds"][name], control["seconds"][name], strict=True)
                )
    for what, taken in rows.items():
        ours, floor = (Timing(tuple(column)) for column in zip(*taken, strict=True))
        aim = None if "clone" in what else 0.5
        yield Result(f"`search_runs`, {runs:,} runs, {what}", ours, SQLITE, floor, aim=aim, notes="CPU")


def _disk(sides: Sides, runs: int) -> Fact:
    ours, _ = packed_size(runs, of_mlflow=True)
    theirs = mlflow_database(sides.theirs, runs, of_mlflow=True).stat().st_size
    return Fact(
        f"disk of {runs:,} runs, by MLflow on SQLite",
        f"{ours / theirs:.3f}",
        f"{ours / runs:,.0f} and {theirs / runs:,.0f} bytes a run of 10 parameters and 10 metrics, packed as a forge "
        "does, each metric with one point; aim: 0.1",
    )
