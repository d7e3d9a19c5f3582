"""The environment that the GitHub actions run ciplug in, made or kept from before: their first step.

The job's Python runs this file, `python -I ciplug/install.py`, before ciplug is anywhere, so it stands on the standard
library alone. An environment made of the action's own files is kept below RUNNER_TOOL_CACHE, which outlives a job on a
self-hosted runner, under a name that changes with everything that decides what is in it.
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

CONTENTS = ("pyproject.toml", "README.md", "LICENSE", "ciplug", "templates", "examples")
"""What the package is built from."""
WHERE_FROM = {
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert"),
    "constraint",
}
"""Settings of pip about where packages come from, and which. uv does not know them."""
COMMAND = "command"
"""The folder of an environment that holds the command `ciplug` and nothing else, so that it can go on PATH."""
WEEK = 7 * 24 * 3600
OUTDATED = 2 * WEEK
_UV = "0.13.9"
"""The uv that is fetched where there is none: whoever pins the action has pinned it, too."""
"""A name is good for a week, and a job takes at most five days: what is older is nobody's, half made or whole."""


def main(own: Path, env: Mapping[str, str]) -> int:
    """Make the environment, or find it, and write the step's outputs `python` and `folder`; returns the exit code.

    `own` is the folder of action.yml.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - it is whatever Python the job has
        have = f"{sys.executable} is {platform.python_version()}"
        hint = "add actions/setup-python before this step, or name another as the input `python`"
        return _complain(f"Python 3.10 or newer is needed, and {have}", hint, 2)
    source, extras = env.get("CIPLUG_SOURCE", "").strip(), env.get("CIPLUG_EXTRAS", "").strip()
    if source and extras:
        hint = "write them into `ciplug-source`, like ciplug[stats] @ git+https://…"
        return _complain("the input `extras` is for the action's own files", hint, 2)
    start = time.monotonic()
    home = None if source else _home(env)
    kept = home / name_of(own, extras, env, time.time()) if home else None
    if kept and kept.is_dir():
        place, how = kept, "kept from before"
    else:
        work = Path(tempfile.mkdtemp(prefix="new.", dir=home or env.get("RUNNER_TEMP")))
        try:
            how = f"made with {_make(work, _asked(source) or (f'{own}[{extras}]' if extras else str(own)))}"
        except subprocess.CalledProcessError as problem:
            shutil.rmtree(work, ignore_errors=True)
            program = f"{Path(problem.cmd[0]).name} {' '.join(problem.cmd[1:])}"
            return _complain(f"cannot be installed: {program} ended with {problem.returncode}", "see above", 3)
        place = _keep(work, kept) if kept else work / "environment"
    with open(env["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
        outputs.write(f"python={python_of(place)}\nfolder={place / COMMAND}\n")
    print(f"ciplug: {place} {how}, {time.monotonic() - start:.1f} s")
    return 0


def name_of(source: Path, extras: str, env: Mapping[str, str], now: float) -> str:
    """The name of an environment: a digest of the package's files and extras, this Python, the settings of pip and uv.

    And of the week, so that what mends a dependency arrives.
    """
    known = hashlib.sha256()
    for path in _files(source):
        data = path.read_bytes()
        known.update(f"{path.relative_to(source).as_posix()}\0{len(data)}\0".encode() + data)
    here = [
        *(sys.version, os.path.realpath(sys.executable), sys.base_prefix),
        # One tool cache serves containers of several systems.
        *(platform.platform(), str(sysconfig.get_config_var("SOABI"))),
        *(f"{name}={value}" for name, value in sorted(env.items()) if name.startswith(("PIP_", "UV_"))),
        *(extras, str(int(now // WEEK))),
    ]
    known.update("\0".join(here).encode(errors="surrogateescape"))
    return known.hexdigest()[:32]


def python_of(environment: Path) -> Path:
    """Its interpreter."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def names_a_source(settings: str) -> bool:
    """Whether pip has been told where packages come from, by what `pip config list` prints."""
    keys = (line.partition("=")[0].rpartition(".")[2] for line in settings.splitlines())
    return not WHERE_FROM.isdisjoint(keys)


def _home(env: Mapping[str, str]) -> Path | None:
    """Where environments are kept, without those that are too old to be used; None where none can be."""
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


def _asked(source: str) -> str:
    """What is asked for by the input, a path from where the job is."""
    return str(Path(source).resolve()) if source and Path(source).exists() else source


def _files(source: Path) -> Iterator[Path]:
    for name in CONTENTS:
        whole = source / name
        inside = whole.rglob("*") if whole.is_dir() else [whole]
        yield from sorted(path for path in inside if path.is_file() and path.suffix != ".pyc")


def _make(work: Path, source: str) -> str:
    """Install from `source` into a new environment below `work`; returns by which program."""
    environment = work / "environment"
    by = _install(environment, work, source)
    command = environment / COMMAND / "ciplug"
    command.parent.mkdir()
    # Relative to itself: the environment is going to have another name.
    python = python_of(Path("..")).as_posix()
    command.write_text(f'#!/bin/sh\nexec "$(dirname "$0")/{python}" -I -m ciplug "$@"\n', newline="\n")
    command.chmod(0o755)
    return by


def _install(environment: Path, scratch: Path, source: str) -> str:
    pip = (sys.executable, "-I", "-m", "pip")
    settings = subprocess.run([*pip, "config", "list"], capture_output=True, text=True)
    # With settings of pip's only pip is sure to find what the organisation wants found.
    uv = None if names_a_source(settings.stdout) else shutil.which("uv") or _fetched_uv(pip, scratch)
    if uv:
        try:
            # Not in the checkout, whose uv.toml would say where this comes from, too.
            _run(scratch, uv, "venv", "--quiet", "--python", sys.executable, str(environment))
            _run(scratch, uv, "pip", "install", "--quiet", "--python", str(python_of(environment)), source)
            return "uv"
        except subprocess.CalledProcessError:
            # It trusts other certificates than pip, for instance.
            print("ciplug: uv could not, for the reason above: pip tries", file=sys.stderr)
    _run(scratch, sys.executable, "-I", "-m", "venv", "--clear", str(environment))
    own_pip = (str(python_of(environment)), "-I", "-m", "pip")
    _run(scratch, *own_pip, "install", "--quiet", "--disable-pip-version-check", source)
    return "pip"


def _fetched_uv(pip: tuple[str, ...], scratch: Path) -> str | None:
    """Fetching uv takes less than it saves; None where pip is missing, or a ready file of uv for this machine."""
    folder = scratch / "uv"
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:")
    done = subprocess.run([*pip, "install", *options, "--target", str(folder), f"uv=={_UV}"], capture_output=True)
    return shutil.which("uv", path=str(folder / "bin")) if done.returncode == 0 else None


def _keep(work: Path, kept: Path) -> Path:
    """Give an environment that is whole its name. Where another job was first, its environment is the one."""
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
