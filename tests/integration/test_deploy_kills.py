"""Deployments that are killed at any line of ciplug's own: what is served was promoted, it is one, and a rerun ends it.

CIPLUG_TEST_DEPLOY_KILLS=500 kills 500 of each kind.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.status import State, statuses
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registry_checks import check_model
from ciplug.targets import model_pack
from tests import forkserver, killed
from tests.integration.test_deploy_local import SERVER, answer, running
from tests.servers.docker_registry import docker_registry
from tests.servers.program import free_ports
from tests.team import Team, team_in

KILLS = int(os.environ.get("CIPLUG_TEST_DEPLOY_KILLS", "6"))
CONTENT = {1: b"abc", 2: b"second"}
_PARTS = ("targets", "steps/deployment")


def lines_of(team: Team, kill_at: int = 0) -> int:
    """Deploy in a process of its own, and kill it before a line; returns the number of lines of one that is not killed.

    The fork server has never opened a store: a fork of this process would wait for threads that it does not have.
    """
    counted = team.project.folder.parent / "lines"
    counted.unlink(missing_ok=True)
    env = {**team.session.env, **killed.at_line(kill_at, _PARTS, counted)}
    done = forkserver.ciplug("deploy", "wine@production", "--to", "it", cwd=team.project.folder, env=env)
    # A server that answers at once needs fewer lines.
    assert done.returncode == 0 or (kill_at and done.returncode == -signal.SIGKILL), done.stderr
    return int(counted.read_text()) if counted.exists() else 0


def team_with(folder: Path, target: str) -> Team:
    """A team with version 1, which was in production before version 2, and a target `it`."""
    team = team_in(folder)
    team.policy(f"targets: {{it: {target}}}\n")
    for number, content in CONTENT.items():
        run = team.judged(artifacts=(team.keep(content, "model.bin"),))
        team.promote(run=run.id)
        team.promote("production", version=number)
    return team


def check_kills(team: Team, served: Callable[[], bytes | None], count_served: Callable[[], int]) -> None:
    chance = random.Random(KILLS)

    def call() -> object:
        return deploy(team.session.refreshed(), "wine@production", "it")

    call()
    holder, before = 2, 2
    lines, killed_ones = 0, 0
    for number in range(KILLS):
        holder = 3 - holder
        roll_back(team.session.refreshed(), "wine", "production", "the other", version=holder)
        if not lines:
            lines = lines_of(team)
            assert lines > 100 and served() == CONTENT[holder]
            before = holder
            continue
        at = chance.randrange(1, lines)
        killed_ones += not lines_of(team, at)
        assert served() in (CONTENT[before], CONTENT[holder]), f"killed at line {at}, number {number}"
        (found,) = statuses(team.session.refreshed(), "wine")
        if served() != CONTENT[holder]:
            assert found.state in (State.BEHIND, State.UNFINISHED), f"killed at line {at}: {found}"
        call()
        (found,) = statuses(team.session.refreshed(), "wine")
        assert served() == CONTENT[holder] and found.state is State.SERVED, f"killed at line {at}: {found}"
        assert count_served() == 1, f"killed at line {at}"
        before = holder
    assert killed_ones > (KILLS - 1) // 2
    assert check_model(team.session.refreshed(), "wine").problems == []


@pytest.mark.slow
def test_pushes_that_are_killed(tmp_path: Path) -> None:
    with docker_registry(tmp_path / "registry") as registry:
        team = team_with(tmp_path, f"{{kind: oci, repository: '{registry.host}/wine'}}")

        def served() -> bytes | None:
            data = registry.get("wine/manifests/production", model_pack.MANIFEST)[1]
            (digest,) = model_pack.files_in(data).values()
            return registry.get(f"wine/blobs/{digest}")[1]

        check_kills(team, served, lambda: sum(tag == "production" for tag in registry.tags("wine")))


@pytest.mark.slow
def test_manifests_of_kserve_that_are_killed(tmp_path: Path) -> None:
    file = tmp_path / "wine.yaml"
    with docker_registry(tmp_path / "registry") as registry:
        team = team_with(
            tmp_path,
            f"{{kind: kserve, name: wine, storage: 'oci://{registry.host}/wine', format: sklearn, manifest: '{file}'}}",
        )

        def served() -> bytes | None:
            address = yaml.safe_load(file.read_text())["spec"]["predictor"]["model"]["storageUri"]
            index = json.loads(registry.get(f"wine/manifests/{address.partition('@')[2]}", model_pack.INDEX)[1])
            digest = index["manifests"][0]["digest"]
            (layer,) = json.loads(registry.get(f"wine/manifests/{digest}", model_pack.MANIFEST)[1])["layers"]
            with tarfile.open(fileobj=io.BytesIO(registry.get(f"wine/blobs/{layer['digest']}")[1])) as tar:
                return (tar.extractfile("models/model.bin") or io.BytesIO()).read()

        check_kills(team, served, lambda: len(list(tmp_path.glob("wine.yaml"))))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "served"
    for file in (tmp_path / "served").glob("servers/*/pid"):
        try:
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.slow
def test_switches_of_servers_that_are_killed(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    command = f"{sys.executable} {tmp_path / 'server.py'} {{files}} {{port}}"
    team = team_with(
        tmp_path, f"{{kind: local, folder: {folder}, ports: {free_ports(2)}, patience: 20, serve: '{command}'}}"
    )
    check_kills(team, lambda: answer(folder), lambda: running(folder))
