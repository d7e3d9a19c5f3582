"""A store that refuses a run: the advice follows from the cause and from the place, not from words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ciplug.ci.base import PUSH_HINT
from tests.project import CONFIG, Project
from tests.servers.git_http import GitServer

DENIED = b"<Error><Code>AccessDenied</Code><Message>Permission denied: not allowed to push</Message></Error>"


class _Refuses(BaseHTTPRequestHandler):
    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(403)
        self.send_header("Content-Length", str(len(DENIED)))
        self.end_headers()
        self.wfile.write(DENIED)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _refuse  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refusing_s3() -> Iterator[str]:
    """The address of an S3 whose every answer is 403."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def project(tmp_path: Path, git_server: GitServer) -> Project:
    git_server.create("remote")
    return Project.create(tmp_path / "work", remote=git_server.url("remote"), config=CONFIG)


def run(project: Project, *options: str, **env: str) -> str:
    return project.ciplug("run", *options, "--", sys.executable, "train.py", env=env, code=3).stderr


def test_a_repository_that_refuses_is_about_the_right_to_push(project: Project, git_server: GitServer) -> None:
    git_server.token = "s3cret"
    assert PUSH_HINT in run(project)
    assert PUSH_HINT in run(project, CIPLUG_PUSH_TOKEN="wrong")


@pytest.mark.slow
def test_a_repository_that_does_not_answer_is_not(project: Project) -> None:
    err = run(project, "--store", "git+http://127.0.0.1:1/remote")
    assert "not sent" in err and PUSH_HINT not in err


@pytest.mark.slow
def test_a_bucket_that_refuses_is_not_about_git(project: Project, refusing_s3: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    keys["AWS_ENDPOINT_URL"] = refusing_s3
    (project.folder / "model.bin").write_bytes(b"weights")
    files = ("--artifact", "model.bin", "--allow-unchanged", "model.bin", "--artifact-store", "s3://files/x")
    for options in (("--store", "s3://runs/x"), files):
        err = run(project, *options, **keys)
        assert "not sent: s3://" in err and "403" in err and PUSH_HINT not in err
        assert "AWS_ACCESS_KEY_ID" in err
