"""What a writer claims orders nothing, and what others have recorded is named."""

from __future__ import annotations

import pytest

from tests.attacks.attacker import objects_of, run_of
from tests.attacks.conftest import Scene
from tests.servers.github_api import GitHubApi

pytestmark = pytest.mark.slow


def test_a_start_that_is_still_to_come_makes_no_run_the_last(scene: Scene) -> None:
    project = scene.project
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    run = project.train()
    # As good by every other rule: of a person's machine, too.
    late = run_of(
        project.head, 666, started="9999-01-01T00:00:00.000Z", metrics={"accuracy": 0.1}, context={"host": "local"}
    )
    scene.attacker.write(objects_of(late))
    project.ciplug("gate", code=None)
    shown = project.ciplug("compare").stdout
    assert "0.90" in shown and run[:8]
    refused = project.ciplug("promote", "wine", "--to", "staging", "--run", f"{666:032x}", code=1)
    assert refused.returncode == 1


def test_a_promotion_names_the_runs_of_others(scene: Scene) -> None:
    project = scene.project
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    run = project.train()
    claimed = {"host": "local", "actor": "mallory"}
    other = run_of(project.head, 5, started="2020-01-01T00:00:00.000Z", metrics={"accuracy": 0.9}, context=claimed)
    scene.attacker.write(objects_of(other))
    project.ciplug("gate")
    promoted = project.ciplug("promote", "wine", "--to", "staging")
    assert f"Run {run[:12]} is of " in promoted.stderr
    assert "@example.com, and the commit has runs of others: 000000000000 by mallory" in promoted.stderr
    events = project.json("registry", "history", "wine", "--json")
    assert any("by mallory" in sentence for sentence in events[-1]["payload"]["reruns"])
    assert events[-1]["payload"]["trust"] == "open"
    assert "nothing shows" in events[-1]["payload"]["trust_shown_by"]


def test_a_protected_branch_is_level_1(scene: Scene, github_api: GitHubApi) -> None:
    project = scene.project
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_API_URL": github_api.url,
        "GITHUB_SERVER_URL": scene.server.origin,
        "GITHUB_TOKEN": "user-token",
        "GITHUB_SHA": project.head,
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REF_NAME": "main",
        "GITHUB_EVENT_NAME": "push",
    }
    for protected, words in ((False, "level 0 (open)"), (True, "level 1 (protected)")):
        github_api.protected = {"ciplug"} if protected else set()
        shown = project.ciplug("doctor", env=env, code=None).stdout
        assert words in shown, shown
