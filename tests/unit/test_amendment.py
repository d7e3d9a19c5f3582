"""An amendment is checked as it is read; what several add up to, and what of it is evidence."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import RecordError
from ciplug.records.amendment import LAST_SEQ, Amendment, parse
from ciplug.records.canonical import dumps, plain
from ciplug.records.changes import Changes, fold
from ciplug.records.inputs import DatasetInput, ModelOutput, decode_texts, encode_texts
from ciplug.records.keys import amendment_object, parse_amendment
from ciplug.records.last_point import LastPoint
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run
from ciplug.records.run_evidence import evidence_of
from ciplug.records.series import Series, merge
from ciplug.tracking.amended import newer_notes

MOMENT = "2026-11-28T00:00:00Z"
RECORD = Run(id="1", model="wine", status="finished", started=MOMENT, ended=MOMENT, metrics={"a": 1.0, "n": math.nan})
DATASET = {"name": "d", "digest": "1", "source_type": "local", "source": "x"}
FORK = Context(trusted=False)


def made(seq: int = 1, **fields: Any) -> Amendment:
    return Amendment(**{"run": "1", "model": "wine", "seq": seq, "created": MOMENT, **fields})


WHOLE = st.builds(
    made,
    seq=st.integers(1, 10**6),
    name=st.none() | st.text(max_size=5),
    tags=st.dictionaries(st.sampled_from("ab"), st.text(max_size=3)),
    untag=st.lists(st.sampled_from("cd"), unique=True).map(tuple),
    metrics=st.dictionaries(st.sampled_from(["a", "b/c"]), st.floats()),
    last=st.dictionaries(
        st.sampled_from(["a", "b/c"]),
        st.builds(LastPoint, step=st.integers(), value=st.floats(), time=st.none() | st.integers()),
    ),
    params=st.dictionaries(st.sampled_from("ab"), st.text(max_size=3) | st.integers() | st.floats() | st.booleans()),
    status=st.sampled_from([None, "finished", "failed", "killed"]),
    ended=st.sampled_from([None, MOMENT]),
    inputs=st.lists(
        st.builds(
            DatasetInput,
            name=st.text(max_size=3),
            digest=st.text(max_size=3),
            source_type=st.just("local"),
            source=st.text(max_size=3),
            context=st.none() | st.just("training"),
            tags=st.dictionaries(st.sampled_from("ab"), st.text(max_size=3)),
            schema=st.none() | st.just("sha256:0"),
        ),
        max_size=2,
    ).map(tuple),
    model_inputs=st.lists(st.just("m-1"), max_size=1).map(tuple),
    outputs=st.lists(st.builds(ModelOutput, id=st.just("m-2"), step=st.integers(-9, 9)), max_size=1).map(tuple),
    withdrawn=st.none() | st.booleans(),
    lifecycle=st.sampled_from([None, "active", "deleted"]),
    reason=st.none() | st.text(max_size=5),
    by=st.none() | st.just("alice"),
    context=st.builds(Context, trusted=st.booleans(), pull_request=st.none() | st.integers(1, 9)),
)


@given(WHOLE)
def test_what_is_written_is_read_back(amendment: Amendment) -> None:
    assert dumps(parse(json.loads(dumps(amendment)))) == dumps(amendment)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"run": None}, "run: it is missing"),
        ({"run": 1}, "run: str is expected"),
        ({"seq": True}, "seq: int is expected"),
        ({"seq": "1"}, "seq: int is expected"),
        ({"tags": {"a": 1}}, "tags: text is expected"),
        ({"tags": ["a"]}, "tags: dict is expected"),
        ({"untag": ["a", 1]}, "untag: text is expected"),
        ({"untag": ["a"], "tags": {"a": "b"}}, "untag: 'a' is also set"),
        ({"metrics": {"a": "0.5"}}, "metrics.a: a number is expected"),
        ({"metrics": {"a": True}}, "metrics.a: a number is expected"),
        ({"metrics": {"a": 10**400}}, "metrics.a: the number is too large"),
        ({"metrics": {"a\n": 1}}, "cannot be the name of a metric"),
        ({"params": {"a": [1]}}, "params.a: text, a number or a boolean is expected"),
        ({"status": "running"}, "status: one of finished, failed, killed, unknown is expected"),
        ({"ended": "yesterday"}, "ended: a time in ISO 8601 is expected"),
        ({"inputs": [{"name": "a"}]}, "inputs: digest: text is expected"),
        ({"inputs": ["a"]}, "inputs: a JSON object is expected"),
        ({"inputs": [{**DATASET, "tags": {"a": 1}}]}, "inputs: tags: texts are expected"),
        ({"outputs": [{"id": "m-1", "step": 0.5}]}, "outputs: step: a whole number"),
        ({"model_inputs": [1]}, "model_inputs: text is expected"),
        ({"withdrawn": "yes"}, "withdrawn: bool is expected"),
        ({"lifecycle": "gone"}, "'active' or 'deleted' is expected"),
        ({"context": {"trusted": "yes"}}, "trusted: bool is expected"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse({**plain(made()), **fields})
    with pytest.raises(ValueError, match="a JSON object is expected"):
        parse([])


def test_withdrawal_and_deletion_are_apart() -> None:
    withdrawn, deleted = made(1, withdrawn=True, reason="bad", by="alice"), made(2, lifecycle="deleted", by="bob")
    assert fold([]).objection is None
    assert fold([withdrawn]).objection == "withdrawn by alice: bad"
    assert fold([withdrawn, deleted]).objection == "deleted by bob"
    back = fold([withdrawn, deleted, made(3, lifecycle="active")])
    assert (back.state, back.objection) == ("withdrawn", "withdrawn by alice: bad")
    both = fold([withdrawn, deleted, made(3, lifecycle="active", withdrawn=False)])
    assert (both.state, both.objection, both.next_seq) == ("active", None, 4)
    assert fold([made(1, withdrawn=True)]).objection == "withdrawn by an unnamed user (local)"


def test_an_unread_amendment_may_be_a_withdrawal() -> None:
    assert "cannot be read: amend/x" in (fold([], ["amend/x"]).objection or "")


def test_what_is_added_is_evidence_and_what_is_changed_is_not() -> None:
    changes = fold(
        [
            made(1, metrics={"b": 2.0, "n": math.nan, "a": 1.0}),
            made(2, metrics={"a": 9.0}, by="mallory", name="x"),
            made(3, metrics={"b": 3.0}, by="bob"),
            made(4, metrics={"c": 4.0}, context=FORK),
        ]
    )
    evidence = evidence_of(RECORD, changes)
    assert repr(evidence.run.metrics) == repr({"a": 1.0, "n": math.nan, "b": 2.0})
    assert {name: one.by for name, one in evidence.changed.items()} == {"a": "mallory", "b": "bob"}
    assert evidence.run.name == "x"
    assert changes.applied_to(RECORD).metrics["a"] == 9.0
    assert evidence_of(RECORD, Changes()).run == RECORD


def test_a_fork_s_late_metrics_count_for_its_own_run() -> None:
    own = Run(**{**RECORD.__dict__, "provenance": Provenance(context=FORK)})
    assert evidence_of(own, fold([made(1, metrics={"c": 4.0}, context=FORK)])).run.metrics["c"] == 4.0


def test_late_series_are_joined_by_step() -> None:
    first = {"a": Series((0, 1), (1.0, math.nan), (10.0, 11.0)), "b": Series((0,), (1.0,))}
    late = {"a": Series((1, 0, 2), (math.nan, 5.0, 7.0), (11.0, 12.0, 13.0)), "c": Series((3,), (1.0,))}
    joined = merge([first, late])
    assert joined["a"].steps == (0, 0, 1, 2)
    assert repr(joined["a"].values) == repr((1.0, 5.0, math.nan, 7.0))
    assert joined["a"].times == (10.0, 12.0, 11.0, 13.0)
    assert (joined["b"], joined["c"]) == (first["b"], late["c"])
    assert merge([first, {"a": Series((9,), (1.0,))}])["a"].times is None
    assert merge([]) == {}


def test_the_numbers_of_a_run_count_while_it_is_active_and_its_amendments_can_be_read() -> None:
    withdrawn, deleted = made(1, withdrawn=True), made(2, lifecycle="deleted")
    assert fold([]).counts
    assert not fold([withdrawn]).counts and not fold([deleted]).counts
    assert fold([withdrawn, deleted, made(3, withdrawn=False, lifecycle="active")]).counts
    assert not fold([], ["amend/x"]).counts
    for changes in (fold([]), fold([withdrawn]), fold([deleted], ["amend/x"]), fold([], ["amend/x"])):
        assert changes.counts is (changes.objection is None)


def test_the_next_amendment_has_a_key_that_is_read() -> None:
    changes = fold([made(LAST_SEQ, name="x")])
    assert changes.is_full and not fold([made(LAST_SEQ - 1)]).is_full
    key, _ = amendment_object(made(changes.next_seq, withdrawn=True))
    assert parse_amendment(key.key) == key


def test_numbers_of_amendments_that_change_nothing_are_taken() -> None:
    changes = fold([made(2), made(5, model="other", withdrawn=True)], ["key"], 8).of_model("wine")
    assert (changes.withdrawal, [one.seq for one in changes.foreign], changes.next_seq) == (None, [5], 9)
    assert fold([made(2), made(9, model="other")]).of_model("wine").next_seq == 10
    assert fold([], ["key"], LAST_SEQ).is_full
    more = changes.extended(made(9, tags={"a": "b"}))
    assert (more.late.tags, more.foreign, more.unread, more.next_seq) == ({"a": "b"}, changes.foreign, ("key",), 10)


def test_a_withdrawal_with_the_highest_number_stays_whatever_the_digests() -> None:
    ends, undoes = made(LAST_SEQ, withdrawn=True), made(LAST_SEQ, withdrawn=False, lifecycle="active")
    gone = made(LAST_SEQ, lifecycle="deleted")
    for order in ([ends, undoes], [undoes, ends]):
        assert fold(order).state == "withdrawn"
    for order in ([gone, undoes], [undoes, gone]):
        assert fold(order).state == "deleted"
    assert fold([made(1, withdrawn=True), undoes]).state == "active"


def test_the_advice_names_a_restoration_only_where_it_works() -> None:
    withdrawn = made(1, withdrawn=True)
    assert fold([withdrawn]).advice.endswith("ciplug runs restore 1")
    assert Changes(parent=fold([withdrawn])).advice.endswith("ciplug runs restore 1")
    for unread in (fold([], ["amend/x"]), fold([withdrawn], ["amend/x"]), Changes(parent=fold([], ["amend/x"]))):
        assert "restore" not in unread.advice and "ciplug fsck" in unread.advice


def test_the_first_value_of_a_parameter_counts_and_other_values_are_named() -> None:
    record = Run(**{**RECORD.__dict__, "params": {"depth": 6}})
    changes = fold(
        [
            made(1, params={"depth": "6", "rate": 0.1}, by="alice"),
            made(2, params={"depth": 7, "rate": 0.2, "seed": 1}, by="bob"),
        ]
    )
    assert changes.applied_to(record).params == {"depth": 6, "rate": 0.1, "seed": 1}
    refused = [(one.name, one.value, one.kept, one.amendment.by) for one in changes.refused_params(record.params)]
    assert refused == [("depth", 7, 6, "bob"), ("rate", 0.2, 0.1, "bob")]
    other = fold(list(reversed(changes.amendments)))
    assert other.applied_to(record).params["rate"] == 0.2, "the one order decides, whatever it is"


@pytest.mark.parametrize(
    ("recorded", "later", "shown", "counts"),
    [
        ("finished", [], "finished", "finished"),
        ("finished", ["finished"], "finished", "finished"),
        ("failed", ["finished"], "finished", "failed"),
        ("killed", ["finished"], "finished", "killed"),
        ("finished", ["failed"], "failed", "failed"),
        ("finished", ["killed", "finished"], "finished", "killed"),
    ],
)
def test_no_amendment_makes_evidence_of_a_run_that_did_not_finish(
    recorded: str, later: list[Any], shown: str, counts: str
) -> None:
    record = Run(**{**RECORD.__dict__, "status": recorded})
    changes = fold(made(seq, status=status, ended="2026-12-01T00:00:00Z") for seq, status in enumerate(later, 1))
    assert changes.applied_to(record).status == shown
    evidence = evidence_of(record, changes).run
    assert (evidence.status, evidence.ended) == (counts, record.ended)


def test_nothing_but_metrics_that_are_added_becomes_evidence() -> None:
    record = Run(**{**RECORD.__dict__, "params": {"depth": 6}})
    late = DatasetInput(name="eval.csv", digest="other", source_type="local", source="x")
    changes = fold(
        [made(1, params={"seed": 7}, inputs=(late,), outputs=(ModelOutput(id="m-1"),), model_inputs=("m-0",))]
    )
    shown = changes.applied_to(record)
    assert (shown.params, shown.inputs, shown.outputs, shown.model_inputs) == (
        {"depth": 6, "seed": 7},
        (late,),
        (ModelOutput(id="m-1"),),
        ("m-0",),
    )
    assert evidence_of(record, changes).run == record


def test_of_amendments_that_were_made_at_once_the_latest_point_counts() -> None:
    early, late = ({"b": LastPoint(step=step, value=value, time=1)} for step, value in ((3, 0.3), (9, 0.9)))
    folded = fold([made(1, metrics={"b": 0.9}, last=late), made(1, metrics={"b": 0.3}, last=early)])
    assert (folded.late.metrics, folded.late.last) == ({"b": 0.9}, late)
    shown = folded.applied_to(Run(**{**RECORD.__dict__, "last": {**early, "a": early["b"]}}))
    assert shown.last == {**late, "a": early["b"]}


def test_a_dataset_counts_once_in_a_context_as_it_was_named_first() -> None:
    def dataset(**fields: Any) -> DatasetInput:
        return DatasetInput(**{**DATASET, **fields})

    record = Run(**{**RECORD.__dict__, "inputs": (dataset(tags={"a": "1"}),)})
    changes = fold([made(1, inputs=(dataset(tags={"a": "2"}), dataset(context="training"), dataset(source="y")))])
    assert changes.applied_to(record).inputs == (dataset(tags={"a": "1"}), dataset(context="training"))


def test_amendments_of_a_newer_ciplug_are_a_fact() -> None:
    changes = fold([made(1, tags={"a": "b"}), made(2, schema=2)])
    assert [one.seq for one in changes.newer] == [2]
    assert changes.counts, "what it does is not known: a promotion must refuse it by this fact"
    (note,) = newer_notes(changes.newer)
    assert "amendment 2 of run 1: written by a newer ciplug (schema 2, this one knows 1)" in note
    assert not newer_notes(fold([made(1)]).newer)


def test_a_child_of_a_run_that_a_newer_ciplug_amended_is_understood_in_part_only() -> None:
    top, child = fold([made(1, schema=2)]), fold([made(1)])
    assert replace(child, parent=replace(Changes(), parent=top)).newer == top.amendments


def test_schemas_and_profiles_are_kept_by_their_digests() -> None:
    data = encode_texts(["{}", "\ud800", "{}"])
    assert sorted(decode_texts(data, "x").values()) == ["?", "{}"]
    assert encode_texts(["?", "{}"]) == data
    for harmed in (b"", data[:-1], zlib.compress(b"[]"), zlib.compress(b'{"sha256:0": "a"}'), zlib.compress(b"\xff")):
        with pytest.raises(RecordError, match="x: not the schemas and profiles"):
            decode_texts(harmed, "x")
    with pytest.raises(RecordError, match="at most 67,108,864 are kept"):
        encode_texts([str(n) * 17_000_000 for n in range(4)])
