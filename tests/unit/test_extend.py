from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciplug import config
from ciplug.config.allowance import Allowance
from ciplug.config.kinds import Listed, Named, Table, keys_of
from ciplug.config.loosening import _WORDS, How
from ciplug.config.policy import Policy
from ciplug.config.settings import Config
from ciplug.config.stages import Narrowing
from ciplug.config.tighten import STRICTER
from ciplug.errors import ConfigError
from tests.unit.test_gates_with_evidence import judge, share, side, table

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
        ("baseline: {max_age_days: 7}", "baseline.max_age_days", 7),
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
        ("baseline: main", "ciplug.yaml:2: baseline: it may not be changed from nothing to main"),
        ("baseline: {max_age_days: 31}", "ciplug.yaml:2: baseline: max_age_days 30 may not be raised or removed"),
        ("baseline: {}", "ciplug.yaml:2: baseline: max_age_days 30 may not be raised or removed"),
        ("stages:\n  production: {on_missing: warn}", "ciplug.yaml:3: stages.production.on_missing: 'fail' may not be"),
        (
            "gates:\n  accuracy: {slices: {by: country, max_regression: 0.05}}",
            "ciplug.yaml:3: gates.accuracy.slices.by: 'age' may not be removed",
        ),
        (
            "gates:\n  accuracy: {slices: {by: [country, age], min_samples: 200, max_regression: 0.05}}",
            "ciplug.yaml:3: gates.accuracy.slices.min_samples: 200 is more than 100",
        ),
        ("optional: true", "ciplug.yaml:2: optional: a pull request would not need a run any more"),
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


OPEN = """\
gates:
  a: {higher_is_better: true, min: 0.1, max_regression: {abs: 0.02, rel: 5%}, slices: {by: country, min: 0.1}}
  warns: {higher_is_better: true, max_regression: 1, severity: warning}
"""


@pytest.mark.parametrize(
    ("child", "where", "actions"),
    [
        ("gates:\n  a: {n: nosuch}", "3: gates.a.n", "on_inconclusive"),
        ("gates:\n  a: {history: {window: 99, min_samples: 99}}", "3: gates.a.history", "on_inconclusive"),
        ("gates:\n  a: {max_regression: 5%}", "3: gates.a.max_regression", "on_inconclusive"),
        (
            "gates:\n  a: {slices: {by: [country, nosuch], min: 0.1}}",
            "3: gates.a.slices.by",
            "on_missing: fail, on_inconclusive",
        ),
        ("gates:\n  a: {baseline: {max_age_days: 1.0e-8}}", "3: gates.a.baseline", "on_inconclusive"),
        ("baseline: {max_age_days: 1.0e-8}", "2: baseline", "on_inconclusive"),
        ("baseline: {source: ci}", "2: baseline", "on_no_baseline"),
        ("seeds: {min_runs: 50}", "2: seeds", "on_inconclusive"),
        ("evaluation: nosuch.csv", "2: evaluation", "on_inconclusive"),
        ("samples: nosuch.jsonl", "2: samples", "on_inconclusive"),
        ("record: ci", "2: record", "on_inconclusive"),
    ],
)
def test_what_may_leave_a_gate_open_is_looser_unless_it_fails_then(child: str, where: str, actions: str) -> None:
    base = f"{OPEN}defaults: {{on_missing: warn}}\nsamples: s.jsonl\n"
    base = base if not child.startswith("samples") else base.replace("samples: s.jsonl\n", "")
    files = {"ciplug.yaml": f"extends: base.yaml\n{child}", "base.yaml": base}
    with pytest.raises(ConfigError) as caught:
        read(files)
    words = f"ciplug.yaml:{where}: it can leave the gate 'a' open where it would fail: give that gate {actions}: fail"
    assert words in caught.value.message
    strict = "defaults: {on_missing: fail, on_inconclusive: fail, on_no_baseline: fail}"
    assert read({**files, "ciplug.yaml": f"{files['ciplug.yaml']}\n{strict}"})
    # A gate that only warns stops nothing, undecided or not.
    assert read({**files, "base.yaml": base.replace("slices:", "severity: warning, slices:")})


