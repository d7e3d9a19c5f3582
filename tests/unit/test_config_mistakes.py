"""All mistakes of ciplug.yaml, and of what it extends, are reported at once, each where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug import config
from ciplug.config.json_schema import schema
from ciplug.config.kinds import Later, Listed, Named, Scalar, Table, keys_of
from ciplug.config.targets import KINDS
from ciplug.errors import ConfigError
from ciplug.targets import OPENERS
from tests import generated


@cache
def published() -> Any:
    """The validator of the schema. The import takes two seconds: it compiles the grammars of URIs."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def message(files: Mapping[str, str] | str, origin: str = "") -> list[str]:
    """The lines of the error, without the hints."""
    files = {"ciplug.yaml": files} if isinstance(files, str) else files

    def read(path: str) -> str:
        if path not in files:
            raise ConfigError(f"{path}: no such file")
        return files[path]

    with pytest.raises(ConfigError) as caught:
        config.parse(files["ciplug.yaml"], Path("ciplug.yaml"), read, origin)
    return caught.value.message.split("\n")


def test_every_mistake_with_its_line_and_hint() -> None:
    text = (
        "version: 2\nmetrix: m.json\nsamples: {file: s.jsonl, ID: x}\ngates:\n  a: {mim: 1}\n  b:\n    min: x\n"
        "    max: .nan\n  c: {min: 2, max: 1}\nstages:\n  staging: {gates: [c, e]}\nwaivers:\n  - {gate: a}\n"
        "keep: {last: 0}\n"
    )
    missing = ("limit", "commit", "expires", "reason", "approved_by")
    assert message(text) == [
        "14 mistakes in ciplug.yaml:",
        "  ciplug.yaml:1: version: 2 is not supported: write 'version: 1'",
        "  ciplug.yaml:2: metrix: unknown key (did you mean 'metrics'?)",
        "  ciplug.yaml:3: samples.ID: unknown key (one of: file, format, id, label, prediction, cluster, weight)",
        "  ciplug.yaml:5: gates.a.mim: unknown key (did you mean 'min'?)",
        "  ciplug.yaml:7: gates.b.min: a number is expected, not 'x'",
        "  ciplug.yaml:8: gates.b.max: a finite number is expected, not nan",
        "  ciplug.yaml:9: gates.c: min 2 is above max 1: nothing could pass",
        "  ciplug.yaml:11: stages.staging.gates: unknown gate 'e' (one of: a, b, c)",
        *(f"  ciplug.yaml:13: waivers.0.{key}: this key is missing" for key in missing),
        "  ciplug.yaml:14: keep.last: a whole number from 1 up is expected, not 0",
    ]


def test_duplicate_keys_and_values_that_yaml_cannot_read_are_among_them() -> None:
    text = "metrics: a.json\nmetrics: b.json\ngates:\n  a: {min: 2026-99-99}\nkeep: {last: -1}\n"
    assert message(text) == [
        "3 mistakes in ciplug.yaml:",
        "  ciplug.yaml:2: duplicate key 'metrics', first on line 1",
        "  ciplug.yaml:4: gates.a.min: '2026-99-99' cannot be read: month must be in 1..12",
        "  ciplug.yaml:5: keep.last: a whole number from 1 up is expected, not -1",
    ]
    extending = {
        "ciplug.yaml": "extends: base.yaml\ngates: {b: {max: 1}}",
        "base.yaml": "gates: {a: {min: 2026-99-99}}",
    }
    assert len(message(extending)) == 1


