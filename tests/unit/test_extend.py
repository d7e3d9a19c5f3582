from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciplug import config
from ciplug.config.gate import Allowance
from ciplug.config.loosening import _WORDS, How
from ciplug.config.model import Config
from ciplug.config.policy import Policy
from ciplug.errors import ConfigError

BASE = """\
samples: predictions.jsonl
baseline: {max_age_days: 30}
defaults: {on_no_baseline: fail}
gates:
  accuracy: {higher_is_better: true, min: 0.8, max_regression: {abs: 0.02, rel: 5%}, on_inconclusive: fail,
             slices: {by: [country, age], min_samples: 100, max_regression: 0.05}}
  latency: {max: 50, severity: warning}
stages:
  production: {gates: all, on_inconclusive: fail, approvals: {not_author: true}, require: [signature]}
branches:
  release/*: {gates: [accuracy]}
"""


def config_of(files: Mapping[str, str], name: str = "ciplug.yaml") -> Config:
    def text(path: str) -> str:
        if path not in files:
            raise ConfigError(f"{path}: no such file")
        return files[path]

    return config.parse(files[name], Path(name), text)


def read(files: Mapping[str, str], name: str = "ciplug.yaml") -> Policy:
    return config_of(files, name).policy


def extending(child: str) -> dict[str, str]:
    return {"ciplug.yaml": f"extends: base.yaml\n{child}", "base.yaml": BASE}


def extended(child: str) -> Policy:
    return read(extending(child))


def test_a_child_has_all_that_it_extends() -> None:
    found = extended("")
    assert found == read({"ciplug.yaml": BASE})
    found = extended("gates: {loss: {max: 1}}\nmetrics: m.json")
    assert list(found.gates) == ["accuracy", "latency", "loss"]


@pytest.mark.parametrize(
    ("child", "key", "value"),
    [
        ("gates: {accuracy: {min: 0.9}}", "gates.accuracy.min", 0.9),
        ("gates: {accuracy: {max_regression: {abs: 0.01, rel: 5%}}}", "gates.accuracy.max_regression.abs", 0.01),
        ("gates: {accuracy: {max_regression: {rel: 5%}}}", "gates.accuracy.max_regression", Allowance(rel=0.05)),
        ("gates: {accuracy: {max_regression: 0}}", "gates.accuracy.max_regression", Allowance(abs=0)),
        ("gates: {latency: {max: 40, severity: error, min: 1, higher_is_better: false}}", "gates.latency.max", 40),
        (
            "gates: {accuracy: {slices: {by: [country, age, sex], min_samples: 50, max_regression: 0.04}}}",
            "gates.accuracy.slices.by",
            ("country", "age", "sex"),
        ),
        ("defaults: {on_missing: fail, atol: 0}", "defaults.on_no_baseline", "fail"),
        ("baseline: {ref: main, max_age_days: 7}", "baseline.max_age_days", 7),
        (
            "stages: {production: {require: [clean_tree, signature]}}",
            "stages.production.requirements",
            ("clean_tree", "signature"),
        ),
        ("stages: {staging: {on_missing: fail}}", "stages.staging.on_missing", "fail"),
        (
            "branches: {release/*: {gates: [accuracy, latency]}}",
            "branches.release/*.gates",
            ("accuracy", "latency"),
        ),
        ("branches: {hotfix/*: {on_no_baseline: fail}}", "branches.hotfix/*.on_no_baseline", "fail"),
        (
            "gates: {loss: {max: 1}}\n"
            "waivers: [{gate: loss, limit: 2, commit: 1a2b3c4, expires: 2026-12-31, reason: r, approved_by: b}]",
            "gates.loss.max",
            1,
        ),
    ],
)
def test_it_may_tighten(child: str, key: str, value: object) -> None:
    found: Any = extended(child)
    for name in key.split("."):
        found = found[name] if isinstance(found, Mapping) else getattr(found, name)
    assert found == value


def test_it_may_rename_a_metric_that_no_gate_looks_at() -> None:
    assert config_of(extending("metrics: {rename: {loss: val/loss}}")).metrics.rename == {"loss": "val/loss"}


