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
_GITEA = ROOT / "templates/gitea/train.yml"
_ACTIONS = (ROOT / "action.yml", ROOT / "setup/action.yml")


def _clean(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_schemas(tool: Callable[[str], str]) -> None:
    check = tool("check-jsonschema")
    _clean(check, "--builtin-schema", "vendor.github-actions", *map(str, _ACTIONS))
    _clean(check, "--builtin-schema", "vendor.github-workflows", *map(str, _WORKFLOWS), str(_GITEA))


# The rest of the blocks are pieces: steps, and parts of ciplug.yaml.
@pytest.mark.parametrize(
    ("name", "whole", "pieces"), [("other-hosts", 3, 0), ("collect", 4, 0), ("github-actions", 1, 6)]
)
def test_pipelines_in_the_documentation(
    tool: Callable[[str], str], tmp_path: Path, name: str, whole: int, pieces: int
) -> None:
    page = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- schema: (\S+) -->\n```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert (len(blocks), page.count("```yaml")) == (whole, whole + pieces)
    for number, (schema, text) in enumerate(blocks):
        file = tmp_path / f"{schema}-{number}.yml"
        file.write_text(text, encoding="utf-8")
        # Azure's schema has patterns that are none in Unicode mode.
        _clean(
            tool("check-jsonschema"),
            "--regex-variant",
            "nonunicode",
            "--disable-formats",
            "uri",
            "--builtin-schema",
            schema,
            str(file),
        )


def test_actionlint(tool: Callable[[str], str]) -> None:
    _clean(tool("actionlint"), *map(str, _WORKFLOWS))


def test_zizmor(tool: Callable[[str], str]) -> None:
    options = ("--offline", "--no-progress", "--strict-collection", "--min-severity", "low")
    _clean(tool("zizmor"), *options, *map(str, _ACTIONS), *map(str, _WORKFLOWS), str(_GITEA))
