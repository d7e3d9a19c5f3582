"""What we ask others to copy is valid, and clean under the linters of its platform."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e

_WORKFLOWS = sorted((ROOT / "templates/github").glob("*.yml"))
_ACTIONS = (ROOT / "action.yml", ROOT / "setup/action.yml")


def _clean(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_schemas(tool: Callable[[str], str]) -> None:
    check = tool("check-jsonschema")
    _clean(check, "--builtin-schema", "vendor.github-actions", *map(str, _ACTIONS))
    _clean(check, "--builtin-schema", "vendor.github-workflows", *map(str, _WORKFLOWS))


def test_pipelines_in_the_documentation(tool: Callable[[str], str], tmp_path: Path) -> None:
    others, github = (
        (ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("other-hosts", "github-actions")
    )
    marked = re.compile(r"<!-- schema: (\S+) -->\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = [*marked.findall(others), *marked.findall(github)]
    assert len(blocks) == others.count("```yaml") + github.count("\njobs:\n") == 4
    for schema, text in blocks:
        file = tmp_path / f"{schema}.yml"
        file.write_text(text, encoding="utf-8")
        # Azure's schema has patterns that are none in Unicode mode.
        _clean(tool("check-jsonschema"), "--regex-variant", "nonunicode", "--builtin-schema", schema, str(file))


def test_actionlint(tool: Callable[[str], str]) -> None:
    _clean(tool("actionlint"), *map(str, _WORKFLOWS))


def test_zizmor(tool: Callable[[str], str]) -> None:
    options = ("--offline", "--no-progress", "--strict-collection", "--min-severity", "low")
    _clean(tool("zizmor"), *options, *map(str, _ACTIONS), *map(str, _WORKFLOWS))