def test_what_can_change_the_bytes_that_kserve_serves_is_refused_by_name() -> None:
    fine = (
        "minReplicas: 2, tolerations: [{key: gpu}], nodeSelector: {a: b}, serviceAccountName: x, "
        "model: {runtime: mlserver, resources: {limits: {cpu: 1}}}"
    )
    start = "targets: {a: {kind: kserve, name: w, storage: 's3://abc/d', format: onnx, apply: true, predictor: "
    assert config.parse(start + "{" + fine + "}}}", Path("ciplug.yaml"), str, "").targets
    refused = {
        "predictor": ("canaryTrafficPercent", "containers", "initContainers", "storageUris", "workerSpec", "volumes"),
        "predictor.model": ("storageUri", "storage", "image", "args", "command", "env", "modelFormat"),
    }
    for path, names in refused.items():
        for name in names:
            value = f"{{{name}: 1}}" if path == "predictor" else f"{{model: {{{name}: 1}}}}"
            said = " ".join(message(start + value + "}}"))
            assert f"targets.a.{path}.{name}: it can change which bytes are served" in said, said
    assert "2026-01-02 is no value of JSON" in " ".join(message(start + "{timeout: 2026-01-02}}}")).replace("'", "")
    assert "a mapping is expected" in " ".join(message(start + "{model: [1]}}}"))


def test_the_kind_of_a_target_chooses_its_keys() -> None:
    text = (
        "targets:\n  a: {kind: oci, folder: /x}\n  b: {kind: local, folder: x, ports: [1, 1]}\n"
        "  c: {kind: moon}\n  d: {repository: a.b/c}\n  E: {kind: oci, repository: 'https://a.b/c'}\n  f: 3\n"
        "  g: {kind: local, folder: /x, serve: run, supervisor: compose, volumes: [x]}\n"
    )
    ports = (
        "two different ports from 1 to 65535 are expected, like [5001, 5002]: the next version starts beside the last"
    )
    oci = "a mapping is expected, like {kind: oci, repository: registry.example.com/team/wine}, not 3"
    kinds = "'oci' or 'local' or 'sagemaker' or 'kserve' or 'azureml' or 'mlflow'"
    host = "host and name of a repository are expected, like registry.example.com/team/wine"
    compose = "'supervisor: compose' and 'image' need one another"
    volumes = "an absolute folder without ':' is expected"
    assert message(text) == [
        "12 mistakes in ciplug.yaml:",
        "  ciplug.yaml:2: targets.a.folder: unknown key (one of: kind, stage, smoke_test, repository)",
        "  ciplug.yaml:2: targets.a.repository: this key is missing",
        "  ciplug.yaml:3: targets.b.folder: an absolute folder is expected, like /srv/models/wine, not 'x'",
        f"  ciplug.yaml:3: targets.b.ports: {ports}, not [1, 1]",
        f"  ciplug.yaml:4: targets.c.kind: {kinds} is expected, not 'moon'",
        f"  ciplug.yaml:5: targets.d.kind: this key is missing (kind: {kinds})",
        "  ciplug.yaml:6: targets.E: write the name of a target in lower case, with letters, digits, '-' and '_'",
        f"  ciplug.yaml:6: targets.E.repository: {host}, not 'https://a.b/c'",
        f"  ciplug.yaml:7: targets.f: {oci}",
        "  ciplug.yaml:8: targets.g.serve: the command must name its port: {port}",
        f"  ciplug.yaml:8: targets.g.image: {compose} (image: python:3.12-slim)",
        f"  ciplug.yaml:8: targets.g.volumes: {volumes}, not 'x' (volumes: [/var/log/wine])",
    ]
    good = "targets: {a: {kind: oci, repository: 'a.b:5000/c/d'}, b: {kind: local, folder: ~/x, serve: 'x {port}'}}"
    config.parse(good, Path("ciplug.yaml"), lambda name: "")
    published().validate(yaml.safe_load(good))
    for wrong in yaml.safe_load(text)["targets"].items():
        assert not published().is_valid({"targets": dict([wrong])}) or wrong[0] == "g"


@pytest.mark.parametrize(
    "line", ['serve: "run \'it {port}"', 'after_switch: "nginx -s \'reload"', 'after_switch: "a\\0b"']
)
def test_a_command_line_that_no_shell_reads_is_a_mistake(line: str) -> None:
    """It was found by the deployment, after the switch."""
    text = f"version: 1\ntargets:\n  a:\n    kind: local\n    folder: /srv/a\n    {line}\n"
    said = " ".join(message(text))
    assert "ciplug.yaml:6" in said and "a command line is expected" in said


