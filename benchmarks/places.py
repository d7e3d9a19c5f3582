"""What the measurements need around them: an installed ciplug, DVC, servers, stores of a size, fresh clones."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import chain, count, islice
from pathlib import Path

from benchmarks.measuring import call, environment
from ciplug.records import columns
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps
from ciplug.records.keys import amendment_object, run_key
from ciplug.records.last_point import LastPoint
from ciplug.records.provenance import Context, Hardware, Provenance
from ciplug.records.run import Run
from ciplug.stores.git import segments as git_segments
from ciplug.stores.git.content import Content, root_tree
from ciplug.stores.git.folding import SEGMENT_AT
from ciplug.stores.git.objects import LooseObjects
from tests.servers.git_http import GitServer

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "out"
PROJECT = "acme/wine"


@dataclass(frozen=True)
class Tools:
    """The programs that are measured."""

    python: str
    """The interpreter that `ciplug` runs on."""
    ciplug: Sequence[str]
    dvc: str | None
    mlflow: str | None
    """An interpreter that has MLflow."""
    env: dict[str, str]


def tools(*, quick: bool) -> Tools:
    """ciplug, DVC and MLflow, each installed into an environment of its own.

    When `quick`, nothing is installed: ciplug runs from this checkout by this interpreter, DVC is the one on PATH
    and MLflow that of this interpreter, if they are there.
    """
    if quick:
        env = {**environment(), "PYTHONPATH": str(ROOT)}
        mlflow = sys.executable if find_spec("mlflow") else None
        return Tools(sys.executable, (sys.executable, "-m", "ciplug"), shutil.which("dvc"), mlflow, env)
    ours, theirs = OUT / "venv", {name: OUT / f"venv-{name}" for name in ("dvc", "mlflow")}
    for name, folder in theirs.items():
        if not (folder / "bin" / name).exists():
            venv(folder, name)
    venv(ours, f"{ROOT}[objects]")
    dvc, python = str(theirs["dvc"] / "bin" / "dvc"), str(theirs["mlflow"] / "bin" / "python")
    return Tools(str(ours / "bin" / "python"), (str(ours / "bin" / "ciplug"),), dvc, python, environment())


def venv(folder: Path, package: str) -> None:
    """Install a package, or its present state, into an environment of its own."""
    if not folder.exists():
        call([sys.executable, "-m", "venv", "--upgrade-deps", str(folder)], ROOT)
    call([str(folder / "bin" / "pip"), "install", "--quiet", package], ROOT)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one measurement, on the disk where the stores are: they are linked, not copied."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=OUT, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def server(folder: Path, runs: int, amendments: int = 0, *, more_settings: str = "") -> Iterator[GitServer]:
    """A server over HTTP whose repository PROJECT has a small project, and a store with so many runs and amendments.

    Args:
        more_settings: lines of ciplug.yaml beyond those that every project has.
    """
    stored = _store(runs, amendments)
    with GitServer(folder / "server") as running:
        path = running.create(PROJECT)
        shutil.copytree(stored / "objects", path / "objects", copy_function=os.link, dirs_exist_ok=True)
        tip = (stored / "tip").read_text().strip()
        call(["git", "update-ref", "refs/heads/ciplug", tip], path)
        work = folder / "work"
        project(work, more_settings)
        call(["git", "push", "--quiet", str(path), "main", "better"], work)
        yield running


def project(folder: Path, more_settings: str = "") -> None:
    """A work tree with two commits: the tip of main, and one more on the branch `better`."""
    folder.mkdir(parents=True)
    call(["git", "init", "--quiet", "--initial-branch=main"], folder)
    (folder / "README.md").write_text("# Wine quality\n")
    (folder / "params.yaml").write_text("depth: 6\nrate: 0.1\nseed: 7\n")
    (folder / "ciplug.yaml").write_text(f"version: 1\nmodel: wine\nmetrics: metrics.json\n{more_settings}")
    (folder / "requirements.txt").write_text("scikit-learn==1.5.2\npandas==2.2.3\n")
    for number in range(20):
        (folder / f"step_{number:02d}.py").write_text(f"print({number})\n" * 50)
    for branch, accuracy in (("main", 0.913), ("better", 0.921)):
        if branch != "main":
            call(["git", "checkout", "--quiet", "-b", branch], folder)
        write_metrics(folder, accuracy)
        call(["git", "add", "--all"], folder)
        call(["git", "commit", "--quiet", "--message", branch], folder)


def write_metrics(folder: Path, accuracy: float) -> Path:
    """A metrics file as a small training leaves it."""
    values = {"accuracy": accuracy, "f1": accuracy - 0.02, "log_loss": 1 - accuracy, "rows": 1143}
    path = folder / "metrics.json"
    path.write_bytes(dumps(values))
    return path


class Clones:
    """Fresh clones as a CI job makes them: one commit deep, detached, nothing of ours inside."""

    def __init__(self, folder: Path, server: GitServer, branch: str = "better") -> None:
        self._folder = folder
        self._server = server
        self._branch = branch
        self._numbers = count()
        folder.mkdir()

    def fresh(self) -> Path:
        """A new clone; making it waits for no injected latency."""
        clone = self.empty()
        waits, self._server.latency = self._server.latency, 0.0
        call(["git", "fetch", "--quiet", "--depth=1", "origin", self._branch], clone)
        call(["git", "checkout", "--quiet", "--detach", "FETCH_HEAD"], clone)
        self._server.latency = waits
        return clone

    def empty(self) -> Path:
        """A new repository that knows its origin and has fetched nothing."""
        clone = self._folder / str(next(self._numbers))
        clone.mkdir()
        call(["git", "init", "--quiet"], clone)
        call(["git", "remote", "add", "origin", self._server.url(PROJECT)], clone)
        return clone


def _store(runs: int, amendments: int = 0) -> Path:
    """A repository whose commit `tip` is a store with so many folded runs, kept from one benchmark to the next.

    Its amendments are of runs all over the store, and lie in segments of their own.
    """
    path = OUT / (f"store-{runs}-{amendments}.git" if amendments else f"store-{runs}.git")
    if not (path / "tip").exists():
        objects = chain(((run_key(run).key, dumps(run)) for run in stored_runs(runs)), _amendments(runs, amendments))
        _fill(path, objects, runs + amendments)
    return path


def _fill(path: Path, objects: Iterator[tuple[str, bytes]], count: int) -> None:
    """Make a repository whose commit `tip` is a store with so many objects, as folds leave it."""
    shutil.rmtree(path, ignore_errors=True)
    call(["git", "init", "--quiet", "--bare", str(path)], OUT)
    written = LooseObjects(path, "sha1")
    content, index = Content(), {}
    for start in range(0, count, SEGMENT_AT):
        records = dict(islice(objects, SEGMENT_AT))
        if len(records) < SEGMENT_AT:
            content.new = {key: written.blob(data) for key, data in records.items()}
            break
        lines = git_segments.write_lines(records, {})
        name = git_segments.name_of(start // SEGMENT_AT + 1, lines)
        content.segments[name] = written.blob(lines)
        content.columns[name] = written.blob(columns.encode(columns.of(sorted(records.items()))))
        index[name] = git_segments.marks_of(records)
    tree = root_tree(written, content, git_segments.write_index(index))
    commit = written.commit(tree, (), f"ciplug: {count} objects", 0)
    call(["git", "update-ref", "refs/heads/ciplug", commit], path)
    # As a forge keeps it: one pack, with deltas.
    call(["git", "repack", "-a", "-d", "--quiet"], path)
    (path / "tip").write_text(commit)


def _amendments(runs: int, amendments: int) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of an amendment of every n-th run: a tag, and of each tenth of these a withdrawal."""
    every = runs // amendments if amendments else 1
    for number, run in enumerate(islice(stored_runs(runs), 0, amendments * every, every)):
        made = Amendment(
            run=run.id,
            model=run.model,
            commit=run.commit,
            seq=1,
            created=run.ended,
            tags={"team": f"team-{number % 7}"},
            withdrawn=True if number % 10 == 0 else None,
            reason="wrong labels" if number % 10 == 0 else None,
            by="octocat",
            context=run.provenance.context,
        )
        key, data = amendment_object(made)
        yield key.key, data


