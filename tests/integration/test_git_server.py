"""The git server of the tests is a git server: clones, pushes, refusals, faults."""

from __future__ import annotations

import base64
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers.git_http import GitServer


def git(*args: str | Path, cwd: Path, fails: bool = False, **env: str) -> str:
    """Run git; its output and its complaints as one text."""
    command = ["git", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "LC_ALL": "C", **env}, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, text
    return text


def with_token(token: str, *, headers: int = 1) -> dict[str, str]:
    value = "Authorization: Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
    env = {"GIT_CONFIG_COUNT": str(headers)}
    for i in range(headers):
        env |= {f"GIT_CONFIG_KEY_{i}": "http.extraheader", f"GIT_CONFIG_VALUE_{i}": value}
    return env


@pytest.fixture
def work(tmp_path: Path, git_server: GitServer) -> Path:
    """A work tree with one commit on main, whose origin is an empty `demo` on the server."""
    git_server.create("demo")
    path = tmp_path / "work"
    git("init", "--quiet", path, cwd=tmp_path)
    (path / "train.py").write_text("print('hello')\n")
    git("add", ".", cwd=path)
    git("commit", "--quiet", "-m", "First", cwd=path)
    git("remote", "add", "origin", git_server.url("demo"), cwd=path)
    return path


def refs(server: GitServer, name: str = "demo") -> list[str]:
    text = git("for-each-ref", "--format=%(refname)", cwd=server.path(name))
    return text.split()


def test_push_and_clone(work: Path, git_server: GitServer, tmp_path: Path) -> None:
    git("push", "origin", "main", "HEAD:refs/ciplug/runs/1", cwd=work)
    git("clone", "--quiet", git_server.url("demo"), "copy", cwd=tmp_path)
    assert (tmp_path / "copy/train.py").read_text() == "print('hello')\n"
    assert refs(git_server) == ["refs/ciplug/runs/1", "refs/heads/main"]
    assert {(r.method, r.service) for r in git_server.requests} == {
        ("GET", "receive-pack"),
        ("POST", "receive-pack"),
        ("GET", "upload-pack"),
        ("POST", "upload-pack"),
    }
    assert all(r.status == 200 and r.bytes_out for r in git_server.requests)
    assert any(r.protocol == "version=2" for r in git_server.requests)


def test_push_is_two_requests(work: Path, git_server: GitServer) -> None:
    git("push", "origin", "main", cwd=work)
    assert [(r.method, r.service) for r in git_server.requests] == [
        ("GET", "receive-pack"),
        ("POST", "receive-pack"),
    ]


def test_a_repository_in_a_folder(work: Path, git_server: GitServer) -> None:
    git_server.create("acme/team/demo")
    git("push", git_server.url("acme/team/demo"), "main", cwd=work)
    assert refs(git_server, "acme/team/demo") == ["refs/heads/main"]


@pytest.mark.slow
def test_large_push_is_chunked_and_large_fetch_is_gzipped(work: Path, git_server: GitServer, tmp_path: Path) -> None:
    (work / "noise").write_bytes(os.urandom(3_000_000))
    git("add", ".", cwd=work)
    git("commit", "--quiet", "-m", "Noise", cwd=work)
    git("-c", "http.postBuffer=65536", "push", "origin", "main", cwd=work)
    # Many wants and haves make a request long enough for the client to gzip it.
    commit = git("rev-parse", "HEAD", cwd=work).strip()
    lines = "".join(f"create refs/tags/t{i} {commit}\n" for i in range(200))
    subprocess.run(["git", "update-ref", "--stdin"], input=lines, text=True, cwd=git_server.path("demo"), check=True)
    copy = tmp_path / "copy"
    git("clone", "--quiet", git_server.url("demo"), copy, cwd=tmp_path)
    assert (copy / "noise").stat().st_size == 3_000_000
    for i in range(40):
        git("commit", "--quiet", "--allow-empty", "-m", f"Local {i}", cwd=copy)
    git("commit", "--quiet", "--allow-empty", "-m", "Second", cwd=work)
    git("push", "origin", "main", cwd=work)
    git("fetch", "--quiet", cwd=copy)
    assert git("rev-parse", "origin/main", cwd=copy) == git("rev-parse", "main", cwd=work)
    assert git_server.stderr == []
    assert {r.framing for r in git_server.requests} == {"chunked", "gzip", "plain"}


def test_token(work: Path, git_server: GitServer) -> None:
    git_server.token = "s3cret"
    assert "could not read Username" in git("push", "origin", "main", cwd=work, fails=True)
    assert git_server.requests[-1].status == 401
    assert "Authentication failed" in git(
        "push", "origin", "main", cwd=work, fails=True, GIT_ASKPASS="true", **with_token("wrong")
    )
    git("push", "origin", "main", cwd=work, **with_token("s3cret"))
    assert refs(git_server) == ["refs/heads/main"]
    assert "400" in git("fetch", cwd=work, fails=True, **with_token("s3cret", headers=2))
    assert git_server.requests[-1].status == 400


def test_filter_can_be_off(work: Path, git_server: GitServer, tmp_path: Path) -> None:
    git_server.create("plain", filters=False)
    for name in ("demo", "plain"):
        git("push", git_server.url(name), "main", cwd=work)
        git("clone", "--bare", "--filter=tree:0", git_server.url(name), name, cwd=tmp_path)
    counts = [
        git("rev-list", "--all", "--objects", "--missing=print", cwd=tmp_path / name).count("?")
        for name in ("demo", "plain")
    ]
    assert counts == [1, 0]


