from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ciplug import config, strict_yaml
from ciplug.config.allowance import Allowance
from ciplug.config.gate import Baseline, Defaults
from ciplug.config.json_schema import schema
from ciplug.config.kinds import Later, Listed, Named, Table, keys_of
from ciplug.config.policy import Policy
from ciplug.errors import ConfigError
from ciplug.gates.digest import digest_of
from ciplug.gates.explain import explain
from tests.policies import policy_of


def read(text: str) -> Policy:
    return config.parse(text, Path("ciplug.yaml")).policy


def regression(value: str) -> Allowance:
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
    assert accuracy.max_regression == Allowance(abs=0.01)
    assert latency.max_regression == Allowance(rel=0.1)
    assert found.directions() == {"accuracy": True, "latency_p95_ms": False}
    assert found.defaults == Defaults()


def test_the_defaults_of_the_defaults_are_strict_about_what_is_missing() -> None:
    defaults = Defaults()
    assert (defaults.severity, defaults.on_missing, defaults.atol) == ("error", "fail", 0)


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
        (".inf", "a finite number is expected, not inf"),
        (".nan", "a finite number is expected, not nan"),
        ("1e999", "a finite number is expected, not inf"),
        ("1" + "0" * 400, "a finite number is expected, not inf"),
        ("{abs: .inf}", "a finite number is expected, not inf"),
        ("{rel: .nan}", "a finite number is expected, not nan"),
        # Who writes 10 means 10%.
        ("{rel: 10}", "10 means 1000%: write it with its sign, 10% or 1000%"),
        ("'10'", "a percentage like 10% is expected, not '10'"),
        ("ten%", "a percentage like 10% is expected, not 'ten%'"),
        ("'%'", "a percentage like 10% is expected"),
        ("-0.01", "-0.01 is below 0"),
        ("-1%", "'-1%' is below 0"),
        ("{}", "give 'abs', 'rel' or both"),
        ("{abs: null}", "give 'abs', 'rel' or both"),
        ("true", "a number is expected, not true"),
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
        ("gates:\n  a: {max: true}", "ciplug.yaml:2: gates.a.max: a number is expected, not true", None),
        ("gates:\n  a: {max: .nan}", "ciplug.yaml:2: gates.a.max: a finite number is expected, not nan", None),
        ("gates:\n  a: {max: .inf}", "ciplug.yaml:2: gates.a.max: a finite number is expected, not inf", None),
        (f"gates:\n  a: {{max: 1{'0' * 400}}}", "ciplug.yaml:2: gates.a.max: a finite number is expected", None),
        ("gates:\n  a: {min: 2, max: 1}", "ciplug.yaml:2: gates.a: min 2 is above max 1: nothing could pass", None),
        ("gates:\n  a: {higher_is_better: true}", "ciplug.yaml:2: gates.a: a gate needs a rule", None),
        ("gates:\n  a: {min: null}", "ciplug.yaml:2: gates.a: a gate needs a rule", None),
        ("gates:\n  a: {max_regression: 1}", "ciplug.yaml:2: gates.a: max_regression compares, so the direction", None),
        ("gates:\n  a: {max_regression: 1, higher_is_better: 1}", "ciplug.yaml:2: gates.a.higher_is_better: ", None),
        ("gates:\n  a:\n", "ciplug.yaml:2: gates.a: ", None),
        ("gates:\n  a: 0.9", "ciplug.yaml:2: gates.a: ", None),
        ("gates:\n  a: {min: 1, metric: ''}", "ciplug.yaml:2: gates.a.metric: ", None),
        ("gates:\n  a: {min: 1, metric: 5}", "ciplug.yaml:2: gates.a.metric: ", None),
        (
            "gates:\n  a: {min: 1, severity: warn}",
            "ciplug.yaml:2: gates.a.severity: 'error' or 'warning' is expected, not 'warn'",
            None,
        ),
        (
            "gates:\n  a: {min: 1, on_missing: pass}",
            "ciplug.yaml:2: gates.a.on_missing: 'fail' or",
            None,
        ),
        ("gates:\n  a: {min: 1, on_no_baseline: skip}", "ciplug.yaml:2: gates.a.on_no_baseline: 'fail' or", None),
        ("gates:\n  a: {min: 1, on_inconclusive: pass}", "ciplug.yaml:2: gates.a.on_inconclusive: 'fail' or", None),
        ("gates:\n  a: {min: 1, atol: -1}", "ciplug.yaml:2: gates.a.atol: ", None),
        ("gates: {a: {min: 1}}\ndefaults: {atol: .inf}", "ciplug.yaml:2: defaults.atol: a finite number is", None),
        ("gates:\n  a: {min: 1}\n  a: {min: 2}", "ciplug.yaml:3: duplicate key 'a', first on line 2", None),
        ("gates:\n  a: &x {min: 1}\n  b: *x", "ciplug.yaml:3: aliases (*name) are not supported", None),
        (
            "gates:\n  a: {higher_is_better: true, min: 1}\n  b: {metric: a, higher_is_better: false, max: 2}",
            "ciplug.yaml:3: gates.b: the gate 'a' has the other direction for the metric 'a'",
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


def digest(text: str) -> str:
    return digest_of(read(text))


def test_the_digest_is_of_the_meaning() -> None:
    one = digest("gates:\n  a: {min: 1, max: 2}\n  b: {max: 1}")
    assert digest("# said otherwise\nversion: 1\ngates:\n  b:\n    max: 1.0\n  a: {max: 2, min: 1e0}") == one
    assert digest("gates:\n  a: {min: 1, max: 2}") != one
    assert digest("gates:\n  a: {min: 1, max: 2}\n  b: {max: 1}\ndefaults: {on_missing: warn}") != one
    assert digest("gates:\n  a: {min: 1.0000001, max: 2}\n  b: {max: 1}") != one
    assert one.startswith("sha256:")


def test_the_order_of_branches_and_of_stages_is_part_of_the_meaning() -> None:
    gates = "gates: {a: {min: 1}}\n"
    assert digest(f"{gates}branches: {{x: {{}}, '*': {{}}}}") != digest(f"{gates}branches: {{'*': {{}}, x: {{}}}}")
    assert digest(f"{gates}stages: {{dev: , live: }}") != digest(f"{gates}stages: {{live: , dev: }}")
    assert digest(f"{gates}stages: {{production: , staging: }}") == digest(
        f"{gates}stages: {{staging: , production: }}"
    )


@pytest.mark.parametrize(
    ("stages", "ladder"),
    [
        ("", ("Staging", "Production")),
        ("stages:\n", ("Staging", "Production")),
        ("stages: {production: {on_missing: fail}}", ("Staging", "Production")),
        ("stages: {production: , staging: }", ("Staging", "Production")),
        ("stages: {dev: , canary: , live: {gates: all}}", ("dev", "canary", "live")),
        ("stages: {qa: , production: }", ("qa", "Production")),
    ],
)
def test_the_ladder_is_the_order_of_the_stages(stages: str, ladder: tuple[str, ...]) -> None:
    assert read(stages).ladder == ladder


def test_several_gates_may_look_at_one_metric() -> None:
    found = read("gates:\n  a: {min: 1}\n  b: {metric: a, higher_is_better: true, max_regression: 1, atol: 0.5}")
    assert (found.metric_of("b"), found.tolerance("a"), found.tolerance("b")) == ("a", 0, 0.5)
    assert found.tolerances() == {"a": 0}


FULL = """\
version: 1
model: wine-quality
metrics: metrics.json
evaluation: test.csv
optional: true
samples: {file: predictions.jsonl, cluster: user}
seeds: {key: seed, min_runs: 5}
baseline: {ref: merge-base, max_age_days: 30}
defaults: {severity: error, on_missing: fail, on_no_baseline: warn, on_inconclusive: warn, alpha: 0.05,
           correction: holm, atol: 1.0e-9}
gates:
  accuracy: {higher_is_better: true, min: 0.85, max_regression: 0.01, test: auto,
             slices: {by: [country], min_samples: 200, max_regression: 0.03}}
  acc-anchor: {metric: accuracy, higher_is_better: true, baseline: production, max_regression: 0.02}
  p95: {metric: latency_p95_ms, higher_is_better: false, max: 50, max_regression: {rel: 10%, abs: 2},
        history: {window: 30, min_samples: 8}}
  size: {metric: model_mb, higher_is_better: false, max: 200, severity: warning}
  drift: {kind: drift, reference: train.parquet, test: psi, alpha: 0.01}
branches:
  release/*: {on_no_baseline: fail}
waivers:
  - {gate: accuracy, limit: 0.02, commit: "1a2b3c4", expires: 2026-12-31, issue: ML-42, reason: label fix,
     approved_by: alice}
stages:
  staging: {gates: [accuracy, size]}
  production: {gates: all, on_inconclusive: fail, on_no_baseline: fail,
               approvals: {environment: production, not_author: true}, require: [signature, clean_tree]}
monitor: {labels: labels.jsonl, gates: [accuracy, drift], consecutive: 3, on_fail: open_issue}
policy_tests: tests/policy/*.yaml
"""
PARTS = {
    "models": "version: 1\nmodels:\n  wine:\n    metrics: wine.json\n    gates: {accuracy: {min: 0.8}}\n"
    "  beer:\n    extends: base.yaml\n    gates: {accuracy: {min: 0.9}}\n",
    "baselines": "gates:\n  a: {higher_is_better: true, max_regression: 0, baseline: 'tag:v1'}\n"
    "  b: {metric: x, higher_is_better: true, max_regression: 1%, baseline: {ref: mean, last: 5, branch: main}}\n",
}


def test_every_key() -> None:
    found = read(FULL)
    assert all(getattr(found, name) for name in keys_of(Policy))
    accuracy = found.resolved("accuracy")
    assert accuracy.baseline == Baseline(max_age_days=30)
    assert (accuracy.severity, accuracy.alpha, accuracy.atol) == ("error", 0.05, 1e-9)
    assert found.baselines() == {Baseline(max_age_days=30), Baseline(ref="production")}
    assert found.stages["production"].gates is None
    assert str(found.waivers[0].expires) == "2026-12-31"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("main", Baseline(branch="main")),
        ("merge-base", Baseline()),
        ("production", Baseline(ref="production")),
        ("{ref: production, max_age_days: 7}", Baseline(ref="production", max_age_days=7)),
        ("tag:v1.0", Baseline(ref="tag:v1.0")),
        ("best", Baseline(ref="best")),
        ("{ref: mean, last: 3}", Baseline(ref="mean", last=3)),
        ("{ref: target, branch: release}", Baseline(ref="target", branch="release")),
        ("{ref: develop, max_age_days: 1}", Baseline(branch="develop", max_age_days=1)),
    ],
)
def test_baselines(text: str, due: Baseline) -> None:
    assert read(f"baseline: {text}").baseline == due


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("baseline: [main]", "ciplug.yaml:1: baseline: a mapping is expected, like {ref: merge-base", None),
        ("baseline: {rev: main}", "ciplug.yaml:1: baseline.rev: unknown key", "did you mean 'ref'?"),
        ("baseline: {ref: main, last: 3}", "ciplug.yaml:1: baseline: 'last' counts runs for 'best' and 'mean'", None),
        ("baseline: {ref: production, branch: x}", "ciplug.yaml:1: baseline: 'production' does not depend on", None),
        ("baseline: 'tag:'", "ciplug.yaml:1: baseline: write 'tag:' with a name after it", None),
        ("baseline: {max_age_days: 0}", "ciplug.yaml:1: baseline.max_age_days: a number above 0 is expected", None),
        ("seeds: {min_runs: 1}", "ciplug.yaml:1: seeds.min_runs: a whole number from 2 up is expected", None),
        ("defaults: {alpha: 0.5}", "ciplug.yaml:1: defaults.alpha: a number between 0 and 0.5 is", None),
        (
            "gates:\n  a: {min: 1, kind: drfit}",
            "ciplug.yaml:2: gates.a.kind: 'metric' or 'drift' is expected",
            None,
        ),
        ("gates:\n  a: {kind: drift}", "ciplug.yaml:2: gates.a: a gate of kind drift needs a reference", None),
        ("gates:\n  a: {kind: drift, reference: r.csv}", "ciplug.yaml:2: gates.a: the file to compare with", None),
        (
            "gates:\n  a: {kind: drift, reference: r.csv, current: c.csv, min: 1}",
            "ciplug.yaml:2: gates.a.min: a gate of kind drift does not use it",
            None,
        ),
        ("gates:\n  a: {min: 1, reference: r.csv}", "ciplug.yaml:2: gates.a.reference: it is for a gate of kind", None),
        (
            "gates:\n  a: {min: 1, test: psi}",
            "ciplug.yaml:2: gates.a.test: the test 'psi' is for a gate of",
            None,
        ),
        ("gates:\n  a: {min: 1, baseline: production}", "ciplug.yaml:2: gates.a.baseline: it is for a rule that", None),
        ("gates:\n  a: {min: 1, slices: {by: c, min: 0}}", "ciplug.yaml:2: gates.a.slices: slices are parts of", None),
        (
            "samples: s\ngates:\n  a: {min: 1, slices: {by: c}}",
            "ciplug.yaml:3: gates.a.slices: slices need a rule",
            None,
        ),
        ("gates:\n  a: {min: 1, slices: {by: [], min: 0}}", "ciplug.yaml:2: gates.a.slices.by: a name or a list", None),
        (
            "gates:\n  a: {higher_is_better: true, max_regression: 0, test: mcnemar}",
            "ciplug.yaml:2: gates.a.test: the test 'mcnemar' compares example by example",
            None,
        ),
        (
            "samples: {file: s, weight: w}\ngates:\n  a: {higher_is_better: true, max_regression: 0, test: mcnemar}",
            "ciplug.yaml:3: gates.a.test: the test 'mcnemar' takes no weights of examples, and 'samples' has a weight",
            "use test: t, sign-flip or auto",
        ),
        (
            "gates: {a: {min: 1}}\nstages:\n  staging: {gates: [b]}",
            "ciplug.yaml:3: stages.staging.gates: unknown gate 'b'",
            None,
        ),
        ("stages:\n  Live: {gates: all}", "ciplug.yaml:2: stages.Live: write the name of a stage in lower case", None),
        ("stages:\n  archived: {gates: all}", "ciplug.yaml:2: stages.archived: 'archived' has a meaning", None),
        (
            "stages: {production: {from: candidate}}",
            "ciplug.yaml:1: stages.production.from: unknown key",
            "remove it: a stage takes",
        ),
        (
            "stages: {production: {form: staging}}",
            "ciplug.yaml:1: stages.production.form: unknown key",
            "one of: gates",
        ),
        ("stages: {staging: {require: [sbom]}}", "ciplug.yaml:1: stages.staging.require: 'clean_tree' or", None),
        (
            "stages:\n  staging: {approvals: {author: x}}",
            "ciplug.yaml:2: stages.staging.approvals.author: unknown",
            None,
        ),
        ("gates: {a: {min: 1}}\nmonitor: {gates: [b]}", "ciplug.yaml:2: monitor.gates: unknown gate 'b'", None),
        ("branches: {x: {gates: [b]}}", "ciplug.yaml:1: branches.x.gates: unknown gate 'b'", None),
    ],
)
def test_mistakes_in_the_other_parts(text: str, says: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(says)
    assert hint is None or (caught.value.hint or "").startswith(hint)


WAIVER = "{gate: a, limit: 0.02, commit: 1a2b3c4, expires: 2026-12-31, reason: r, approved_by: b}"


@pytest.mark.parametrize(
    ("gate", "change", "says"),
    [
        ("max_regression: 0.01", ("gate: a", "gate: b"), "waivers.0.gate: unknown gate 'b'"),
        ("max_regression: 0.02", ("", ""), "waivers.0.limit: 0.02 allows no more than max_regression 0.02 does"),
        ("min: 0.5, max: 0.9", ("", ""), "waivers.0: 'a' has more than one rule"),
        ("min: 0.5", ("limit: 0.02", "rule: max, limit: 1"), "waivers.0.rule: the gate 'a' has no rule 'max'"),
        ("min: 0.5", ("limit: 0.02", "limit: 0.6"), "waivers.0.limit: 0.6 allows no more than min 0.5 does"),
        ("min: 0.5", ("1a2b3c4", "123456"), "waivers.0.commit: a commit id is expected, at least 7 digits"),
        ("min: 0.5", ("1a2b3c4", "1234567"), "waivers.0.commit: a commit id is expected"),
        ("min: 0.5", (", approved_by: b", ""), "waivers.0.approved_by: this key is missing"),
        ("min: 0.5", ("2026-12-31", "soon"), "waivers.0.expires: a day like 2026-12-31 is expected, not 'soon'"),
    ],
)
def test_waivers_that_are_refused(gate: str, change: tuple[str, str], says: str) -> None:
    text = f"gates:\n  a: {{higher_is_better: true, {gate}}}\nwaivers:\n  - {WAIVER.replace(*change)}"
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(f"ciplug.yaml:4: {says}")


def test_a_stage_narrows_what_counts() -> None:
    found = read(FULL)
    assert list(found.narrowed(found.stages["staging"]).gates) == ["accuracy", "size"]
    production = found.narrowed(found.stages["production"])
    assert list(production.gates) == list(found.gates)
    assert {production.resolved(name).on_inconclusive for name in production.gates} == {"fail"}
    assert found.for_branch("release/2").resolved("accuracy").on_no_baseline == "fail"
    assert found.for_branch("main") == found.for_branch(None) == found


# --- the schema


@cache
@cache
def validator() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())


