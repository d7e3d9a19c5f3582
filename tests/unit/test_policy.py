from __future__ import annotations

from pathlib import Path

import pytest

from ciplug import config
from ciplug.errors import ConfigError
from ciplug.gates import policy


def read(text: str) -> policy.Policy:
    return policy.read(config.parse(text, Path("ciplug.yaml")))


def regression(value: str) -> policy.Allowance:
    found = read(f"gates:\n  a: {{higher_is_better: true, max_regression: {value}}}").gates["a"].max_regression
    assert found is not None
    return found


def test_the_six_lines() -> None:
    found = read(
        "version: 1\nmetrics: metrics.json\nbaseline: main\ngates:\n"
        "  accuracy: {higher_is_better: true, min: 0.85, max_regression: 0.01}\n"
        "  latency_p95_ms: {higher_is_better: false, max: 50, max_regression: 10%}\n"
    )
    accuracy, latency = found.gates["accuracy"], found.gates["latency_p95_ms"]
    assert (accuracy.min, accuracy.max, latency.min, latency.max) == (0.85, None, None, 50.0)
    assert accuracy.max_regression == policy.Allowance(abs=0.01)
    assert latency.max_regression == policy.Allowance(rel=0.1)
    assert found.directions() == {"accuracy": True, "latency_p95_ms": False}
    assert found.defaults == policy.Defaults()


def test_the_defaults_of_the_defaults_are_strict_about_what_is_missing() -> None:
    defaults = policy.Defaults()
    assert (defaults.severity, defaults.on_missing, defaults.atol) == ("error", "fail", 1e-9)


