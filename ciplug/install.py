"""Create or reuse the environment that the GitHub actions run ciplug in: their first step.

The job's Python runs this file, `python -I ciplug/install.py`, before ciplug is installed, so it uses only the standard
library. An environment of the action's own files is kept below RUNNER_TOOL_CACHE, which outlives a job on a
self-hosted runner. Its name is a digest of everything that determines its content.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

CONTENTS = ("pyproject.toml", "README.md", "LICENSE", "ciplug", "templates", "examples", "setup")
"""The files that an environment is made from."""
LOCKED, LOCKED_UV = "setup/locked.txt", "setup/locked-uv.txt"
"""What is installed beside the package, each file by its SHA-256."""
LAST_PYTHON = (3, 13)
MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
"""Where all that is locked has wheels; elsewhere it is installed by name."""
WHERE_FROM = {
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert"),
    "constraint",
}
"""Settings of pip about sources and versions of packages. uv does not read them."""
COMMAND = "command"
"""The folder of an environment that contains only the command `ciplug`, so that it can be put on PATH."""
WEEK = 7 * 24 * 3600
OUTDATED = 2 * WEEK
"""A name is used for a week, and a job takes at most five days: older environments are no longer in use."""


def main(own: Path, env: Mapping[str, str]) -> int:
    """Create or reuse the environment, and write the step's outputs `python` and `folder`; returns the exit code.

    `own` is the folder of action.yml.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - any Python that the job has
        have = f"{sys.executable} is {platform.python_version()}"
        hint = "add actions/setup-python before this step, or name another as the input `python`"
        return _complain(f"Python 3.10 or newer is needed, but {have}", hint, 2)
    source, extras = env.get("CIPLUG_SOURCE", "").strip(), env.get("CIPLUG_EXTRAS", "").strip()
    if source and extras:
        hint = "put them into `ciplug-source`, like ciplug[stats] @ git+https://…"
        return _complain("the input `extras` is for the action's own files", hint, 2)
    start = time.monotonic()
    home = None if source else _home(env)
    kept = home / name_of(own, extras, env, time.time()) if home else None
    if kept and kept.is_dir():
        place, how = kept, "reused"
    else:
        work = Path(tempfile.mkdtemp(prefix="new.", dir=home or env.get("RUNNER_TEMP")))
        try:
            packages = (
                Packages(_requirement(source), own)
                if source
                else Packages(f"{own}[{extras}]" if extras else str(own), own, _locked(own))
            )
            how = f"created with {_make(work, packages)}"
        except subprocess.CalledProcessError as problem:
            shutil.rmtree(work, ignore_errors=True)
            program = f"{Path(problem.cmd[0]).name} {' '.join(problem.cmd[1:])}"
            return _complain(f"cannot be installed: {program} ended with {problem.returncode}", "see above", 3)
        place = _keep(work, kept) if kept else work / "environment"
    with open(env["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
        outputs.write(f"python={python_of(place)}\nfolder={place / COMMAND}\n")
    print(f"ciplug: {place} {how}, {time.monotonic() - start:.1f} s")
    return 0


class Packages(NamedTuple):
    """What goes into an environment."""

    package: str
    """The requirement of ciplug itself."""
    own: Path
    """The folder of action.yml."""
    locked: Path | None = None
    """The file with all that it needs, by hashes; None: by names."""


def is_locked(version: tuple[int, ...], machine: str) -> bool:
    """Whether this Python and this machine have wheels of all that is locked."""
    return version[:2] <= LAST_PYTHON and machine.lower() in MACHINES


def _locked(own: Path) -> Path | None:
    if is_locked(sys.version_info[:2], platform.machine()):
        return own / LOCKED
    print(f"ciplug: no hashes for Python {platform.python_version()} on {platform.machine()}: installed by name")
    return None


def name_of(source: Path, extras: str, env: Mapping[str, str], now: float) -> str:
    """The name of an environment: a digest of the package's files and extras, this Python, the settings of pip and uv.

    The week is part of it, so that fixed dependencies arrive.
    """
    content = hashlib.sha256()
    for path in _files(source):
        data = path.read_bytes()
        content.update(f"{path.relative_to(source).as_posix()}\0{len(data)}\0".encode() + data)
    here = [
        *(sys.version, os.path.realpath(sys.executable), sys.base_prefix),
        # One tool cache serves containers of several systems.
        *(platform.platform(), str(sysconfig.get_config_var("SOABI"))),
        *(f"{name}={value}" for name, value in sorted(env.items()) if name.startswith(("PIP_", "UV_"))),
        *(extras, str(int(now // WEEK))),
    ]
    content.update("\0".join(here).encode(errors="surrogateescape"))
    return content.hexdigest()[:32]


def python_of(environment: Path) -> Path:
    """The Python interpreter of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def names_a_source(settings: str) -> bool:
    """Whether pip is configured with a source of packages, given the output of `pip config list`."""
    keys = (line.partition("=")[0].rpartition(".")[2] for line in settings.splitlines())
    return not WHERE_FROM.isdisjoint(keys)


def _home(env: Mapping[str, str]) -> Path | None:
    """Return the folder of environments, after removing outdated ones; None if there is no such place."""
    cache = env.get("RUNNER_TOOL_CACHE")
    if not cache:
        return None
    home = Path(cache) / "ciplug"
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        for path in home.iterdir():
            if time.time() - path.stat().st_mtime > OUTDATED:
                shutil.rmtree(path, ignore_errors=True)
    return home if os.access(home, os.W_OK | os.X_OK) else None


def _requirement(source: str) -> str:
    """The pip requirement of the input; a path is relative to the job's folder."""
    return str(Path(source).resolve()) if source and Path(source).exists() else source


def _files(source: Path) -> Iterator[Path]:
    for name in CONTENTS:
        whole = source / name
        inside = whole.rglob("*") if whole.is_dir() else [whole]
        yield from sorted(path for path in inside if path.is_file() and path.suffix != ".pyc")


def _make(work: Path, packages: Packages) -> str:
    """Install the packages into a new environment below `work`; returns the program that did it."""
    environment = work / "environment"
    by = _install(environment, work, packages)
    command = environment / COMMAND / "ciplug"
    command.parent.mkdir()
    # Relative to itself, because the environment will be renamed.
    python = python_of(Path("..")).as_posix()
    command.write_text(f'#!/bin/sh\nexec "$(dirname "$0")/{python}" -I -m ciplug "$@"\n', newline="\n")
    command.chmod(0o755)
    return by


def _install(environment: Path, scratch: Path, packages: Packages) -> str:
    pip = (sys.executable, "-I", "-m", "pip")
    settings = subprocess.run([*pip, "config", "list"], capture_output=True, text=True)
    # If pip is configured, only pip is certain to use the organisation's sources.
    uv = None if names_a_source(settings.stdout) else shutil.which("uv") or _fetched_uv(pip, scratch, packages.own)
    if uv:
        try:
            # Outside the checkout, so that its uv.toml does not apply.
            _run(scratch, uv, "venv", "--quiet", "--python", sys.executable, str(environment))
            _fill(scratch, packages, uv, "pip", "install", "--quiet", "--python", str(python_of(environment)))
            return "uv"
        except subprocess.CalledProcessError:
            # For example, uv trusts other certificates than pip.
            print("ciplug: uv failed, see above; trying pip", file=sys.stderr)
    _run(scratch, sys.executable, "-I", "-m", "venv", "--clear", str(environment))
    own_pip = (str(python_of(environment)), "-I", "-m", "pip")
    _fill(scratch, packages, *own_pip, "install", "--quiet", "--disable-pip-version-check")
    return "pip"


def _fill(scratch: Path, packages: Packages, *install: str) -> None:
    """Install what is locked by its hashes, and then ciplug, which is built with what is there."""
    if packages.locked is None:
        _run(scratch, *install, packages.package)
        return
    _run(scratch, *install, "--require-hashes", "-r", str(packages.locked))
    # Extras are not locked.
    _run(scratch, *install, "--no-build-isolation", packages.package)


def _fetched_uv(pip: tuple[str, ...], scratch: Path, own: Path) -> str | None:
    """Fetch uv with pip: it saves more time. None if there is no pip, or no wheel of uv for this machine."""
    folder = scratch / "uv"
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes")
    command = [*pip, "install", *options, "--target", str(folder), "-r", str(own / LOCKED_UV)]
    done = subprocess.run(command, capture_output=True)
    return shutil.which("uv", path=str(folder / "bin")) if done.returncode == 0 else None


def _keep(work: Path, kept: Path) -> Path:
    """Give a complete environment its name. If another job was first, use that job's environment."""
    try:
        (work / "environment").rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
    shutil.rmtree(work, ignore_errors=True)
    return kept


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)


def _complain(message: str, hint: str, code: int) -> int:
    print(f"ciplug: {message}\n  -> {hint}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1], os.environ))
