"""Tools beside Python and git: a test that misses one is skipped with the reason, or fails where all must run.

CIPLUG_REQUIRE_E2E=1 turns every skip here into a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from subprocess import run
from typing import Any, Protocol

import pytest

from ciplug.locking import held
from tests.e2e.jenkins import Jenkins
from tests.e2e.project import clean_environment

ROOT = Path(__file__).resolve().parents[2]
# Read now: every test takes our variables out of the environment.
REQUIRED = os.environ.get("CIPLUG_REQUIRE_E2E") == "1"
_PACKAGE = ("ciplug", "templates", "examples", "pyproject.toml", "README.md", "LICENSE", "action.yml", "setup")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    return _refused(report) if REQUIRED and not hasattr(report, "wasxfail") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    return _refused(report) if REQUIRED and ROOT / "tests" / "e2e" in collector.path.parents else report


def _refused(report: Any) -> Any:
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"CIPLUG_REQUIRE_E2E=1 allows no skip: {reason}"
    return report


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


class Install(Protocol):
    def __call__(self, folder: Path, *requirements: str) -> Path: ...


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Name of a program → its path: beside this Python, or on PATH; skips the test where it is neither."""

    def find(name: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        found = shutil.which(name, path=path)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a checkout of this repository holds of the package, without what lies around in a work tree."""
    folder = tmp_path_factory.mktemp("source")
    for name in _PACKAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """A folder's name and who fills it → the folder, filled once for all tests, in whatever process they run."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        folder, whole = shared / name, shared / f"{name}.whole"
        with held(shared / f"{name}.lock"):
            if not whole.exists():
                folder.mkdir(exist_ok=True)
                fill(folder)
                whole.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def user_python(made_once: MadeOnce) -> Path:
    """The folder of a user's own Python, in which ciplug is not installed."""
    return made_once("user-python", lambda folder: run([sys.executable, "-m", "venv", str(folder)], check=True)) / "bin"


@pytest.fixture(scope="session")
def pip_cache(made_once: MadeOnce) -> str:
    """One cache for all installations, since each test has a HOME of its own."""
    return os.environ.get("PIP_CACHE_DIR") or str(made_once("pip-cache", lambda _: None))


@pytest.fixture(scope="session")
def installed(made_once: MadeOnce, pip_cache: str) -> Install:
    """Installs what pip would in a new environment, in a tenth of pip's time; returns its folder of programs."""
    env = {**clean_environment(), "PIP_CACHE_DIR": pip_cache}

    def get(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(folder)]
        run([*pip, "-r", str(ROOT / "setup" / "locked-uv.txt")], check=True, env=env)

    uv = made_once("uv", get) / "bin" / "uv"

    def install(folder: Path, *requirements: str) -> Path:
        settings = {**env, "UV_CACHE_DIR": str(uv.parents[1] / "cache"), "UV_LINK_MODE": "hardlink"}
        run(
            [uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", sys.executable, folder],
            check=True,
            env=settings,
        )
        command = [uv, "pip", "install", "--quiet", "--python", folder, *requirements]
        run(command, check=True, cwd=ROOT, env=settings, timeout=900)
        return folder / "bin"

    return install


@pytest.fixture(scope="session")
def wheels(source: Path, pip_cache: str, made_once: MadeOnce) -> Path:
    """A folder with ciplug and all that it needs, also to be built: what a job installs without asking an index."""
    env = {**clean_environment(), "PIP_CACHE_DIR": pip_cache}
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir"]
    return made_once("wheels", lambda folder: run([*pip, str(folder), str(source), "hatchling"], check=True, env=env))


@pytest.fixture(scope="session")
def wheel(wheels: Path) -> Path:
    [built] = wheels.glob("ciplug-*.whl")
    return built


@pytest.fixture(scope="session")
def pip_settings(wheels: Path, pip_cache: str) -> dict[str, str]:
    """The variables of a job that installs only ciplug: half of its time would be the index."""
    return {"PIP_CACHE_DIR": pip_cache, "PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1"}


_QUICK_PYTHON = """\
#!/bin/sh
case "$*" in
"-I -m venv "* | "-m venv "*)
    for folder; do :; done
    cp -Rl '{made}' "$folder" || exit 1
    exec sed -i "1s|^#!{made}/|#!$folder/|" "$folder"/bin/pip* "$folder/bin/ciplug" ;;
esac
exec '{python}' "$@"
"""


@pytest.fixture(scope="session")
def quick_python(user_python: Path, wheel: Path, pip_settings: dict[str, str], made_once: MadeOnce) -> Path:
    """The same, but a new environment has ciplug in it, and the installation that follows finds nothing to do.

    To make one and fill it takes eight CPU seconds, which is most of the time of a job.
    """

    def fill(folder: Path) -> None:
        made, python = folder / "made", user_python / "python3"
        run([python, "-m", "venv", made], check=True)
        env = {**clean_environment(), **pip_settings}
        run([made / "bin/python", "-m", "pip", "install", "--quiet", wheel], check=True, env=env)
        (folder / "python3").write_text(_QUICK_PYTHON.format(made=made, python=python))
        (folder / "python3").chmod(0o755)

    return made_once("quick-python", fill)


@pytest.fixture
def job_path(request: pytest.FixtureRequest, user_python: Path, quick_python: Path) -> str:
    """PATH of a job. The jobs of a test with `real_installation` make their environment as their template says."""
    first = () if getattr(request, "param", "") == "real" else (str(quick_python),)
    return os.pathsep.join([*first, str(user_python), os.environ["PATH"]])


@pytest.fixture(scope="session")
def kept_environments(made_once: MadeOnce) -> Path:
    """What a self-hosted runner keeps from job to job: the environment that the first job has made."""
    return made_once("kept-environments", lambda _: None)


@pytest.fixture(autouse=True)
def _tool_cache(_clean_machine: None, kept_environments: Path) -> None:
    """Where act has RUNNER_TOOL_CACHE, below the HOME of each test; the variable itself it does not let us set."""
    tool_cache = Path(os.environ["HOME"]) / ".cache/act/tool_cache"
    tool_cache.mkdir(parents=True)
    (tool_cache / "ciplug").symlink_to(kept_environments)


@pytest.fixture
def jenkins(tool: Callable[[str], str], tmp_path: Path, job_path: str, pip_settings: dict[str, str]) -> Jenkins:
    env = {
        "PATH": job_path,
        "HOME": os.environ["HOME"],
        "GIT_CONFIG_GLOBAL": os.environ["GIT_CONFIG_GLOBAL"],
        "GIT_CONFIG_NOSYSTEM": "1",
        **pip_settings,
        "no_proxy": "127.0.0.1",
        "JENKINS_URL": "https://jenkins.example.com/",
        "JOB_NAME": "demo",
    }
    return Jenkins(tool("groovy"), tool("java"), tmp_path, env)
