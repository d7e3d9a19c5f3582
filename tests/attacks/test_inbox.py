"""A pending write stays what its writer pushed."""

from __future__ import annotations

import pytest

from tests.attacks.attacker import objects_of, run_of
from tests.attacks.conftest import Scene


def fresh_run(scene: Scene) -> tuple[str, str, bytes]:
    """A pending run of the project: its id, its key and its bytes."""
    scene.project.numbers({"accuracy": 0.9})
    scene.project.commit("better")
    scene.project.push()
    run = scene.project.train()
    (ref,) = [ref for ref in scene.attacker.refs() if "/inbox/" in ref and "verdict" not in ref][-1:]
    files = scene.attacker.fetch(ref)
    path = next(path for path in files if path.endswith(".json"))
    return run, path.removeprefix("new/"), scene.attacker.read(files[path])


def accuracy(scene: Scene, name: str, run: str) -> float | None:
    listed = scene.clone(name).json("runs", "list", "--json")
    return next((float(one["metrics"]["accuracy"]) for one in listed if one["id"] == run), None)


@pytest.mark.slow
def test_a_write_under_a_name_that_sorts_first_replaces_nothing(scene: Scene) -> None:
    run, key, data = fresh_run(scene)
    forged = data.replace(b'"accuracy":0.9', b'"accuracy":0.1')
    scene.attacker.write({key: forged}, name="0" * 32)
    assert accuracy(scene, "one", run) == 0.9
    fsck = scene.project.ciplug("fsck", code=3)
    assert f"refs/ciplug/inbox/{'0' * 32}" in fsck.stdout
    scene.project.ciplug("compact")
    assert accuracy(scene, "two", run) == 0.9


@pytest.mark.slow
def test_a_write_that_replaces_the_ref_of_another_is_not_read(scene: Scene) -> None:
    run, key, data = fresh_run(scene)
    ref = next(ref for ref in scene.attacker.refs() if "/inbox/" in ref)
    forged = data.replace(b'"accuracy":0.9', b'"accuracy":0.1')
    scene.attacker.write({key: forged}, name=ref.rpartition("/")[2])
    assert accuracy(scene, "one", run) != 0.1
    assert ref in scene.project.ciplug("fsck", code=3).stdout


@pytest.mark.slow
def test_two_claims_of_one_key_are_named_and_neither_counts(scene: Scene) -> None:
    run, key, data = fresh_run(scene)
    genuine = next(ref for ref in scene.attacker.refs() if "/inbox/" in ref)
    forged = scene.attacker.write({key: data.replace(b'"accuracy":0.9', b'"accuracy":0.1')})
    reader = scene.clone()
    assert accuracy(scene, "one", run) is None
    told = reader.ciplug("gate", code=None)
    assert key in told.stdout + told.stderr
    assert told.returncode != 0
    fsck = reader.ciplug("fsck", code=3).stdout
    assert genuine in fsck and forged in fsck
    reader.ciplug("compact")
    assert {genuine, forged} <= scene.attacker.refs().keys(), "neither is folded"
    scene.attacker.delete(forged)
    assert accuracy(scene, "two", run) == 0.9
    reader.ciplug("compact")
    assert genuine not in scene.attacker.refs()


@pytest.mark.slow
def test_what_is_folded_is_not_replaced_by_a_later_claim(scene: Scene) -> None:
    run, key, data = fresh_run(scene)
    scene.project.ciplug("compact")
    scene.attacker.write({key: data.replace(b'"accuracy":0.9', b'"accuracy":0.1')})
    assert accuracy(scene, "one", run) == 0.9
    scene.project.ciplug("compact")
    assert accuracy(scene, "two", run) == 0.9
    assert key in scene.project.ciplug("fsck", code=3).stdout


def test_a_claim_of_a_strangers_key_hides_no_other_object(scene: Scene) -> None:
    _, key, data = fresh_run(scene)
    other = objects_of(run_of(scene.project.head, 5))
    scene.attacker.write({key: data + b" ", **other})
    listed = scene.clone().json("runs", "list", "--json")
    assert any(one["id"] == f"{5:032x}" for one in listed)
