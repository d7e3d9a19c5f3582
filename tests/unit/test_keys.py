"""The grammar of keys: what is made is taken apart again, and no other module knows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ciplug
from ciplug.records import keys
from ciplug.records.keys import AmendmentKey, EntryKey, RunKey
from ciplug.stores.base import group_mark, group_of

COMMITS = st.none() | st.text("0123456789abcdef", min_size=7, max_size=40)
IDS = st.text("0123456789abcdef", min_size=1, max_size=32)
AMENDMENTS = st.builds(
    AmendmentKey, COMMITS, IDS, st.integers(1, 10**15 - 1), st.text("0123456789abcdef", min_size=8, max_size=8)
)
PARSERS = (
    keys.parse_run,
    keys.parse_series,
    keys.parse_examples,
    keys.parse_amendment,
    keys.parse_late_series,
)


@given(COMMITS, IDS)
def test_a_run_and_what_stands_beside_it(commit: str | None, run_id: str) -> None:
    run = RunKey(commit, run_id)
    for key, parse in ((run.key, keys.parse_run), (run.series, keys.parse_series), (run.examples, keys.parse_examples)):
        assert [of(key) for of in PARSERS if of(key)] == [run] == [parse(key)]
        assert key.startswith(keys.runs_on(commit)) and key.startswith(run.everything)
        assert keys.record_beside(key) == run.key


@given(AMENDMENTS)
def test_an_amendment(amendment: AmendmentKey) -> None:
    assert [of(amendment.key) for of in PARSERS if of(amendment.key)] == [amendment]
    assert keys.parse_late_series(amendment.series) == amendment
    for key in (amendment.key, amendment.series):
        assert key.startswith(amendment.run_key.amendments) and key.startswith(keys.amendments_on(amendment.commit))
        assert key.startswith(amendment.run_key.everything)


@given(AMENDMENTS)
def test_an_amendment_is_indexed_as_its_run_is(amendment: AmendmentKey) -> None:
    groups = [group_of(key) for key in (amendment.key, amendment.series, amendment.run_key.key)]
    assert None not in groups
    assert len({group_mark(group) for group in groups if group}) == 1


def test_order_is_by_number_and_then_by_digest() -> None:
    run = RunKey("a" * 40, "1")
    made = [AmendmentKey(*run, seq, digest) for seq, digest in ((10, "0" * 8), (2, "b" * 8), (2, "a" * 8))]
    assert keys.parse_amendments(amendment.key for amendment in made) == [made[2], made[1], made[0]]


@given(AMENDMENTS)
def test_what_amends_a_run_is_found_by_its_key(amendment: AmendmentKey) -> None:
    assert keys.amended_run(amendment.key) == amendment.run_key
    assert keys.amended_run(amendment.series) is None


@pytest.mark.parametrize(
    "rest", ["1000000000000000-aaaaaaaa.json", "x-3-aaaaaaaa.json", "1-a.json", "1-aaaaaaaa.new", ""]
)
def test_what_is_not_in_the_grammar_could_amend_the_run_all_the_same(rest: str) -> None:
    run = RunKey(None, "1")
    assert keys.parse_amendment(run.amendments + rest) is None
    assert keys.amended_run(run.amendments + rest) == run
    assert keys.amended_run(f"runs/none-1-{rest}") is None


@pytest.mark.parametrize(
    "key",
    [
        "amend/none-1-0-aaaaaaaa.json",
        "amend/none-1-01-aaaaaaaa.json",
        "amend/none-1-1-aaaaaaa.json",
        "amend/none-1-1-AAAAAAAA.json",
        "amend/none-1-1.json",
        "amend/none-1-1-aaaaaaaa.examples",
        "runs/none.json",
        "runs/none-1",
        "other/none-1.json",
    ],
)
def test_other_keys_are_none_of_these(key: str) -> None:
    assert not [of(key) for of in PARSERS if of(key)]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_a_log_is_named_for_its_model(model: str) -> None:
    log = keys.log_of(model)
    assert keys.model_of(log) == model and log.count("/") == 1
    assert keys.parse_entry(EntryKey(log, 7).key) == EntryKey(log, 7)


MLFLOW_PATH = r"[a-z]+(-[a-z]+)?$"
"""The rest of a path of MLflow's REST API, as `get` in `runs/get`."""
LITERAL = re.compile(rf"(runs|verdicts|amend|registry)/(?!model=|{MLFLOW_PATH})|\.(series|examples)$")


def test_no_other_module_has_the_grammar_in_it() -> None:
    package = Path(ciplug.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"(runs|verdicts|amend|registry)/|\.(series|examples)", text):
            continue  # parsed is only what may hold it: the others take seconds
        tree = ast.parse(text)
        docstrings = {
            id(statement.value)
            for statement in ast.walk(tree)
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        }
        found += [
            f"{path.relative_to(package)}:{node.lineno}: {node.value!r}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if LITERAL.match(node.value) and path != Path(keys.__file__)
        ]
    assert not found, "\n".join(found)
