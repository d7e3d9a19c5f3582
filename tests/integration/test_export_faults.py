"""Exports while servers fail, lie or are shared with other exports: each run is there once and whole, or is named."""

from __future__ import annotations

import contextlib
import copy
import random
import re
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ciplug.capture.mlflow.marks import TAG
from ciplug.console import Nobody, Note
from ciplug.errors import StoreError
from ciplug.forges import retries
from ciplug.interop import job_export, mlflow_copies, mlflow_export, mlflow_server, mlflow_values
from ciplug.interop.export_systems import Request, export_all, export_runs
from ciplug.interop.export_writer import writer_of
from ciplug.interop.mlflow_copies import COPYING, WRITER
from ciplug.interop.mlflow_export import TRUST, Exported
from ciplug.interop.mlflow_export_registry import VERSION
from ciplug.mlflow import state
from ciplug.records.provenance import Context, Provenance
from ciplug.records.registry_event import Register
from ciplug.records.run import Run
from ciplug.records.series import Series
from ciplug.steps.promotion.models import delete_version, register_version
from ciplug.steps.session import Session, open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import Project
from tests.servers.loopback import Answer, Call, Handler, Loopback
from tests.servers.mlflow_dialects import AzureTracker, GitlabTracker, TrackerApi
from tests.site_samples import run_of

TOKEN = "glpat-secret"
LOSS = Series(tuple(range(30)), tuple(1 / (step + 1) for step in range(30)))
TRACKERS = [TrackerApi, GitlabTracker]


@pytest.fixture(autouse=True)
def _tokens_and_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mlflow_copies, mlflow_export, mlflow_values):
        monkeypatch.setattr(module, "_BACKOFF", 0)
    monkeypatch.setattr(retries, "BACKOFF", 0)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("CIPLUG_GITLAB_TOKEN", TOKEN)


def _session(folder: Path) -> Session:
    return open_session(cwd=folder)


def _store(folder: Path, *runs: Run) -> Path:
    """A checkout whose store has these runs, each with a curve."""
    Project.create(folder / "work")
    for run in runs:
        _session(folder / "work").store.add(run_objects(run, {"loss": LOSS}))
    return folder / "work"


def _export(folder: Path, there: TrackerApi, **more: Any) -> Exported:
    return export_all(_session(folder), _request(there, **more), [], lambda count: None)


def _request(there: TrackerApi, **more: Any) -> Request:
    if isinstance(there, GitlabTracker):
        return Request("gitlab", f"{there.origin}/acme/demo", **more)
    return Request("azureml" if isinstance(there, AzureTracker) else "mlflow", there.url, **more)


def _tags(run: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in run["data"]["tags"]}


def _begin(there: TrackerApi, run: Run, mark: str, **tags: str) -> str:
    """A copy that another export has begun."""
    if not any(one["name"] == run.model for one in there.experiments.values()):
        there.create_experiment(Call("POST", "", {}, {"name": run.model}, "", {}))
    (id_,) = (key for key, one in there.experiments.items() if one["name"] == run.model)
    marks = [{"key": key, "value": value} for key, value in {COPYING: run.id, WRITER: mark, **tags}.items()]
    body = {"experiment_id": id_, "run_name": "theirs", "start_time": 0, "tags": marks}
    return str(there.create_run(Call("POST", "", {}, body, "", {})).body["run"]["info"]["run_id"])


