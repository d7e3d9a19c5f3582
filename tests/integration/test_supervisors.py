"""What keeps a server of the target `local` running: the unit and the compose file, as their own programs read them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.undeploy import undeploy
from ciplug.steps.session import Session
from ciplug.targets.supervisors import Server, compose_text, unit_text
from tests.deployments import change
from tests.integration.test_deploy_local import answer, folder, holds, running, team  # noqa: F401
from tests.team import Team

WORDS = ["/bin/echo", "a b", "$HOME", "100%", 'quo"te', "back\\slash"]
UNIT = """\
[Unit]
Description=ciplug: ciplug-1-5001

[Service]
WorkingDirectory=/srv/wine/servers/5001
Environment="PATH=/usr/bin:/bin"
ExecStart="/bin/echo" "a b" "$$HOME" "100%%" "quo\\"te" "back\\\\slash"
Restart=always
RestartSec=2

[Install]
WantedBy=default.target
"""
COMPOSE = {
    "name": "ciplug-1-5001",
    "services": {
        "server": {
            "image": "python:3.12-slim",
            "entrypoint": ["/bin/echo"],
            "command": ["a b", "$$HOME", "100%", 'quo"te', "back\\slash"],
            "network_mode": "host",
            "restart": "unless-stopped",
            "volumes": [
                {"type": "bind", "source": "/srv/wine/f", "target": "/srv/wine/f", "read_only": True},
                {"type": "bind", "source": "/var/log/wine", "target": "/var/log/wine", "read_only": False},
            ],
        }
    },
}
DOCKER = """\
import json, os, pathlib, signal, subprocess, sys
words = sys.argv[1:]
file = pathlib.Path(words[words.index("--file") + 1])
verb = words[words.index("--file") + 2]
pid = file.with_name("container")
if verb in ("up", "down") and pid.exists():
    os.killpg(int(pid.read_text()), signal.SIGKILL)
    pid.unlink()
if verb == "up":
    service = json.loads(file.read_text().replace("$$", "$"))["services"]["server"]
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    made = subprocess.Popen(service["entrypoint"] + service["command"], start_new_session=True, **nothing)
    pid.write_text(str(made.pid))
if verb == "ps" and pid.exists():
    print("3fa9c1")
if verb == "logs":
    print("said before it ended")
"""


def server() -> Server:
    return Server(
        "ciplug-1-5001", Path("/srv/wine/servers/5001"), WORDS, "python:3.12-slim", ("ro:/srv/wine/f", "/var/log/wine")
    )


def test_the_unit_says_the_very_words(tmp_path: Path) -> None:
    text = unit_text(server(), WORDS, {"PATH": "/usr/bin:/bin"})
    assert text == UNIT
    if (program := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "ciplug-1-5001.service"
    file.write_text(text.replace("/srv/wine/servers/5001", str(tmp_path)))
    done = subprocess.run([program, "--user", "verify", str(file)], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "ciplug" in line]
    assert ours == [], done.stderr


def test_the_compose_file_fits_the_specification(tmp_path: Path) -> None:
    text = compose_text(server())
    assert json.loads(text) == COMPOSE
    (tmp_path / "compose.yaml").write_text(text)
    checked = 0
    schema = ["--builtin-schema", "vendor.compose-spec", str(tmp_path / "compose.yaml")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if program := shutil.which("check-jsonschema", path=path):
        subprocess.run([program, *schema], check=True)
        checked += 1
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        command = [docker, "compose", "--file", str(tmp_path / "compose.yaml"), "config", "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["services"]["server"]["command"] == ["a b", "$HOME", "100%", *WORDS[4:]]
        checked += 1
    if not checked:
        pytest.skip("neither check-jsonschema nor docker compose is installed")


@pytest.mark.slow
def test_a_container_takes_the_place_of_the_one_before(
    team: Team,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """`docker` is a stand-in: it starts the command of a compose file as it says, and stops it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "docker"
    program.write_text(f"#!{sys.executable}\n{DOCKER}")
    program.chmod(0o755)
    change(team, "patience: 10", "patience: 10\n    supervisor: compose\n    image: python:3.12-slim")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def session() -> Session:
        return replace(team.session.refreshed(), env={**team.session.env, "PATH": path})

    deploy(session(), "wine@production", "onprem")
    (file,) = folder.glob("servers/*/compose.yaml")
    (volume,) = json.loads(file.read_text())["services"]["server"]["volumes"]
    assert answer(folder) == b"abc" and Path(volume["source"], "model.bin").read_bytes() == b"abc"
    holds(team, b"second")
    deploy(session(), "wine@production", "onprem")
    assert answer(folder) == b"second" and running(folder) == 1 and not file.exists()
    assert (file.parent / "server.log").read_text() == "said before it ended\n"
    undeploy(session(), "wine", "onprem")
    assert answer(folder) is None and running(folder) == 0
