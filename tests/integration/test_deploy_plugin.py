"""The target `mlflow` with plugins that behave oddly. `tests/e2e/test_deploy_mlflow.py` has MLflow itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ciplug.errors import Cause, DeploymentRefused, NotDeployed, TargetError
from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.status import State
from ciplug.steps.deployment.undeploy import undeploy
from ciplug.targets import open_target
from tests.deployments import state_of
from tests.team import Team, team_in

CONFIG = "{tags: {sum: '{digest}'}, '{digest}': '{model}'}"
TARGET = f"targets: {{prod: {{kind: mlflow, plugin: toy, name: red, config: {CONFIG}}}}}\n"


class Plugin:
    """A plugin that keeps deployments in memory. `does` may raise, or answer oddly, by the name of the call."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.does: dict[str, Callable[[], Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return lambda *words, **named: self.does.get(name, lambda: self._do(name, words, named))()

    def _do(self, name: str, words: Any, named: Any) -> Any:
        if name == "list_deployments":
            return [{"name": one} for one in self.kept]
        if name == "get_deployment":
            return self.kept[words[0]]
        if name == "delete_deployment":
            return self.kept.pop(words[0])
        self.kept[words[0]] = {"name": words[0], **named}
        return self.kept[words[0]]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    made = Plugin()
    for name in ("mlflow", "mlflow.deployments"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    vars(sys.modules["mlflow.deployments"])["get_deploy_client"] = lambda target: made
    return made


@pytest.fixture
def team(tmp_path: Path, plugin: Plugin) -> Team:
    team = team_in(tmp_path)
    team.policy(TARGET)
    team.promote(run=team.judged().id)
    team.promote("production", version=1)
    return team


@pytest.mark.slow
def test_a_deployment_of_somebody_else_is_not_replaced(team: Team, plugin: Plugin) -> None:
    plugin.kept["red"] = {"name": "red", "sum": "sha256:" + "0" * 64}
    with pytest.raises(DeploymentRefused, match="has no deployment to it") as refused:
        deploy(team.session.refreshed(), "wine@production", "prod")
    assert refused.value.reason is NotDeployed.OTHER_MODEL and refused.value.hint
    assert plugin.kept["red"] == {"name": "red", "sum": "sha256:" + "0" * 64}
    del plugin.kept["red"]
    deploy(team.session.refreshed(), "wine@production", "prod")
    assert state_of(team) is State.SERVED and plugin.kept["red"]["config"]["{digest}"] == "wine"
    plugin.kept["red"]["config"]["tags"]["sum"] += "0"
    assert state_of(team) is State.OTHER
    # It is of the log now: the same command puts it right.
    deploy(team.session.refreshed(), "wine@production", "prod")
    assert state_of(team) is State.SERVED
    undeploy(team.session.refreshed(), "wine", "prod")
    assert plugin.kept == {} and state_of(team) is State.EMPTY


def test_what_a_plugin_says_oddly_is_no_traceback(team: Team, plugin: Plugin) -> None:
    deploy(team.session.refreshed(), "wine@production", "prod")
    at = open_target(team.session.config.targets["prod"], {}, lambda text: text.replace("hunter2", "***"))
    loop: list[Any] = []
    loop.append(loop)
    for odd in ({(1, 2): b"x", "at": object()}, None, [float("nan")], loop, "x"):
        plugin.does["get_deployment"] = lambda odd=odd: odd  # type: ignore[misc]
        found = at.live("Production")
        assert found is not None and found.digest == ""
    plugin.does = {"list_deployments": lambda: [None, "red", ("name", "red"), {"names": "red"}]}
    assert at.live("Production") is None
    plugin.does = {"list_deployments": lambda: None}
    assert at.live("Production") is None
    for problem in (SystemExit("no login for hunter2"), ValueError("no hunter2"), TargetError("hunter2")):

        def fail(problem: BaseException = problem) -> None:
            raise problem

        plugin.does = {"list_deployments": fail}
        with pytest.raises(TargetError) as caught:
            at.live("Production")
        assert isinstance(problem, TargetError) or ("hunter2" not in caught.value.message and caught.value.hint)
    sys.modules["mlflow.deployments"] = None  # type: ignore[assignment]
    with pytest.raises(TargetError) as caught:
        at.live("Production")
    assert caught.value.cause is Cause.LIBRARY_MISSING
