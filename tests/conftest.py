"""Every test starts on a machine without a past: its own HOME, its own git configuration, no CI around it."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from ciplug.ci import is_of_host
from tests import generated
from tests.servers.azurite import Azure, azurite
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.fake_gcs import Gcs, fake_gcs
from tests.servers.git_http import GitServer
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.servers.jenkins_api import JenkinsApi
from tests.servers.seaweedfs import S3, seaweedfs
from tests.stores import PLACES, Place

# The same examples every time, however slow the machine: no change is refused for what it has not brought. Others are
# looked for with `pytest --hypothesis-profile=default`.
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=generated.examples(100))
settings.load_profile("fixed")

# What the tests have imported and collected is a million objects, and none is garbage. To look through them whenever
# 700 more were made took a quarter of the time of the tests of pure functions.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish() -> None:
    gc.freeze()


_OTHER_VARIABLES = re.compile(
    r"(GH|GITLAB|GITEA|FORGEJO|BUILDKITE|CIPLUG|CIRCLE|TRAVIS|MLFLOW|GIT|AWS|AZURE|GOOGLE|STORAGE|DVC)_\w+"
    r"|NODE_(INDEX|TOTAL)|NO_COLOR|FORCE_COLOR|CLICOLOR\w*|COLUMNS|LINES|SOURCE_DATE_EPOCH"
)
"""Beside those of the CI hosts that ciplug knows."""

# Who starts the suite in the background (nohup, `&` in a script) has signals ignored, and every program inherits that.
_AS_IN_THE_FOREGROUND = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
}
for _number, _handler in _AS_IN_THE_FOREGROUND.items():
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def _read_grammars_when_asked() -> None:
    """jsonschema imports 38 grammars, of which the tests use one. They take longer than all tests of documents."""
    lazy = ModuleType("rfc3987_syntax")

    @cache
    def real() -> ModuleType:
        del sys.modules["rfc3987_syntax"]
        return importlib.import_module("rfc3987_syntax")

    lazy.is_valid_syntax = lambda term, value: real().is_valid_syntax(term, value)
    if importlib.util.find_spec("rfc3987_syntax"):
        sys.modules.setdefault("rfc3987_syntax", lazy)


_read_grammars_when_asked()


_GITCONFIG = """\
[user]
	name = Test Person
	email = test@example.com
[init]
	defaultBranch = main
[core]
	fsync = none
[gc]
	auto = 0
[maintenance]
	auto = false
[receive]
	autogc = false
"""
"""A person, and repositories that live for a second: nobody waits for the disk, or looks for something to clean up."""


def _clean(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in list(os.environ):
        if is_of_host(name.upper()) or _OTHER_VARIABLES.fullmatch(name.upper()):
            patch.delenv(name)
    gitconfig = home / "gitconfig"
    gitconfig.write_text(_GITCONFIG)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        patch.delenv(name, raising=False)
    patch.setenv("HOME", str(home))
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, "127.0.0.1,localhost")
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("GIT_CONFIG_GLOBAL", str(gitconfig))
    patch.setenv("GIT_TERMINAL_PROMPT", "0")


@pytest.fixture(scope="session")
def _machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Makes folders: `mktemp` moves a link for each, which takes longer than most tests."""
    base = tmp_path_factory.mktemp("machines")
    return (folder for number in itertools.count() if (folder := base / str(number)).mkdir() is None)


@pytest.fixture(scope="session", autouse=True)
def _clean_session(_machines: Iterator[Path]) -> Iterator[None]:
    """For what is made once for many tests, and before the first of them."""
    with pytest.MonkeyPatch.context() as patch:
        _clean(patch, next(_machines))
        # `python` is the one that runs the tests, not what a version manager starts several shells to find.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def _clean_machine(_machines: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _clean(monkeypatch, next(_machines))
    # Nor in a repository: what forgets to say where it runs would keep its cache, and find one, in ours.
    monkeypatch.chdir(next(_machines))


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[GitServer]:
    """A git server without access control; tests that need a token set `git_server.token`."""
    with GitServer(tmp_path / "git-server") as server:
        yield server


@pytest.fixture(scope="session")
def git_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server for all places of the test session that are repositories on one."""
    with GitServer(tmp_path_factory.mktemp("git-host")) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """S3 for all places of the test session that are in its bucket."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """Azure Blob Storage, likewise."""
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gcs]:
    """Google Cloud Storage, likewise."""
    with fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as server:
        yield server


@pytest.fixture(params=PLACES)
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Place]:
    """Makes a fresh place; a test that asks for it runs for each kind of place that a store can be at."""
    number = iter(range(1_000_000))

    def make() -> Place:
        folder = tmp_path / f"place-{next(number)}"
        folder.mkdir()
        made: Place = request.param(folder, request.getfixturevalue)
        return made

    return make


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    """A fresh place; a test that asks for it runs for each kind of place that a store can be at."""
    return new_place()


@pytest.fixture
def github_api() -> Iterator[GitHubApi]:
    """GitHub with the repository acme/demo and the token `user-token` of octocat, which may do everything."""
    with GitHubApi() as server:
        server.add_token("user-token", "octocat")
        yield server


@pytest.fixture
def gitlab_api() -> Iterator[GitLabApi]:
    """GitLab with the project acme/demo and the token `user-token` of tanuki, who is a developer."""
    with GitLabApi() as server:
        server.add_token("user-token", "tanuki")
        yield server


@pytest.fixture
def gitea_api() -> Iterator[GiteaApi]:
    """Gitea with the repository acme/demo and the token `user-token` of ada, who may write."""
    with GiteaApi() as server:
        server.add_token("user-token", "ada")
        yield server


@pytest.fixture
def bitbucket_api() -> Iterator[BitbucketApi]:
    """Bitbucket with the repository acme/demo and its access token `access-token`."""
    with BitbucketApi() as server:
        server.add_token("access-token", "ciplug", app=True)
        yield server


@pytest.fixture
def jenkins_api() -> Iterator[JenkinsApi]:
    """Jenkins with the user alice, whose API token is `user-token`."""
    with JenkinsApi() as server:
        server.add_user("alice", "user-token")
        yield server
