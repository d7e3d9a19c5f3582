"""The environment of a run: Python and its packages, machine, operating system, lock files; each in milliseconds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ciplug.capture.content import digest_file
from ciplug.records.provenance import Hardware

LOCKFILES = (
    "requirements*.txt",
    "constraints*.txt",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "pylock*.toml",
    "Pipfile.lock",
    "pixi.lock",
    "conda-lock.yml",
    "environment.yml",
    "environment.yaml",
    "renv.lock",
    "package-lock.json",
    "Manifest.toml",
    "pom.xml",
)

_TIMEOUT = 5
"""Seconds that a helper program may take."""
_PYTHON = re.compile(r"(python|pypy)[\d.]*t?(\.exe)?", re.IGNORECASE)
_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(-py[\d.]+.*)?\.(dist|egg)-info")
_SITE = ("site-packages", "dist-packages")


def python_environment(
    executable: str | None = None, env: Mapping[str, str] = os.environ
) -> tuple[str, dict[str, str]]:
    """Version of a Python and its installed packages: normalised name → version, sorted.

    `executable` is the first word of a command line. A name is looked up on the PATH of `env`; for another
    program (`make`, `bash`), the `python` that it would find is used; None is ciplug's own Python.
    A virtual environment is read from its files; any other Python is started and asked for its package path.
    """
    path = _find_python(executable, env) if executable else None
    if path is None or _same(path.parent, Path(sys.executable).parent):
        return _own_version(), _packages(sys.path)
    return _virtual_environment(path) or _ask(path) or (_own_version(), _packages(sys.path))


def operating_system() -> str:
    """One line: "Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64 x86_64"."""
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "")
        return f"Windows {version.major}.{version.minor}.{version.build} {machine}".rstrip()
    kernel = os.uname()
    line = f"{kernel.sysname} {kernel.release} {kernel.machine}"
    distribution = _distribution()
    return f"{distribution}, {line}" if distribution else line


def hardware() -> Hardware:
    """Return what the job may use: cores by affinity, memory by the container's limit; None if unknown."""
    return Hardware(cpu=_cpu(), cores=_cores(), memory_bytes=_memory(), gpus=_gpus())


def lockfiles(top: Path) -> dict[str, str]:
    """Known lock files in the top folder itself: name → `sha256:<hex>`, sorted."""
    paths = {path for pattern in LOCKFILES for path in top.glob(pattern) if path.is_file()}
    return {path.name: digest_file(path) for path in sorted(paths)}


def _find_python(executable: str, env: Mapping[str, str]) -> Path | None:
    names = [executable] if _PYTHON.fullmatch(Path(executable).name) else []
    for name in [*names, "python", "python3"]:
        if path := shutil.which(name, path=env.get("PATH")):
            return Path(os.path.abspath(path))  # noqa: PTH100 (a venv's python is a link, and stays one)
    return None


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def _own_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _virtual_environment(python: Path) -> tuple[str, dict[str, str]] | None:
    """Version and packages from pyvenv.cfg and the folder names; None when that is not the whole truth."""
    prefix = python.parent.parent
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    pairs = (line.partition("=") for line in lines)
    settings = {key.strip().lower(): value.strip() for key, _, value in pairs}
    version = re.match(r"\d+\.\d+\.\d+", settings.get("version") or settings.get("version_info") or "")
    if version is None or settings.get("include-system-site-packages", "").lower() == "true":
        return None
    sites = [*prefix.glob("lib*/python*/site-packages"), *prefix.glob("lib*/pypy*/site-packages")]
    return version[0], _packages(map(str, [*sites, prefix / "Lib" / "site-packages"]))


def _ask(python: Path) -> tuple[str, dict[str, str]] | None:
    """Start a Python, to learn its version and its path."""
    question = "import sys, json; print(json.dumps(['.'.join(map(str, sys.version_info[:3])), sys.path]))"
    # -S would leave out site-packages, -I what PYTHONPATH adds; the command that we stand for sees both.
    answer = _output([str(python), "-c", question])
    with contextlib.suppress(ValueError, TypeError):
        version, path = json.loads(answer.splitlines()[-1] if answer.strip() else "")
        return str(version), _packages(path)
    return None


def _packages(path: Iterable[str]) -> dict[str, str]:
    """Packages by the names of their metadata folders; the first on the path is what gets imported."""
    versions: dict[str, str] = {}
    for site in dict.fromkeys(path):
        if Path(site).name not in _SITE:
            continue
        with contextlib.suppress(OSError):
            for entry in sorted(os.listdir(site)):  # noqa: PTH208 (names only: no Path for each of thousands)
                if match := _METADATA.fullmatch(entry):
                    versions.setdefault(re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"])
    return dict(sorted(versions.items()))


def _distribution() -> str | None:
    if sys.platform == "darwin":
        import platform

        return f"macOS {platform.mac_ver()[0]}"
    return _field("/etc/os-release", "PRETTY_NAME", "=")


def _cpu() -> str | None:
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER")
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]).strip() or None
    return _field("/proc/cpuinfo", "model name", ":")


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory() -> int | None:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, others may lack the name
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no cgroup, or the word "max"
            memory = min(memory, int(Path(limit).read_text(encoding="ascii")))
    return memory


def _gpus() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs, from the driver's files, else from its tool (Windows, WSL)."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    names = [_field(str(file), "Model", ":") for file in files]
    if not names and (tool := shutil.which("nvidia-smi")):
        names = [*_output([tool, "--query-gpu=name", "--format=csv,noheader"]).splitlines()]
    return tuple(name.strip() for name in names if name and name.strip())


def _field(path: str, name: str, separator: str) -> str | None:
    """Value of the first line `name separator value` at the head of a file."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        # The head only: the kernel works for every core that we read from cpuinfo.
        for line in file.read(4096).splitlines():
            key, _, value = line.partition(separator)
            if key.strip() == name:
                return value.strip().strip('"') or None
    return None


def _output(argv: list[str]) -> str:
    """Return the output of a helper program; empty if it is missing, slow, or fails."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