@pytest.mark.parametrize("tracker", TRACKERS)
def test_an_unfinished_copy_of_another_export_stays(tmp_path: Path, tracker: type[TrackerApi]) -> None:
    ours, theirs = run_of(1, None), run_of(2, None)
    folder = _store(tmp_path, ours, theirs)
    with tracker() as there:
        copy = _begin(there, theirs, f"another/{time.time():.0f}")
        done = _export(folder, there)
        assert copy in there.runs and there.copies() == [ours.id] and done.new == 1
        (words,) = done.failed
        assert theirs.id in words and "another export is copying it, since 20" in words and copy in words
        # Half a day later, nobody writes it any more; and what this clone has begun is not written by another export.
        with writer_of(_session(folder)) as own:
            marks = [f"another/{time.time() - 50_000:.0f}", f"{own}/{time.time():.0f}"]
        there.runs[copy]["data"]["tags"][1]["value"] = marks[0]
        third = run_of(3, None)
        _session(folder).store.add(run_objects(third, {}))
        other = _begin(there, third, marks[1])
        done = _export(folder, there)
        assert (done.new, done.failed) == (2, []) and not {copy, other} & set(there.runs)
        assert there.copies() == sorted([ours.id, theirs.id, third.id])


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("is_complete", ["no", "yes", "in between"])
def test_two_exports_begin_the_same_run_at_the_same_time(
    tmp_path: Path, tracker: type[TrackerApi], is_complete: str
) -> None:
    """The other one may complete its copy between two of our questions."""
    run = run_of(1, None)
    folder = _store(tmp_path, run, run_of(2, None))

    class Rival(tracker):  # type: ignore[misc, valid-type]
        rival = ""

        def respond(self, call: Call) -> Answer | None:
            answer: Answer | None = super().respond(call)
            marks = [one["value"] for one in call.body["tags"]] if call.path.endswith("runs/create") else []
            if run.id in marks and not self.rival:
                tags = {TAG: run.id} if is_complete == "yes" else {}
                self.rival = _begin(self, run, f"rival/{time.time():.0f}", **tags)
            elif self.rival and call.path.endswith("runs/search") and is_complete == "in between":
                answer = copy.deepcopy(answer)
                self.runs[self.rival]["data"]["tags"] = [{"key": TAG, "value": run.id}]
            return answer

    with Rival() as there:
        done = _export(folder, there)
        copies = [id_ for id_, one in there.runs.items() if run.id in _tags(one).values()]
        assert copies == [there.rival] and len(there.runs) == 2
        knows = is_complete == "yes" or (is_complete == "in between" and tracker is not GitlabTracker)
        assert (done.new, done.known, len(done.failed)) == ((1, 1, 0) if knows else (1, 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_four_exports_at_once_copy_each_run_once(tmp_path: Path, tracker: type[TrackerApi]) -> None:
    """Two clones of one store, and two exports in each of them."""
    runs = [run_of(number, None) for number in range(8)]
    clones = [_store(tmp_path, *runs), tmp_path / "other"]
    shutil.copytree(*clones)
    with tracker() as there, ThreadPoolExecutor(4) as pool:
        there.latency = 0.003
        done = list(pool.map(lambda clone: _export(clone, there), clones * 2))
        assert all("another export is copying it" in words for one in done for words in one.failed)
        there.latency = 0
        again = _export(clones[0], there)
        assert (again.failed, there.copies()) == ([], sorted(run.id for run in runs))
        assert len(there.runs) == len(runs) and {len(points) for points in there.points.values()} >= {32}


def test_a_run_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = _store(tmp_path, run_of(1, None))
    damaged = {key: data.replace(b'"finished"', b'"fine"') for key, data in run_objects(run_of(2, None), {}).items()}
    _session(folder).store.add(damaged)
    with TrackerApi() as there:
        done = _export(folder, there)
    assert (done.new, list(done.left_out)) == (1, ["run: its record cannot be read; `ciplug fsck` names it"])


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("status", [None, 500])
def test_no_value_is_there_twice(tmp_path: Path, tracker: type[TrackerApi], status: int | None) -> None:
    """Each answer to a batch is lost after the server has kept its values, as those of MLflow's file store do."""
    run = run_of(1, None)
    with tracker() as there:
        there.fail_next(status, path="log-batch", after=True, times=4)
        done = _export(_store(tmp_path, run), there)
        assert (done.new, done.failed) == (1, [])
        (copy,) = there.runs.values()
    points = [point for point in there.points[copy["info"]["run_id"]] if point["key"] == "loss"]
    assert [point["step"] for point in points] == list(LOSS.steps)
    assert sorted(one["key"] for one in copy["data"]["params"]) == ["depth", "lr", "optimizer"]


def test_a_complete_copy_stays_where_its_marks_cannot_be_removed(tmp_path: Path) -> None:
    with TrackerApi() as there:
        there.fail_next(None, path="delete-tag", after=True)
        there.fail_next(400, path="delete-tag")
        done = _export(_store(tmp_path, run_of(1, None)), there)
        assert (done.new, done.failed, there.copies()) == (1, [], [run_of(1, None).id])


def test_a_half_kept_batch_is_completed(tmp_path: Path) -> None:
    class Half(TrackerApi):
        cut = False

        def respond(self, call: Call) -> Answer | None:
            if call.path.endswith("log-batch") and call.body.get("metrics") and not self.cut:
                self.cut = True
                call.body["metrics"] = call.body["metrics"][:7]
                super().respond(call)
                return None
            return super().respond(call)

    with Half() as there:
        assert _export(_store(tmp_path, run_of(1, None)), there).new == 1
        (points,) = there.points.values()
        assert len(there.runs) == 1 and len(points) == len({(one["key"], one["step"]) for one in points}) == 32


def test_a_copy_says_who_recorded_its_run(tmp_path: Path) -> None:
    fork = Provenance(dirty=False, context=Context(host="gitlab_ci", trusted=False))
    parent = run_of(1, None, provenance=fork)
    child, own = run_of(2, None, parent=parent.id), run_of(3, None, tags={"ciplug.trust": "trusted"})
    folder = _store(tmp_path, parent, child, own)
    with TrackerApi() as there:
        _export(folder, there)
        assert {_tags(one)["ciplug.run"]: _tags(one)[TRUST] for one in there.runs.values()} == {
            parent.id: "fork",
            child.id: "fork",
            own.id: "trusted",
        }
    config = folder / "ciplug.yaml"
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5pbmUtYW5kLXR3ZW50eS1ieXRlcy1vZi1hLWtleSE"
    config.write_text(f"{config.read_text()}signers: {{ci: {key}}}\n")
    with TrackerApi() as there:
        _export(folder, there)
        assert sorted(_tags(one)[TRUST] for one in there.runs.values()) == ["fork", "fork", "unsigned"]


def test_tags_of_a_training_do_not_steer_the_copy(tmp_path: Path) -> None:
    tags = {"gitlab.CI_JOB_ID": "41", COPYING: "x", "ciplug.run": "y", "mlflow.parentRunId": "f" * 32, "team": "red"}
    run = run_of(1, "a" * 40, tags={**tags, "mlflow.source.git.commit": "b" * 40})
    with GitlabTracker() as there:
        done = _export(_store(tmp_path, run), there)
        (copy,) = there.runs.values()
    found = _tags(copy)
    assert found["team"] == "red" and found["ciplug.run"] == found[COPYING] == run.id
    assert found["mlflow.source.git.commit"] == "a" * 40 and "gitlab.CI_JOB_ID" not in found
    assert "mlflow.parentRunId" not in found and found["ciplug.parent"] == "f" * 32
    assert done.left_out["tag: 'gitlab.CI_JOB_ID' is a name that a training cannot use there"] == 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://victim/runs", "a bucket that you have not named"),
        ("s3://allowed-not/runs", "a bucket that you have not named"),
        ("gs://allowed/runs", "a bucket that you have not named"),
        ("s3://allowed/../victim", "an address that leads elsewhere"),
        ("s3://allowed/%2e%2e/victim", "an address that leads elsewhere"),
        ("mlflow-artifacts:/../../2.0/mlflow", "an address that leads elsewhere"),
    ],
)
def test_the_server_does_not_choose_where_files_are_written(tmp_path: Path, address: str, words: str) -> None:
    project = Project.create(tmp_path / "work")
    project.train()

    class Liar(TrackerApi):
        def artifacts_of(self, number: int, id_: str) -> str:
            return address

    with Liar() as there:
        with pytest.raises(StoreError, match=words):
            _export(project.folder, there, artifacts="s3://allowed")
        # Nothing is left there, so that the next export copies the run with its files.
        assert not there.runs and not there.files


