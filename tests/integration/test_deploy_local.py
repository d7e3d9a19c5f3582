"""The target `local`: a real HTTP server command, the switch, and the one before until the next one answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.cli import main
from ciplug.errors import CiplugError, DeploymentRefused, NotDeployed, StoreError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED
from ciplug.steps import history
from ciplug.steps.deployment.deploy import Done, deploy
from ciplug.steps.deployment.status import State, statuses
from ciplug.steps.fetch import fetch
from ciplug.targets.base import Release
from ciplug.targets.local import Local
from tests.deployments import change, state_of
from tests.servers import program
from tests.servers.program import free_ports
from tests.team import Team, team_in

SERVER = """\
import http.server, pathlib, sys
files = pathlib.Path(sys.argv[1])
model = (files / "model.bin").read_bytes()
if model == b"broken":
    sys.exit("no such layer" + 180 * "." + "correct-horse-battery")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global model
        if self.path == "/load":
            model = (files / "model.bin").read_bytes()
        if model == b"odd":
            return self.wfile.write(b"nonsense\\r\\n\\r\\n")
        self.send_response(503 if model == b"ill" else 200)
        self.end_headers()
        self.wfile.write(model)

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


SYSTEMCTL = """\
import os, pathlib, shlex, signal, subprocess, sys
_, verb, *words = sys.argv[1:]
units = pathlib.Path(os.environ["HOME"], ".config/systemd/user")
unit = units / words[-1] if words else units
pid = units / f"{unit.name}.pid"
if verb in ("disable", "restart") and pid.exists():
    os.killpg(int(pid.read_text()), signal.SIGKILL)
    pid.unlink()
if verb == "restart":
    lines = [line.partition("=")[::2] for line in unit.read_text().splitlines() if "=" in line]
    env = dict(shlex.split(value)[0].split("=", 1) for name, value in lines if name == "Environment")
    said = dict(lines)
    nothing = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    command = shlex.split(said["ExecStart"].replace("$$", "$").replace("%%", "%"))
    made = subprocess.Popen(command, cwd=said["WorkingDirectory"], env=env, start_new_session=True, **nothing)
    pid.write_text(str(made.pid))
if verb == "is-active":
    sys.exit(0 if pid.exists() else 3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of the target; its servers end with the test."""
    folder = tmp_path / "served"
    yield folder
    for file in folder.glob("servers/*/pid"):
        try:
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture
def team(tmp_path: Path, folder: Path) -> Team:
    """A team with version 1 in production, and a folder of this machine as target."""
    team = team_in(tmp_path)
    (tmp_path / "server.py").write_text(SERVER)
    ports = free_ports(2)
    team.policy(
        f"""\
targets:
  onprem:
    kind: local
    folder: {folder}
    ports: {ports}
    serve: {sys.executable} {tmp_path / "server.py"} {{files}} {{port}}
    patience: 10
    after_switch: {sys.executable} {tmp_path / "after.py"}
"""
    )
    (tmp_path / "after.py").write_text("")
    team.session = replace(team.session, env={**team.session.env, "API_TOKEN": "correct-horse-battery"})
    team.promote(run=team.judged().id)
    team.promote("production", version=1)
    return team


def holds(team: Team, content: bytes) -> None:
    """A new version with this content comes into production."""
    run = team.judged(artifacts=(team.keep(content, "model.bin"),))
    version = team.promote(run=run.id).version
    team.promote("production", version=version)


def deployed(team: Team) -> Done:
    return deploy(team.session.refreshed(), "models:/wine@production", "onprem")


def refused(team: Team, error: type[CiplugError]) -> Any:
    with pytest.raises(error) as caught:
        deployed(team)
    assert caught.value.hint
    return caught.value


def answer(folder: Path) -> bytes | None:
    """What a client gets at the address that `current` has."""
    try:
        address = (folder / "current" / "upstream.conf").read_text().removeprefix("server ").rstrip(";\n")
        with urllib.request.urlopen(f"http://{address}/", timeout=5) as found:
            return bytes(found.read())
    except (OSError, urllib.error.URLError):
        return None


