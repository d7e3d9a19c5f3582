"""What was logged is on disk, whoever is killed when: real processes, real files, real locks."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import ciplug
from ciplug.capture import events, log
from ciplug.capture.spool import Spool
from ciplug.capture.writer import RunWriter
from ciplug.errors import CiplugError, StoreError, UsageError
from ciplug.records import read as records
from ciplug.records import series
from ciplug.records.canonical import new_id
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.recover import recover
from ciplug.steps.send import send, store_objects
from ciplug.steps.session import Session, open_session


def python(code: str, *args: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE)


# The log


def test_what_is_logged_is_read(tmp_path: Path) -> None:
    for event in (
        {"metric": "loss", "value": 2.0, "step": 0},
        {"metric": "loss", "value": 1.0, "step": 1},
        {"metric": "accuracy", "value": math.nan, "step": None},
        {"param": "depth", "value": 6},
        {"param": "depth", "value": 7},
        {"tag": "k", "value": "v"},
        {"artifact": "/a/model.bin"},
        {"dataset": "/a/data.csv"},
        {"model": "wine"},
        {"unknown": "of a later version"},
    ):
        log.append(tmp_path, event)
    found = log.read(tmp_path)
    assert found.metrics["loss"] == 1.0 and math.isnan(found.metrics["accuracy"])
    assert (found.series["loss"].steps, found.series["loss"].values) == ((0, 1), (2.0, 1.0))
    assert found.series.keys() == {"loss"}
    assert (found.params, found.tags, found.model) == ({"depth": 7}, {"k": "v"}, "wine")
    assert (found.artifacts, found.datasets, found.torn, found.unknown) == (("/a/model.bin",), ("/a/data.csv",), 0, 1)


def test_a_folder_without_a_log_is_an_empty_one(tmp_path: Path) -> None:
    assert log.read(tmp_path) == log.Logged()


def test_a_torn_last_line_costs_that_line_only(tmp_path: Path) -> None:
    log.append(tmp_path, {"metric": "a", "value": 1.0, "step": None})
    log.append(tmp_path, {"metric": "b", "value": 2.0, "step": None})
    whole = (tmp_path / log.FILE).read_bytes()
    for cut in range(len(whole)):
        (tmp_path / log.FILE).write_bytes(whole[:cut])
        found = log.read(tmp_path)
        lines = whole[:cut].count(b"}\n")
        assert set(found.metrics) >= set(list("ab")[:lines])
        rest = whole[:cut].rpartition(b"\n")[2]
        assert found.torn == (bool(rest) and rest.strip()[-1:] != b"}")


@pytest.mark.parametrize(
    "line",
    [
        "1",
        "null",
        '"metric"',
        '["metric"]',
        '{"metric": "a"}',
        '{"metric": "a", "value": null}',
        '{"metric": "a", "value": [1]}',
        '{"metric": "a", "value": 1' + "0" * 400 + "}",
        '{"metric": "a", "value": 1, "step": 1}',
        '{"metric": "a", "value": 1, "step": 1.5, "time": 1}',
        '{"metric": "a", "value": 1, "step": 1' + "0" * 30 + ', "time": 1}',
        '{"param": "a", "value": [1]}',
        '{"param": "a"}',
        "\xff\xfe",
    ],
)
def test_a_line_that_is_not_an_event_costs_that_line_only(tmp_path: Path, line: str) -> None:
    log.append(tmp_path, {"metric": "before", "value": 1.0, "step": None})
    with (tmp_path / log.FILE).open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    log.append(tmp_path, {"metric": "after", "value": 1.0, "step": None})
    found = log.read(tmp_path)
    assert (set(found.metrics), found.params, found.series, found.torn) == ({"before", "after"}, {}, {}, 1)


def test_processes_write_side_by_side_without_tearing_a_line(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom ciplug.capture import log\n"
        "for step in range(500):\n"
        "    log.append(pathlib.Path(sys.argv[1]), {'metric': sys.argv[2] * 120, 'value': step, 'step': step})\n"
    )
    writers = [python(code, tmp_path, name) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = log.read(tmp_path)
    assert not found.torn
    assert {name[0]: one.steps for name, one in found.series.items()} == {n: tuple(range(500)) for n in "abc"}


class Scalar:
    """What numpy and the tensor libraries have in common."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.mark.parametrize(
    ("value", "due"),
    [(1, 1.0), (0.5, 0.5), (Scalar(2), 2.0), (math.inf, math.inf), (True, 1.0), (Scalar(False), 0.0)],
)
def test_numbers(value: object, due: float) -> None:
    assert events.number("a", value) == due