def test_answers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _store(tmp_path, run_of(1, None))
    for token in ((lambda: "same"), (lambda: str(random.random()))):
        with _answering(lambda call, token=token: Answer(200, {"runs": [], "next_page_token": token()})) as there:
            monkeypatch.setattr(mlflow_server, "_PAGES_MOST", 20)
            with pytest.raises(StoreError, match="pages of runs/search do not end"):
                _export(folder, there)
    monkeypatch.setattr(mlflow_server, "_ANSWER_MOST", 100_000)
    for body in (b"x" * 200_000, b"[" * 99_999, b"<html>no"):
        words = r"too long|not an answer of an MLflow server"
        with _answering(lambda call, body=body: Answer(200, body)) as there, pytest.raises(StoreError, match=words):
            _export(folder, there)


def test_an_answer_that_drips_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_server, "_ANSWER_SECONDS", 0.5)

    class Dripping(Handler):
        def serve(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.05)

    class Drip(Loopback):
        handler = Dripping

    began = time.monotonic()
    with Drip() as there, pytest.raises(StoreError, match="too slow"):
        export_all(_session(_store(tmp_path, run_of(1, None))), Request("mlflow", there.origin), [], lambda count: None)
    assert time.monotonic() - began < 8


def _answering(answer: Callable[[Call], Answer], path: str = "runs/search") -> TrackerApi:
    class Answering(TrackerApi):
        def respond(self, call: Call) -> Answer | None:
            return answer(call) if call.path.endswith(path) else super().respond(call)

    return Answering()