def as_json(text: str) -> object:
    data = strict_yaml.load(text, "ciplug.yaml").data
    return json.loads(json.dumps(data, default=str))


def test_the_published_schema_is_that_of_the_models() -> None:
    published = Path(__file__).parents[2] / "docs" / "ciplug.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == schema(), "write it: ciplug policy schema"
    assert schema()["$defs"]["Gate"]["properties"]["higher_is_better"]["description"].startswith("Required for a rule")


def places(kind: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], type]]:
    """Where a mapping with the keys of a dataclass may stand, by the readers."""
    if isinstance(kind, Later):
        kind = kind.kind()
    if isinstance(kind, Table):
        yield path, kind.of
        for name, key in keys_of(kind.of).items():
            yield from places(key.metadata["kind"], (*path, name))
    elif isinstance(kind, (Named, Listed)):
        yield from places(kind.of, (*path, "a" if isinstance(kind, Named) else 0))


def nested(path: tuple[Any, ...], value: Any) -> Any:
    for step in reversed(path):
        value = [value] if step == 0 else {step: value}
    return value


def unknown_keys(data: Any) -> set[str]:
    """The keys that the reader does not know."""
    try:
        config.parse(json.dumps(data), Path("ciplug.yaml"))
    except ConfigError as problem:
        lines = problem.message.splitlines()
        return {line.split(": ")[1].rpartition(".")[2] for line in lines if line.count(": unknown key")}
    return set()


