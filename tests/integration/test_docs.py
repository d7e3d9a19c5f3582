"""The documentation keeps its word: every command in it runs, every setting that it shows is taken.

Blocks fenced as ```bash run in order, one scratch project a page, under `bash -eu`. HTML comments say the rest:
`<!-- file: NAME -->` above a block of any kind puts it into the project as that file; `<!-- run: by FILE -->`
names the file that runs a bash block which cannot run here (README's two lines are marked by their names).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ciplug import cli, config, strict_yaml
from ciplug.config.json_schema import schema
from tests.project import git

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HERE = Path(__file__).relative_to(ROOT).as_posix()
ELSEWHERE = {"demo-line": HERE, "test-line": ".ci/run"}
"""Marks of README's two lines, and what runs these."""
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
TRAIN = """\
import json
with open("metrics.json", "w") as file:
    json.dump({"accuracy": 0.91, "latency_p95_ms": 41.0}, file)
with open("model.joblib", "w") as file:
    file.write("a model")
"""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    mark: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runner(self) -> str | None:
        """The file that runs this block, if it does not run here."""
        if self.mark and self.mark.startswith("run: by "):
            return self.mark.removeprefix("run: by ")
        return ELSEWHERE.get(self.mark or "")

    @property
    def file(self) -> str | None:
        return self.mark.removeprefix("file: ") if self.mark and self.mark.startswith("file: ") else None


def blocks(*pages: Path) -> Iterator[Block]:
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start("text"))
            yield Block(page, line, found["language"], found["text"], found["mark"])


def in_a_clone() -> list[Block]:
    return [b for b in blocks(*PAGES) if b.language == "bash" and b.runner == HERE]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, pushed to its remote; `ciplug` and `python` are on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("python", [sys.executable]), ("ciplug", [sys.executable, "-m", "ciplug"])):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q", "-b", "main")
    git(project, "remote", "add", "origin", "../remote.git")
    for name, text in (
        ("train.py", TRAIN),
        ("params.yaml", "depth: 6\n"),
        (".gitignore", "*.json\n*.joblib\n*.xml\n"),
    ):
        (project / name).write_text(text)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "A training")
    git(project, "push", "-q", "-u", "origin", "main")
    return project


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run_as_written(page: Path, scratch: Path) -> None:
    for block in blocks(page):
        if block.file:
            (scratch / block.file).parent.mkdir(parents=True, exist_ok=True)
            (scratch / block.file).write_text(block.text)
        elif block.language == "bash" and block.runner is None:
            done = subprocess.run(
                ["bash", "-eu", "-o", "pipefail", "-c", block.text],
                cwd=scratch,
                capture_output=True,
                text=True,
                check=False,
            )
            said = f"{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, f"{block} ends with {done.returncode}\n{said}"
            assert "Traceback" not in said, f"{block}\n{said}"


def test_what_runs_elsewhere_is_run_there() -> None:
    for block in blocks(*PAGES):
        if block.mark and block.mark.startswith("run:"):
            assert block.language == "bash", f"{block}: only bash blocks run"
            assert block.runner, f"{block}: <!-- {block.mark} --> names no file"
        if block.runner in (None, HERE):
            continue
        runner = ROOT / str(block.runner)
        assert runner.is_file(), f"{block}: there is no {block.runner}"
        known = (block.mark or "", block.page.name, block.page.stem)
        assert any(word in runner.read_text(encoding="utf-8") for word in known), f"{block.runner} does not run {block}"


def test_there_is_a_demo_line_and_a_test_line() -> None:
    lines = {b.mark: b.text for b in blocks(ROOT / "README.md") if b.mark in ELSEWHERE}
    assert set(lines) == set(ELSEWHERE)
    for line in lines.values():
        assert line.startswith("python3 -m venv ")
        assert len(line.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("block", in_a_clone(), ids=str)
def test_installations_run_in_a_clean_clone(
    block: Block, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    git(tmp_path, "clone", "-q", "--no-local", str(ROOT), "clone")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if "PIP_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "pip-cache"))
    done = subprocess.run(
        ["bash", "-eu", "-c", block.text], cwd=tmp_path / "clone", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    if block.mark == "demo-line":
        assert "diamonds: passed" in done.stdout
        assert "diamonds: failed" in done.stdout
        assert (tmp_path / "clone" / "ciplug-demo" / "reports" / "better" / "report.html").is_file()
        assert git(tmp_path / "clone", "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "block", [b for b in blocks(*PAGES) if b.text.startswith("version: 1\n") and "\nextends:" not in b.text], ids=str
)
def test_configurations_are_taken(block: Block) -> None:
    import jsonschema

    config.parse(block.text, block.page)
    data = json.loads(json.dumps(strict_yaml.load(block.text, str(block.page)).data, default=str))
    assert not [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(data)]


def test_workflow_of_the_readme_fits_the_action() -> None:
    (block,) = (b for b in blocks(ROOT / "README.md") if b.language == "yaml" and "runs-on" in b.text)
    assert len(block.text.splitlines()) == 15
    jobs = yaml.safe_load(block.text)["jobs"].values()
    given = [step["with"] for job in jobs for step in job["steps"] if "/ciplug@" in step.get("uses", "")]
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert len(given) == 2 and all(set(one) <= set(action["inputs"]) for one in given)
    # GitHub has no permissions here to test: what installs packages gets none that writes.
    train, ciplug = jobs
    assert "permissions" not in train and yaml.safe_load(block.text)["permissions"] == {"contents": "read"}
    assert ciplug["permissions"]["contents"] == "write"


def test_component_of_the_readme_takes_these_inputs() -> None:
    (block,) = (b for b in blocks(ROOT / "README.md") if b.language == "yaml" and "component" in b.text)
    given = yaml.safe_load(block.text)["include"][0]["inputs"]
    component = next(yaml.safe_load_all((ROOT / "templates/ciplug/template.yml").read_text()))
    inputs: dict[str, Any] = component["spec"]["inputs"]
    assert set(given) <= set(inputs)
    assert {name for name, about in inputs.items() if "default" not in about} <= set(given)


def test_step_of_the_readme_takes_these_settings() -> None:
    (block,) = (b for b in blocks(ROOT / "README.md") if b.language == "groovy")
    step = (ROOT / "templates/jenkins/vars/ciplug.groovy").read_text()
    for name in re.findall(r"(\w+): '", block.text):
        assert re.search(rf"\b{name}\b", step), f"the step has no setting '{name}'"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.search(rf"^ciplug {command} +{re.escape(cli.COMMANDS[command])}$", index, re.MULTILINE), (
        f"docs/index.md does not list 'ciplug {command}' with the words of its help"
    )
    for option in options(cli.parser(command)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", pages), (
            f"'ciplug {command} {option}' is undocumented"
        )


@pytest.mark.parametrize("name", cli.BUILT_IN)
def test_every_built_in_command_is_documented(name: str) -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.search(rf"^ciplug {name} +{re.escape(cli.BUILT_IN[name])}$", index, re.MULTILINE)


def options(parser: Any) -> Iterator[str]:
    """The long options of a command and of its verbs."""
    for action in parser._actions:
        yield from (o for o in action.option_strings if o.startswith("--"))
        if isinstance(action.choices, dict):
            for verb in action.choices.values():
                yield from options(verb)


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            to = page.parent / file if file else page
            assert to.exists(), f"{page.name} links to {target}"
            assert not anchor or to.suffix != ".md" or anchor in anchors(to), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = (re.sub(r"\]\([^)]*\)", "", line) for line in re.findall(r"^#+ +(.*)$", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
