"""The target `azureml`, against a stand-in for the part of Azure's SDK that it calls."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import Cause, DeploymentRefused, NotDeployed, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED
from ciplug.steps.deployment.status import State
from ciplug.steps.deployment.undeploy import undeploy
from ciplug.targets import azureml, open_target
from ciplug.targets.azureml import Azureml
from ciplug.targets.base import Release
from tests.deployments import change, deployed, events, refused, state_of, team_with_two_versions
from tests.servers.azureml_sdk import ClientAuthenticationError, HttpResponseError, Workspace
from tests.team import Team

TARGET = """\
targets:
  prod: {kind: azureml, subscription: s, resource_group: g, workspace: w, endpoint: wine-prod, environment: e}
"""


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    workspace = Workspace(tmp_path / "azure")
    workspace.install(monkeypatch)
    monkeypatch.setattr(azureml, "PAUSE", 0.001)
    return workspace


@pytest.fixture
def team(tmp_path: Path, azure: Workspace) -> Team:
    return team_with_two_versions(tmp_path, TARGET)


def served(azure: Workspace) -> str | None:
    """The model of the deployment that has all traffic; there is no other deployment."""
    endpoint = azure.kept.get("online_endpoints/wine-prod")
    deployments = [one for key, one in azure.kept.items() if key.startswith("online_deployments/")]
    if not endpoint or not endpoint.traffic:
        return None
    ((name, share),) = endpoint.traffic.items()
    assert share == 100 and [one.name for one in deployments] == [name]
    return str(deployments[0].model)


@pytest.mark.slow
def test_the_traffic_goes_to_the_new_deployment_and_the_one_before_ends(team: Team, azure: Workspace) -> None:
    first = deployed(team)
    assert first.endpoint == "https://wine-prod.westeurope.inference.ml.azure.com/score"
    assert "/models/wine/versions/1-" in (served(azure) or "") and state_of(team) is State.SERVED
    (model,) = (one for key, one in azure.kept.items() if key.startswith("models/"))
    assert model.type == "custom_model" and model.properties["ciplug.version"] == "1"
    azure.calls.clear()
    assert deployed(team) == first._replace(event=0)
    assert all(call.endswith(".get") for call in azure.calls)
    team.promote("production", version=2)
    assert state_of(team) is State.BEHIND
    second = deployed(team)
    assert "/models/wine/versions/2-" in (served(azure) or "") and second.reference != first.reference
    assert azure.kept[next(key for key in azure.kept if key.startswith("models/wine2"))].type == "mlflow_model"
    change(team, "workspace: w", "workspace: w, instances: 2")
    assert state_of(team) is State.BEHIND
    deployed(team)
    assert state_of(team) is State.SERVED and served(azure)
    at = open_target(team.session.config.targets["prod"], {}, str)
    with pytest.raises(DeploymentRefused, match="not of the model 'beer'"):
        at.end("beer", "Production", 99)
    for _ in range(2):
        at.end("wine", "Production", 99)
        assert served(azure) is None and at.live("Production") is None


@pytest.mark.slow
def test_a_deployment_that_does_not_come_up_gets_no_traffic(team: Team, azure: Workspace) -> None:
    deployed(team)
    team.promote("production", version=2)
    change(team, "workspace: w", "workspace: w, instance_type: broken")
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.UNHEALTHY and "has crashed" in refusal.message
    assert "/models/wine/versions/1-" in (served(azure) or "") and events(team)[-1] == (FAILED, 2)


def test_bytes_that_the_workspace_has_changed_are_not_deployed(team: Team, azure: Workspace) -> None:
    deployed(team)
    (model,) = (one for key, one in azure.kept.items() if key.startswith("models/"))
    (azure.files(model.name, model.version) / "model" / "model.bin").write_bytes(b"abd")
    change(team, "workspace: w", "workspace: w, instances: 2")
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_CONTENT
    azure.kept["online_deployments/v1-e4"] = azure.kept.pop(next(k for k in azure.kept if k.startswith("online_d")))
    assert state_of(team) is State.OTHER


@pytest.mark.slow
def test_any_call_may_fail_and_the_same_command_goes_on(team: Team, azure: Workspace) -> None:
    deployed(team)
    team.promote("production", version=2)
    tries = 0
    while True:
        done = len(azure.calls) + tries
        problem = ClientAuthenticationError("the token has expired")
        azure.fails = lambda number, done=done, problem=problem: problem if number > done else None  # type: ignore[misc]
        try:
            deployed(team)
            break
        except TargetError as failed:
            assert "az login" in (failed.hint or "") and "then go on: ciplug deploy" in (failed.hint or "")
        finally:
            azure.fails = lambda number: None
        tries += 1
    assert tries > 10 and "/models/wine/versions/2-" in (served(azure) or "")
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1), (BEGUN, 2), (DEPLOYED, 2)] and state_of(team) is State.SERVED


@pytest.mark.slow
def test_who_comes_late_does_not_replace_a_later_deployment(
    team: Team, azure: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Azureml.switch

    def late(self: Azureml, release: Release) -> None:
        monkeypatch.setattr(Azureml, "switch", original)
        team.promote("production", version=2)
        deployed(team)
        original(self, release)

    monkeypatch.setattr(Azureml, "switch", late)
    assert refused(team, DeploymentRefused).reason is NotDeployed.SUPERSEDED
    assert "/models/wine/versions/2-" in (served(azure) or "") and state_of(team) is State.SERVED


def the_deployment(azure: Workspace) -> Any:
    (found,) = (one for key, one in azure.kept.items() if key.startswith("online_deployments/"))
    return found


@pytest.mark.slow
def test_who_starts_long_does_not_replace_a_later_deployment(
    team: Team, azure: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Azureml._start

    def slow(self: Azureml, release: Release, *words: Any) -> str:
        monkeypatch.setattr(Azureml, "_start", original)
        name = original(self, release, *words)
        team.promote("production", version=2)
        azure.calls.clear()
        deployed(team)
        return name

    monkeypatch.setattr(Azureml, "_start", slow)
    assert refused(team, DeploymentRefused).reason is NotDeployed.SUPERSEDED
    assert "/models/wine/versions/2-" in (served(azure) or "") and state_of(team) is State.SERVED


@pytest.mark.slow
def test_deployments_of_others_and_of_later_jobs_stay(team: Team, azure: Workspace) -> None:
    deployed(team)
    ours = the_deployment(azure)
    later = replace(ours, name="v7-e99-abcdef", tags={**ours.tags, "ciplug.event": "99"}, provisioning_state="Creating")
    by_hand = replace(ours, name="blue", tags={})
    for one in (later, by_hand):
        azure.kept[f"online_deployments/{one.name}"] = one
    azure.kept["online_endpoints/wine-prod"].mirror_traffic = {ours.name: 10}
    team.promote("production", version=2)
    deployed(team)
    names = {key.partition("/")[2] for key in azure.kept if key.startswith("online_deployments/")}
    assert len(names) == 3 and names > {"v7-e99-abcdef", "blue"} and ours.name not in names


@pytest.mark.slow
def test_what_serves_other_bytes_under_our_names_is_seen(
    team: Team, azure: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(team)
    ours = the_deployment(azure)
    here = ours.model
    for model, code in (
        ("azureml://registries/others" + here[here.index("/models/") :], None),
        (here.replace("workspaces/w/", "workspaces/elsewhere/"), None),
        (here, "score.py"),
    ):
        ours.model, ours.code_configuration = model, code
        assert state_of(team) is State.OTHER
    deployed(team)
    assert state_of(team) is State.SERVED and the_deployment(azure).name != ours.name
    # Somebody else has made the asset of the next version.
    team.promote("production", version=2)
    model = next(one for key, one in azure.kept.items() if key.startswith("models/wine1"))
    azure.kept["models/wine2"] = replace(model, properties={})
    monkeypatch.setattr(Azureml, "_asset", lambda self, release: ("wine", "2"))
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_CONTENT


def test_a_workspace_that_is_not_there_serves_nothing_that_is_known(team: Team, azure: Workspace) -> None:
    deployed(team)
    change(team, "workspace: w", "workspace: typo")
    assert state_of(team) is State.UNREACHABLE
    with pytest.raises(TargetError) as caught:
        undeploy(team.session.refreshed(), "wine", "prod")
    assert caught.value.cause is Cause.NOT_FOUND
    change(team, "workspace: typo", "workspace: w")
    assert undeploy(team.session.refreshed(), "wine", "prod").version == 1 and served(azure) is None


def test_a_first_deployment_that_fails_says_that_nothing_was_served(team: Team, azure: Workspace) -> None:
    change(team, "workspace: w", "workspace: w, instance_type: broken")
    assert "nothing was served before" in refused(team, DeploymentRefused).message
    change(team, "instance_type: broken", "instance_type: good")
    azure.fails = lambda number: ValueError("the SDK does not like this")
    assert "does not like this" in refused(team, TargetError).message


def test_a_server_that_is_overloaded_says_nothing_of_the_version(team: Team, azure: Workspace) -> None:
    busy = HttpResponseError("(ServiceUnavailable) try later")
    busy.status_code = 503
    azure.fails = lambda number: busy if azure.calls[-1] == "online_deployments.begin_create_or_update" else None
    problem = refused(team, TargetError)
    assert problem.exit_code == 3 and "then go on: ciplug deploy" in problem.hint and events(team) == [(BEGUN, 1)]
    azure.fails = lambda number: None
    deployed(team)
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1)]


def test_trouble_has_its_cause(team: Team, azure: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.fails = lambda number: HttpResponseError("no quota")
    assert "no quota" in refused(team, TargetError).message and state_of(team) is State.UNREACHABLE
    monkeypatch.setitem(sys.modules, "azure.ai.ml", None)
    problem = refused(team, TargetError)
    assert problem.cause is Cause.LIBRARY_MISSING and "ciplug[azureml]" in problem.hint and problem.exit_code == 3