@pytest.mark.parametrize(
    "value",
    ["0.5", None, [1.0], Scalar("1"), Scalar(RuntimeError("more than one element")), object(), 10**400, 1j],
)
def test_what_is_not_a_number(value: object) -> None:
    with pytest.raises(UsageError, match="metric 'a'"):
        events.number("a", value)


@pytest.mark.parametrize(("step", "due"), [(0, 0), (2.0, 2), (-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1)])
def test_steps(step: object, due: int) -> None:
    assert events.whole_step("a", step) == due


@pytest.mark.parametrize("step", [1.5, 2**63, 1e30, "1", None, math.nan, math.inf])
def test_what_is_not_a_step(step: object) -> None:
    with pytest.raises(UsageError, match="is not a whole number of 64 bits"):
        events.whole_step("a", step)


@pytest.fixture
def joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log of a run that `ciplug run` has started around this program."""
    writer = RunWriter.create(tmp_path / "r1", {})
    monkeypatch.setenv("CIPLUG_RUN_ID", "r1")
    monkeypatch.setenv("CIPLUG_RUN_DIR", str(writer.folder))
    yield writer.folder
    ciplug.end_run()


def test_the_python_api_writes_to_the_run_around_it(joined: Path) -> None:
    ciplug.start_run(model="beer", tags={"k": "v"})
    ciplug.log_metrics({"loss": 0.5, "accuracy": math.nan}, step=3)
    ciplug.log_params({"depth": 6, "shape": (1, 2)})
    found = log.read(joined)
    assert (found.model, found.tags, found.params) == ("beer", {"k": "v"}, {"depth": 6, "shape": "(1, 2)"})
    assert found.series["loss"].steps == (3,)
    assert math.isnan(found.metrics["accuracy"])


def test_a_mistake_in_a_call_is_refused_at_once_and_not_after_the_training(joined: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        ciplug.start_run(model="a/b")
    with pytest.raises(UsageError):
        ciplug.log_metric("loss", 1.0, timestamp=1_790_000_000)
    assert log.read(joined).metrics == {}


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


NO_NUMBERS = {
    "text": ("high", "text", "high"),
    "percent": ("93%", "text", "93%"),
    "nothing": (None, "null", None),
    "large": (10**400, "size", None),
    "list": ([1.0, 2.0], "list", "list"),
    "rude": (Rude(), "text", "Rude"),
    "complex": (1j, "text", "1j"),
}


def test_a_value_that_is_not_a_number_stops_no_training(joined: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (value, _, _) in NO_NUMBERS.items():
        for _ in range(2):
            ciplug.log_metric(name, value, step=1)  # type: ignore[arg-type]
    ciplug.log_metrics({"quoted": "0.5", "yes": True, "f1": 0.8}, step=1.5)  # type: ignore[dict-item, arg-type]
    ciplug.log_metrics({"quoted": "0.5", "yes": True})  # type: ignore[dict-item]
    found = log.read(joined)
    numbers = {name: value for name, value in found.metrics.items() if not math.isnan(value)}
    assert numbers == {"quoted": 0.5, "yes": 1.0}
    assert found.metrics.keys() - numbers.keys() == NO_NUMBERS.keys() - {"nothing"}
    noted = {one.name: (one.why, one.found) for one in found.left_out}
    assert {name: noted[name] for name in NO_NUMBERS} == {name: due[1:] for name, due in NO_NUMBERS.items()}
    assert noted["f1"] == ("no_step", "1.5")
    said = capsys.readouterr().err
    assert [said.count(f"'{name}' (") for name in NO_NUMBERS] == [1] * len(NO_NUMBERS)


def test_numbers_of_numpy_are_numbers(joined: Path) -> None:
    numpy = pytest.importorskip("numpy")
    ciplug.log_metrics({"a": numpy.float32(0.5), "b": numpy.bool_(True), "c": numpy.array([[3]]), "d": numpy.int64(4)})
    assert log.read(joined).metrics == {"a": 0.5, "b": 1.0, "c": 3.0, "d": 4.0}


def test_a_name_that_no_metric_can_have_stops_no_training(joined: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        ciplug.log_metrics({" ": 1.0, "a\tb": 2.0, "loss ": 3.0, "accuracy": 4.0})
    assert log.read(joined).metrics == {"loss ": 3.0, "accuracy": 4.0}
    said = capsys.readouterr().err
    assert [said.count(name) for name in ("' '", "'a\\tb'", "'loss '")] == [1, 1, 1]


# The spool


OWNER = """\
import json, sys, time, pathlib
from ciplug.capture.spool import Spool
from ciplug.capture import log
entry = Spool(pathlib.Path(sys.argv[1])).create("r1", json.loads(sys.argv[2]))
log.append(entry.folder, {"metric": "loss", "value": 0.5, "step": 1})
log.append(entry.folder, {"param": "depth", "value": 6})
if sys.argv[3] == "seal":
    entry.seal("git:", {"runs/x": b"bytes\\xff"})
