"""A training that fails: its error and the last lines of its output are kept, masked, and shown first."""

from __future__ import annotations

import hashlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ciplug.capture.output_tail import BYTES_MOST, LINES_MOST, error_in, last_lines, visible
from ciplug.reports import comment, html, terminal
from tests import report_samples as samples
from tests.project import Project

TRAIN = """\
import os, sys
print("epoch 1")
print("\\x1b[31mpassword=\\x1b[0mhunter2-from-a-file")
print(f"a variable: {os.environ['DB_PASSWORD']}")
sys.stdout.flush()
for done in range(0, 101, 25):
    sys.stderr.write(f"\\rloading {done}%")
sys.stderr.write("\\n")
def fit(rows):
    raise ValueError(f"wrong shape {rows}")
fit(3)
"""
SECRET = {"DB_PASSWORD": "correct-horse-7"}


@pytest.fixture
def crashed(tmp_path: Path) -> Project:
    project = Project.with_remote(tmp_path)
    (project.folder / "train.py").write_text(TRAIN)
    project.commit("A training that fails")
    project.push()
    project.ciplug("run", "--", sys.executable, "train.py", env=SECRET, code=1)
    return project


@pytest.mark.slow
def test_the_error_comes_first_and_no_secret_is_kept(crashed: Project) -> None:
    origin = crashed.json("runs", "show", "HEAD", "--json")["provenance"]
    assert origin["error"] == "ValueError: wrong shape 3"
    assert origin["last_lines"][0] == "epoch 1"
    assert "loading 100%" in origin["last_lines"]
    assert origin["last_lines"][-1] == "ValueError: wrong shape 3"
    shown = crashed.ciplug("runs", "show", "HEAD").stdout
    assert shown.index("crash: The training failed (exit code 1): ValueError: wrong shape 3") < shown.index(
        "provenance:"
    )
    markdown = crashed.ciplug("report", "--format", "markdown").stdout
    page = crashed.ciplug("report", "--format", "html").stdout
    assert markdown.index("ValueError: wrong shape 3") < markdown.index("Commit ") < markdown.index("| gate |")
    assert (
        page.index("<code>ValueError: wrong shape 3</code>") < page.index(">Gates</h2>") < page.index(">Metrics</h2>")
    )
    assert '    raise ValueError(f"wrong shape {rows}")' in markdown
    # It is told once: neither a note nor a row among the gates repeats it.
    crashed.ciplug("gate", code=1)
    plain = crashed.ciplug("report").stdout
    for text in (plain, *(crashed.ciplug("report", "--format", form).stdout for form in ("markdown", "html"))):
        assert text.count("(exit code 1)") == 1 and "its numbers" not in text
        assert "1 in error" in text
    for text in (shown, markdown, page, crashed.ciplug("runs", "show", "HEAD", "--json").stdout):
        assert "hunter2" not in text
        assert "correct-horse" not in text
        assert "password=***" in text


def test_of_a_training_that_finished_nothing_is_kept(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    project.numbers({"accuracy": 0.9})
    project.commit("Numbers")
    project.ciplug("run", "--", sys.executable, "-u", "-c", "print('a line'); exec(open('train.py').read())")
    assert not {"error", "last_lines"} & project.json("runs", "show", "HEAD", "--json")["provenance"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("by_with", [True, False])
def test_a_program_that_logs_by_itself(tmp_path: Path, by_with: bool) -> None:
    """Without `ciplug run`, the exception that ends the program, or the `with` block of its run, is kept."""
    project = Project.create(tmp_path / "work")
    start = "with ciplug.start_run():" if by_with else "if True:"
    code = f"import ciplug\n{start}\n    ciplug.log_metric('a', 1)\n    raise KeyError('password=hunter2-long')\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    (run,) = project.json("runs", "list", "--json")
    assert run["status"] == "failed"
    assert run["provenance"]["error"].startswith("KeyError: 'password=***")
    assert run["provenance"]["last_lines"][0] == "Traceback (most recent call last):"


@pytest.mark.slow
def test_output_passes_through_byte_for_byte(tmp_path: Path) -> None:
    """Of stdout and stderr, also what a program that was left behind writes after the end of ciplug."""
    project = Project.create(tmp_path / "work")
    data = "".join(f"{os.urandom(40).hex()}\n" for _ in range(8000))
    (project.folder / "big.txt").write_text(data)
    script = f"cat big.txt; echo to stderr >&2; (while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo late) & exit 3"
    command = [sys.executable, "-m", "ciplug", "run", "--", "sh", "-c", script]
    with subprocess.Popen(command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout and running.stderr
        first = running.stdout.read(len(data))
        assert running.wait() == 3
        (tmp_path / "go").touch()
        assert running.stdout.read() == b"late\n"
        said = running.stderr.read().decode()
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(data.encode()).hexdigest()
    assert said.startswith("to stderr\n")
    kept = project.json("runs", "show", "HEAD", "--json")["provenance"]["last_lines"]
    assert "to stderr" in kept
    assert sum(len(line) + 1 for line in kept) <= BYTES_MOST


def test_a_command_finds_the_terminal(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    ours, theirs = pty.openpty()
    code = "import sys; print(sys.stdout.isatty(), sys.stderr.isatty()); raise SystemExit(4)"
    command = [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project.folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert done.returncode == 4
    assert os.read(ours, 9) == b"True True"
    os.close(ours)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("Traceback (most recent call last):\n  File\nKeyError: 'a'\n", "KeyError: 'a'"),
        ("Traceback (most recent call last):\n  x\nKeyError: 1\n\nDuring …:\n\n"
         "Traceback (most recent call last):\n  y\ntorch.cuda.OutOfMemoryError: no room\nmore\n",
         "torch.cuda.OutOfMemoryError: no room"),
        ("java.lang.OutOfMemoryError: Java heap space\n\tat a.b\n", "java.lang.OutOfMemoryError: Java heap space"),
        ("all is well\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_errors(output: str, error: str | None) -> None:
    assert error_in(last_lines(visible(output))) == error


def test_lines_are_bounded_and_the_rest_of_a_key_is_masked() -> None:
    lines = last_lines(visible("\n".join(f"{number} {'ä' * 1000}" for number in range(500))))
    assert len(lines) <= LINES_MOST
    assert sum(len(line.encode()) + 1 for line in lines) <= BYTES_MOST
    assert lines[-1].startswith("499 ä")
    cut = "b3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\nafter"
    assert last_lines(visible(cut)) == ("***", "after")


@pytest.mark.parametrize("html_too", [True, False])
def test_the_output_of_a_stranger_commands_nothing(html_too: bool) -> None:
    body = comment.render(samples.crashed(), samples.LIMIT, html=html_too)
    assert body.count("```") == 2
    assert not [line for line in body.split("\n") if line.lstrip(" ").startswith("/")]
    assert body.count("<!--") == html_too
    fence = body.split("```")[1]
    assert "::error" not in fence
    outside = body.split("```")[0] + body.split("```")[2]
    assert "<img" not in outside
    page = html.render(samples.crashed())
    assert "<script" not in page
    assert "&lt;/pre&gt;" in page
    assert "::error" not in terminal.render(samples.crashed(), colour=False, width=100)