@pytest.mark.parametrize("tracker", TRACKERS)
def test_names_that_become_the_same_one(tmp_path: Path, tracker: type[TrackerApi]) -> None:
    runs = [
        run_of(number, None, tags={state.EXPERIMENT_ID: str(number), state.EXPERIMENT: name})
        for number, name in enumerate(("a/b", "a-b", "c/d"), 1)
    ]
    with AzureTracker() as there:
        folder = _store(tmp_path, *runs)
        done = _export(folder, there)
        assert done.new == 1 and [one["name"] for one in there.experiments.values()] == ["c-d"]
        assert done.failed[0] == "experiment 'a-b': here, 'a/b' has the same name for Azure ML: rename one of the two"
        with pytest.raises(Exception, match="the experiments 'a/b' and 'a-b' have the same name"):
            export_runs(_session(folder), _request(there), [runs[0].id], lambda count: None)


# Faults


def _facts(there: TrackerApi) -> Any:
    """What is there, without ids and times of the copying."""
    ids = {id_: f"copy of {_tags(run).get('ciplug.run')}" for id_, run in there.runs.items()}
    runs = []
    for id_, run in there.runs.items():
        tags = {key: ids.get(value, value) for key, value in _tags(run).items() if key not in (WRITER, COPYING)}
        params = sorted((one["key"], one["value"]) for one in run["data"]["params"])
        points = sorted((one["key"], one["step"], str(one["value"])) for one in there.points[id_])
        info = {key: run["info"].get(key) for key in ("run_name", "status", "start_time", "end_time")}
        runs.append((ids[id_], sorted(tags.items()), params, points, info))
    versions = []
    for (name, _), one in there.versions.items():
        run = str(one.get("run_id"))
        source = str(one.get("source")).replace(run, ids.get(run, run))
        versions.append((name, one["aliases"], ids.get(run) is not None, source))
    numbers = set(there.runs) | {f"candidate:{int(id_, 16)}" for id_ in there.runs}
    names = sorted(name.partition("/")[2] for name in there.files if name.partition("/")[0] in numbers)
    return sorted(runs, key=repr), versions, names, [one["name"] for one in there.experiments.values()]


