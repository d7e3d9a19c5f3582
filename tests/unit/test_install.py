"""The action's environment: kept under a name that says what is in it, and never half made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ciplug.install import (
    COMMAND,
    CONTENTS,
    LAST_PYTHON,
    LOCKED,
    LOCKED_UV,
    OUTDATED,
    WEEK,
    is_locked,
    main,
    name_of,
    names_a_source,
    python_of,
)

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_700_000_000.0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "ciplug").mkdir(parents=True)
    (folder / "ciplug" / "cli.py").write_text("one")
    (folder / "pyproject.toml").write_text("two")
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "temp").mkdir()
    return {
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "RUNNER_TOOL_CACHE": str(tmp_path / "tools"),
    }


def test_the_name_follows_from_all_that_the_package_is_built_of(source: Path) -> None:
    def name(extras: str = "", now: float = NOW, **env: str) -> str:
        return name_of(source, extras, env, now)

    names = [name(), name("stats"), name(now=NOW + WEEK), name(PIP_INDEX_URL="https://a.example"), name(UV_INDEX="b")]
    (source / "ciplug" / "cli.py").write_text("another")
    names.append(name())
    (source / "ciplug" / "new.py").write_text("")
    names.append(name())
    (source / "ciplug" / "new.py").rename(source / "ciplug" / "renamed.py")
    names.append(name())
    assert len(set(names)) == len(names)
    # What is not of the package: compiled files, the tests, another variable.
    (source / "ciplug" / "cli.pyc").write_text("")
    (source / "docs").mkdir()
    (source / "docs" / "page.md").write_text("")
    assert name(GITHUB_SHA="c" * 40) == names[-1]


def test_the_contents_are_what_the_build_takes() -> None:
    import yaml

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    license_files, readme = project["project"]["license-files"], project["project"].get("readme")
    taken = {"pyproject.toml", *wheel["packages"], *wheel["force-include"], *license_files}
    assert taken | ({readme} if readme else set()) <= set(CONTENTS)
    assert all((ROOT / name).exists() for name in CONTENTS)
    step = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"][0]
    assert "$GITHUB_ACTION_PATH/ciplug/install.py" in step["run"]


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Package → its versions and its hashes, of a lock file."""
    found: dict[str, tuple[str, str]] = {}
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for package, version, rest in re.findall(r"^([\w.-]+)==(\S+)(.*)$", text, re.MULTILINE):
        versions, hashes = found.get(package.lower(), ("", ""))
        found[package.lower()] = (f"{versions} {version}".strip(), hashes + rest)
    assert all("--hash=sha256:" in hashes for _, hashes in found.values())
    return found


def test_what_is_locked_is_what_the_package_needs() -> None:
    """If this fails after a change of pyproject.toml: the first lines of the lock file say how it is written."""
    from packaging.requirements import Requirement

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = locked(LOCKED)
    for needed in map(Requirement, [*project["project"]["dependencies"], *project["build-system"]["requires"]]):
        versions, _ = found[needed.name.lower()]
        assert all(needed.specifier.contains(version) for version in versions.split()), needed
    assert list(locked(LOCKED_UV)) == ["uv"]
    newest = [line.rpartition("3.")[2] for line in project["project"]["classifiers"] if "Python :: 3." in line]
    assert (3, max(map(int, newest))) == LAST_PYTHON


@pytest.mark.parametrize(
    ("version", "machine", "by_hashes"),
    [((3, 10), "x86_64", True), ((3, 13), "AMD64", True), ((3, 14), "x86_64", False), ((3, 12), "riscv64", False)],
)
def test_where_there_are_no_wheels_names_are_enough(version: tuple[int, int], machine: str, by_hashes: bool) -> None:
    assert is_locked(version, machine) == by_hashes


