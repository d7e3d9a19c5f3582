"""A token goes to the host that it is for, and nothing that the training can read or start sees it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug.errors import ConfigError
from ciplug.git.credentials import push_token
from ciplug.git.transport import transport_environment
from ciplug.git.workspace import of_machine
from tests.project import CONFIG, Project, git
from tests.servers.git_http import GitServer

SECRET = "t0ken-of-the-project"
OTHER_SECRETS = ("CIPLUG_WEBHOOK_SECRET", "CIPLUG_WEBHOOK_URL", "CIPLUG_OCI_PASSWORD", "CIPLUG_MODEL_SIGNING_KEY")
MERGE_REQUEST = {
    "GITLAB_CI": "true",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
    "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
    "CI_PIPELINE_SOURCE": "merge_request_event",
}
LOOK = """\
import json, pathlib, os, sys
seen = {}
process = os.getpid()
while process > 1:
    try:
        seen[process] = pathlib.Path(f"/proc/{process}/environ").read_text(errors="replace")
    except OSError as problem:
        seen[process] = str(problem)
    process = int(pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    if process == int(os.environ["THE_TEST"]):
        break
pathlib.Path(sys.argv[1]).write_text(json.dumps(seen))
pathlib.Path("metrics.json").write_text('{"accuracy": 0.9}')
"""


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "evil", token=SECRET) as server:
        server.create("catch")
        yield server


@pytest.fixture
def project(tmp_path: Path, git_server: GitServer) -> Project:
    git_server.create("wine")
    git_server.token = SECRET
    login = base64.b64encode(f"x:{SECRET}".encode()).decode()
    project = Project.create(tmp_path / "work")
    git(project.folder, "config", f"http.{git_server.origin}/.extraheader", f"Authorization: Basic {login}")
    git(project.folder, "remote", "add", "origin", git_server.url("wine"))
    project.push()
    return project


def names_store(project: Project, lines: str) -> None:
    """A pull request that changes where runs go."""
    (project.folder / "ciplug.yaml").write_text(CONFIG + lines)
    project.branch("topic", {"accuracy": 0.9})
    project.push()


def test_a_store_of_another_host_gets_no_token(project: Project, evil: GitServer, git_server: GitServer) -> None:
    for lines in (
        f"store: git+{evil.url('catch')}\n",
        f"artifact_store: git+{evil.url('catch')}\nartifacts: model.txt\n",
    ):
        (project.folder / "ciplug.yaml").write_text(CONFIG + lines)
        env = {"CIPLUG_PUSH_TOKEN": SECRET}
        done = project.ciplug("run", "--", sys.executable, "train.py", env=env, code=2)
        host = evil.origin.removeprefix("http://")
        assert f"is not sent to http://{host}" in done.stderr and f"CIPLUG_PUSH_TOKEN_HOST=http://{host}" in done.stderr
        assert evil.requests == []
        project.ciplug("run", "--", sys.executable, "train.py", env={**env, "CIPLUG_PUSH_TOKEN_HOST": evil.origin})
        assert 200 in {request.status for request in evil.requests}
        evil.requests.clear()


def test_a_changed_remote_of_the_checkout_gets_no_token_in_a_job(
    project: Project, evil: GitServer, git_server: GitServer
) -> None:
    """What an earlier step wrote into .git/config decides nothing where the CI host names the server."""
    git(project.folder, "remote", "set-url", "origin", evil.url("catch"))
    env = {
        **MERGE_REQUEST,
        "CI_SERVER_URL": git_server.origin,
        "CI_COMMIT_SHA": project.head,
        "CIPLUG_PUSH_TOKEN": SECRET,
    }
    done = project.ciplug("run", "--", sys.executable, "train.py", env=env, code=2)
    assert "CIPLUG_PUSH_TOKEN is for" in done.stderr
    assert 200 not in {request.status for request in evil.requests}


@pytest.mark.parametrize(
    ("url", "checkout", "env", "sent"),
    [
        ("https://github.com/acme/wine", "https://github.com/acme/wine.git", {}, True),
        ("https://github.com/acme/other", "git@github.com:acme/wine.git", {}, True),
        ("https://GitHub.com/acme/other", "ssh://git@github.com:22/acme/wine.git", {}, True),
        ("https://evil.example/github.com", "https://github.com/acme/wine.git", {}, False),
        ("https://github.com.evil.example/a", "https://github.com/acme/wine.git", {}, False),
        ("https://github.com@evil.example/a", "https://github.com/acme/wine.git", {}, False),
        ("https://github.com:8443/acme/wine", "https://github.com/acme/wine.git", {}, False),
        ("http://github.com/acme/wine", "https://github.com/acme/wine.git", {}, False),
        ("https://evil.example/a", "https://evil.example/a", {"GITHUB_SERVER_URL": "https://github.com"}, False),
        ("https://evil.example/a", "https://evil.example/a", {"CI_SERVER_URL": "https://gitlab.acme.org"}, False),
        ("https://git.acme.org/a", None, {"CIPLUG_PUSH_TOKEN_HOST": "git.acme.org"}, True),
        ("https://git.acme.org/a", None, {"CIPLUG_PUSH_TOKEN_HOST": "other.org, git.acme.org"}, True),
        ("http://git.acme.org/a", None, {"CIPLUG_PUSH_TOKEN_HOST": "git.acme.org"}, False),
        ("https://git.acme.org/a", None, {}, False),
    ],
)
def test_the_host_of_a_token(url: str, checkout: str | None, env: dict[str, str], sent: bool) -> None:
    env = {**env, "CIPLUG_PUSH_TOKEN": SECRET}
    if sent:
        assert push_token(env, url, checkout) == SECRET
        return
    with pytest.raises(ConfigError) as refused:
        push_token(env, url, checkout)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("key", ["store", "artifact_store"])
def test_the_stores_of_a_pull_request_are_those_of_its_target(project: Project, tmp_path: Path, key: str) -> None:
    trusted, mine = (tmp_path / name for name in ("trusted", "mine"))
    for folder in (trusted, mine):
        folder.mkdir()
    (project.folder / "ciplug.yaml").write_text(CONFIG + f"{key}: {trusted.as_uri()}\nartifacts: model.txt\n")
    project.commit("a store")
    project.push()
    names_store(project, f"{key}: {mine.as_uri()}\nartifacts: model.txt\n")
    env = {**MERGE_REQUEST, "CI_COMMIT_SHA": project.head}
    done = project.ciplug("run", "--", sys.executable, "train.py", env=env)
    assert f"this job uses {key}: {trusted.as_uri()}, of ciplug.yaml in the target branch 'main'" in done.stderr
    assert list(mine.iterdir()) == [] and list(trusted.iterdir())
    # What the job itself names, it may.
    named = {"CIPLUG_STORE": mine.as_uri()} if key == "store" else {}
    options = ("--artifact-store", mine.as_uri()) if key == "artifact_store" else ()
    project.ciplug("run", *options, "--", sys.executable, "train.py", env={**env, **named})
    assert list(mine.iterdir())


def test_a_store_is_refused_while_the_target_cannot_be_read(project: Project, tmp_path: Path) -> None:
    names_store(project, f"store: {tmp_path.as_uri()}/mine\n")
    git(project.folder, "remote", "set-url", "origin", str(tmp_path / "away.git"))
    git(project.folder, "update-ref", "-d", "refs/remotes/origin/main")
    git(project.folder, "branch", "-D", "main")
    env = {**MERGE_REQUEST, "CI_COMMIT_SHA": project.head}
    done = project.ciplug("run", "--", sys.executable, "train.py", env=env, code=3)
    assert "the store of a pull request is that of its target branch 'main'" in done.stderr
    assert "CIPLUG_STORE" in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_the_training_reads_no_token_from_its_parents(project: Project, tmp_path: Path) -> None:
    (project.folder / "look.py").write_text(LOOK)
    command = [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "look.py", str(tmp_path / "seen.json")]
    names = ("CIPLUG_PUSH_TOKEN", "CIPLUG_GITHUB_TOKEN", "CIPLUG_JENKINS_TOKEN", "INPUT_TOKEN")
    env = {
        **os.environ,
        **dict.fromkeys((*names, *OTHER_SECRETS), SECRET),
        "THE_TEST": str(os.getpid()),
        "KEPT": "not-a-token",
    }
    done = subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert len(seen) >= 2 and SECRET not in str(seen)
    assert "not-a-token" in str(seen)
    # Only the training has lost it: the run was sent with the token.
    assert "recorded in branch 'ciplug'" in done.stderr


PROGRAM = """\
#!/bin/sh
env >> "{seen}"
cat 2>/dev/null
exit 0
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a shell")
def test_no_program_of_a_hostile_checkout_sees_a_token(project: Project, tmp_path: Path, git_server: GitServer) -> None:
    seen, program = tmp_path / "seen", tmp_path / "program.sh"
    program.write_text(PROGRAM.format(seen=seen))
    program.chmod(0o755)
    settings = {
        "core.fsmonitor": program,
        "core.sshCommand": program,
        "core.askPass": program,
        "core.gitProxy": program,
        "core.editor": program,
        "core.pager": program,
        "core.hooksPath": tmp_path,
        "filter.steal.clean": program,
        "filter.steal.smudge": program,
        "credential.helper": f"!{program}",
        "diff.external": program,
        "protocol.ext.allow": "always",
        "uploadpack.packObjectsHook": program,
    }
    for key, value in settings.items():
        git(project.folder, "config", key, str(value))
    for hook in ("pre-push", "post-checkout", "reference-transaction", "post-index-change"):
        (tmp_path / hook).write_text(PROGRAM.format(seen=seen))
        (tmp_path / hook).chmod(0o755)
    (project.folder / ".git/info").mkdir(exist_ok=True)
    (project.folder / ".git/info/attributes").write_text("* filter=steal\n")
    (project.folder / "numbers.json").write_text('{"accuracy": 0.9}')
    env = dict.fromkeys(("CIPLUG_PUSH_TOKEN", "CIPLUG_GITHUB_TOKEN", *OTHER_SECRETS), SECRET)
    project.ciplug("run", "--", sys.executable, "train.py", env=env)
    # The caches of ciplug lie in the checkout, too.
    for cache in (project.folder / ".git/ciplug/git").glob("*.git"):
        for key, value in settings.items():
            git(cache, "config", key, str(value))
    project.ciplug("runs", "list", env=env)
    project.ciplug("gate", env=env, code=None)
    project.ciplug("compact", env=env)
    # A token that is refused: git would ask the helpers that the configuration names.
    git(project.folder, "config", "--unset-all", f"http.{git_server.origin}/.extraheader")
    project.ciplug("record", "--spooled", env={"CIPLUG_PUSH_TOKEN": "0ld"}, code=None)
    project.ciplug("runs", "list", env={"CIPLUG_PUSH_TOKEN": "0ld"}, code=3)
    shown = seen.read_text() if seen.exists() else ""
    assert shown, "the programs of the checkout run where git needs them"
    for token in (SECRET, "0ld"):
        assert token not in shown
        assert base64.b64encode(f"x-access-token:{token}".encode()).decode() not in shown


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_no_program_of_a_checkout_reads_a_token_from_its_parents(tmp_path: Path) -> None:
    """Also where nothing is trained."""
    project = Project.with_remote(tmp_path)
    seen, program = tmp_path / "seen", tmp_path / "program.py"
    program.write_text(f"#!{sys.executable} -IS\n{LOOK}".replace("sys.argv[1]", repr(str(seen))))
    program.chmod(0o755)
    git(project.folder, "remote", "set-url", "origin", "ssh://git@127.0.0.1/wine.git")
    git(project.folder, "config", "core.sshCommand", str(program))
    env = {**os.environ, "CIPLUG_GITEA_TOKEN": SECRET, "THE_TEST": str(os.getpid()), "KEPT": "not-a-token"}
    command = [sys.executable, "-m", "ciplug", "runs", "list"]
    subprocess.run(command, cwd=project.folder, env=env, capture_output=True, check=False)
    assert "not-a-token" in seen.read_text() and SECRET not in seen.read_text()


def test_an_address_that_the_configuration_rewrites_gets_no_token(
    project: Project, evil: GitServer, git_server: GitServer
) -> None:
    git(project.folder, "config", f"url.{evil.url('catch')}.insteadOf", git_server.url("wine"))
    project.ciplug("run", "--", sys.executable, "train.py", env={"CIPLUG_PUSH_TOKEN": SECRET}, code=3)
    assert 200 not in {request.status for request in evil.requests}


@pytest.mark.parametrize("scope", ["http", "http.{url}"])
def test_a_proxy_that_the_checkout_names_gets_no_token(
    project: Project, evil: GitServer, git_server: GitServer, tmp_path: Path, scope: str
) -> None:
    """That of the user and of the environment stays."""
    key = f"{scope.format(url=git_server.origin)}.proxy"
    git(project.folder, "config", key, evil.origin)
    env = {"CIPLUG_PUSH_TOKEN": SECRET, "NO_PROXY": "", "no_proxy": ""}
    done = project.ciplug("run", "--", sys.executable, "train.py", env=env, code=None)
    assert evil.requests == [] and "recorded in branch 'ciplug'" in done.stderr
    mine = tmp_path / "gitconfig"
    mine.write_text(f"[http]\n\tproxy = {evil.origin}\n")
    assert ("http.proxy", evil.origin) in of_machine_with(mine)


@pytest.mark.parametrize("key", ["http.sslverify", "http.https://git.example.com/.sslverify"])
def test_a_checkout_cannot_stop_the_check_of_the_host(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody in between could claim to be the host. The user may: a host of one's own may have no certificate."""
    checkout, url = ((key, "false"), ("http.sslcainfo", "/ca.pem")), "https://git.example.com/o/r.git"
    env = transport_environment(checkout, url, "token")
    assert "http.sslcainfo" in env.values() and key not in env.values()
    mine = tmp_path / "gitconfig"
    mine.write_text("[http]\n\tsslVerify = false\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(mine))
    assert "http.sslverify" in transport_environment(checkout, url, "token").values()
    assert key in transport_environment(checkout, url).values(), "without a token, git's own settings hold"


def of_machine_with(file: Path) -> tuple[tuple[str, str], ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(file))
        return of_machine()