def packed_size(runs: int, *, of_mlflow: bool = False) -> tuple[int, int]:
    """Bytes on disk of the store with so many runs, and of their records before anything was packed."""
    made = stored_runs(runs, of_mlflow=of_mlflow)
    path = OUT / f"store-{runs}-of-mlflow.git" if of_mlflow else _store(runs)
    if of_mlflow and not (path / "tip").exists():
        _fill(path, ((run_key(run).key, dumps(run)) for run in made), runs)
    packs = (path / "objects" / "pack").iterdir()
    records = sum(len(dumps(run)) for run in stored_runs(runs, of_mlflow=of_mlflow))
    return sum(file.stat().st_size for file in packs), records


def stored_runs(runs: int, *, of_mlflow: bool = False) -> Iterator[Run]:
    """What a store of so many runs holds."""
    dice = random.Random(runs)
    made = (made_run(dice, number) for number in range(runs))
    return (_logged_with_mlflow(dice, run) for run in made) if of_mlflow else made


def _logged_with_mlflow(dice: random.Random, run: Run) -> Run:
    """The same with what MLflow's client logs of a training: 10 parameters, 10 metrics, and its own 5 tags."""
    metrics = {f"m{number}": dice.random() for number in range(10)}
    began = int(datetime.fromisoformat(run.started.removesuffix("Z") + "+00:00").timestamp() * 1000)
    return replace(
        run,
        name=f"run-{run.id[:6]}",
        params={f"p{number}": str(dice.randrange(100)) for number in range(10)},
        metrics=metrics,
        last={name: LastPoint(step=0, value=value, time=began) for name, value in metrics.items()},
        tags={
            "mlflow.runName": f"run-{run.id[:6]}",
            "mlflow.source.git.commit": run.commit or "",
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.user": "octocat",
        },
    )