with (entry.folder / log.FILE).open("ab") as file:
    file.write(b'{"metric": "torn", "val')
print("ready", flush=True)
time.sleep(60)
"""


def start_owner(spool: Path, what: str, facts: Mapping[str, Any] | None = None) -> subprocess.Popen[bytes]:
    owner = python(OWNER, spool, json.dumps(facts or {}), what)
    assert owner.stdout is not None and owner.stdout.readline() == b"ready\n"
    return owner


def kill(owner: subprocess.Popen[bytes]) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert owner.stdout is not None
    owner.stdout.close()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not known there")
def test_a_run_is_its_owner_s_until_the_owner_dies(tmp_path: Path) -> None:
    owner = start_owner(tmp_path, "log", {"run": {"id": "r1"}})
    assert Spool(tmp_path).abandoned() == []
    kill(owner)
    (found,) = Spool(tmp_path).abandoned()
    assert (found.id, found.facts) == ("r1", {"run": {"id": "r1"}})
    logged = log.read(found.folder)
    assert (logged.metrics, logged.params, logged.torn) == ({"loss": 0.5}, {"depth": 6}, 1)
    assert Spool(tmp_path).abandoned() == [], "it is taken"
    found.release()
    assert len(Spool(tmp_path).abandoned()) == 1


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not known there")
def test_a_process_that_has_inherited_the_lock_holds_nothing_that_was_given_up(tmp_path: Path) -> None:
    entry = Spool(tmp_path).create("r1", {})
    with subprocess.Popen(["sleep", "60"], pass_fds=entry.locks) as daemon:
        assert Spool(tmp_path).abandoned() == []
        entry.release()
        assert [run.id for run in Spool(tmp_path).abandoned()] == ["r1"]
        daemon.kill()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not known there")
def test_what_is_sealed_survives_its_owner(tmp_path: Path) -> None:
    owner = start_owner(tmp_path, "seal")
    kill(owner)
    assert Spool(tmp_path).abandoned() == []
    (found,) = Spool(tmp_path).sealed()
    assert (found.store, found.objects) == ("git:", {"runs/x": b"bytes\xff"})
    assert Spool(tmp_path).sealed("git:") == [found]
    assert Spool(tmp_path).sealed("git+https://elsewhere") == []
    found.discard()
    assert Spool(tmp_path).sealed() == []
    assert not found.folder.exists()


def test_a_folder_that_is_half_removed_is_not_a_killed_run(tmp_path: Path) -> None:
    """Discarding takes open.json first, and sealed.json then: whoever looks meanwhile sees a sealed run, or none."""
    entry = Spool(tmp_path).create("r1", {"run": {"id": "r1"}})
    entry.seal("git:", {})
    (sealed,) = Spool(tmp_path).sealed()
    locked = sealed.folder / "locked"
    locked.mkdir()
    names: list[str] = []
    # What is seen at each removal.
    import shutil

    original = shutil.rmtree

    def watch(path: Path, **more: Any) -> None:
        names.extend(p.name for p in Path(path).iterdir())
        original(path, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", watch)
        sealed.discard()
    assert names and not {"open.json", "sealed.json"} & set(names)


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    entry = Spool(tmp_path).create("r1", {})
    entry.seal("git:", {})
    (entry.folder / "sealed.json").write_text("{")
    with pytest.raises(StoreError, match=r"sealed\.json is damaged") as caught:
        Spool(tmp_path).sealed()
    assert caught.value.hint == "move the folder away to go on"


def test_where_the_spool_cannot_be_written_the_temporary_folder_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "file").touch()
    spool, other = Spool(tmp_path / "file" / "spool"), Spool(tmp_path / "file" / "another")
    entry = spool.create("r1", {"run": {}})
    assert entry.folder.is_relative_to(tmp_path / "tmp")
    assert entry.folder.parent.stat().st_mode & 0o077 == 0
    entry.seal("git:", {"a": b"1"})
    # A later process finds it; another repository's spool is another one, though its store is called the same.
    assert [s.objects for s in Spool(tmp_path / "file" / "spool").sealed("git:")] == [{"a": b"1"}]
    assert other.sealed("git:") == []


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_a_temporary_folder_that_another_user_has_put_there_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "spool")
    entry = spool.create("r1", {})
    entry.seal("git:", {"a": b"planted"})
    os.chown(entry.folder.parent, 12345, 12345)
    assert spool.sealed() == []
    with pytest.raises(StoreError, match="the spool cannot be written"):
        spool.create("r2", {})


# From the spool to a record


@pytest.fixture
def session(tmp_path: Path) -> Session:
    folder = tmp_path / "work"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "first"], cwd=folder, check=True)
    return open_session(cwd=folder)


def stored(objects: Mapping[str, bytes]) -> Any:
    ((key, data),) = [(k, d) for k, d in objects.items() if k.endswith(".json")]
    return records.run(data, key)


def abandon(session: Session, *events: dict[str, Any], raw: bytes = b"") -> str:
    """What a killed process leaves: an open run with this log, and nobody who holds its lock."""
    entry = begin(session, Inputs(model="wine", tags={"a": "1"}), command=("train", "--fast"))
    for event in events:
        log.append(entry.folder, event)
    with (entry.folder / log.FILE).open("ab") as file:
        file.write(raw)
    entry.release()
    return entry.id


def test_a_killed_run_is_recorded_with_what_it_had_logged(session: Session) -> None:
    run_id = abandon(
        session,
        {"metric": "loss", "value": 0.5, "step": 1},
        {"tag": "b", "value": "2"},
        {"model": "beer"},
        raw=b'{"metric": "torn',
    )
    (recovered,) = recover(session).runs
    run = stored(recovered.sealed.objects)
    assert (run.id, run.status, run.model, run.metrics) == (run_id, "killed", "beer", {"loss": 0.5})
    assert (run.tags, run.provenance.command) == ({"a": "1", "b": "2"}, ("train", "--fast"))
    assert any(key.endswith(".series") for key in recovered.sealed.objects)
    assert not any(recover(session))
    assert [s.folder.name for s in send(session)] == [run_id]
    assert session.runs().get(run_id) == run
    assert list(session.spool.folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["finish", "recover"])
def test_series_that_cannot_be_kept_do_not_lose_the_run(
    session: Session, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the run that is left in the spool stop every later command."""
    monkeypatch.setattr(series, "MAX_POINTS", 3)
    events = [{"metric": "loss", "value": float(step), "step": step} for step in range(5)]
    if kind == "finish":
        entry = begin(session, Inputs())
        for event in events:
            log.append(entry.folder, event)
        recorded = finish(session, entry, Inputs(), status="finished")
    else:
        abandon(session, *events)
        (recorded,) = recover(session).runs
    (problem,) = recorded.problems
    assert "the most is" in problem.message
    assert stored(recorded.sealed.objects).metrics == {"loss": 4.0}
    assert not any(key.endswith(".series") for key in recorded.sealed.objects)
    assert not any(recover(session))