def test_any_commit_can_be_fetched_by_id(work: Path, git_server: GitServer, tmp_path: Path) -> None:
    git("push", "origin", "main", cwd=work)
    first = git("rev-parse", "HEAD", cwd=work).strip()
    git("commit", "--quiet", "--amend", "-m", "Other", cwd=work)
    git("push", "--force", "origin", "main", cwd=work)
    git("init", "--quiet", "copy", cwd=tmp_path)
    git("fetch", "--quiet", git_server.url("demo"), first, cwd=tmp_path / "copy")


def test_atomic_can_be_off(work: Path, git_server: GitServer) -> None:
    git_server.create("plain", atomic=False)
    assert "does not support --atomic" in git("push", "--atomic", git_server.url("plain"), "main", cwd=work, fails=True)
    git("push", "--atomic", "origin", "main", "main:other", cwd=work)


def test_custom_refs_can_be_refused(work: Path, git_server: GitServer) -> None:
    git_server.create("strict", custom_refs=False)
    said = git("push", "--porcelain", git_server.url("strict"), "main", "main:refs/ciplug/x", cwd=work, fails=True)
    assert "refs/ciplug/x\t[remote rejected] (hook declined)" in said
    assert refs(git_server, "strict") == ["refs/heads/main"]


def test_protected_branch(work: Path, git_server: GitServer) -> None:
    git("push", "origin", "main", cwd=work)
    git_server.protect("demo", "main")
    git("commit", "--quiet", "--allow-empty", "-m", "Second", cwd=work)
    said = git("push", "--porcelain", "origin", "main", "main:topic", cwd=work, fails=True)
    assert "refs/heads/main\t[remote rejected] (protected branch hook declined)" in said
    assert "GH006" in said
    assert refs(git_server) == ["refs/heads/main", "refs/heads/topic"]
    git("push", "--atomic", "origin", "main", "main:third", cwd=work, fails=True)
    assert refs(git_server) == ["refs/heads/main", "refs/heads/topic"]


def test_protected_from_the_start(work: Path, git_server: GitServer) -> None:
    git_server.create("locked", protected=("main", "release"))
    for branch in ("main", "release"):
        said = git("push", git_server.url("locked"), f"main:{branch}", cwd=work, fails=True)
        assert "protected branch hook declined" in said
    git("push", git_server.url("locked"), "main:topic", cwd=work)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "applied"), [("before", False), ("half", False), ("after", True), ("503", False)])
def test_faults_hit_one_push(work: Path, git_server: GitServer, fault: str, applied: bool) -> None:
    git_server.fail_next(fault)  # type: ignore[arg-type]
    git("push", "origin", "main", cwd=work, fails=True)
    assert refs(git_server) == (["refs/heads/main"] if applied else [])
    posts = [r for r in git_server.requests if r.method == "POST"]
    assert [r.status for r in posts] == [503 if fault == "503" else 0]
    git("push", "origin", "main", cwd=work)
    assert refs(git_server) == ["refs/heads/main"]


def test_a_push_goes_on_without_its_client(work: Path, git_server: GitServer) -> None:
    git_server.fail_next("during")
    git("push", "origin", "main", cwd=work, fails=True)
    assert refs(git_server) == []
    assert "main.lock" in git("push", "origin", "main", cwd=work, fails=True)
    assert refs(git_server) == ["refs/heads/main"]
    git_server.fail_next("during")
    git("push", "origin", "main:other", cwd=work, fails=True)
    git("push", "origin", "main:third", cwd=work)
    assert refs(git_server) == ["refs/heads/main", "refs/heads/other", "refs/heads/third"]


def test_a_fault_waits_for_its_service(work: Path, git_server: GitServer, tmp_path: Path) -> None:
    git_server.fail_next("before", service="upload-pack")
    git("push", "origin", "main", cwd=work)
    git("clone", git_server.url("demo"), "copy", cwd=tmp_path, fails=True)
    git("clone", git_server.url("demo"), "copy", cwd=tmp_path)


def test_a_large_push_meets_its_fault_too(work: Path, git_server: GitServer) -> None:
    (work / "noise").write_bytes(os.urandom(300_000))
    git("add", ".", cwd=work)
    git("commit", "--quiet", "-m", "Noise", cwd=work)
    git_server.fail_next("after")
    git("-c", "http.postBuffer=65536", "push", "origin", "main", cwd=work, fails=True)
    assert refs(git_server) == ["refs/heads/main"]


def test_of_racing_pushes_one_wins(work: Path, git_server: GitServer) -> None:
    git("push", "origin", "main", cwd=work)
    commits = [git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", f"Racer {i}", cwd=work).strip() for i in range(4)]

    def push(commit: str) -> bool:
        command = ["git", "push", "origin", f"{commit}:refs/heads/main"]
        return subprocess.run(command, cwd=work, capture_output=True).returncode == 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(push, commits)) == 1


def test_latency(work: Path, git_server: GitServer) -> None:
    git_server.latency = 0.05
    git("push", "origin", "main", cwd=work)
    assert all(r.seconds >= 0.05 for r in git_server.requests)
