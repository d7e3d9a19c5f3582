"""What a user gets wrong is said at once, in words that name it, and nothing is written where it should not be."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.project import Project

MAKE = "import pathlib, sys; pathlib.Path('made.txt').write_text(sys.argv[1])"
TRAIN = ("--", sys.executable, "train.py")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project")


@pytest.mark.parametrize("store", ["s4://x", "none", "/tmp/x", "S3://bucket", "https://example.com/x"])
def test_a_wrong_store_is_not_said_to_be_one_for_artifacts(project: Project, store: str) -> None:
    done = project.ciplug("run", "--store", store, "--artifact", "numbers.json", *TRAIN, code=2)
    assert f"unsupported store '{store}'" in done.stderr
    assert "artifact" not in done.stderr
    assert not (project.folder / "metrics.json").exists()


def test_a_wrong_place_for_artifacts_is_said_as_such(project: Project) -> None:
    done = project.ciplug("run", "--artifact-store", "s4://x", *TRAIN, code=2)
    assert "artifact store 's4://x'" in done.stderr


def test_the_comment_is_of_all_models(project: Project) -> None:
    done = project.ciplug("report", "--post", "--model", "wine", code=2)
    assert "the comment covers all models of the commit" in done.stderr


def test_a_reader_does_not_make_the_folder_of_a_store(project: Project) -> None:
    typo = project.folder.parent / "typo"
    done = project.ciplug("runs", "list", "--store", typo.as_uri())
    assert f"no run is recorded in {typo.as_uri()}" in done.stderr
    project.ciplug("fsck", "--store", typo.as_uri())
    project.ciplug("compact", "--store", typo.as_uri())
    assert not typo.exists()


def test_a_repository_is_not_a_place_for_a_folder_store(project: Project) -> None:
    done = project.ciplug("run", "--store", project.folder.as_uri(), *TRAIN, code=3)
    assert "has other content, and is not a ciplug store" in done.stderr
    assert not (project.folder / "metrics.json").exists()


class _Refuses(BaseHTTPRequestHandler):
    """A bucket that lets nobody in."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


def test_a_token_for_git_is_not_a_hint_for_a_bucket(project: Project) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {
            **{"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"},
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        }
        done = project.ciplug("run", "--store", "s3://bucket/runs", *TRAIN, env=env, code=3)
        server.shutdown()
    assert "AccessDenied" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr
    assert "CIPLUG_PUSH_TOKEN" not in done.stderr


def test_a_report_that_cannot_be_posted_says_why(project: Project) -> None:
    project.train()
    assert "no comment: " in project.ciplug("report", "--post").stderr
    assert "no comment: " not in project.ciplug("ci", *TRAIN).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--promote-to", "nostage"), "unknown stage 'nostage'"),
        (("--output-dir", "train.py"), "--output-dir train.py: a file is in its place"),
        (("--output-dir", "train.py/below"), "--output-dir train.py/below: a file is in its place"),
    ],
)
def test_what_comes_after_the_training_is_looked_at_before_it(
    project: Project, options: tuple[str, ...], said: str
) -> None:
    assert said in project.ciplug("ci", *options, *TRAIN, code=2).stderr
    assert not (project.folder / "metrics.json").exists()
    assert project.json("runs", "list", "--json") == []


@pytest.mark.slow
def test_of_several_models_of_a_commit_one_is_pulled(project: Project) -> None:
    for model in ("beer", "wine"):
        make = ("--", sys.executable, "-c", MAKE, model)
        project.ciplug("run", "--model", model, "--metrics", "numbers.json", "--artifact", "made.txt", *make, code=None)
    pulled = project.folder.parent / "pulled"
    project.ciplug("pull", "HEAD", "--to", str(pulled))
    assert (pulled / "made.txt").read_text() == "wine"
    project.ciplug("pull", "HEAD", "--model", "beer", "--to", str(pulled), "--force")
    assert (pulled / "made.txt").read_text() == "beer"
    none = project.ciplug("pull", "HEAD", "--model", "cider", "--to", str(pulled), code=2)
    assert "no run of 'cider' is recorded on commit" in none.stderr
    run = project.json("runs", "list", "--model", "beer", "--json")[0]["id"]
    other = project.ciplug("pull", run, "--model", "wine", "--to", str(pulled), code=2)
    assert "is of the model 'beer', not 'wine'" in other.stderr
    config = project.folder / "ciplug.yaml"
    config.write_text(config.read_text().replace("model: wine", "model: cider"))
    assert "--model" in project.ciplug("pull", "HEAD", "--to", str(pulled), code=2).stderr


@pytest.mark.parametrize("folder", [".git", ".git/hooks", "../project/.git/new"])
def test_nothing_is_pulled_into_a_git_folder(project: Project, folder: str) -> None:
    before = sorted((project.folder / ".git").rglob("*"))
    assert "git's own folder" in project.ciplug("pull", "HEAD", "--to", folder, code=2).stderr
    assert sorted((project.folder / ".git").rglob("*")) == before


def test_nothing_is_pulled_into_a_file(project: Project) -> None:
    project.ciplug("run", "--artifact", "numbers.json", "--allow-unchanged", "numbers.json", *TRAIN, code=None)
    done = project.ciplug("pull", "HEAD", "--to", "train.py", code=2)
    assert "train.py: a file is in its place" in done.stderr


def test_a_model_that_nothing_is_recorded_of(project: Project) -> None:
    project.train()
    done = project.ciplug("runs", "list", "--model", "wien")
    assert "no run is of a model named 'wien': did you mean 'wine'?" in done.stderr
    other = project.ciplug("runs", "list", "--model", "wine", "--where", "metrics.accuracy > 2")
    assert "no run is of the model" not in other.stderr


def test_one_format_is_asked_for(project: Project) -> None:
    done = project.ciplug("runs", "list", "--json", "--format", "csv", code=2)
    assert "not allowed with" in done.stderr


def test_the_nearest_stage_is_named(project: Project) -> None:
    assert "did you mean 'production'?" in project.ciplug("promote", "wine", "--to", "prod", code=2).stderr


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "The training was killed (SIGKILL): its numbers may be incomplete"),
        ("sys.exit(4)", "The training failed (exit code 4): its numbers may be incomplete"),
    ],
)
def test_a_training_that_did_not_finish_is_said_in_the_report(project: Project, ending: str, said: str) -> None:
    project.ciplug("run", "--", sys.executable, "-c", f"import os, signal, sys; {ending}", code=None)
    assert said in project.ciplug("report").stdout.replace("*", "")