@pytest.mark.parametrize(
    ("child", "says"),
    [
        ("gates:\n  accuracy: {min: 0.7}", "ciplug.yaml:3: gates.accuracy.min: 0.7 is below 0.8"),
        ("gates:\n  accuracy: {min: null}", "ciplug.yaml:3: gates.accuracy.min: the bound may not be removed"),
        ("gates:\n  latency: {max: 60}", "ciplug.yaml:3: gates.latency.max: 60 is above 50"),
        (
            "gates:\n  accuracy: {max_regression: 0.03}",
            "ciplug.yaml:3: gates.accuracy.max_regression: 'abs' 0.03 allows more than 0.02",
        ),
        ("gates:\n  accuracy: {max_regression: 6%}", "ciplug.yaml:3: gates.accuracy.max_regression: 'rel' 0.06 allows"),
        ("gates:\n  accuracy: {severity: warning}", "ciplug.yaml:3: gates.accuracy.severity: a gate of severity"),
        (
            "stages:\n  production: {severity: warning}",
            "ciplug.yaml:3: stages.production.severity: a gate of severity error",
        ),
        ("branches:\n  dev: {severity: warning}", "ciplug.yaml:3: branches.dev.severity: a gate of severity error"),
        ("defaults: {severity: warning}", "ciplug.yaml:2: defaults.severity: a gate of severity error"),
        ("defaults: {on_missing: warn}", "ciplug.yaml:2: defaults.on_missing: 'fail' may not be changed to 'warn'"),
        (
            "defaults: {on_no_baseline: warn}",
            "ciplug.yaml:2: defaults.on_no_baseline: 'fail' may not be changed to 'warn'",
        ),
        ("gates:\n  accuracy: {on_inconclusive: warn}", "ciplug.yaml:3: gates.accuracy.on_inconclusive: 'fail' may"),
        ("defaults: {atol: 0.1}", "ciplug.yaml:2: defaults.atol: 0.1 is more than 0"),
        ("defaults: {alpha: 0.01}", "ciplug.yaml:2: defaults.alpha: it may not be changed from 0.05 to 0.01"),
        ("gates:\n  accuracy: {metric: recall}", "ciplug.yaml:3: gates.accuracy.metric: it may not be changed from"),
        ("gates:\n  accuracy: {higher_is_better: false}", "ciplug.yaml:3: gates.accuracy.higher_is_better: it may"),
        ("gates:\n  accuracy: {test: point}", "ciplug.yaml:3: gates.accuracy.test: it may not be changed from auto"),
        ("gates:\n  accuracy: {baseline: production}", "ciplug.yaml:3: gates.accuracy.baseline: it may not be changed"),
        ("baseline: main", "ciplug.yaml:2: baseline: max_age_days 30 may not be raised"),
        (
            "gates:\n  accuracy: {slices: {by: country, max_regression: 0.05}}",
            "ciplug.yaml:3: gates.accuracy.slices.by: 'age' may not be removed",
        ),
        (
            "gates:\n  accuracy: {slices: {by: [country, age], min_samples: 200, max_regression: 0.05}}",
            "ciplug.yaml:3: gates.accuracy.slices.min_samples: 200 is more than 100",
        ),
        ("samples: other.jsonl", "ciplug.yaml:2: samples: it may not be changed"),
        (
            "stages:\n  production: {gates: [accuracy]}",
            "ciplug.yaml:3: stages.production.gates: 'all' may not be narrowed",
        ),
        ("stages:\n  production: {on_inconclusive: warn}", "ciplug.yaml:3: stages.production.on_inconclusive: 'fail'"),
        ("stages:\n  production: {require: []}", "ciplug.yaml:3: stages.production.require: 'signature' may not be"),
        ("stages:\n  production: {clean_tree: false}", "ciplug.yaml:3: stages.production.clean_tree: it may not be"),
        ("stages:\n  staging: {clean_tree: false}", "ciplug.yaml:3: stages.staging.clean_tree: it may not be turned"),
        ("stages:\n  production: {approvals: {}}", "ciplug.yaml:3: stages.production.approvals.not_author: it may not"),
        ("stages:\n  staging: {gates: [accuracy]}", "ciplug.yaml:3: stages.staging.gates: 'latency' may not be left"),
        (
            "stages: {qa: {on_missing: fail}}",
            "ciplug.yaml:2: stages: the order of stages may not be changed from Staging",
        ),
        ("stages:\n  staging: {on_no_baseline: warn}", "ciplug.yaml:3: stages.staging.on_no_baseline: 'fail' may not"),
        ("branches:\n  main: {gates: [latency]}", "ciplug.yaml:3: branches.main.gates: 'accuracy' may not be left out"),
        (
            "waivers:\n  - {gate: accuracy, limit: 1, commit: 1a2b3c4, expires: 2026-12-31, reason: r, approved_by: b}",
            "ciplug.yaml:3: waivers: a waiver for the gate 'accuracy' loosens it",
        ),
        (
            "metrics: {rename: {accuracy: f1}}",
            "ciplug.yaml:2: metrics.rename: the rename of 'accuracy' changes what a gate looks at",
        ),
        (
            "metrics: {rename: {loss: accuracy}}",
            "ciplug.yaml:2: metrics.rename: the rename of 'loss' changes what a gate looks at",
        ),
    ],
)
def test_it_may_not_loosen(child: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        extended(child)
    assert says.replace("ciplug.yaml:3: waivers:", "ciplug.yaml:2: waivers:") in caught.value.message


@pytest.mark.parametrize(
    ("base", "child"),
    [
        ("{ref: best, last: 5}", "{ref: best, last: 1}"),
        ("{ref: best, last: 5}", "{ref: best, last: 50}"),
        ("{ref: mean}", "{ref: mean, last: 1}"),
        ("{ref: mean, last: 5}", "{ref: best, last: 5}"),
        ("{ref: best, branch: main}", "{ref: best, branch: dev}"),
        ("{branch: main}", "{branch: dev}"),
        ("main", "production"),
        ("{ref: production, max_age_days: 7}", "{ref: production, max_age_days: 8}"),
    ],
)
@pytest.mark.parametrize("own", [True, False], ids=["of the gate", "of the file"])
def test_the_baseline_may_not_become_another(base: str, child: str, own: bool) -> None:
    def text(baseline: str) -> str:
        key = f"baseline: {baseline}"
        return f"gates:\n  a: {{higher_is_better: true, max_regression: 0, {key}}}" if own else key

    gate = "gates:\n  a: {higher_is_better: true, max_regression: 0}"
    files = {
        "ciplug.yaml": f"extends: base.yaml\n{text(child)}",
        "base.yaml": text(base) + ("" if own else f"\n{gate}"),
    }
    with pytest.raises(ConfigError) as caught:
        read(files)
    where = "ciplug.yaml:3: gates.a.baseline: " if own else "ciplug.yaml:2: baseline: "
    assert caught.value.message.startswith(where)
    assert read({**files, "ciplug.yaml": f"extends: base.yaml\n{text(base)}"})


def test_a_mistake_in_what_is_extended_names_its_file() -> None:
    with pytest.raises(ConfigError, match=r"^shared/base.yaml:2: gates.a.mim: unknown key"):
        read({"ciplug.yaml": "extends: shared/base.yaml", "shared/base.yaml": "gates:\n  a: {mim: 1}"})
    with pytest.raises(ConfigError, match=r"^shared/base.yaml:1: gates.a: a gate needs a rule"):
        read(
            {
                "ciplug.yaml": "extends: shared/base.yaml\ngates: {b: {min: 1}}",
                "shared/base.yaml": "gates: {a: {severity: error}}",
            }
        )


def test_a_chain_tightens_at_each_step() -> None:
    files = {
        "ciplug.yaml": "extends: team.yaml\ngates: {a: {min: 3}}",
        "team.yaml": "extends: org/all.yaml\ngates: {a: {min: 2}}",
        "org/all.yaml": "gates: {a: {min: 1}}",
    }
    assert read(files).gates["a"].min == 3
    # The step between is looser than its own base, though the last one is not.
    files["team.yaml"] = "extends: org/all.yaml\ngates: {a: {min: 0}}"
    with pytest.raises(ConfigError, match=r"^team.yaml:2: gates.a.min: 0 is below 1"):
        read(files)


def test_files_that_cannot_be_extended() -> None:
    for text, files, says in (
        ("extends: no.yaml", {}, "ciplug.yaml:1: extends: no.yaml: no such file"),
        ("extends: ciplug.yaml", {}, "ciplug.yaml:1: extends: ciplug.yaml extends this file in turn"),
        ("extends: a.yaml", {"a.yaml": "extends: ciplug.yaml"}, "a.yaml:1: extends: ciplug.yaml extends this file"),
        ("extends: a.yaml", {"a.yaml": "models: {x: {metrics: m}}"}, "ciplug.yaml:1: extends: a.yaml has several"),
        ("extends: 5", {}, "ciplug.yaml:1: extends: text is expected, not 5"),
    ):
        with pytest.raises(ConfigError) as caught:
            read({"ciplug.yaml": text, **files})
        assert caught.value.message.startswith(says)


def test_every_way_to_loosen_has_words() -> None:
    assert set(_WORDS) == set(How)