def test_every_kind_of_target_can_be_opened() -> None:
    assert set(OPENERS) == set(KINDS)


def test_the_models_of_a_file() -> None:
    a = "    gates: {x: {mim: 1}}\n    monitor: {gates: y}\n"
    lines = message(f"models:\n  a:\n{a}  b: {{metrics: [1], store: x}}\n  c: 5\nmodel: z\n")
    assert [line.split(" (")[0] for line in lines] == [
        "6 mistakes in ciplug.yaml:",
        "  ciplug.yaml:3: models.a.gates.x.mim: unknown key",
        "  ciplug.yaml:4: models.a.monitor.gates: unknown gate 'y'",
        "  ciplug.yaml:5: models.b.store: unknown key",
        "  ciplug.yaml:5: models.b.metrics.0: a path, a list of paths, or a mapping like "
        "{file: history.csv, take: best, of: val_loss} is expected, not 1",
        "  ciplug.yaml:6: models.c: a mapping is expected, like {metrics: metrics.json}, not 5",
        "  ciplug.yaml:7: model: this key is not allowed beside 'models:'",
    ]


def test_the_files_that_it_extends_are_checked_with_it_and_each_mistake_is_reported_once() -> None:
    files = {
        "ciplug.yaml": "models:\n  a: {extends: base.yaml, gates: {q: {min: z}}}\n  b: {extends: base.yaml}\n"
        "  c: {extends: none.yaml}\n",
        "base.yaml": "gates:\n  q: {min: 1}\n  r: {mim: 1}\nseeds: {min_runs: 1}\n",
    }
    assert message(files) == [
        "4 mistakes in 2 files:",
        "  ciplug.yaml:2: models.a.gates.q.min: a number is expected, not 'z'",
        "  ciplug.yaml:4: models.c.extends: none.yaml: no such file",
        "  base.yaml:3: gates.r.mim: unknown key (did you mean 'min'?)",
        "  base.yaml:4: seeds.min_runs: a whole number from 2 up is expected, not 1",
    ]


def test_where_the_text_is_from_comes_first() -> None:
    assert message("metrix: 1", "main (1a2b3c4d)") == ["main (1a2b3c4d): ciplug.yaml:1: metrix: unknown key"]
    assert message("metrix: 1\nx: 1", "main (1a2b3c4d)")[0] == "main (1a2b3c4d): 2 mistakes in ciplug.yaml:"


def test_every_loosening_is_reported_beside_other_mistakes() -> None:
    files = {
        "ciplug.yaml": "extends: base.yaml\ngates:\n  a: {min: 0.7}\n  b: {severity: warning}\n  c: {min: x}\n",
        "base.yaml": "gates: {a: {min: 0.8}, b: {max: 1}, c: {min: 1}}\n",
    }
    assert message(files) == [
        "3 mistakes in ciplug.yaml:",
        "  ciplug.yaml:3: gates.a.min: 0.7 is below 0.8",
        "  ciplug.yaml:4: gates.b.severity: a gate of severity error may not be lowered to warning",
        "  ciplug.yaml:5: gates.c.min: a number is expected, not 'x'",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "samples: [x]\ngates: {a: {higher_is_better: true, max_regression: 0, test: mcnemar, slices: {by: c, min: 0}}}",
        "seeds: 5\ngates: {a: {higher_is_better: true, max_regression: 0, test: welch}}",
        "gates: {a: {min: x}}\nbranches: {main: {gates: a}}\nwaivers: []",
    ],
)
def test_a_part_that_cannot_be_read_is_not_called_missing(text: str) -> None:
    assert len(message(text)) == 1


def test_no_more_are_shown_than_a_person_reads() -> None:
    lines = message("gates:\n" + "".join(f"  g{n}: {{mim: 1}}\n" for n in range(200)))
    assert (len(lines), lines[-1]) == (52, "  and 150 more")


