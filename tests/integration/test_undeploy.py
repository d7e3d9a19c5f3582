"""`ciplug undeploy`: a target serves nothing, the log says so, and whoever comes late or was killed changes nothing."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.cli import main
from ciplug.errors import DeploymentRefused, NotDeployed, PromotionRefused, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, ENDED, ENDING, FAILED
from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.redeploy import redeploy
from ciplug.steps.deployment.status import State, statuses
from ciplug.steps.deployment.undeploy import undeploy
from ciplug.steps.registry_checks import check_model
from ciplug.targets import model_pack, oci_registry
from ciplug.targets.base import Release
from ciplug.targets.local import Local
from ciplug.targets.oci import Oci
from tests.integration.test_deploy import door, events, registry, repository_of, served, state_of, team  # noqa: F401
from tests.integration.test_deploy_local import answer, folder, running, states  # noqa: F401
from tests.integration.test_deploy_local import team as local_team  # noqa: F401
from tests.servers.docker_registry import Door, Registry
from tests.team import Team


def follows_the_rules(team: Team) -> bool:  # noqa: F811
    return check_model(team.session.refreshed(), "wine").problems == []


def test_the_tag_names_nothing_until_a_version_is_deployed_again(
    team: Team,  # noqa: F811
    registry: Registry,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(team.project.folder)
    assert undeploy(team.session, "wine", "prod").event == 0
    deploy(team.session.refreshed(), "wine@production", "prod")
    words = ["undeploy", "wine", "--from", "prod", "--store", team.session.store_uri]
    assert main([*words, "--reason", "it leaks"]) == 0
    assert "'prod' serves wine version 1 no longer" in capsys.readouterr().err
    assert b"vnd.ciplug.nothing" in (served(team, registry) or b"") and served(team, registry, "v1")
    assert main(words) == 0 and "nothing to do" in capsys.readouterr().err
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1), (ENDING, 1), (ENDED, 1)] and state_of(team) is State.EMPTY
    assert main(["registry", "history", "wine", "--store", team.session.store_uri]) == 0
    assert "ended at prod" in (said := capsys.readouterr().out) and "it leaks" in said
    # What was ended on purpose does not come back with a rollback.
    assert list(redeploy(team.session.refreshed(), "wine", "Production")) == []
    deploy(team.session.refreshed(), "wine@production", "prod")
    assert served(team, registry) == served(team, registry, "v1") and state_of(team) is State.SERVED
    assert follows_the_rules(team)


def test_an_end_that_is_cut_off_goes_on(team: Team, door: Door, registry: Registry) -> None:  # noqa: F811
    deploy(team.session.refreshed(), "wine@production", "prod")
    for cut in range(1, 12):
        done = len(door.seen) + cut
        door.plan.faults = dict.fromkeys(range(done, done + 99), "500")
        try:
            undeploy(team.session.refreshed(), "wine", "prod")
            break
        except TargetError as problem:
            assert "go on: ciplug undeploy wine --from prod" in (problem.hint or "")
        finally:
            door.plan.faults = {}
        (found,) = statuses(team.session.refreshed(), "wine")
        assert (found.state, found.remedy) == (State.UNFINISHED, "ciplug undeploy wine --from prod")
    assert cut > 4 and events(team)[2:] == [(ENDING, 1), (ENDED, 1)] and state_of(team) is State.EMPTY


def test_a_push_that_hangs_brings_nothing_back(
    team: Team,  # noqa: F811
    registry: Registry,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switch = Oci.switch
    deploy(team.session.refreshed(), "wine@production", "prod")
    undeploy(team.session.refreshed(), "wine", "prod")

    def slow(self: Oci, release: Release) -> None:
        monkeypatch.setattr(Oci, "switch", switch)
        deploy(team.session.refreshed(), "wine@production", "prod")
        undeploy(team.session.refreshed(), "wine", "prod")
        switch(self, release)

    monkeypatch.setattr(Oci, "switch", slow)
    with pytest.raises(DeploymentRefused) as caught:
        deploy(team.session.refreshed(), "wine@production", "prod")
    assert caught.value.reason is NotDeployed.SUPERSEDED and "was ended later" in caught.value.message
    assert b"vnd.ciplug.nothing" in (served(team, registry) or b"") and state_of(team) is State.EMPTY
    deploy(team.session.refreshed(), "wine@production", "prod")
    assert state_of(team) is State.SERVED


def test_what_is_not_of_the_model_is_not_ended(team: Team, registry: Registry) -> None:  # noqa: F811
    deploy(team.session.refreshed(), "wine@production", "prod")
    text = (served(team, registry) or b"").replace(b'"org.opencontainers.image.title":"wine"', b'"x":"y"')
    repository = oci_registry.Repository(registry.host, repository_of(team.project.folder.parent), {})
    repository.put_manifest(model_pack.Blob(model_pack.MANIFEST, text), "production")
    with pytest.raises(DeploymentRefused) as caught:
        undeploy(team.session.refreshed(), "wine", "prod")
    assert caught.value.reason is NotDeployed.OTHER_MODEL and caught.value.hint
    assert served(team, registry) == text and events(team)[-2:] == [(ENDING, 1), (FAILED, 1)]
    assert follows_the_rules(team)
    fork = team.session.refreshed()
    with pytest.raises(PromotionRefused):
        undeploy(replace(fork, context=replace(fork.context, trusted=False)), "wine", "prod")


@pytest.mark.slow
def test_servers_end_and_a_job_that_hangs_brings_none_back(
    local_team: Team,  # noqa: F811
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(local_team.session.refreshed(), "wine@production", "onprem")
    switch = Local.switch

    def slow(self: Local, release: Release) -> None:
        monkeypatch.setattr(Local, "switch", switch)
        undeploy(local_team.session.refreshed(), "wine", "onprem")
        switch(self, release)

    monkeypatch.setattr(Local, "switch", slow)
    (pid,) = folder.glob("servers/*/pid")
    os.killpg(int(pid.read_text().split()[0]), signal.SIGKILL)
    with pytest.raises(DeploymentRefused) as caught:
        deploy(local_team.session.refreshed(), "wine@production", "onprem")
    assert caught.value.reason is NotDeployed.SUPERSEDED
    assert answer(folder) is None and states(local_team)[-2:] == [(ENDING, 1), (ENDED, 1)]


@pytest.mark.slow
def test_an_end_that_is_killed_leaves_no_server(
    local_team: Team,  # noqa: F811
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(local_team.session.refreshed(), "wine@production", "onprem")
    with monkeypatch.context() as patched:
        patched.setattr(Local, "_stop_all_but", lambda self, port: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            undeploy(local_team.session.refreshed(), "wine", "onprem")
    assert not (folder / "current").exists() and running(folder) == 1
    assert undeploy(local_team.session.refreshed(), "wine", "onprem").version == 1
    assert running(folder) == 0 and states(local_team)[-2:] == [(ENDING, 1), (ENDED, 1)]
    deploy(local_team.session.refreshed(), "wine@production", "onprem")
    assert answer(folder) == b"abc" and running(folder) == 1


def test_the_end_at_a_target_that_is_configured_no_more_is_recorded(
    local_team: Team,  # noqa: F811
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(local_team.project.folder)
    deploy(local_team.session.refreshed(), "wine@production", "onprem")
    words = ["undeploy", "wine", "--from", "onprem", "--store", local_team.session.store_uri]
    record = [*words, "--record-only", "--reason", "the machine is gone"]
    assert main(record) == 2 and "is a target of ciplug.yaml" in capsys.readouterr().err
    local_team.policy("")
    assert main(words) == 2
    assert "--from onprem --record-only --reason TEXT" in capsys.readouterr().err
    (found,) = statuses(local_team.session.refreshed(), "wine")
    assert found.state is State.NOT_CONFIGURED and "--record-only" in str(found.remedy)
    assert main([*words, "--record-only"]) == 2 and "--reason TEXT" in capsys.readouterr().err
    assert main([*words[:3], "elsewhere", *words[4:], "--record-only", "--reason", "x"]) == 2
    capsys.readouterr()
    assert main(record) == 0
    assert "neither asked nor changed" in capsys.readouterr().err
    assert answer(folder) == b"abc" and states(local_team)[-2:] == [(ENDING, 1), (ENDED, 1)]
    assert list(statuses(local_team.session.refreshed(), "wine")) == []
    assert main(record) == 0 and "nothing to do" in capsys.readouterr().err
    assert follows_the_rules(local_team)
