"""Whatever several writers amend, in whatever order it arrives and is folded: all readers show one state of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ciplug.records import columns
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps
from ciplug.records.changes import Changes, fold
from ciplug.records.inputs import DatasetInput, ModelOutput, encode_texts
from ciplug.records.keys import AmendmentKey, RunKey, amendment_object, parse_amendment, parse_amendments, parse_run
from ciplug.records.provenance import Context
from ciplug.records.read import amendment as read_amendment
from ciplug.records.run import Run
from ciplug.records.series import Series, encode
from ciplug.tracking.amended import changes as changes_of
from ciplug.tracking.catalog import Catalog
from ciplug.tracking.query import LIFECYCLE, STATUS, Key
from ciplug.tracking.run_objects import run_objects
from ciplug.tracking.runs import Runs
from tests.servers.git_http import GitServer
from tests.stores import Place, close_segments_at, git_place

pytestmark = pytest.mark.slow

COMMITS = (None, "a" * 40, "b" * 40)
RUNS = [
    Run(
        id=f"{number:032x}",
        model="wine",
        status="finished",
        started=f"2026-11-2{number}T00:00:00.000Z",
        ended=f"2026-11-2{number}T00:00:01.000Z",
        commit=COMMITS[number % 3],
        metrics={"accuracy": number / 10},
        params={"depth": 6} if number % 2 else {},
        inputs=(DatasetInput(name="a", digest="1", source_type="local", source="x"),) if number % 2 else (),
        tags={"team": "red"} if number % 2 else {},
    )
    for number in range(5)
]
KEYS = st.sampled_from([RunKey(run.commit, run.id) for run in RUNS])
PARAMS = st.dictionaries(st.sampled_from(["depth", "rate"]), st.sampled_from([6, 7, "6"]), min_size=1, max_size=2)
DATASETS = st.builds(
    DatasetInput,
    name=st.sampled_from("ab"),
    digest=st.sampled_from("12"),
    source_type=st.just("local"),
    source=st.sampled_from("xy"),
    context=st.sampled_from([None, "training"]),
)
MODELS = st.builds(ModelOutput, id=st.sampled_from(["m-1", "m-2"]), step=st.integers(0, 1))
TAGS = st.sampled_from(["team", "note"])
CHANGES = st.one_of(
    st.fixed_dictionaries({"tags": st.dictionaries(TAGS, st.sampled_from("xyz"), min_size=1, max_size=2)}),
    st.fixed_dictionaries({"untag": st.tuples(TAGS)}),
    st.fixed_dictionaries({"name": st.sampled_from(["one", "two"])}),
    st.fixed_dictionaries({"withdrawn": st.booleans(), "reason": st.sampled_from(["bad", "good"])}),
    st.fixed_dictionaries({"params": PARAMS}),
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["finished", "failed", "killed"]),
            "ended": st.sampled_from(["2026-11-28T00:00:00.000Z", "2026-11-29T00:00:00.000Z"]),
        }
    ),
    st.fixed_dictionaries({"inputs": st.lists(DATASETS, min_size=1, max_size=2).map(tuple)}),
    st.fixed_dictionaries({"outputs": st.lists(MODELS, min_size=1, max_size=2).map(tuple)}),
    st.fixed_dictionaries({"model_inputs": st.lists(st.sampled_from(["m-1", "m-2"]), max_size=2).map(tuple)}),
    st.fixed_dictionaries({"lifecycle": st.sampled_from(["active", "deleted"])}),
    st.fixed_dictionaries({"metrics": st.dictionaries(st.sampled_from(["accuracy", "auc"]), st.floats(), max_size=2)}),
)


@dataclass
class Writer:
    """What one machine has seen: it numbers its amendments by that."""

    seen: dict[str, bytes] = field(default_factory=dict)

    def amend(self, key: RunKey, who: str, change: dict[str, Any]) -> dict[str, bytes]:
        before = changes_of({k: v for k, v in self.seen.items() if k.startswith(key.amendments)}, {})
        made = Amendment(
            run=key.id,
            model="wine",
            commit=key.commit,
            seq=before.get(key.key, Changes()).next_seq,
            created="2026-11-28T00:00:00.000Z",
            by=who,
            context=Context(),
            **change,
        )
        amendment, data = amendment_object(made)
        objects = {amendment.key: data}
        if made.metrics:
            steps = {name: Series((made.seq,), (value,)) for name, value in made.metrics.items()}
            objects[amendment.series] = encode(steps)
        if made.inputs:
            objects[amendment.inputs] = encode_texts([f"schema {made.seq}"])
        self.seen.update(objects)
        return objects


def comparable(run: Run) -> str:
    """A run as text: the order of its parameters says nothing, and NaN is NaN."""
    return dumps(run).decode()


def plainly(recorded: Run, objects: dict[str, bytes]) -> Run:
    """The run as amended, thought through once more: sort, then apply one after the other."""
    own = [key for key in objects if (k := parse_amendment(key)) and k.run == recorded.id]
    made = [read_amendment(objects[key], key) for key in own]
    state: dict[str, Any] = {**recorded.__dict__, "tags": dict(recorded.tags), "metrics": dict(recorded.metrics)}
    state["params"] = dict(recorded.params)
    lists = {
        "inputs": lambda one: (one.name, one.digest, one.context),
        "outputs": lambda one: one.id,
        "model_inputs": lambda one: one,
    }
    for _, one in sorted(zip(own, made, strict=True), key=lambda pair: (pair[1].seq, pair[0].rpartition("-")[2])):
        state.update({field: value for field in ("name", "status", "ended") if (value := getattr(one, field))})
        state["tags"] = {k: v for k, v in state["tags"].items() if k not in one.untag} | dict(one.tags)
        state["metrics"] |= one.metrics
        for param, value in one.params.items():
            state["params"].setdefault(param, value)
        for attribute, identity in lists.items():
            for item in getattr(one, attribute):
                if identity(item) not in map(identity, state[attribute]):
                    state[attribute] = (*state[attribute], item)
    return Run(**state)


class Amendments(RuleBasedStateMachine):
    """Two writers, a store, and readers that may come at any time."""

    place: Place

    @initialize()
    def begin(self) -> None:
        self.sent: dict[str, bytes] = {}
        self.unsent: list[list[dict[str, bytes]]] = [[], []]
        self.writers = [Writer(), Writer()]
        self.folder = Path(tempfile.mkdtemp())
        for run in RUNS:
            objects = run_objects(run)
            self.place.open().add(objects)
            self.sent.update(objects)

    @rule(writer=st.integers(0, 1), key=KEYS, change=CHANGES)
    def amend(self, writer: int, key: RunKey, change: dict[str, Any]) -> None:
        self.unsent[writer].append(self.writers[writer].amend(key, f"writer {writer}", change))

    @rule(writer=st.integers(0, 1))
    def send(self, writer: int) -> None:
        for objects in self.unsent[writer]:
            self.place.open().add(objects)
            self.sent.update(objects)
        self.unsent[writer] = []

    @rule(writer=st.integers(0, 1))
    def look(self, writer: int) -> None:
        self.writers[writer].seen.update({key: data for key, data in self.sent.items() if parse_amendment(key)})

    @rule()
    def compact(self) -> None:
        self.place.open().compact()

    @rule()
    def read(self) -> None:
        store = self.place.open()
        expected = [plainly(run, self.sent) for run in RUNS]
        runs = Runs(store)
        shown = [run for found in runs.of_commits(COMMITS).values() for run in found]
        assert sorted(map(comparable, shown)) == sorted(map(comparable, expected))
        catalog = Catalog(self.place.open(), self.folder)
        entries = {entry.id: entry for entry in catalog.search().entries}
        for run in expected:
            entry = entries[run.id]
            state = runs.changes(next(one for one in shown if one.id == run.id)).state
            assert repr((entry.attributes.get("name"), entry.tags, entry.metrics, entry.state)) == repr(
                (run.name, dict(run.tags), dict(run.metrics), state)
            )
            assert (entry.params, entry.attributes["status"], entry.attributes["ended"]) == (
                run.params,
                run.status,
                run.ended,
            )
            row = catalog.row_of(RunKey(run.commit, run.id).key)
            assert row is not None
            lifecycle = catalog.column(LIFECYCLE)
            assert lifecycle.values[list(lifecycle.rows).index(row)] == state
            for key, value in (
                (Key("tag", "team"), run.tags.get("team")),
                (Key("param", "depth"), run.params.get("depth")),
                (STATUS, run.status),
            ):
                cells = catalog.column(key)
                assert dict(zip(cells.rows, cells.values, strict=True)).get(row) == value
            for name in ("name", "digest", "context"):
                cells = catalog.column(Key("dataset", name))
                held = {value for at, value in zip(cells.rows, cells.values, strict=True) if at == row}
                assert held == {value for one in run.inputs if (value := getattr(one, name))}
        self.segments_hold_them()

    def segments_hold_them(self) -> None:
        """The columns of segments, with what is in none: the same amendments, in the same order."""
        store = self.place.open()
        held = {
            key: data for table in store.columns(store.segments()).values() for key, data in table.amendments.items()
        }
        loose = [key for key in store.loose() if parse_amendment(key)]
        held.update(columns.of(store.read(loose).items()).amendments)
        sent = {key: data for key, data in self.sent.items() if parse_amendment(key)}
        assert {key: dumps(record) for key, record in held.items()} == sent
        problems: dict[str, str] = {}
        assert repr(changes_of(held, problems)) == repr(changes_of(sent, problems))
        assert not problems

    @rule()
    def series(self) -> None:
        runs = Runs(self.place.open())
        for run in (run for found in runs.of_commits(COMMITS).values() for run in found):
            late = [key for key in parse_amendments(self.sent) if key.run == run.id and key.series in self.sent]
            points = {name for key in late for name in read_amendment(self.sent[key.key], key.key).metrics}
            assert runs.series(run).keys() == points
            assert len(runs.input_texts(run)) == len({key.seq for key in self.inputs_of(run)})

    def inputs_of(self, run: Run) -> list[AmendmentKey]:
        return [key for key in parse_amendments(self.sent) if key.run == run.id and key.inputs in self.sent]

    def teardown(self) -> None:
        if hasattr(self, "sent"):
            self.read()
            assert self.place.open().check() == []


PLACES = ["memory", "git-file", "directory"]


@pytest.fixture
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    close_segments_at(6, monkeypatch)


@pytest.mark.usefixtures("_small_segments")
@pytest.mark.parametrize("place", PLACES)
def test_all_readers_show_one_state(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from tests import stores

    (make,) = (one.values[0] for one in stores.PLACES if one.id == place)
    numbers = iter(range(10_000))

    class Here(Amendments):
        def begin(self) -> None:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            self.place = make(folder, request.getfixturevalue)
            Amendments.begin(self)

        begin = initialize()(begin)  # type: ignore[assignment]

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Here,
        settings=settings(
            max_examples=25 if place == "memory" else 4,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_fold_needs_no_clock_and_takes_any_order_of_arrival() -> None:
    writers: tuple[Writer, Writer] = Writer(), Writer()
    key = RunKey(None, "1")
    made: list[dict[str, bytes]] = []
    for number, change in enumerate(({"tags": {"a": "1"}}, {"tags": {"a": "2"}}, {"untag": ("a",)})):
        made.append(writers[number % 2].amend(key, str(number), change))
    objects = {k: v for one in made for k, v in one.items()}
    states: list[Callable[[], Changes]] = []
    for order in (list(objects), list(reversed(list(objects)))):
        found = parse_amendments(order)
        states.append(lambda found=found: fold(read_amendment(objects[k.key], k.key) for k in found))  # type: ignore[misc]
    assert states[0]() == states[1]()
    assert parse_run(key.key) == key


def filled(place: Place, *, amended: bool) -> None:
    """Two closed segments of runs; with `amended`, one more of amendments, and a run and an amendment in none."""
    for run in RUNS:
        place.open().add(run_objects(run))
    place.open().add({"verdicts/none-x-y.json": b"{}\n"})
    place.open().compact()
    for number in range(6 if amended else 0):
        place.open().add(Writer().amend(RunKey(RUNS[0].commit, RUNS[0].id), str(number), {"tags": {"team": "x"}}))
    if amended:
        place.open().compact()
        place.open().add(Writer().amend(RunKey(RUNS[1].commit, RUNS[1].id), "late", {"tags": {"team": "y"}}))
    place.open().add(run_objects(Run(**{**RUNS[1].__dict__, "id": "f" * 32})))


@pytest.mark.usefixtures("_small_segments")
def test_amendments_cost_a_reader_no_request(tmp_path: Path, git_host: GitServer) -> None:
    """Neither a question over all runs in a fresh clone, nor what a gate asks about one commit."""

    def catalog(place: Place) -> None:
        assert len(Catalog(place.open(), None)) == len(RUNS) + 1

    def evidence(place: Place) -> None:
        runs = Runs(place.open())
        for run in runs.of_commits([RUNS[1].commit])[RUNS[1].commit or ""]:
            runs.evidence(run)
            assert runs.digests([run])

    counts: dict[str, list[int]] = {}
    for amended in (False, True):
        folder = tmp_path / str(amended)
        folder.mkdir()
        place = git_place(folder, git_host, f"{tmp_path.name}-{amended}")
        filled(place, amended=amended)
        for ask in (catalog, evidence):
            before = len(git_host.requests)
            ask(place)
            counts.setdefault(ask.__name__, []).append(len(git_host.requests) - before)
    assert counts["catalog"][0] == counts["catalog"][1]
    assert counts["evidence"][0] == counts["evidence"][1]


@pytest.mark.usefixtures("_small_segments")
def test_an_amendment_that_is_not_json_stays_unread_in_a_segment(tmp_path: Path, git_host: GitServer) -> None:
    place = git_place(tmp_path, git_host, tmp_path.name)
    key = RunKey(RUNS[0].commit, RUNS[0].id)
    damaged = f"{key.amendments}1-aaaaaaaa.json"
    place.open().add({damaged: b"{\n"})
    filled(place, amended=False)
    store = place.open()
    assert damaged not in store.loose() and store.check() == []
    assert Catalog(store, None).changes(key.key).unread == (damaged,)
