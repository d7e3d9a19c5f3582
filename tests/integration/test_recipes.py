"""The recipes of CONTRIBUTING.md, followed: a toy is listed in its table, or added in a copy of the package.

A copy is edited where the recipe says. If a place has moved, the test says which, and the recipe has to follow.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug import cli
from ciplug.capture import metric_formats
from ciplug.capture.metric_formats import Entry
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Broken
from tests.integration import test_docs
from tests.project import Project
from tests.toys import hello, plain_store

pytestmark = pytest.mark.slow

PACKAGE = Path(cli.__file__).parent


class Copy:
    """A copy of the package that a test may change."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "ciplug"
        shutil.copytree(PACKAGE, self.package)
        self.env = {"PYTHONPATH": str(folder)}

    def add(self, path: str, text: str) -> None:
        (self.package / path).write_text(text, encoding="utf-8")

    def insert(self, path: str, text: str, *, before: str) -> None:
        """Put `text` before another text, which must stand in the module exactly once."""
        file = self.package / path
        whole = file.read_text(encoding="utf-8")
        places = whole.count(before)
        assert places == 1, (
            f"ciplug/{path} has {before!r} {places} times: does the recipe in CONTRIBUTING.md still fit?"
        )
        file.write_text(whole.replace(before, text + before), encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "house")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "work")


