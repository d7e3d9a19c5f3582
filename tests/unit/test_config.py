from __future__ import annotations

from pathlib import Path

import pytest

from ciplug import config
from ciplug.config.metrics import Metrics
from ciplug.config.policy import Policy
from ciplug.errors import ConfigError

WHOLE = """\
version: 1
store: git:?branch=runs
model: wine
metrics: metrics.json
params: [params.yaml, more.toml]
artifacts: model.bin
datasets:
  - data.csv
baseline: develop
defaults: {on_missing: warn}
gates:
  accuracy: {min: 0.8}
"""


def parse(text: str) -> config.Config:
    return config.parse(text, Path("ciplug.yaml"))


def test_every_key() -> None:
    found = parse(WHOLE)
    assert (found.store, found.model, found.policy.baseline.branch) == ("git:?branch=runs", "wine", "develop")
    assert ([one.file for one in found.metrics.files], found.params) == (["metrics.json"], ("params.yaml", "more.toml"))
    assert (found.artifacts, found.datasets) == (("model.bin",), ("data.csv",))
    assert found.policy.defaults.on_missing == "warn"
    assert {name: gate.min for name, gate in found.policy.gates.items()} == {"accuracy": 0.8}
    assert found.places.where("gates", "accuracy", "min") == "ciplug.yaml:12"
    assert found.places.where("gates", "nothing") == "ciplug.yaml:11"
    assert found.places.where("nothing") == "ciplug.yaml:1"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "version: 1\n"])
def test_a_file_that_says_nothing_is_all_defaults(text: str) -> None:
    found = parse(text)
    assert (found.metrics, found.policy, found.model) == (Metrics(), Policy(), None)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[1]", "ciplug.yaml:1: a mapping of keys", None),
        ("version: 1\nmetrix: m.json", "ciplug.yaml:2: metrix: unknown key", "did you mean 'metrics'?"),
        ("zzz: 1", "ciplug.yaml:1: zzz: unknown key", "one of: extends, metrics"),
        ("on: push", "ciplug.yaml:1: on: unknown key", "one of"),
        ("version: 2", "ciplug.yaml:1: version: 2 is not supported", None),
        ("version: true", "ciplug.yaml:1: version: true is not supported", None),
        ("version:", "ciplug.yaml:1: version: an empty value is not supported", None),
        ("version: '1'", "ciplug.yaml:1: version: '1' is not supported", None),
        ("model: 5", "ciplug.yaml:1: model: text is expected, not 5", None),
        ("model: ' '", "ciplug.yaml:1: model: text is expected", None),
        ("store: no", "ciplug.yaml:1: store: text is expected, not false: put it in quotes", None),
        ("metrics: {a: b}", "ciplug.yaml:1: metrics.a: unknown key", "one of: files, show, hide, rename"),
        ("metrics: {show: [a, a]}", "ciplug.yaml:1: metrics.show: 'a' is listed twice", None),
        ("metrics: {rename: {a: 1}}", "ciplug.yaml:1: metrics.rename: a mapping of old names to new ones", None),
        ("metrics: {rename: {a: b, b: a}}", "ciplug.yaml:1: metrics.rename: 'a' is renamed to itself", None),
        ("metrics: [a, 1]", "ciplug.yaml:1: metrics.1: a path, a list of paths, or a mapping", None),
        ("metrics: {take: best}", "ciplug.yaml:1: metrics.file: this key is missing", None),
        ("metrics: {file: a.csv, take: most}", "ciplug.yaml:1: metrics.take: last, best, min, max or", None),
        ("metrics: {file: a.csv, of: loss}", "ciplug.yaml:1: metrics.of: it chooses the step for take", None),
        ("params: ['']", "ciplug.yaml:1: params: a path or a list of paths", None),
        ("gates: [a]", "ciplug.yaml:1: gates: a mapping of names is expected", None),
        ("defaults: 1", "ciplug.yaml:1: defaults: a mapping is expected", None),
        ("model: a\nmodel: b", "ciplug.yaml:2: duplicate key 'model'", None),
        ("a: [", "ciplug.yaml:1: not valid YAML", None),
    ],
)
def test_mistakes_name_file_line_and_key(text: str, says: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message.startswith(says)
    assert hint is None or (caught.value.hint or "").startswith(hint)


@pytest.mark.parametrize("text", ["gates:\n", "gates: {}", "gates:\n  # accuracy: {min: 0.9}\n"])
def test_gates_without_a_gate_would_pass_everything(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^ciplug.yaml:1: gates: empty"):
        parse(text)


def test_a_gate_at_the_wrong_depth_is_not_a_gate() -> None:
    with pytest.raises(ConfigError, match=r"accuracy: unknown key"):
        parse("gates: {loss: {max: 1}}\naccuracy: {min: 0.9}")


def test_find_looks_upwards_and_not_beyond_the_repository(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "ciplug.yaml").touch()
    assert config.find(inner, tmp_path / "repository") is None
    (tmp_path / "repository" / "ciplug.yaml").touch()
    assert config.find(inner, tmp_path / "repository") == tmp_path / "repository" / "ciplug.yaml"
    (inner / "ciplug.yaml").touch()
    assert config.find(inner, tmp_path / "repository") == inner / "ciplug.yaml"
    assert config.find(inner.parent, None) is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"model: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml:1: this line is not UTF-8"):
        config.load(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path)


MODELS = """\
version: 1
store: git:?branch=runs
models:
  wine:
    metrics: wine.json
    gates: {accuracy: {min: 0.8}}
  beer:
    metrics: beer.json
    baseline: develop
"""


def test_several_models() -> None:
    found = parse(MODELS)
    assert (found.store, list(found.models)) == ("git:?branch=runs", ["wine", "beer"])
    wine, beer = found.of("wine"), found.of("beer")
    assert (wine.model, wine.outputs, beer.outputs) == ("wine", ("wine.json",), ("beer.json",))
    assert (list(wine.policy.gates), wine.policy.baseline.branch) == (["accuracy"], None)
    assert (list(beer.policy.gates), beer.policy.baseline.branch) == ([], "develop")
    assert wine.places.where("gates", "accuracy", "min") == "ciplug.yaml:6"
    for name, says in ((None, "ciplug.yaml has several models"), ("gin", "ciplug.yaml has no model 'gin'")):
        with pytest.raises(ConfigError, match=says) as caught:
            found.of(name)
        assert "wine, beer" in (caught.value.hint or "")
    assert parse("models: {wine: {}}").of(None).model == "wine"
    assert parse("model: wine").of("beer").model == "wine"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: {}", "ciplug.yaml:1: models: empty: name a model"),
        ("models: [a]", "ciplug.yaml:1: models: a mapping of names is expected"),
        ("models:\n  a: 1", "ciplug.yaml:2: models.a: a mapping is expected"),
        ("models:\n  a: {metrix: 1}", "ciplug.yaml:2: models.a.metrix: unknown key"),
        ("models:\n  a: {store: 1}", "ciplug.yaml:2: models.a.store: unknown key"),
        ("models:\n  a: {gates: {}}", "ciplug.yaml:2: models.a.gates: empty"),
        ("models: {a: {}}\ngates: {b: {min: 1}}", "ciplug.yaml:2: gates: this key is not allowed beside 'models:'"),
    ],
)
def test_mistakes_in_models(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message.startswith(says)
