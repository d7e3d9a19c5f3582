"""mlflow_env.yaml gives an environment in which ciplug and MLflow both work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT, Install

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_its_pip_section_installs_from_the_root_of_the_repository(tmp_path: Path, installed: Install) -> None:
    environment = yaml.safe_load((ROOT / "mlflow_env.yaml").read_text())
    assert environment["name"] == "mlflow"
    [requirements] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    programs = installed(tmp_path / "venv", *requirements)
    for program in ("ciplug", "mlflow"):
        done = subprocess.run([programs / program, "--version"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert program in done.stdout
