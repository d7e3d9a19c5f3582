from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ciplug.capture.environment import hardware, lockfiles, operating_system, python_environment

posix = pytest.mark.skipif(sys.platform == "win32", reason="a venv of POSIX shape")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment by its files; its python cannot be started, so nobody did."""
    prefix = tmp_path / "venv"
    site = prefix / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    for name in (
        "numpy-1.26.4.dist-info",
        "Scikit_learn-1.5.0rc1.dist-info",
        "ruamel.yaml-0.18.6.dist-info",
        "old_style-2.0-py3.12.egg-info",
        "develop.egg-info",
        "numpy",
        "~broken-1.0.txt",
    ):
        (site / name).mkdir()
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.4\n")
    (prefix / "bin").mkdir()
    python = prefix / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    return prefix


VENV = (
    "3.12.4",
    {"numpy": "1.26.4", "old-style": "2.0", "ruamel-yaml": "0.18.6", "scikit-learn": "1.5.0rc1"},
)


def test_own() -> None:
    version, packages = python_environment()
    assert version == platform.python_version()
    assert packages["pytest"] == pytest.__version__
    assert list(packages) == sorted(packages)
    assert python_environment(sys.executable) == (version, packages)


@posix
class TestOther:
    def test_venv_by_path_and_by_name(self, venv: Path) -> None:
        assert python_environment(str(venv / "bin" / "python")) == VENV
        assert python_environment("python", {"PATH": str(venv / "bin")}) == VENV

    def test_another_command_stands_for_the_python_on_its_path(self, venv: Path) -> None:
        assert python_environment("make", {"PATH": str(venv / "bin")}) == VENV

    @pytest.mark.parametrize("line", ["version_info = 3.12.4", "version_info = 3.12.4.final.0"])
    def test_venv_of_other_tools(self, venv: Path, line: str) -> None:
        (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\n{line}\n")
        assert python_environment(str(venv / "bin" / "python")) == VENV

    def test_one_that_is_not_a_venv_is_asked(self, venv: Path) -> None:
        site = venv / "lib" / "python3.12" / "site-packages"
        (venv / "pyvenv.cfg").unlink()
        (venv / "bin" / "python").write_text(f"""#!/bin/sh\necho '["3.9.1", ["{site}", "/elsewhere"]]'\n""")
        assert python_environment(str(venv / "bin" / "python")) == ("3.9.1", VENV[1])

    def test_real_venv_made_by_this_python(self, tmp_path: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
        python = str(tmp_path / "v" / "bin" / "python")
        assert python_environment(python) == (platform.python_version(), {})

    def test_unknown_falls_back_on_our_own(self, tmp_path: Path) -> None:
        assert python_environment("python", {"PATH": str(tmp_path)}) == python_environment()


def test_operating_system() -> None:
    line = operating_system()
    assert "\n" not in line
    assert (os.uname().release if sys.platform != "win32" else "Windows") in line


def test_hardware() -> None:
    machine = hardware()
    assert machine.cores is not None
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    if sys.platform == "linux":
        assert machine.memory_bytes is not None
        assert machine.memory_bytes > 10**7
    assert all(machine.gpus)


@posix
def test_gpus_by_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'NVIDIA A100\\nNVIDIA A100\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if not Path("/proc/driver/nvidia/gpus").exists():
        assert hardware().gpus == ("NVIDIA A100", "NVIDIA A100")
    tool.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    if not Path("/proc/driver/nvidia/gpus").exists():
        assert hardware().gpus == ()


def test_lockfiles(tmp_path: Path) -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "uv.lock", "README.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "poetry.lock").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "uv.lock").touch()
    expected = ["requirements-dev.txt", "requirements.txt", "uv.lock"]
    assert lockfiles(tmp_path) == {n: "sha256:" + hashlib.sha256(n.encode()).hexdigest() for n in expected}