@pytest.mark.parametrize(
    ("text", "abs_", "rel"),
    [
        ("0.01", 0.01, None),
        ("1e-3", 0.001, None),
        ("0", 0.0, None),
        ("2", 2.0, None),
        ("10%", None, 0.1),
        ("'10 %'", None, 0.1),
        ("150%", None, 1.5),
        ("0%", None, 0.0),
        ("{rel: 10%, abs: 2}", 2.0, 0.1),
        ("{rel: 0.1}", None, 0.1),
        ("{rel: 1}", None, 1.0),
        ("{abs: 1e-3}", 0.001, None),
    ],
)
def test_allowances(text: str, abs_: float | None, rel: float | None) -> None:
    found = regression(text)
    assert (found.abs, found.rel) == (abs_, pytest.approx(rel))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # An infinite allowance would pass everything.
        ("inf%", "a percentage like 10% is expected"),
        ("nan%", "a percentage like 10% is expected"),
        ("1e999%", "a percentage like 10% is expected"),
        ("{rel: inf%, abs: 1}", "a percentage like 10% is expected"),
        (".inf", "inf is no bound"),
        (".nan", "nan is no bound"),
        ("1e999", "inf is no bound"),
        ("1" + "0" * 400, "inf is no bound"),
        ("{abs: .inf}", "inf is no bound"),
        ("{rel: .nan}", "nan is no bound"),
        # Who writes 10 means 10%.
        ("{rel: 10}", "10 means 1000%: write it with its sign, 10% or 1000%"),
        ("'10'", "a percentage like 10% is expected, not '10'"),
        ("ten%", "a percentage like 10% is expected, not 'ten%'"),
        ("'%'", "a percentage like 10% is expected"),
        ("-0.01", "a number from 0 up"),
        ("-1%", "a number from 0 up"),
        ("{}", "give 'abs', 'rel' or both"),
        ("{abs: null}", "give 'abs', 'rel' or both"),
        ("true", "a number is expected, not True"),
        ("[1]", "a number is expected, not [1]"),
    ],
)
def test_allowances_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        regression(text)
    assert caught.value.message.startswith("ciplug.yaml:2: gates.a.max_regression")
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("gates:\n  a: {mim: 1}", "ciplug.yaml:2: gates.a.mim: unknown key", "did you mean 'min'?"),
        (
            "gates:\n  a:\n    max_regresion: 1",
            "ciplug.yaml:3: gates.a.max_regresion: unknown key",
            "did you mean 'max_regression'?",
        ),
        (
            "gates:\n  a:\n    higher_is_better: true\n    max_regression:\n      {rel: 1%, ab: 1}",
            "ciplug.yaml:5: gates.a.max_regression.ab: unknown key",
            "did you mean 'abs'?",
        ),
        (
            "defaults: {on_mising: warn}\ngates: {a: {min: 1}}",
            "ciplug.yaml:1: defaults.on_mising: unknown key",
            "did you mean 'on_missing'?",
        ),
        ("gates:\n  a: {min: x}", "ciplug.yaml:2: gates.a.min: a number is expected, not 'x'", None),
        ("gates:\n  a: {min: '0.9'}", "ciplug.yaml:2: gates.a.min: a number is expected, not '0.9'", None),
        ("gates:\n  a: {min: 1:30}", "ciplug.yaml:2: gates.a.min: a number is expected, not '1:30'", None),
        ("gates:\n  a: {max: true}", "ciplug.yaml:2: gates.a.max: a number is expected, not True", None),
        ("gates:\n  a: {max: .nan}", "ciplug.yaml:2: gates.a.max: nan is no bound", None),
        ("gates:\n  a: {max: .inf}", "ciplug.yaml:2: gates.a.max: inf is no bound", None),
        (f"gates:\n  a: {{max: 1{'0' * 400}}}", "ciplug.yaml:2: gates.a.max: inf is no bound", None),
        ("gates:\n  a: {min: 2, max: 1}", "ciplug.yaml:2: gates.a: min 2 is above max 1: nothing could pass", None),
        ("gates:\n  a: {higher_is_better: true}", "ciplug.yaml:2: gates.a: a gate needs a rule", None),
        ("gates:\n  a: {min: null}", "ciplug.yaml:2: gates.a: a gate needs a rule", None),
        ("gates:\n  a: {max_regression: 1}", "ciplug.yaml:2: gates.a: max_regression compares, so say", None),
        ("gates:\n  a: {max_regression: 1, higher_is_better: 1}", "ciplug.yaml:2: gates.a.higher_is_better: ", None),
        ("gates:\n  a:\n", "ciplug.yaml:2: gates.a: ", None),
        ("gates:\n  a: 0.9", "ciplug.yaml:2: gates.a: ", None),
        ("gates:\n  a: {min: 1, metric: ''}", "ciplug.yaml:2: gates.a.metric: ", None),
        ("gates:\n  a: {min: 1, metric: 5}", "ciplug.yaml:2: gates.a.metric: ", None),
        (
            "gates:\n  a: {min: 1, severity: warn}",
            "ciplug.yaml:2: gates.a.severity: input should be 'error' or 'warning', and it is 'warn'",
            None,
        ),
        ("gates:\n  a: {min: 1, on_missing: pass}", "ciplug.yaml:2: gates.a.on_missing: input should be", None),
        ("gates:\n  a: {min: 1, on_no_baseline: skip}", "ciplug.yaml:2: gates.a.on_no_baseline: input", None),
        ("gates:\n  a: {min: 1, on_inconclusive: pass}", "ciplug.yaml:2: gates.a.on_inconclusive: input", None),
        ("gates:\n  a: {min: 1, atol: -1}", "ciplug.yaml:2: gates.a.atol: ", None),
        ("gates: {a: {min: 1}}\ndefaults: {atol: .inf}", "ciplug.yaml:2: defaults.atol: inf is no bound", None),
        ("gates:\n  a: {min: 1}\n  a: {min: 2}", "ciplug.yaml:3: the key 'a' stands twice, first on line 2", None),
        ("gates:\n  a: &x {min: 1}\n  b: *x", "ciplug.yaml:3: aliases (*name) are not taken", None),
        (
            "gates:\n  a: {higher_is_better: true, min: 1}\n  b: {metric: a, higher_is_better: false, max: 2}",
            "ciplug.yaml:3: gates.b: the gate 'a' says the other direction for the metric 'a'",
            None,
        ),
    ],
)
def test_mistakes_name_file_line_key_and_the_nearest_key(text: str, says: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(says)
    assert caught.value.hint == hint or hint is None


def test_a_gate_may_be_called_on() -> None:
    assert list(read("gates:\n  on: {min: 1}\n  no: {min: 1}\n  1: {min: 1}").gates) == ["on", "no", "1"]


def test_the_digest_is_of_the_meaning() -> None:
    one = read("gates:\n  a: {min: 1, max: 2}\n  b: {max: 1}").digest
    assert read("# said otherwise\nversion: 1\ngates:\n  b:\n    max: 1.0\n  a: {max: 2, min: 1e0}").digest == one
    assert read("gates:\n  a: {min: 1, max: 2}").digest != one
    assert read("gates:\n  a: {min: 1, max: 2}\n  b: {max: 1}\ndefaults: {on_missing: warn}").digest != one
    assert read("gates:\n  a: {min: 1.0000001, max: 2}\n  b: {max: 1}").digest != one
    assert one.startswith("sha256:")


def test_several_gates_may_look_at_one_metric() -> None:
    found = read("gates:\n  a: {min: 1}\n  b: {metric: a, higher_is_better: true, max_regression: 1, atol: 0.5}")
    assert (found.metric_of("b"), found.tolerance("a"), found.tolerance("b")) == ("a", 1e-9, 0.5)