def test_a_name_writes_no_line_of_its_own() -> None:
    assert message('"a\\nb": 1\n"c\\rd": 1')[1].startswith("  ciplug.yaml:1: a\N{REPLACEMENT CHARACTER}b: unknown key")


def test_a_tab() -> None:
    assert message("gates:\n\ta: {min: 1}") == [
        "ciplug.yaml:2: not valid YAML: a tab is used for indentation: use spaces"
    ]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(width=16) | st.sampled_from(["", "all", "main", "10%"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "min", "gates"]), inner),
    max_leaves=4,
)


def values_of(table: type) -> st.SearchStrategy[Any]:
    """Mappings with the keys of a dataclass, and any values: right ones, wrong ones."""
    return st.fixed_dictionaries({}, optional={name: value_of(key) for name, key in keys_of(table).items()})


def value_of(key: Any) -> st.SearchStrategy[Any]:
    kind = key.metadata["kind"]
    if isinstance(kind, Later):
        kind = kind.kind()
    if isinstance(kind, Scalar):
        return ANY
    if isinstance(kind, Listed):
        return ANY | st.lists(values_of(kind.of.of), max_size=2)
    table = kind.of.of if isinstance(kind, Named) else kind.of
    inner = st.deferred(lambda: values_of(table))
    return ANY | (st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2) if isinstance(kind, Named) else inner)


# Deferred, since Hypothesis would spell the strategy out.
FILES = st.deferred(lambda: values_of(config.Config))


@settings(max_examples=generated.examples(50), deadline=None)
@given(FILES)
def test_any_file_is_read_or_reported_and_each_mistake_has_file_and_line(data: dict[str, Any]) -> None:
    text = yaml.safe_dump(data, sort_keys=False)
    try:
        config.parse(text, Path("ciplug.yaml"), lambda path: "")
    except ConfigError as problem:
        first, *others = problem.message.split("\n")
        lines = [line for line in others or [first] if not line.startswith("  and ")]
        assert all(line.strip().partition(":")[0] in {"ciplug.yaml", "all", "main", "10%"} for line in lines)


@settings(max_examples=generated.examples(80), deadline=None)
@given(FILES)
def test_the_schema_takes_every_file_that_ciplug_takes(data: dict[str, Any]) -> None:
    data.pop("extends", None)
    try:
        config.parse(yaml.safe_dump(data, sort_keys=False), Path("ciplug.yaml"))
    except ConfigError:
        return
    assert not [error.message for error in published().iter_errors(data)]


def test_a_table_is_what_is_meant() -> None:
    """The kinds that the strategies above know are all that there are."""
    kinds = {type(key.metadata["kind"]) for table in (config.Config, config.Section) for key in keys_of(table).values()}
    assert all(issubclass(kind, (Scalar, Table, Named, Listed, Later)) for kind in kinds)


