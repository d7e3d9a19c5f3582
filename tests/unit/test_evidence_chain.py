"""The links of a chain that the records alone decide: run, commit, verdict, log and moves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ciplug.records.canonical import digest, dumps
from ciplug.records.provenance import Context, Provenance
from ciplug.records.registry_event import Promote, Register
from ciplug.records.registry_moves import Archive, Demote, Rollback
from ciplug.records.run import File
from ciplug.records.verdict import GateResult, Outcome, Verdict
from ciplug.registry import evidence_chain_text
from ciplug.registry.evidence_chain import (
    Chain,
    Fault,
    Finding,
    Link,
    broken_moves,
    commit_faults,
    run_faults,
    scan,
    verdict_faults,
)
from ciplug.registry.ladder import Ladder
from ciplug.registry.model import Version
from tests.bundles import a_run

LADDER = Ladder(("Staging", "Production"))
RUN = a_run(id="a" * 32, artifacts=(File(path="model", digest="sha256:aa", size=1),))
RECORD = dumps(RUN)
VERSION = Version(1, RUN.id, RUN.commit, "Staging", "2026-01-01", files={"model": "sha256:aa"}, record=digest(RECORD))
VERDICT = Verdict(
    run=RUN.id,
    model=RUN.model,
    commit=RUN.commit,
    outcome="PASS",
    created="2026-01-01T00:00:00Z",
    policy_digest="sha256:bb",
    policy_file="ciplug.yaml",
    judged={"record": "sha256:cc"},
)
DATA = dumps(VERDICT)
PROMOTION = Promote(
    version=1,
    run=RUN.id,
    commit=RUN.commit,
    stage="Staging",
    from_stage="None",
    verdict="verdicts/1",
    verdict_digest=digest(DATA),
)


def test_a_chain_ends_at_its_first_break() -> None:
    sound, late = Finding(link=Link.BYTES), Finding(link=Link.COMMIT, after_break=True)
    broken = [Finding(link=link, fault=fault) for link, fault in ((Link.RUN, Fault.DIRTY), (Link.TAGS, Fault.NO_RUN))]
    whole = Chain(model="m", version=1, stage="Staging", findings=[sound])
    assert (whole.broken, whole.exit_code) == (None, 0)
    assert (whole.to_json()["whole"], whole.to_json()["broken"]) == (True, None)
    chain = replace(whole, findings=[sound, broken[0], late, broken[1]])
    assert (chain.broken, chain.exit_code) == (broken[0], 1)
    assert (chain.to_json()["whole"], chain.to_json()["broken"]) == (False, "run")
    assert [one.state for one in chain.findings] == ["sound", "broken", "unknown", "broken"]


@pytest.mark.parametrize(
    ("version", "run", "due"),
    [
        ({}, {}, []),
        ({"record": None}, {}, []),
        ({"record": "sha256:00"}, {}, [Fault.OTHER_RECORD]),
        ({"files": {"model": "sha256:ab"}}, {}, [Fault.OTHER_FILES]),
        ({}, {"provenance": Provenance(context=Context(trusted=False))}, [Fault.FORK_RUN]),
    ],
)
def test_a_run_is_the_one_that_was_registered(version: dict[str, Any], run: dict[str, Any], due: list[Fault]) -> None:
    assert list(run_faults(replace(VERSION, **version), RECORD, replace(RUN, **run))) == due


def test_a_run_that_is_gone() -> None:
    assert list(run_faults(VERSION, None, RUN)) == list(run_faults(VERSION, RECORD, None)) == [Fault.NO_RUN]


@pytest.mark.parametrize(
    ("dirty", "exemptions", "due"),
    [
        (False, (), []),
        (False, ("clean_tree",), []),
        (True, (), [Fault.DIRTY]),
        (None, (), [Fault.DIRTY]),
        (True, ("clean_tree",), []),
    ],
)
def test_a_commit_is_clean(dirty: bool | None, exemptions: tuple[str, ...], due: list[Fault]) -> None:
    run = replace(RUN, provenance=replace(RUN.provenance, dirty=dirty))
    assert list(commit_faults(VERSION, run, replace(PROMOTION, exemptions=exemptions))) == due


def test_a_commit_is_one() -> None:
    assert list(commit_faults(VERSION, replace(RUN, commit=None), None)) == [Fault.NO_COMMIT]
    assert list(commit_faults(VERSION, RUN, None)) == []
    assert list(commit_faults(replace(VERSION, commit="f" * 40), RUN, None)) == [Fault.OTHER_COMMIT]
    assert list(commit_faults(VERSION, RUN, replace(PROMOTION, commit="f" * 40))) == [Fault.OTHER_COMMIT]


@pytest.mark.parametrize(
    ("promotion", "data", "verdict", "due"),
    [
        ({}, DATA, {}, []),
        ({"verdict": None}, DATA, {}, [Fault.NO_VERDICT]),
        ({"verdict_digest": None}, DATA, {}, [Fault.NO_VERDICT]),
        ({}, None, {}, [Fault.VERDICT_MISSING]),
        ({}, DATA + b" ", {}, [Fault.OTHER_VERDICT]),
        ({}, DATA, None, [Fault.OTHER_VERDICT]),
        ({}, DATA, {"run": "0" * 32}, [Fault.VERDICT_OF_OTHER_RUN]),
        ({}, DATA, {"outcome": "FAIL"}, [Fault.NOT_PASSED]),
        ({}, DATA, {"dry_run": True}, [Fault.NOT_PASSED]),
        ({}, DATA, {"judged": {"record": "sha256:dd", "other": "sha256:ee"}}, [Fault.OTHER_NUMBERS]),
        ({}, DATA, {"judged": {"other": "sha256:ee"}}, []),
    ],
)
def test_a_verdict_is_the_one_that_was_named(
    promotion: dict[str, Any], data: bytes | None, verdict: dict[str, Any] | None, due: list[Fault]
) -> None:
    read = None if verdict is None else replace(VERDICT, **verdict)
    named = replace(PROMOTION, **promotion)
    assert list(verdict_faults(named, data, read, {"record": "sha256:cc"}, None)) == due


def _result(gate: str, outcome: Outcome) -> GateResult:
    return GateResult(gate=gate, metric=gate, rule="", outcome=outcome, reason="")


@pytest.mark.parametrize(
    ("gates", "dry_run", "due"),
    [
        (["a"], False, []),
        (["b"], False, [Fault.NOT_PASSED]),
        (["a", "b"], False, [Fault.NOT_PASSED]),
        ([], False, [Fault.NOT_PASSED]),
        (["a"], True, [Fault.NOT_PASSED]),
        (None, False, [Fault.NOT_PASSED]),
    ],
)
def test_a_stage_asks_for_its_own_gates(gates: list[str] | None, dry_run: bool, due: list[Fault]) -> None:
    verdict = replace(VERDICT, outcome="FAIL", dry_run=dry_run, gates=(_result("a", "PASS"), _result("b", "FAIL")))
    assert list(verdict_faults(PROMOTION, DATA, verdict, {}, gates)) == due


def _entry(seq: int, previous: str | None, **fields: Any) -> bytes:
    return json.dumps(
        {"seq": seq, "previous": previous, "type": "promote", "payload": {"version": 1}, **fields}
    ).encode()


def test_a_log_is_followed_to_its_first_break() -> None:
    first = _entry(1, None)
    second = _entry(2, digest(first), payload=[], type="other")
    whole = scan([first, second])
    assert (list(whole.about), whole.broken) == ([("promote", 1), ("other", None)], None)
    assert scan([first, second, _entry(3, digest(first))]).broken == 3
    assert scan([first, _entry(3, digest(first))]).broken == 2


@pytest.mark.parametrize(
    "damaged", [b"{", b"[]", b"1", b"{}", b'{"seq": 2}', b"null", b"[" * 100_000, b'{"seq": 1, "previous": null}']
)
def test_an_entry_that_cannot_be_read_breaks_the_log(damaged: bytes) -> None:
    first = _entry(1, None)
    assert scan([first, damaged, first]).broken == 2
    assert scan([damaged]).broken == 1


REGISTERED = (1, Register(version=1, run=RUN.id, commit=RUN.commit))
SET_ASIDE = (2, Archive(version=1, from_stage="None"))
UP = replace(PROMOTION, from_stage="Staging", stage="Production")
BACK = Rollback(
    version=1, run=RUN.id, commit=RUN.commit, stage="Staging", from_stage="Archived", reason="", passed="", replaces=2
)


@pytest.mark.parametrize(
    ("own", "stage", "due"),
    [
        ([REGISTERED, (2, PROMOTION)], "Staging", []),
        ([REGISTERED, (2, PROMOTION)], "Archived", []),
        ([REGISTERED, (2, PROMOTION), (4, UP)], "Production", []),
        ([REGISTERED, (2, PROMOTION), (4, BACK)], "Staging", []),
        (
            [REGISTERED, (2, Archive(version=1, from_stage="None")), (3, replace(PROMOTION, from_stage="Archived"))],
            "Staging",
            [],
        ),
        (
            [REGISTERED, (2, replace(PROMOTION, from_stage="Archived"))],
            "Staging",
            [(2, "moves version 1 from Archived")],
        ),
        ([REGISTERED, (2, PROMOTION), (4, Demote(version=1, stage="None", from_stage="Staging"))], "None", []),
        ([], "Staging", [(0, "left version 1 in no log")]),
        ([REGISTERED], "Staging", [(1, "left version 1 in None")]),
        ([REGISTERED, REGISTERED, (3, PROMOTION)], "Staging", [(1, "registers version 1 again")]),
        ([(2, PROMOTION)], "Staging", [(2, "moves version 1 from None")]),
        ([REGISTERED, (2, replace(PROMOTION, run="0" * 32))], "Staging", [(2, "is about another run")]),
        ([REGISTERED, (2, PROMOTION), (4, replace(BACK, commit=None))], "Staging", [(4, "is about another run")]),
        ([REGISTERED, (2, replace(UP, from_stage="None"))], "Production", [(2, "breaks the order of the stages")]),
        ([REGISTERED, (2, replace(PROMOTION, stage="qa"))], "qa", [(2, "breaks the order of the stages")]),
        ([REGISTERED, (2, replace(PROMOTION, stage="qa", ladder=("qa",)))], "qa", []),
    ],
)
def test_moves_that_no_ciplug_makes(own: list[tuple[int, Any]], stage: str, due: list[tuple[int, str]]) -> None:
    broken = list(broken_moves(replace(VERSION, stage=stage), own, LADDER))
    assert [(seq, words.startswith(start)) for (seq, words), (_, start) in zip(broken, due, strict=True)] == [
        (seq, True) for seq, _ in due
    ]


def test_findings_in_words() -> None:
    sound = Finding(link=Link.COMMIT, facts={"commit": "abc"})
    assert (evidence_chain_text.words(sound), evidence_chain_text.remedy(sound)) == ("abc", None)
    assert evidence_chain_text.words(replace(sound, link=Link.BYTES, left_out=True)) == "not asked for"
    assert evidence_chain_text.words(replace(sound, after_break=True)) == "not known: a link before it is broken"
    missing = replace(sound, fault=Fault.COMMIT_NOT_HERE)
    assert evidence_chain_text.words(missing) == "commit abc is not in this clone"
    assert evidence_chain_text.remedy(missing) == "fetch it: git fetch origin abc"
    assert all(evidence_chain_text.remedy(Finding(link=Link.RUN, fault=fault)) for fault in Fault)