def made_run(dice: random.Random, number: int) -> Run:
    """A record of about 1 KB, as a CI job of a small project leaves it."""
    commit = f"{dice.getrandbits(160):040x}"
    accuracy = dice.gauss(0.91, 0.01)
    # One after the other, as jobs end: the runs of a segment began at about the same time.
    began = datetime(2025, 1, 1, 0, 0, 17, 250_000) + timedelta(minutes=5 * number)
    moment = began.isoformat(timespec="milliseconds") + "Z"
    context = Context(
        host="github_actions",
        event="push",
        commit=commit,
        branch="main",
        default_branch="main",
        repository=PROJECT,
        server_url="https://github.com",
        api_url="https://api.github.com",
        run_url=f"https://github.com/{PROJECT}/actions/runs/{10_000_000 + number}",
        job="train",
        actor="octocat",
    )
    return Run(
        id=f"{dice.getrandbits(128):032x}",
        model="wine",
        status="finished",
        started=moment,
        ended=moment,
        commit=commit,
        params={"depth": 6, "rate": 0.1, "seed": 7},
        metrics={"accuracy": accuracy, "f1": accuracy - 0.02, "log_loss": 1 - accuracy, "rows": 1143.0},
        provenance=Provenance(
            context=context,
            command=("python", "train.py"),
            exit_code=0,
            wall_seconds=round(dice.uniform(20, 60), 3),
            peak_memory_bytes=dice.randrange(10**8, 10**9),
            seed=7,
            python="3.12.7",
            os="Ubuntu 24.04.1 LTS, Linux 6.8.0-1017-azure x86_64",
            packages={"numpy": "2.1.3", "pandas": "2.2.3", "scikit-learn": "1.5.2"},
            hardware=Hardware(cpu="AMD EPYC 7763 64-Core Processor", cores=4, memory_bytes=16_766_640_128),
            dirty=False,
            ciplug="0.1.0",
        ),
    )
