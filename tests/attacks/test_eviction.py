"""Runs of forks take no place of genuine ones where `keep:` is set."""

from __future__ import annotations

import pytest

from ciplug.tracking.retention import UNTRUSTED_MOST
from tests.attacks.attacker import objects_of, run_of
from tests.attacks.conftest import Scene
from tests.bundles import packed

pytestmark = pytest.mark.slow

FORK = {"trusted": False, "branch": "main", "event": "pull_request"}


def listed(scene: Scene, name: str) -> set[str]:
    return {run["id"] for run in scene.clone(name).json("runs", "list", "--json", "--limit", "1000")}


@pytest.mark.parametrize("claim", ["the branch", "a parent", "other models"])
def test_a_forks_bundle_evicts_no_genuine_run(scene: Scene, claim: str) -> None:
    project = scene.project
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + "keep: {last: 3}\n")
    project.commit("keep")
    genuine = {project.train()}
    for number in range(2):
        project.commit(f"commit {number}")
        genuine.add(project.train())
    project.push()
    fields = [
        {
            "started": f"9999-01-01T00:00:{number % 60:02d}.000Z",
            "ended": f"9999-01-01T00:00:{number % 60:02d}.000Z",
            "parent": min(genuine) if claim == "a parent" else None,
            "model": f"model-{number}" if claim == "other models" else "wine",
        }
        for number in range(60)
    ]
    runs = [run_of(project.head, number + 1, context=FORK, **one) for number, one in enumerate(fields)]
    (scene.folder / "bundle.ndjson").write_bytes(packed(*runs))
    project.ciplug("collect", str(scene.folder / "bundle.ndjson"), "--untrusted", "--commit", project.head)
    project.ciplug("compact")
    kept = listed(scene, "one")
    assert genuine <= kept
    assert len(kept - genuine) <= 3 + 1 + 1, "the fork's, beside the version in production"


@pytest.mark.slow
def test_runs_of_forks_are_bounded_over_all_models(scene: Scene) -> None:
    project = scene.project
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + "keep: {last: 1000}\n")
    project.commit("keep")
    runs = [
        run_of(f"{number:040x}", number, model=f"model-{number}", context=FORK) for number in range(UNTRUSTED_MOST + 30)
    ]
    scene.attacker.write(objects_of(*runs))
    project.ciplug("compact")
    assert len(listed(scene, "one")) <= UNTRUSTED_MOST + 1