def test_a_kept_environment_is_used_and_an_old_or_half_made_one_is_not(
    env: dict[str, str], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "tools" / "ciplug"
    kept, old, half = (home / name for name in (name_of(source, "", env, NOW), "old", "new.half"))
    for folder in (kept, old, half):
        folder.mkdir(parents=True)
    os.utime(old, (NOW - OUTDATED - 1, NOW - OUTDATED - 1))
    os.utime(half, (NOW, NOW))
    os.utime(kept, (NOW, NOW))
    monkeypatch.setattr(time, "time", lambda: NOW)
    # Whatever is started is a mistake.
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something is installed"))
    assert main(source, env) == 0
    assert Path(env["GITHUB_OUTPUT"]).read_text() == f"python={python_of(kept)}\nfolder={kept / COMMAND}\n"
    assert sorted(home.iterdir()) == sorted([kept, half])


@pytest.mark.parametrize("home", ["", "file", "file/below"])
def test_where_nothing_can_be_kept_it_is_made_for_this_job(
    home: str, env: dict[str, str], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    env["RUNNER_TOOL_CACHE"] = str(tmp_path / home) if home else ""
    monkeypatch.setattr("ciplug.install._make", lambda *_: "nothing")
    assert main(source, env) == 0
    assert f"python={tmp_path / 'temp'}" in Path(env["GITHUB_OUTPUT"]).read_text()


def test_extras_beside_a_source_are_a_mistake(
    env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path, {**env, "CIPLUG_SOURCE": "ciplug", "CIPLUG_EXTRAS": "stats"}) == 2
    assert "`extras` is for the action's own files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("", False),
        (":env:.disable-pip-version-check='1'\nglobal.timeout='60'\ninstall.user='no'\n", False),
        (":env:.index-url='https://user:a=b@pypi.example/simple'\n", True),
        ("global.extra-index-url='https://pypi.example/simple'\n", True),
        ("global.timeout='60'\ninstall.find-links='/wheels'\n", True),
        ("global.cert='/etc/ca.pem'", True),
    ],
)
def test_what_pip_has_been_told(settings: str, named: bool) -> None:
    assert names_a_source(settings) == named


@pytest.mark.slow
class TestForReal:
    @pytest.fixture
    def start(self, env: dict[str, str], tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
        """Starts the first step of an action whose files are in the folder `action`."""
        source = tmp_path / "action"
        source.mkdir()
        for name in CONTENTS:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, source / name)
        command = [sys.executable, "-I", str(source / "ciplug" / "install.py")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        workspace = tmp_path / "workspace"
        workspace.mkdir()
        (workspace / "uv.toml").write_text('index-url = "http://127.0.0.1:9/simple"\n')
        return lambda: subprocess.Popen(command, cwd=workspace, env={**os.environ, **env}, text=True, **pipes)

    def test_two_jobs_at_once_leave_one_whole_environment(
        self, start: Callable[[], subprocess.Popen[str]], env: dict[str, str], tmp_path: Path
    ) -> None:
        for job in [start(), start()]:
            assert job.communicate() and job.returncode == 0
        [kept] = (tmp_path / "tools" / "ciplug").iterdir()
        written = f"python={python_of(kept)}\nfolder={kept / COMMAND}\n"
        assert Path(env["GITHUB_OUTPUT"]).read_text() == 2 * written
        version = subprocess.run([kept / COMMAND / "ciplug", "--version"], capture_output=True, text=True)
        assert version.stdout.startswith("ciplug ")
        assert "reused" in start().communicate()[0]

    def test_what_cannot_be_installed_leaves_nothing(
        self, start: Callable[[], subprocess.Popen[str]], env: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "action" / "pyproject.toml").write_text("[project\n")
        job = start()
        _, said = job.communicate()
        assert job.returncode == 3
        assert "ciplug: cannot be installed" in said
        assert not Path(env["GITHUB_OUTPUT"]).exists()
        assert list((tmp_path / "tools" / "ciplug").iterdir()) == []

    def test_a_package_with_other_bytes_is_refused(
        self, start: Callable[[], subprocess.Popen[str]], env: dict[str, str], tmp_path: Path
    ) -> None:
        file = tmp_path / "action" / LOCKED
        file.write_text(
            re.sub(r"(tabulate==.*?--hash=sha256:).*?\n(?=\w)", rf"\g<1>{'0' * 64}\n", file.read_text(), flags=re.S)
        )
        job = start()
        _, said = job.communicate()
        assert job.returncode == 3 and "ciplug: cannot be installed" in said
        assert not Path(env["GITHUB_OUTPUT"]).exists()

    def test_uv_installs_where_pip_has_no_settings_and_heeds_none_of_the_checkout(
        self, start: Callable[[], subprocess.Popen[str]], env: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            monkeypatch.delenv(name)
        env["PIP_CONFIG_FILE"] = os.devnull
        job = start()
        said, errors = job.communicate()
        assert "created with uv" in said, errors
        assert "pip tries" not in errors