def test_no_number_of_new_tests_leaves_an_inherited_gate_open() -> None:
    """By Holm's correction over all tests, the p-value of the inherited gate would be multiplied by their number."""
    team = "gates: {accuracy: {min: 0.7, slices: {by: country, min: 0.1}}}"
    more = ", ".join(f"g{n}: {{metric: accuracy, min: 0.1}}" for n in range(50))
    files = {
        "base.yaml": "samples: s.jsonl\ngates: {accuracy: {higher_is_better: true, max_regression: 0.01}}",
        "team.yaml": f"extends: base.yaml\n{team}",
        "ciplug.yaml": f"extends: team.yaml\ngates: {{{more}}}",
        "alone.yaml": "samples: s.jsonl\ngates: {accuracy: {higher_is_better: true, max_regression: 0.01}, "
        + f"{more}}}",
    }
    old = table([n % 10 != 0 for n in range(1000)], country=["de", "fr"] * 500)
    new = table([n % 10 != 0 and n % 50 != 1 for n in range(1000)], country=["de", "fr"] * 500)
    sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(old)})
    outcomes = {}
    for name in files:
        verdict = judge(read(files, name), *sides, examples=(new, old))
        (outcomes[name],) = (one for one in verdict.gates if one.baseline is not None)
    assert [outcomes[name].outcome for name in files] == ["FAIL", "FAIL", "FAIL", "INCONCLUSIVE"]
    assert len({outcomes[name].p for name in ("base.yaml", "team.yaml", "ciplug.yaml")}) == 1


def test_more_runs_than_the_base_asks_for_may_leave_a_gate_open() -> None:
    files = {
        "ciplug.yaml": "extends: base.yaml\nseeds: {min_runs: 50}",
        "base.yaml": f"{OPEN}samples: s.jsonl\nseeds: {{min_runs: 5}}",
    }
    with pytest.raises(ConfigError, match=r"2: seeds.min_runs: it can leave the gate 'a' open where it would fail"):
        read(files)
    assert read({**files, "ciplug.yaml": f"{files['ciplug.yaml']}\ndefaults: {{on_inconclusive: fail}}"})


def test_another_current_file_may_be_the_reference_itself() -> None:
    base = "samples: s.csv\ngates:\n  d: {kind: drift, reference: r.csv}"
    with pytest.raises(ConfigError, match=r"3: gates.d.current: it may not be changed from nothing to r.csv"):
        read({"ciplug.yaml": "extends: base.yaml\ngates:\n  d: {current: r.csv}", "base.yaml": base})


def test_a_clean_tree_may_not_be_widened() -> None:
    base = "clean: {ignore: [generated/]}"
    for child, is_wider in (("[generated/]", False), ("[]", False), ("[generated/, train.py]", True)):
        files = {"ciplug.yaml": f"extends: base.yaml\nclean: {{ignore: {child}}}", "base.yaml": base}
        if is_wider:
            with pytest.raises(ConfigError, match=r"2: clean.ignore: 'train.py' sets aside more"):
                config_of(files)
        else:
            assert config_of(files)


def test_every_key_is_either_stricter_or_looser_or_free() -> None:
    """The table has a comparison for each key of each table that a policy is made of, and for no other."""
    reached: set[type] = set()
    waiting: list[type] = [Policy]
    while waiting:
        table = waiting.pop()
        if table not in reached:
            reached.add(table)
            waiting += [inner for one in keys_of(table).values() if (inner := _table_in(one.metadata["kind"]))]
    assert reached | {Narrowing} == set(STRICTER)
    for table, compared in STRICTER.items():
        assert set(compared) == set(keys_of(table)), table


def _table_in(kind: Any) -> type | None:
    while isinstance(kind, (Named, Listed)):
        kind = kind.of
    return kind.of if isinstance(kind, Table) else None


def test_every_way_to_loosen_has_words() -> None:
    assert set(_WORDS) == set(How)