def test_contradictions_are_reported_beside_other_mistakes_of_the_same_part() -> None:
    text = (
        "samples: {file: s.jsonl, label: y, prediction: y, format: ''}\n"
        "gates:\n"
        "  a: {higher_is_better: true, max_regression: 1%, history: {window: 5, min_samples: 9}, severity: wrong}\n"
        "  b: {min: 2, max: 1, alpha: 7}\n"
        "  c: {mim: 1, alpha: 7}\n"
        "  d: {min: x, max: 1}\n"
        "  e: {kind: drift, reference: r.csv}\n"
        "waivers:\n"
        "  - {gate: e, limit: 1, commit: '1234567', expires: 2027-01-01, reason: r, approved_by: x}\n"
        "  - {gate: b, limit: 1, commit: x, expires: 2027-01-01, reason: r, approved_by: x}\n"
        "stages:\n"
        "  staging: {gates: [e, zz], on_missing: maybe, clean_tree: false, require: [clean_tree]}\n"
        "  none: {}\n"
    )
    assert message(text) == [
        "15 mistakes in ciplug.yaml:",
        "  ciplug.yaml:1: samples.format: text is expected, not ''",
        "  ciplug.yaml:1: samples.prediction: the column 'y' is the label, too: one column cannot be both",
        "  ciplug.yaml:3: gates.a.history.min_samples: 9 is more than the window of 5 runs: nothing could be judged",
        "  ciplug.yaml:3: gates.a.severity: 'error' or 'warning' is expected, not 'wrong'",
        "  ciplug.yaml:4: gates.b.alpha: a number between 0 and 0.5 is expected, not 7",
        "  ciplug.yaml:4: gates.b: min 2 is above max 1: nothing could pass",
        "  ciplug.yaml:5: gates.c.mim: unknown key (did you mean 'min'?)",
        "  ciplug.yaml:5: gates.c.alpha: a number between 0 and 0.5 is expected, not 7",
        "  ciplug.yaml:6: gates.d.min: a number is expected, not 'x'",
        "  ciplug.yaml:9: waivers.0.gate: 'e' is a gate of kind drift, which cannot be waived",
        "  ciplug.yaml:10: waivers.1.commit: a commit id is expected, at least 7 digits in quotes, not 'x'",
        "  ciplug.yaml:12: stages.staging.on_missing: 'fail' or 'warn' is expected, not 'maybe'",
        "  ciplug.yaml:12: stages.staging.clean_tree: 'require' asks for clean_tree: remove one of the two",
        "  ciplug.yaml:12: stages.staging.gates: unknown gate 'zz' (one of: a, b, c, d, e)",
        "  ciplug.yaml:13: stages.none: 'none' has a meaning of its own in the registry: choose another name",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gates:\n  a: {min: 1, test: welch}\nseeds: {}", "2: gates.a.test: it is for a rule that compares"),
        (
            "gates:\n  a: {higher_is_better: true, max_regression: 1%, test: point, history: {}}",
            "2: gates.a.history: the",
        ),
        (
            "gates:\n  a: {higher_is_better: true, max_regression: 0, test: point, n: c}",
            "2: gates.a.n: the test 'point'",
        ),
        (
            "samples: s.csv\ngates:\n  a: {higher_is_better: true, max_regression: 1%, test: mcnemar}",
            "3: gates.a.test: McNemar's test takes no allowance",
        ),
        (
            "samples: s.csv\ngates:\n  a: {higher_is_better: true, max_regression: 0, test: mcnemar, "
            "slices: {by: c, max_regression: 0.1}}",
            "3: gates.a.test: McNemar's test takes no allowance, and slices.max_regression is one",
        ),
        (
            "samples: s.csv\nbaseline: mean\ngates:\n  a: {higher_is_better: true, max_regression: 1, test: newcombe}",
            "4: gates.a.test: the test 'newcombe' compares with the runs of one commit, and the baseline is the mean",
        ),
        (
            "seeds: {}\nbaseline: best\ngates:\n  a: {higher_is_better: true, max_regression: 1, test: welch}",
            "4: gates.a.test: the test 'welch' compares with the runs of one commit, and the baseline is the best",
        ),
        (
            "samples: s.csv\ngates:\n  a:\n    higher_is_better: true\n    test: mcnemar\n    max_regression: 0\n"
            "    slices: {by: c, max_regression: 1%}",
            "5: gates.a.test: McNemar's test takes no allowance",
        ),
        (
            "samples: s.csv\ngates:\n  a: {higher_is_better: true, max_regression: 1%, test: tango}",
            "3: gates.a.test: Tango's interval takes no percentage",
        ),
        (
            "samples: s.csv\ngates:\n  a:\n    higher_is_better: true\n    baseline: mean\n"
            "    slices: {by: c, max_regression: 1%}\n    max_regression: 1%",
            "6: gates.a.slices.max_regression: a slice is compared with the examples of one run",
        ),
        (
            "gates: {a: {min: 1}, d: {kind: drift, reference: r.csv, current: c.csv}}\nstages: {staging: {gates: d}}",
            "2: stages.staging.gates: a promotion cannot judge gates of kind drift",
        ),
    ],
)
def test_what_could_never_decide(text: str, says: str) -> None:
    (line,) = message(text)
    assert line.startswith(f"ciplug.yaml:{says}")
