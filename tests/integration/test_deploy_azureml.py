"""The target `azureml`, against a stand-in for the part of Azure's SDK that it calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import Cause, CiplugError, DeploymentRefused, NotDeployed, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED
from ciplug.steps import history
from ciplug.steps.deployment.deploy import Done, deploy
from ciplug.steps.deployment.status import State, statuses
from ciplug.targets import azureml, open_target
from ciplug.targets.azureml import Azureml
from ciplug.targets.base import Release
from tests.servers.azureml_sdk import ClientAuthenticationError, HttpResponseError, Workspace
from tests.team import Team, team_in

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
    """A team with version 1 in production, and version 2, an MLflow model and a note, in staging."""
    team = team_in(tmp_path)
    team.policy(TARGET)
    team.promote(run=team.judged().id)
    team.promote("production", version=1)
    second = team.judged(artifacts=(team.keep(b"second", "model/MLmodel"), team.keep(b"notes", "README.md")))
    team.promote(run=second.id)
    return team


def deployed(team: Team) -> Done:
    return deploy(team.session.refreshed(), "wine@production", "prod")


def refused(team: Team, error: type[CiplugError]) -> Any:
    with pytest.raises(error) as caught:
        deployed(team)
    assert caught.value.hint
    return caught.value


def state_of(team: Team) -> State:
    (found,) = statuses(team.session.refreshed(), "wine")
    return found.state


def events(team: Team) -> list[tuple[str, int]]:
    found = history.stored(team.session.refreshed(), "wine")
    return [(one["payload"]["state"], one["payload"]["version"]) for one in found if one["type"] == "deploy"]


def change(team: Team, old: str, new: str) -> None:
    file = team.project.folder / "ciplug.yaml"
    file.write_text(file.read_text().replace(old, new))
    team.project.commit("settings")
    team.session = team.session.refreshed()


def served(azure: Workspace) -> str | None:
    """The model of the deployment that has all traffic; there is no other deployment."""
    endpoint = azure.kept.get("online_endpoints/wine-prod")
    deployments = [one for key, one in azure.kept.items() if key.startswith("online_deployments/")]
    if not endpoint or not endpoint.traffic:
        return None
    ((name, share),) = endpoint.traffic.items()
    assert share == 100 and [one.name for one in deployments] == [name]
    return str(deployments[0].model)


def test_the_traffic_goes_to_the_new_deployment_and_the_one_before_ends(team: Team, azure: Workspace) -> None:
    first = deployed(team)
    assert first.endpoint == "https://wine-prod.westeurope.inference.ml.azure.com/score"
    assert (served(azure) or "").startswith("azureml:wine:1-") and state_of(team) is State.SERVED
    (model,) = (one for key, one in azure.kept.items() if key.startswith("models/"))
    assert model.type == "custom_model" and model.properties["ciplug.version"] == "1"
    azure.calls.clear()
    assert deployed(team) == first._replace(event=0)
    assert all(call.endswith(".get") for call in azure.calls)
    team.promote("production", version=2)
    assert state_of(team) is State.BEHIND
    second = deployed(team)
    assert (served(azure) or "").startswith("azureml:wine:2-") and second.reference != first.reference
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


def test_a_deployment_that_does_not_come_up_gets_no_traffic(team: Team, azure: Workspace) -> None:
    deployed(team)
    team.promote("production", version=2)
    change(team, "workspace: w", "workspace: w, instance_type: broken")
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.UNHEALTHY and "has crashed" in refusal.message
    assert (served(azure) or "").startswith("azureml:wine:1-") and events(team)[-1] == (FAILED, 2)


def test_bytes_that_the_workspace_has_changed_are_not_deployed(team: Team, azure: Workspace) -> None:
    deployed(team)
    (model,) = (one for key, one in azure.kept.items() if key.startswith("models/"))
    (azure.files(model.name, model.version) / "model" / "model.bin").write_bytes(b"abd")
    change(team, "workspace: w", "workspace: w, instances: 2")
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_CONTENT
    azure.kept["online_deployments/v1-e4"] = azure.kept.pop(next(k for k in azure.kept if k.startswith("online_d")))
    assert state_of(team) is State.OTHER


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
    assert tries > 10 and (served(azure) or "").startswith("azureml:wine:2-")
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1), (BEGUN, 2), (DEPLOYED, 2)] and state_of(team) is State.SERVED


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
    assert (served(azure) or "").startswith("azureml:wine:2-") and state_of(team) is State.SERVED


def test_trouble_has_its_cause(team: Team, azure: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.fails = lambda number: HttpResponseError("no quota")
    assert "no quota" in refused(team, TargetError).message and state_of(team) is State.UNREACHABLE
    monkeypatch.setitem(sys.modules, "azure.ai.ml", None)
    problem = refused(team, TargetError)
    assert problem.cause is Cause.LIBRARY_MISSING and "ciplug[azureml]" in problem.hint and problem.exit_code == 3
