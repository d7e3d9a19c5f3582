"""mlflow_env.yaml gives an environment in which ciplug and MLflow both work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_its_pip_section_installs_from_the_root_of_the_repository(tmp_path: Path, pip_cache: str) -> None:
    environment = yaml.safe_load((ROOT / "mlflow_env.yaml").read_text())
    assert environment["name"] == "mlflow"
    [requirements] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    env = {**os.environ, "PIP_CACHE_DIR": pip_cache, "PIP_COMPILE": "0"}
    subprocess.run([venv / "bin/pip", "install", "--quiet", *requirements], cwd=ROOT, env=env, check=True, timeout=900)
    for program in ("ciplug", "mlflow"):
        done = subprocess.run([venv / "bin" / program, "--version"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert program in done.stdout