def test_text_that_is_not_utf8_does_not_lose_the_run(session: Session) -> None:
    run_id = abandon(session, {"param": "name", "value": "caf\udce9"}, {"metric": "a", "value": 1.0, "step": None})
    (recorded,) = recover(session).runs
    assert stored(recorded.sealed.objects).params == {"name": "caf?"}
    send(session)
    assert session.runs().get(run_id).metrics == {"a": 1.0}


def test_what_never_began_is_forgotten(session: Session) -> None:
    entry = session.spool.create("r1", {})
    entry.release()
    assert not any(recover(session))
    assert not entry.folder.exists()


def test_what_waits_counts_as_recorded(session: Session) -> None:
    entry = begin(session, Inputs(model="wine"))
    log.append(entry.folder, {"metric": "a", "value": 1.0, "step": None})
    recorded = finish(session, entry, Inputs(), status="finished")
    assert session.runs().get(recorded.run.id).metrics == {"a": 1.0}


def in_a_folder(session: Session, tmp_path: Path) -> Session:
    """A session of the same checkout, whose store takes one content under a key."""
    return open_session(cwd=session.cwd, env={**session.env, "CIPLUG_STORE": (tmp_path / "store").as_uri()})


def test_a_refusal_keeps_everything_and_stops_nothing_else(session: Session, tmp_path: Path) -> None:
    folder = in_a_folder(session, tmp_path)
    store_objects(folder, {"verdicts/a": b"1"})
    with pytest.raises(StoreError, match="not sent: the store has other content under the same key"):
        store_objects(folder, {"verdicts/a": b"2"})
    (conflicting,) = session.spool.refused()
    assert b"verdicts/a" in (conflicting / "refused.json").read_bytes() and session.spool.sealed() == []
    store_objects(session, {"verdicts/a": b"1"})
    deep = "verdicts/" + "a/" * 99
    with pytest.raises(StoreError, match="not sent: a write of 1 objects is too large, or its keys too deep"):
        store_objects(session, {deep: b"2"})
    with pytest.raises(StoreError, match="not sent"):
        store_objects(session, {"verdicts/b": b"3"})
    assert open_session(cwd=session.cwd).store.read(["verdicts/a", "verdicts/b"]) == {
        "verdicts/a": b"1",
        "verdicts/b": b"3",
    }
    (kept,) = session.spool.sealed()
    assert kept.objects == {deep: b"2"}