def _lines(facts: Any) -> list[str]:
    runs, *rest = facts
    return sorted(repr(part) for run in runs for part in run) + [repr(part) for part in rest]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a parent run, a child, and a registered version with a file."""
    project = Project.create(tmp_path_factory.mktemp("registered") / "work")
    store = _session(project.folder).store
    parent = run_of(1, None)
    store.add(run_objects(parent, {"loss": LOSS}))
    store.add(run_objects(run_of(2, None, parent=parent.id, tags={"mlflow.parentRunId": parent.id}), {}))
    project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    return project.folder


# In a job


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Send runs as a green job of GitLab does; returns what it says."""

    def send(there: TrackerApi, *runs: Run, trained_here: bool = True) -> list[str]:
        folder = tmp_path / "work"
        if not folder.exists():
            _store(tmp_path, *runs)
            key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5pbmUtYW5kLXR3ZW50eS1ieXRlcy1vZi1hLWtleSE"
            config = folder / "ciplug.yaml"
            config.write_text(f"{config.read_text()}export: gitlab\nsigners: {{ci: {key}}}\n")
        env = {
            "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "push", "CI_JOB_ID": "42", "CI_COMMIT_BRANCH": "main",
            "CI_PROJECT_PATH": "acme/demo", "CI_PROJECT_ID": "7", "CI_SERVER_URL": there.origin,
            "CI_API_V4_URL": f"{there.origin}/api/v4",
        }  # fmt: skip
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        heard: list[str] = []

        class Listener(Nobody):
            def tell(self, notes: Iterable[Note], /) -> None:
                heard.extend(" ".join(filter(None, (note.message, note.hint))) for note in notes)

        job_export.export_from_job(open_session(cwd=folder, listener=Listener()), runs, trained_here=trained_here)
        return heard

    return send


def test_a_job_sends_its_own_runs_and_of_others_what_counts(job: Callable[..., list[str]]) -> None:
    fork = Provenance(dirty=False, context=Context(host="gitlab_ci", trusted=False))
    own, theirs = run_of(1, None), run_of(2, None, provenance=fork)
    with GitlabTracker() as there:
        said = job(there, own, theirs, trained_here=False)
        assert not there.runs and ["no signer" in said[0], "of a fork" in said[1], len(said)] == [True, True, 2]
        job(there, own, theirs)
        assert there.copies() == [own.id] and there.copies(TRUST) == ["unsigned"]


