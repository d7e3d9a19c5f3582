"""Faults between a promotion and its deployment: what is served was promoted, it is one, and the same command ends it.

The kinds: a kill at any line of ciplug's own, a connection that is cut, a status 500, an upload of half the bytes; for
a registry, a machine and KServe. CIPLUG_TEST_DEPLOY_FAULTS=112 injects 112 of each of the nine, 1,008 in all.
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from ciplug.errors import DeploymentRefused, TargetError
from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.status import State, statuses
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registry_checks import check_model
from ciplug.targets import local, model_pack, oci_registry
from tests import forkserver, killed
from tests.integration.test_deploy_local import answer, holds, running
from tests.servers.docker_registry import Door, docker_registry
from tests.servers.program import free_ports
from tests.team import Team, team_in

FAULTS = int(os.environ.get("CIPLUG_TEST_DEPLOY_FAULTS", "4"))
_PARTS = ("targets", "steps/deployment")
SERVER = """\
import http.server, json, pathlib, sys
model = (pathlib.Path(sys.argv[1]) / "model.bin").read_bytes()
faults = pathlib.Path(sys.argv[3])
kind, count = json.loads(faults.read_text()) if faults.exists() else ("none", 0)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        if self.path == "/health" and count:
            count -= 1
            if kind == "cut":
                return
            return self.send_error(500)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(model)

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


class Place(NamedTuple):
    """A target `it` of a team, and what a client sees there."""

    team: Team
    served: Callable[[], bytes | None]
    count_served: Callable[[], int]


def content(version: int) -> bytes:
    return f"content {version}".encode()


def team_with(folder: Path, target: str) -> Team:
    """A team with version 1, which was in production before version 2, and a target `it`."""
    team = team_in(folder)
    team.policy(f"targets: {{it: {target}}}\n")
    for number in (1, 2):
        run = team.judged(artifacts=(team.keep(content(number), "model.bin"),))
        team.promote(run=run.id)
        team.promote("production", version=number)
    return team


def call(place: Place) -> None:
    deploy(place.team.session.refreshed(), "wine@production", "it")


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


def check(place: Place, inject: Callable[[random.Random], bool], *, new: bool = True) -> None:
    """Bring a version into production, deploy it with a fault, and deploy it again, many times.

    Args:
        inject: deploys with a fault, and returns whether the deployment has failed.
        new: whether each is a new version; otherwise versions 1 and 2 take turns.
    """
    chance = random.Random(FAULTS)
    call(place)
    holder, before, failed = 2, 2, 0
    for number in range(FAULTS):
        if new:
            holder += 1
            holds(place.team, content(holder))
        else:
            holder = 3 - holder
            roll_back(place.team.session.refreshed(), "wine", "production", "the other", version=holder)
        has_failed = inject(chance)
        failed += has_failed
        what = f"fault {number} of {FAULTS}, failed: {has_failed}"
        assert place.served() in (content(before), content(holder)), what
        (found,) = statuses(place.team.session.refreshed(), "wine")
        if place.served() != content(holder):
            assert has_failed and found.state in (State.BEHIND, State.UNFINISHED), (what, found)
        call(place)
        (found,) = statuses(place.team.session.refreshed(), "wine")
        assert place.served() == content(holder) and found.state is State.SERVED, (what, found)
        assert place.count_served() == 1, what
        before = holder
    print(f"{FAULTS} injected, {failed} deployments failed")
    assert failed > FAULTS // 5
    assert check_model(place.team.session.refreshed(), "wine").problems == []


@pytest.fixture
def oci(tmp_path: Path) -> Iterator[tuple[Place, Door]]:
    """A registry, with a door before it that can fail."""
    with docker_registry(tmp_path / "registry") as registry, Door(registry) as door:
        team = team_with(tmp_path, f"{{kind: oci, repository: '{door.host}/wine'}}")

        def served() -> bytes | None:
            data = registry.get("wine/manifests/production", model_pack.MANIFEST)[1]
            (digest,) = model_pack.files_in(data).values()
            return registry.get(f"wine/blobs/{digest}")[1]

        yield Place(team, served, lambda: sum(tag == "production" for tag in registry.tags("wine"))), door


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Place]:
    """A folder of this machine, with a server that can fail."""
    folder = tmp_path / "served"
    (tmp_path / "server.py").write_text(SERVER)
    command = f"{sys.executable} {tmp_path / 'server.py'} {{files}} {{port}} {tmp_path / 'faults'}"
    team = team_with(
        tmp_path, f"{{kind: local, folder: {folder}, ports: {free_ports(2)}, patience: 3, serve: '{command}'}}"
    )
    yield Place(team, lambda: answer(folder), lambda: running(folder))
    for file in folder.glob("servers/*/pid"):
        try:
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            continue


def killing(place: Place) -> Callable[[random.Random], bool]:
    lines = 0

    def inject(chance: random.Random) -> bool:
        nonlocal lines
        if not lines:
            lines = lines_of(place.team)
            assert lines > 100
            return False
        return not lines_of(place.team, chance.randrange(1, lines))

    return inject


@pytest.mark.slow
def test_pushes_that_are_killed(oci: tuple[Place, Door]) -> None:
    place, _ = oci
    check(place, killing(place), new=False)


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

        place = Place(team, served, lambda: len(list(tmp_path.glob("wine.yaml"))))
        check(place, killing(place), new=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["before", "after", "500", "half"])
def test_requests_of_a_push_that_fail(kind: str, oci: tuple[Place, Door], monkeypatch: pytest.MonkeyPatch) -> None:
    """`before` and `after` cut a connection before and after the registry has done what was asked."""
    monkeypatch.setattr(oci_registry, "BACKOFF", 0)
    place, door = oci

    def inject(chance: random.Random) -> bool:
        at = len(door.seen) + chance.randrange(1, 40)
        # One that fails once is sent again; mostly, the registry is gone for longer.
        door.plan.faults = dict.fromkeys(range(at, at + chance.choice((1, 99, 99))), kind)
        try:
            call(place)
        except TargetError:
            return True
        finally:
            door.plan.faults = {}
        return False

    check(place, inject)


@pytest.mark.slow
def test_switches_of_servers_that_are_killed(machine: Place) -> None:
    check(machine, killing(machine), new=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "500"])
def test_servers_that_do_not_answer(kind: str, machine: Place, tmp_path: Path) -> None:
    def inject(chance: random.Random) -> bool:
        (tmp_path / "faults").write_text(json.dumps([kind, chance.choice((1, 2, 999, 999))]))
        try:
            call(machine)
        except DeploymentRefused:
            assert machine.count_served() == 1
            return True
        finally:
            (tmp_path / "faults").unlink()
        return False

    check(machine, inject)


@pytest.mark.slow
def test_files_of_which_half_is_written(machine: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def inject(chance: random.Random) -> bool:
        def half(source: Path, target: Path) -> None:
            shutil.copyfile(source, target)
            os.truncate(target, target.stat().st_size * chance.randrange(100) // 100)
            if chance.randrange(2):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

        with monkeypatch.context() as patched, pytest.raises(TargetError):
            patched.setattr(local, "_copy", half)
            call(machine)
        assert machine.count_served() == 1
        return True

    check(machine, inject)
