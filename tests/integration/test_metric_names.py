"""Names of metrics, long and hostile, from the training through comparison and gates into all reports."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.project import Project, git

LONG = "x" * 120 + "/" + "y" * 128
NAMES = (
    *(f"{LONG}1", f"{LONG}2"),
    *("::error::boom", " ::add-mask::a", "loss:val", "a::b"),
    *(" leading", "trailing ", "a  b", "a b ", " a b", "a b"),
    *(
        "R&D",
        "Men's wear",
        "हिन्दी",
        "می\u200cخواهم",
        "leaderboard|arc:challenge|25",
        "`rm -rf`",
        "<script>alert(1)</script>",
    ),
    *(
        '"quoted"',
        "back\\slash",
        "a ##[error]b",
        "##vso[task.setvariable variable=x]y",
        "$(id) ${x} {{x}}",
        "*b* _i_ ~s~",
    ),
    *("![i](http://x.example/y.png)", "<!-- ciplug:report -->", "a;b\u2013c", "]]>", "&amp;", "a" * 249 + "é"),
    *("=cmd(1)", "@user", "-1", "größe", "m@1", "#12", "[x](y)", "a, b"),
)
TRAIN = """\
import json, ciplug
for number, name in enumerate(json.load(open("names.json"))):
    for step in (0, 1):
        ciplug.log_metric(name, number + step, step=step)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two commits, each with a run of these metrics, and a gate on each of them."""
    top = tmp_path_factory.mktemp("names")
    git(top, "init", "-q", "--bare", "-b", "main", "remote.git")
    gates = {
        f"gate {number}": {"metric": name, "higher_is_better": True, "max_regression": 0.1}
        for number, name in enumerate(NAMES)
    }
    config = json.dumps({"version": 1, "model": "wine", "gates": gates}, ensure_ascii=False)
    project = Project.create(top / "work", remote=top / "remote.git", config=config)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / "names.json").write_text(json.dumps(NAMES))
    project.commit("names")
    project.push()
    for message in ("names again", None):
        project.ciplug("run", "--", sys.executable, "train.py")
        if message:
            project.commit(message)
    return project


def check_log(*streams: str) -> None:
    """No line has a command of a CI host or an escape sequence."""
    for line in "\n".join(streams).split("\n"):
        assert not line.lstrip().startswith("::") and not re.search(r"##\w*\[", line), line
        assert "\x1b" not in line, ascii(line)


@pytest.mark.slow
def test_they_are_recorded_as_they_are(project: Project) -> None:
    assert {len(name) for name in NAMES if name.startswith("x")} == {250}
    shown = project.json("runs", "show", project.json("runs", "list", "--json")[0]["id"], "--json")
    assert shown["metrics"] == {name: number + 1.0 for number, name in enumerate(NAMES)}
    assert all(name == unicodedata.normalize("NFC", name) for name in NAMES)


@pytest.mark.slow
def test_no_command_prints_a_command(project: Project) -> None:
    run = project.json("runs", "list", "--json")[0]["id"]
    for args in (
        ("runs", "show", run),
        ("runs", "list"),
        ("compare",),
        ("compare", "--format", "markdown"),
        ("compare", "--format", "csv"),
        ("gate",),
        ("report",),
        ("report", "--format", "line"),
        ("report", "--format", "openmetrics"),
        ("report", "--format", "json"),
        ("runs", "list", "--json"),
        ("runs", "list", "--format", "csv"),
        ("leaderboard", "--metric", NAMES[2], "--higher-is-better"),
    ):
        done = project.ciplug(*args, code=None)
        assert done.returncode in (0, 1), done.stderr
        check_log(done.stdout, done.stderr)


@pytest.mark.slow
def test_all_are_in_every_report_and_none_is_taken_for_another(project: Project) -> None:
    project.ciplug("ci", "--output-dir", "out", "--no-comment", "--", sys.executable, "train.py")
    out = project.folder / "out"
    report = json.loads((out / "report.json").read_text())
    assert sorted(m["metric"] for m in report["sections"][0]["comparison"]["metrics"]) == sorted(NAMES)
    _check_junit(out / "junit.xml")
    _check_openmetrics((out / "metrics.txt").read_text())
    html, markdown = unescape((out / "report.html").read_text()), (out / "report.md").read_text()
    for name in NAMES:
        assert " ".join(name.split()) in re.sub(r"[\u2060\u200b]", "", html), name
    # The comment leaves out the middle of a long name: both ends stay.
    start, end = re.escape(LONG[:20]), re.escape(LONG[-20:])
    assert {found[-1] for found in re.findall(rf"{start}x*…y*{end}[12]", markdown)} == {"1", "2"}


def test_csv_has_them_without_formulas(project: Project) -> None:
    rows = list(csv.DictReader(io.StringIO(project.ciplug("compare", "--format", "csv").stdout)))
    assert sorted(row["metric"] for row in rows) == sorted(map(in_csv, NAMES))
    assert not [row["metric"] for row in rows if re.match(r"\s*[=+@]", row["metric"])]


def in_csv(name: str) -> str:
    """A name as CSV has it: an apostrophe keeps a spreadsheet from a formula, a space a runner from a command."""
    name = re.sub(r"##(?=\w*\[)", "# #", name)
    return f"'{name}" if name[:1] in ("=", "@") else name


def _check_junit(path: Path) -> None:
    cases = [case.get("name") for case in ElementTree.parse(path).iter("testcase")]
    assert len(cases) == len(set(cases)) == len(NAMES)


def _check_openmetrics(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(series) == len(set(series)) == len(NAMES), "each is a series of its own"
    assert all(re.match(r"[a-zA-Z_][a-zA-Z0-9_:]*\{", line) for line in lines)