PLACES = [*places(Table(config.Config, ""), ())]


@pytest.mark.parametrize(
    ("path", "table"), PLACES, ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else ""
)
def test_the_reader_and_the_schema_know_the_same_keys(path: tuple[Any, ...], table: type) -> None:
    published = validator().schema
    properties = published["properties"] if table is config.Config else published["$defs"][table.__name__]["properties"]
    # Beside `models` no other key may stand.
    known = [name for name in properties if path or name != "models"]
    assert unknown_keys(nested(path, {**dict.fromkeys(known), "zzz": 1})) == {"zzz"}
    assert list(validator().iter_errors(nested(path, {"zzz": 1})))


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("ciplug.yaml"))


@pytest.mark.parametrize("text", [FULL, *PARTS.values(), *(path.read_text(encoding="utf-8") for path in EXAMPLES)])
def test_the_schema_takes_what_ciplug_takes(text: str) -> None:
    assert not [error.message for error in validator().iter_errors(as_json(text))]


@pytest.mark.parametrize(
    "text",
    [
        "gates: {a: {mim: 1}}",
        "gates: {a: {max_regression: ten%}}",
        "gates: {a: {max_regression: -1}}",
        "gates: {a: {severity: warn}}",
        "stages: {staging: {require: [sbom]}}",
        "waivers: [{gate: a}]",
        "metrix: a.json",
        "version: 2",
    ],
)
def test_the_schema_refuses_what_ciplug_refuses(text: str) -> None:
    assert list(validator().iter_errors(as_json(text)))