def test_a_binary_format_of_metric_files(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def packed(source: Source, broken: Broken | None) -> Iterator[Entry]:
        if len(source.data) % 8:
            raise source.wrong("not a list of doubles")
        for step, (loss,) in enumerate(struct.iter_unpack("<d", source.data)):
            yield Entry({"loss": loss}, step=step)

    monkeypatch.setitem(metric_formats.READERS, ".packed", packed)
    monkeypatch.chdir(project.folder)
    file = project.folder / "learning.packed"
    file.write_bytes(struct.pack("<3d", 0.5, 0.25, float("nan")))
    assert cli.main(["record", "--metrics", file.name, "--model", "toy"]) == 0
    assert cli.main(["runs", "list", "--model", "toy", "--json"]) == 0
    (run,) = json.loads(capfd.readouterr().out)
    assert run["metrics"] == {"loss": "NaN"}
    file.write_bytes(b"odd")
    assert cli.main(["record", "--metrics", file.name]) == 2
    assert "learning.packed: not a list of doubles" in capfd.readouterr().err


OPENED = """\
    if uri.startswith("plain:"):
        from ciplug.stores.plain import {0}

        return {0}(uri)
"""


PIPES = '''\
"""Tables whose cells stand between pipes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ciplug.capture.tables.delimited import cell_value
from ciplug.capture.tables.table import Row, Table


class Pipes(Table):
    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        head, *lines = self.source.text.splitlines()
        for number, line in enumerate(lines, start=1):
            cells = zip(head.split("|"), line.split("|"), strict=True)
            yield Row({name: cell_value(cell) for name, cell in cells if names is None or name in names}, number)
'''
OPEN_PIPES = """\
def _pipes(source: Source) -> Table:
    from ciplug.capture.tables.pipes import Pipes

    return Pipes(source)


"""


def test_a_format_of_tables(copy: Copy, project: Project) -> None:
    copy.add("capture/tables/pipes.py", PIPES)
    copy.insert("capture/tables/formats.py", OPEN_PIPES, before="FORMATS: dict")
    copy.insert("capture/tables/formats.py", '    ".psv": _pipes,\n', before='    ".parquet": _parquet,\n')
    (project.folder / "metrics.psv").write_text("step|loss\n1|0.5\n2|0.25\n")
    (project.folder / "rows.psv").write_text("id|label|prediction\na|1|1\nb|0|1\n")
    (project.folder / "ciplug.yaml").write_text("version: 1\nmodel: toy\nmetrics: metrics.psv\nsamples: rows.psv\n")
    project.commit("tables between pipes")
    project.ciplug("record", env=copy.env)
    (run,) = project.json("runs", "list", "--json", env=copy.env)
    assert run["metrics"] == {"loss": 0.25, "accuracy": 0.5}


PLACES = {
    "    if is_git(uri):\n        _parse_git(uri)\n": "return",  # check_store
    "    if not is_git(uri) and not uri.startswith(_OBJECTS):\n": "return",  # check_files
    "    if is_archived(address):\n": 'return f"--store {address}"',  # reached_by
}
"""Where a function looks at an address → what it does with one of the new store."""


def test_a_store_and_a_place_for_files(copy: Copy, project: Project, tmp_path: Path) -> None:
    copy.add("stores/plain.py", Path(plain_store.__file__).read_text(encoding="utf-8"))
    copy.insert("stores/__init__.py", OPENED.format("PlainStore"), before="    if not is_git(uri):\n")
    copy.insert("stores/__init__.py", OPENED.format("PlainFiles"), before="    if not uri.startswith(_OBJECTS):\n")
    for before, does in PLACES.items():
        name = "address" if "address" in before else "uri"
        copy.insert("stores/__init__.py", f'    if {name}.startswith("plain:"):\n        {does}\n', before=before)
    store = f"plain:{tmp_path / 'shelf'}"
    env = copy.env
    with (project.folder / "ciplug.yaml").open("a") as file:
        file.write(f"store: {store}\nartifact_store: {store}\n")
    script = project.folder / "train.py"
    script.write_text(script.read_text() + "pathlib.Path('model.bin').write_bytes(b'a model')\n")
    project.commit("a training that makes a model")
    project.train("--artifact", "model.bin", env=env)
    assert [run["metrics"] for run in project.json("runs", "list", "--json", env=env)] == [{"accuracy": 0.85}]
    project.ciplug("gate", env=env)
    project.ciplug("promote", "wine", "--to", "staging", env=env)
    assert "wine" in project.ciplug("registry", "list", env=env).stdout
    project.ciplug("pull", "wine@staging", "--to", "fetched", env=env)
    assert (project.folder / "fetched" / "model.bin").read_bytes() == b"a model"
    project.ciplug("fsck", env=env)
    reached = "from ciplug.stores import reached_by; print(reached_by('plain:/shelf', {}))"
    shown = subprocess.check_output([sys.executable, "-c", reached], text=True, env={**os.environ, **env})
    assert shown == "--store plain:/shelf\n", "the hint where runs wait for another store"


IDENTITY = '''\
"""A test without noise: the interval is the difference itself."""

from __future__ import annotations

from ciplug.stats.intervals import Interval, Rule


def identity(candidate: float, baseline: float, rule: Rule) -> Interval:
    d = rule.sign * (candidate - baseline)
    p = 0.0 if d < rule.bound else 1.0
    return Interval(estimate=d, low=d, high=d, p=p, method="the difference itself", n=1, unit="run", rule=rule)
'''
CALL = """\
    if gate.test == "identity":
        from ciplug.stats.identity import identity

        return Tested(identity(pair.value, pair.reference, pair.rule))
"""


def test_a_statistical_test(copy: Copy, project: Project) -> None:
    copy.add("stats/identity.py", IDENTITY)
    copy.insert("config/gate.py", '"identity", ', before='"welch", PairedTest')
    of_seeds = '    if gate.test == "welch" or (gate.test == "auto" and seeds and'
    copy.insert("gates/choice_of_test.py", CALL, before=of_seeds)
    rule = "accuracy: {higher_is_better: true, max_regression: 0.01, test: identity}"
    (project.folder / "ciplug.yaml").write_text(f"version: 1\nmetrics: metrics.json\ngates:\n  {rule}\n")
    project.commit("gates")
    project.train(env=copy.env)
    project.branch("better", {"accuracy": 0.9})
    project.train(env=copy.env)
    ((gate,),) = (verdict["gates"] for verdict in project.json("gate", "--json", env=copy.env)["verdicts"])
    assert (gate["outcome"], gate["method"]) == ("PASS", "the difference itself")
    project.branch("worse", {"accuracy": 0.8})
    project.train(env=copy.env)
    (verdict,) = project.json("gate", "--json", env=copy.env, code=1)["verdicts"]
    assert verdict["outcome"] == "FAIL"


PAIRED = """\
        if test == "identity":
            from ciplug.stats.identity import identity

            return identity(float(self.new.mean()), float(self.old.mean()), self.question.rule)
"""
EVALUATE = """\
lines = [f"{row},1,{int(row < 17)}\\n" for row in range(20)]
pathlib.Path("rows.csv").write_text("id,label,prediction\\n" + "".join(lines))
"""


def test_a_statistical_test_example_by_example(copy: Copy, project: Project) -> None:
    copy.add("stats/identity.py", IDENTITY)
    copy.insert("config/gate.py", '"identity", ', before='"newcombe", "mcnemar"')
    copy.insert("stats/paired_questions.py", '"identity", ', before='"mcnemar", "newcombe", "tango", "t"')
    copy.insert("stats/paired_tests.py", PAIRED, before='        if test == "newcombe":\n')
    rule = "accuracy: {higher_is_better: true, max_regression: 0.01, test: identity}"
    config = f"version: 1\nmetrics: metrics.json\nsamples: rows.csv\ngates:\n  {rule}\n"
    (project.folder / "ciplug.yaml").write_text(config)
    script = project.folder / "train.py"
    script.write_text(script.read_text() + EVALUATE)
    project.commit("gates")
    project.train(env=copy.env)
    project.branch("same")
    project.train(env=copy.env)
    ((gate,),) = (verdict["gates"] for verdict in project.json("gate", "--json", env=copy.env)["verdicts"])
    assert (gate["outcome"], gate["method"]) == ("PASS", "the difference itself")


KEY = "    other_than: float | None = key(kinds.NUMBER)\n"
RULE = """\
            if gate.other_than is not None:
                outcome = "FAIL" if value == gate.other_than else "PASS"
                rule, reason = f"not {gate.other_than}", f"it is {value}"
                result = GateResult(gate=name, metric=metric, rule=rule, outcome=outcome, reason=reason)
                yield Check(gate=gate, result=result)
"""


def test_a_key_of_a_gate(copy: Copy, project: Project) -> None:
    copy.insert("config/gate.py", KEY, before="    baseline: Baseline | None = key(BASELINE)\n")
    copy.insert(
        "config/tighten.py", '        "other_than": strictness.fixed,\n', before='        "baseline": _baseline,\n'
    )
    copy.insert(
        "gates/evaluate.py",
        RULE,
        before="            yield from _bounds(name, gate, evidence, examples, policy.seeds)\n",
    )

    def check(file: str, text: str, *, code: int = 0) -> str:
        (project.folder / file).write_text(text)
        return project.ciplug("policy", "check", "--config", file, env=copy.env, code=code).stderr

    assert "other_than" in json.dumps(project.json("policy", "schema", env=copy.env))
    gates = "metrics: metrics.json\ngates:\n  accuracy: {{min: 0.8, other_than: {}}}\n"
    assert "wrong.yaml:3: gates.accuracy.other_than" in check("wrong.yaml", gates.format("text"), code=2)
    assert check("ciplug.yaml", gates.format(0.85)) == ""
    child = "extends: ciplug.yaml\ngates: {accuracy: {other_than: 0.5}}\n"
    assert "gates.accuracy.other_than: it may not be changed" in check("child.yaml", child, code=2)
    project.commit("gates")
    project.train(env=copy.env)
    (verdict,) = project.json("gate", "--json", env=copy.env, code=1)["verdicts"]
    assert {gate["rule"]: gate["outcome"] for gate in verdict["gates"]} == {"at least 0.8": "PASS", "not 0.85": "FAIL"}


def test_a_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(cli.COMMANDS, "hello", "greet somebody")
    monkeypatch.setitem(sys.modules, "ciplug.commands.hello", hello)
    assert cli.main(["hello", "--to", "Ann"]) == 0
    assert capfd.readouterr().out == "hello Ann\n"
    assert cli.main(["--help"]) == 0
    assert "hello" in capfd.readouterr().out
    with pytest.raises(AssertionError, match=r"docs/index\.md does not list 'ciplug hello'"):
        test_docs.test_every_command_and_option_is_documented("hello")