def running(folder: Path) -> int:
    """How many servers run that are about this folder."""
    done = subprocess.run(["ps", "-A", "-ww", "-o", "stat=", "-o", "args="], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if f"{folder}/releases" in line and line[:1] != "Z"]
    return len(lines)


def states(team: Team) -> list[tuple[str, int]]:
    found = history.stored(team.session.refreshed(), "wine")
    # The words of a program are cut: not even a part of a secret stays.
    assert not any(part in str(found) for part in ("correct", "horse", "battery"))
    return [(one["payload"]["state"], one["payload"]["version"]) for one in found if one["type"] == "deploy"]


@pytest.mark.slow
def test_the_next_version_serves_once_it_answers_and_one_server_is_left(team: Team, folder: Path) -> None:
    first = deployed(team)
    assert answer(folder) == b"abc" and state_of(team) is State.SERVED
    assert deployed(team) == first._replace(event=0)
    holds(team, b"second")
    assert state_of(team) is State.BEHIND and answer(folder) == b"abc"
    second = deployed(team)
    assert second.endpoint != first.endpoint
    assert answer(folder) == b"second" and running(folder) == 1
    assert states(team) == [(BEGUN, 1), (DEPLOYED, 1), (BEGUN, 2), (DEPLOYED, 2)]


@pytest.mark.slow
def test_files_that_somebody_changes_before_they_are_placed_are_refused(
    team: Team, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(team)
    holds(team, b"second")

    def fetch_and_change(session: Any, run: Any, to: Path, **options: Any) -> None:
        fetch(session, run, to, **options)
        (to / "model.bin").write_bytes(b"other")

    monkeypatch.setattr("ciplug.steps.deployment.deploy.fetch", fetch_and_change)
    assert refused(team, DeploymentRefused).reason is NotDeployed.BROKEN_CHAIN
    assert answer(folder) == b"abc" and states(team) == [(BEGUN, 1), (DEPLOYED, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "words"),
    [(b"broken", "no such layer"), (b"ill", "does not answer within"), (b"odd", "does not answer within")],
)
def test_a_version_that_does_not_answer_leaves_the_one_before(
    team: Team, folder: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(team)
    if content != b"broken":
        change(team, "patience: 10", "patience: 0.3")
    holds(team, content)
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.UNHEALTHY and words in refusal.message
    assert answer(folder) == b"abc" and running(folder) == 1
    assert states(team)[-1] == (FAILED, 2) and state_of(team) is State.BEHIND
    assert main(["deployments", "list", "wine", "--store", team.session.store_uri]) == 0
    assert re.search(r" failed +v2 +v1 ", capsys.readouterr().out)


@pytest.mark.slow
def test_a_command_after_the_switch_that_fails_brings_the_one_before_back(team: Team, folder: Path) -> None:
    deployed(team)
    holds(team, b"second")
    after = folder.parent / "after.py"
    after.write_text("import sys; sys.exit('correct-horse-battery no nginx' + 180 * '.')")
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.NOT_SWITCHED and "no nginx" in refusal.message
    assert answer(folder) == b"abc" and running(folder) == 1 and states(team)[-1] == (FAILED, 2)
    after.write_text("")
    deployed(team)
    assert answer(folder) == b"second" and running(folder) == 1


@pytest.mark.slow
def test_a_server_that_ended_is_noticed_and_started_again(team: Team, folder: Path) -> None:
    deployed(team)
    (pid,) = folder.glob("servers/*/pid")
    os.killpg(int(pid.read_text().split()[0]), signal.SIGKILL)
    assert state_of(team) is State.DOWN
    deployed(team)
    assert answer(folder) == b"abc" and running(folder) == 1 and state_of(team) is State.SERVED


@pytest.mark.slow
def test_files_that_somebody_changed_are_put_right_and_no_server_goes_on_with_them(
    team: Team, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deployed(team)
    (file,) = folder.glob("releases/v1-*/files/model.bin")
    file.write_bytes(b"abd")
    assert state_of(team) is State.OTHER
    urllib.request.urlopen(f"{first.endpoint}/load", timeout=5).close()
    assert answer(folder) == b"abd"
    with monkeypatch.context() as patched:
        # The job ends after it has put the files right, and before it starts a server on them.
        patched.setattr(Local, "switch", lambda self, release: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            deployed(team)
    assert file.read_bytes() == b"abc" and answer(folder) == b"abd" and state_of(team) is State.UNFINISHED
    after = folder.parent / "after.py"
    after.write_text("import sys; sys.exit('no nginx')")
    refused(team, DeploymentRefused)
    assert answer(folder) == b"abd" and state_of(team) is State.DOWN
    after.write_text("")
    assert deployed(team).endpoint != first.endpoint
    assert answer(folder) == b"abc" and running(folder) == 1 and state_of(team) is State.SERVED
    assert len(list(folder.glob("releases/*"))) == 1


@pytest.mark.slow
def test_a_job_that_hangs_does_not_replace_a_later_version(
    team: Team, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = Local.switch

    def slow(self: Local, release: Release) -> None:
        monkeypatch.setattr(Local, "switch", switch)
        holds(team, b"second")
        deployed(team)
        switch(self, release)

    monkeypatch.setattr(Local, "switch", slow)
    assert refused(team, DeploymentRefused).reason is NotDeployed.SUPERSEDED
    assert answer(folder) == b"second" and running(folder) == 1 and state_of(team) is State.SERVED


@pytest.mark.slow
def test_another_program_on_the_port_is_not_taken_for_the_server(team: Team, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").write_bytes(b"other")
    port = int((team.project.folder / "ciplug.yaml").read_text().partition("ports: [")[2].partition(",")[0])
    argv = [sys.executable, str(tmp_path / "server.py"), str(tmp_path / "other"), str(port)]
    with program.running(argv, port, tmp_path / "other.log"):
        refusal = refused(team, DeploymentRefused)
        assert refusal.reason is NotDeployed.PORT_TAKEN and "another program listens" in refusal.message
        assert answer(folder) is None and states(team) == [(BEGUN, 1), (FAILED, 1)]
    deployed(team)
    assert answer(folder) == b"abc"


@pytest.mark.slow
def test_a_server_gets_no_secret_of_the_job_and_a_folder_serves_one_model(team: Team, folder: Path) -> None:
    session = team.session.refreshed()
    deploy(replace(session, env={**session.env, "API_TOKEN": "hunter2"}), "wine@production", "onprem")
    (pid,) = folder.glob("servers/*/pid")
    if (environ := Path(f"/proc/{pid.read_text().split()[0]}/environ")).exists():
        assert b"hunter2" not in environ.read_bytes() and b"PATH=" in environ.read_bytes()
    (folder / "target.json").write_text('{"model": "beer"}')
    holds(team, b"second")
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_MODEL
    assert answer(folder) == b"abc"


@pytest.mark.slow
def test_a_unit_of_systemd(team: Team, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`systemctl` is a stand-in: it starts the command of a unit as its file says, and stops it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.write_text(f"#!{sys.executable}\n{SYSTEMCTL}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    change(team, "patience: 10", "patience: 10\n    supervisor: systemd")
    units = Path(os.environ["HOME"]) / ".config" / "systemd" / "user"
    team.session = replace(team.session, env={**team.session.env, "PATH": os.environ["PATH"], "A_TOKEN": "hunter2"})
    try:
        deploy(team.session, "wine@production", "onprem")
        assert answer(folder) == b"abc"
        (first,) = units.glob("ciplug-*.service")
        text = first.read_text()
        assert "Restart=always" in text and "hunter2" not in text and 'Environment="PATH=' in text
        holds(team, b"second")
        session = replace(team.session.refreshed(), env=team.session.env)
        deploy(session, "wine@production", "onprem")
        (second,) = units.glob("ciplug-*.service")
        assert answer(folder) == b"second" and second != first and running(folder) == 1
    finally:
        for unit in units.glob("*.service"):
            subprocess.run([program, "--user", "disable", "--now", unit.name], check=True)


@pytest.mark.slow
def test_a_changed_server_command_is_behind_and_deployed(team: Team, folder: Path) -> None:
    deployed(team)
    before = (folder / "current").readlink()
    change(team, "{files} {port}", "{files} {port} --workers=2")

    found = next(statuses(team.session, "wine"))
    assert (found.state, found.problem) == (State.BEHIND, "the settings of its server in ciplug.yaml have changed")

    assert deployed(team).event
    assert (folder / "current").readlink() != before
    assert (next(statuses(team.session, "wine")).state, deployed(team).event) == (State.SERVED, 0)


def test_every_command_names_the_model_that_was_meant(
    team: Team, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(team.project.folder)
    for words in (
        "deploy models:/wnie@production --to onprem",
        "smoke-test wnie@v1 --to onprem",
        "undeploy wnie --from onprem",
        "deployments status wnie",
        "monitor models:/wnie@production",
        "rollback wnie --to production --reason x",
        "pull wnie@production --to x",
        "verify wnie@production",
        "registry show wnie",
    ):
        assert main([*words.split(), "--store", team.session.store_uri]) == 2, words
        assert "has no model 'wnie'\n  -> did you mean 'wine'?" in capsys.readouterr().err, words


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_deployment_that_a_signal_ends_names_the_command_that_goes_on(
    team: Team, folder: Path, number: signal.Signals, code: int
) -> None:
    """A person's Ctrl-C, and a runner that cancels the job, while the new server starts."""
    holds(team, b"ill")
    words = ["models:/wine@production", "--to", "onprem"]
    command = subprocess.Popen(
        [sys.executable, "-m", "ciplug", "deploy", *words],
        cwd=team.project.folder,
        env={**team.session.env, "TMPDIR": str(folder.parent)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(folder.glob("servers/*/pid")):
        assert command.poll() is None
        time.sleep(0.01)
    command.send_signal(number)
    said = command.communicate(timeout=30)[1]
    assert command.returncode == code, said
    assert f"interrupted\n  -> go on: ciplug deploy {' '.join(words)}\n" in said and "Traceback" not in said
    # Neither a server nor a copy of the model stays; and the same command goes on from there.
    assert not list(folder.glob("servers/*/pid")) and not list(folder.parent.glob("ciplug-*"))
    (one,) = statuses(team.session.refreshed(), "wine")
    assert one.state is State.UNFINISHED
    assert refused(team, DeploymentRefused).reason is NotDeployed.UNHEALTHY


_COMMAND = "ciplug deploy models:/wine@production --to onprem"


@pytest.mark.parametrize(
    ("place", "fault", "code", "words"),
    [
        ("commands.rollback.follow_up", KeyboardInterrupt(), 130, f"go on: {_COMMAND}"),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("commands.rollback.roll_back", KeyboardInterrupt(), 130, "go on: ciplug registry history wine says"),
                ("steps.deployment.redeploy.by_protected_policy", KeyboardInterrupt(), 130, f"go on: {_COMMAND}"),
                (
                    "steps.deployment.redeploy.by_protected_policy",
                    StoreError("cut"),
                    3,
                    f"is done, so go on: {_COMMAND}",
                ),
                ("steps.deployment.redeploy.deploy", KeyboardInterrupt(), 130, f"go on: {_COMMAND}"),
            )
        ),
    ],
)
def test_a_rollback_that_ends_early_names_what_is_left(
    team: Team,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    fault: BaseException,
    code: int,
    words: str,
) -> None:
    """The same command would roll back once more, so it is named only where nothing may be written yet."""
    deployed(team)
    holds(team, b"second")

    def stop(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(f"ciplug.{place}", stop)
    monkeypatch.chdir(team.project.folder)
    line = ["rollback", "wine", "--to", "production", "--reason", "slow", "--redeploy"]
    assert main([*line, "--store", team.session.store_uri]) == code
    assert words in capsys.readouterr().err