@pytest.mark.parametrize("problem", [RuntimeError("odd"), RecursionError(), MemoryError(), KeyError("x"), OSError(28)])
def test_nothing_that_goes_wrong_in_an_export_ends_a_job(
    job: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(job_export, "export_runs", fail)
    with GitlabTracker() as there:
        (said,) = job(there, run_of(1, None))
    assert type(problem).__name__ in said and f"ciplug export gitlab --run {run_of(1, None).id}" in said


@pytest.mark.slow
def test_a_job_waits_for_a_slow_server_so_long(job: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_export, "_SECONDS", 0.5)
    with GitlabTracker() as there:
        there.latency = 0.2
        began = time.monotonic()
        said = job(there, run_of(1, None), run_of(2, None))
        assert time.monotonic() - began < 5
    assert len(said) == 2 and all("is too slow" in line and "is not in GitLab" in line for line in said)


# What others have there


def _version(there: TrackerApi, name: str, **about: Any) -> None:
    body = {"name": name, "source": "deleted:/theirs", **about}
    assert there.create_version(Call("POST", "", {}, body, "", {})).status == 200


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_version_of_somebody_else_stays_as_it_is(registered: Path, tracker: type[TrackerApi]) -> None:
    with tracker() as there:
        tags = [{"key": VERSION, "value": "0"}]
        there.create_model(Call("POST", "", {}, {"name": "wine", "tags": tags}, "", {}))
        _version(there, "wine", tags=[{"key": "gitlab.version", "value": "1.0.0"}])
        before = repr(there.versions)
        done = _export(registered, there)
        assert done.new == 3 and re.search(r"model 'wine': version 1\S* there is not of this export", done.failed[0])
        assert repr(there.versions) == before and not there.deleted
        assert {_tags(run).get("ciplug.run") for run in there.runs.values()} >= {run_of(1, None).id}


@pytest.mark.slow
def test_a_version_that_is_deleted_here_takes_its_number_there(registered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(registered, folder)
    source = open_session(cwd=folder)
    for place in ("deleted:/mine", "s3://elsewhere/3", "s3://elsewhere/4"):
        register_version(source, "wine", Register(version=0, source=place, location=place))
    delete_version(source, "wine", 3)
    with TrackerApi() as there:
        there.fail_next(None, method="DELETE", path="model-versions/delete", times=6)
        assert _export(folder, there).failed
        done = _export(folder, there)
        assert (done.failed, sorted(number for _, number in there.versions)) == ([], ["1", "2", "4"])
        assert [one["version"] for one in there.deleted] == ["3"]


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("after", [False, True])
def test_an_export_that_was_cut_off_anywhere_ends_as_if_it_was_not(
    registered: Path, tracker: type[TrackerApi], after: bool
) -> None:
    class Cut(tracker):  # type: ignore[misc, valid-type]
        left = 10**9

        def respond(self, call: Call) -> Answer | None:
            self.left -= 1
            if self.left < 0:
                return None
            answer: Answer | None = super().respond(call) if after or self.left else None
            return answer if self.left else None

    with Cut() as there:
        done = _export(registered, there)
        assert done.new == 3 and done.versions == 1 and not done.failed
        whole, requests = _facts(there), len(there.calls)
    for number in range(1 + after, requests + 1, 2):
        with Cut() as there:
            there.left = number
            with contextlib.suppress(StoreError):
                _export(registered, there)
            there.left = 10**9
            done = _export(registered, there)
            found = _facts(there)
        assert not done.failed and _lines(found) == _lines(whole), number


def test_a_version_waits_for_its_run(registered: Path) -> None:
    with TrackerApi() as there:
        _export(registered, there)
        whole = _facts(there)
    with TrackerApi() as there:
        there.fail_next(None, path="runs/create", times=10)
        done = _export(registered, there)
        assert len(done.failed) == 4 and done.new == 0 and not there.versions
        assert not _export(registered, there).failed and _facts(there) == whole


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_server_that_fails_half_the_time(registered: Path, tracker: type[TrackerApi]) -> None:
    class Flaky(tracker):  # type: ignore[misc, valid-type]
        dice = random.Random(0)
        share = 0.0

        def respond(self, call: Call) -> Answer | None:
            chance = self.dice.random()
            if chance >= self.share:
                return super().respond(call)  # type: ignore[no-any-return]
            if chance < self.share / 2:
                super().respond(call)
            status = self.dice.choice([None, 429, 500, 502, 503])
            if chance < self.share / 2 and status in (429, 503):
                status = 500
            return None if status is None else Answer(status, "<html>later</html>", [("Retry-After", "0")])

    with Flaky() as there:
        _export(registered, there)
        whole = _facts(there)
    for seed in range(6):
        with Flaky() as there:
            there.dice, there.share = random.Random(seed), 0.5
            for _ in range(30):
                with contextlib.suppress(StoreError):
                    if not _export(registered, there).failed:
                        break
            found = _facts(there)
        assert _lines(found) == _lines(whole), seed