def test_two_entries_with_other_bytes_under_one_key_are_not_sent_as_one(session: Session, tmp_path: Path) -> None:
    session = in_a_folder(session, tmp_path)
    for data in (b"1", b"2"):
        session.spool.create(new_id(), {}).seal(session.spooled_for, {"verdicts/a": data})
    with pytest.raises(StoreError, match="not sent: the store has other content under the same key"):
        send(session)
    assert len(session.spool.refused()) == 1 and session.spool.sealed() == []
    send(session)


def test_what_a_fork_recorded_is_never_sent_by_a_trusted_job(session: Session) -> None:
    """On a machine that keeps its checkouts, the next job finds the same spool."""
    from dataclasses import replace

    fork = replace(session, context=replace(session.context, trusted=False))
    entry = begin(fork, Inputs(model="wine"))
    recorded = finish(fork, entry, Inputs(), status="finished")
    assert fork.runs().get(recorded.run.id).model == "wine", "its own report shows it"
    killed = begin(fork, Inputs(model="wine"))
    killed.release()
    recover(session)
    assert send(session) == []
    assert session.runs().recorded() == []


@pytest.mark.slow
def test_two_processes_that_recover_share_the_work(session: Session) -> None:
    ids = {abandon(session, {"metric": "a", "value": 1.0, "step": None}) for _ in range(6)}
    code = (
        "import sys, pathlib\nfrom ciplug.steps.session import open_session\n"
        "from ciplug.steps.recover import recover\n"
        "from ciplug.steps.send import send\n"
        "session = open_session(cwd=pathlib.Path(sys.argv[1]))\n"
        "print(*[r.run.id for r in recover(session).runs])\nsend(session)\n"
    )
    workers = [python(code, session.cwd) for _ in range(3)]
    outputs = [worker.communicate()[0].decode().split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(run for output in outputs for run in output) == sorted(ids)
    assert {key.id for key in session.runs().recorded()} == ids


def test_every_error_of_a_run_s_end_is_named(session: Session, tmp_path: Path) -> None:
    """Each input that cannot be taken is named, and the others are taken."""
    (tmp_path / "good.json").write_text('{"a": 1}')
    (tmp_path / "bad.json").write_text('{"b": "x"}')
    inputs = Inputs(
        metrics=(tmp_path / "bad.json", tmp_path / "good.json"),
        params=(tmp_path / "none.yaml",),
        artifacts=(tmp_path / "nothing",),
    )
    recorded = finish(session, begin(session, inputs), inputs, status="finished")
    assert recorded.run.metrics == {"a": 1.0}
    assert [p.message.partition(":")[0].rpartition("/")[2] for p in recorded.problems] == [
        *("bad.json", "none.yaml", "nothing")
    ]
    assert all(isinstance(p, CiplugError) for p in recorded.problems)


def test_the_last_sign_of_life_is_the_end_of_a_killed_run(session: Session) -> None:
    abandon(session, {"metric": "a", "value": 1.0, "step": None})
    (folder,) = session.spool.folder.iterdir()
    moment = time.time() - 1000
    for name in ("open.json", log.FILE):
        os.utime(folder / name, (moment, moment))
    (recovered,) = recover(session).runs
    from datetime import datetime, timezone

    ended = datetime.fromisoformat(recovered.run.ended.replace("Z", "+00:00"))
    assert abs(ended - datetime.fromtimestamp(moment, timezone.utc)).total_seconds() < 1