# --- in words


def test_explained() -> None:
    assert explain(read(FULL).narrowed(read(FULL).stages["staging"])).startswith(
        "accuracy passes if\n"
        "- it is at least 0.85\n"
        "- it is at most 0.01 worse than the merge base with the target branch, if that is at most 30 days old (higher "
        "is better), judged over 5 seeds or more, wrong in at most 5% of cases\n"
        "- for every value of 'country' with 200 examples or more, it is at most 0.03 worse than the merge base with "
        "the target branch, if that is at most 30 days old (higher is better)\n"
        "  no such metric: fail; no baseline: warn; undecided: inconclusive; NaN or infinite: error.\n\n"
        "size (the metric 'model_mb') passes if\n- it is at most 200\n  A failure only warns.\n"
    )
    words = explain(read(FULL))
    assert "- accuracy up to 0.02 for commit 1a2b3c4, until 2026-12-31, by alice (label fix, ML-42)" in words
    assert "whoever promotes has neither written the commit nor trained the run" in words
    assert "has not drifted from train.parquet" in words
    watched = "In production, accuracy, drift are to be watched; after 3 failures in a row: open issue."
    assert watched in words


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({}, "all gates are asked; the run was made from a clean tree."),
        ({"require": ["signature"]}, "the run was made from a clean tree; git verifies the signature of the commit."),
        ({"clean_tree": False}, "the run may have been made from a tree with uncommitted changes."),
        ({"severity": "error"}, "(each of them can fail); the run was made from a clean tree."),
        ({"severity": "warning"}, "asked (a failure only warns; a, b only warn); the run"),
        ({"approvals": {"environment": "prod"}}, "the job runs in the environment 'prod'; the run"),
        (
            {"approvals": {"not_author": True}},
            "whoever promotes has neither written the commit nor trained the run; the",
        ),
    ],
)
def test_what_a_stage_requires_is_explained(stage: dict[str, Any], words: str) -> None:
    policy = policy_of({"gates": {"a": {"min": 0.5}, "b": {"max": 1}}, "stages": {"staging": stage}})
    told = explain(policy).rpartition("\n\n")[2]
    assert told.startswith("To staging, ") and words in told, told
