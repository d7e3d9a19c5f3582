"""Whoever writes a record names the place of its files: no host learns a credential by that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug.errors import ConfigError
from ciplug.records.run import File
from ciplug.steps.record_places import check_record_place
from tests.attacks.attacker import Attacker, objects_of, run_of
from tests.file_samples import noise, sha
from tests.project import Project, git
from tests.servers.loopback import Handler, Loopback

SECRET = "answer-of-the-helper"


class _Asks(Handler):
    """Asks everybody for a password."""

    def serve(self) -> None:
        self.owner.seen.append(self.headers.get("Authorization"))
        self.answer(401, [("WWW-Authenticate", 'Basic realm="x"')], b"")


class Trap(Loopback):
    handler = _Asks

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str | None] = []
        """The Authorization header of each request."""


@pytest.fixture
def trap() -> Iterator[Trap]:
    with Trap() as server:
        yield server


@pytest.mark.slow
def test_no_credential_goes_where_only_a_record_says(tmp_path: Path, trap: Trap) -> None:
    project = Project.with_remote(tmp_path)
    asked = tmp_path / "asked"
    helper = f"!f() {{ echo $1 >> '{asked}'; echo username=u; echo password={SECRET}; }}; f"
    git(project.folder, "config", "credential.helper", helper)
    place = f"git+{trap.origin}/x.git"
    model = noise(100, 1)
    files = (File(path="model.bin", digest=sha(model), size=len(model), store=place),)
    folder = (File(path="model", digest=sha(model), size=len(model), store=place, kind="folder"),)
    attacker = Attacker(tmp_path / "attacker.git", str(tmp_path / "remote.git"))
    runs = [run_of(project.head, number, artifacts=made) for number, made in enumerate((files, folder), 1)]
    attacker.write(objects_of(*runs))
    to = ("--to", str(tmp_path / "to"))
    for run in runs:
        project.ciplug("gate", "--run", run.id, code=None)
        for command in (("pull", run.id, *to), ("promote", "wine", "--run", run.id, "--to", "staging")):
            done = project.ciplug(*command, code=2)
            assert place in done.stderr and f"--artifact-store {place}" in done.stderr, done.stderr
    project.ciplug("fsck", code=None)
    project.ciplug("report", "--run", runs[0].id, code=None)
    assert trap.seen == [] and not asked.exists()
    said = project.ciplug("pull", runs[0].id, *to, "--artifact-store", "s4://x", code=2).stderr
    assert "unsupported artifact store 's4://x'" in said
    # The trap works: who names the place has it contacted, with the credential.
    project.ciplug("pull", runs[0].id, *to, "--artifact-store", place, code=3)
    assert any(trap.seen) and "get" in asked.read_text()


def test_no_web_server_is_contacted_that_only_a_record_names(tmp_path: Path, trap: Trap) -> None:
    pytest.importorskip("obstore")
    project = Project.with_remote(tmp_path)
    address = f"{trap.origin}/internal/model.bin"
    file = File(path=address, digest=sha(b"model"), size=5)
    run = run_of(project.head, 1, artifacts=(file,))
    Attacker(tmp_path / "attacker.git", str(tmp_path / "remote.git")).write(objects_of(run))
    pull = ("pull", run.id, "--to", str(tmp_path / "to"))
    said = project.ciplug(*pull, code=2).stderr
    assert address in said and f"--artifact-store {trap.origin}/" in said, said
    assert trap.seen == []
    # Who names the host has it contacted.
    project.ciplug(*pull, "--artifact-store", f"{trap.origin}/", code=3)
    assert trap.seen


OWN = ("https://git.acme.org/wine.git", "git+http://127.0.0.1:3000/store")


@pytest.mark.parametrize(
    ("place", "contacted"),
    [
        ("git+https://git.acme.org/other.git", True),
        ("git+ssh://git@git.acme.org:2222/other.git?branch=x", True),
        ("git+http://127.0.0.1:3000/models", True),
        ("git+https://models.acme.org/x", True),
        ("git+file:///srv/models.git", True),
        ("git:", True),
        ("s3://bucket/x", True),
        ("git+https://evil.example/x", False),
        ("git+http://git.acme.org/x", False),
        ("git+http://127.0.0.1:3001/x", False),
        ("git+https://git.acme.org.evil.example/x", False),
        ("git+https://git.acme.org@evil.example/x", False),
        ("git+https://evil.example#@git.acme.org/x", False),
        ("git+https://evil.example\\@git.acme.org/x", False),
        ("git+ssh://evil.example/x", False),
        ("git+ssh://evil.example%2Fx@git.acme.org/x", False),
        ("git+ssh://git.acme.org:22.evil.example/x", False),
        ("git+ssh://-oProxyCommand=touch%20pwned/x", False),
        ("git+file://evil.example/share", False),
    ],
)
def test_the_hosts_that_a_record_may_name(place: str, contacted: bool) -> None:
    env = {"CIPLUG_PUSH_TOKEN_HOST": "models.acme.org"}
    if contacted:
        check_record_place(place, env, OWN)
        return
    with pytest.raises(ConfigError) as refused:
        check_record_place(place, env, OWN)
    assert "it is not contacted" in refused.value.message and "--artifact-store" in (refused.value.hint or "")
