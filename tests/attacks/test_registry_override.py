"""Entries of the registry come from the branch alone, whatever else is pushed."""

from __future__ import annotations

import pytest

from tests.attacks.attacker import (
    BRANCH,
    KEEP,
    as_files,
    entries_of,
    objects_of,
    run_of,
    takeover,
)
from tests.attacks.conftest import Scene
from tests.project import git

pytestmark = pytest.mark.slow


def forged_keep(scene: Scene, *, run_too: bool = True) -> str:
    """A commit with all that the branch has, and events that put another run into production."""
    attacker = scene.attacker
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    before = entries_of(attacker, "wine")
    run = run_of(scene.project.head, 666)
    if run_too:
        files.update({f"new/{key}": data for key, data in objects_of(run).items()})
    files.update(as_files("wine", takeover("wine", run, 2, before, holder=1), len(before) + 1))
    return attacker.branch_commit(files, attacker.refs()[BRANCH])


@pytest.mark.parametrize("ref", [KEEP, "refs/heads/ciplug-keep/tip", "refs/ciplug/keep/zzz"])
def test_a_kept_tip_with_more_events_puts_nothing_into_production(scene: Scene, ref: str) -> None:
    forged = forged_keep(scene)
    before = scene.attacker.refs()[BRANCH]
    if ref == "refs/heads/ciplug-keep/tip":
        scene.attacker.delete(KEEP)
    scene.attacker.push(forged, ref)
    assert scene.production() == 1
    colleague = scene.clone()
    colleague.ciplug("compact")
    assert scene.production() == 1
    assert len(entries_of(scene.attacker, "wine")) == 3
    tip = scene.attacker.refs()[BRANCH]
    assert tip == before or forged not in git(scene.server.path("remote"), "rev-list", tip)


def test_a_promotion_beside_a_forged_tip_is_refused_with_the_ways_out(scene: Scene) -> None:
    scene.attacker.push(forged_keep(scene, run_too=False), KEEP)
    scene.project.numbers({"accuracy": 0.9})
    scene.project.commit("better")
    scene.project.train()
    scene.project.ciplug("gate")
    refused = scene.project.ciplug("promote", "wine", "--to", "staging", code=3)
    assert "ciplug fsck" in refused.stderr and KEEP in refused.stderr
    shown = scene.project.ciplug("fsck", code=3)
    assert "mallory" in shown.stdout and "Production" in shown.stdout
    assert scene.production() == 1
    git(scene.project.folder, "push", "-q", "origin", f":{KEEP}")
    scene.project.ciplug("promote", "wine", "--to", "staging")


def test_a_lost_registry_is_put_back_by_an_explicit_repair_that_shows_it(scene: Scene) -> None:
    remote = scene.server.path("remote")
    git(remote, "update-ref", "-d", BRANCH)
    colleague = scene.clone()
    show = colleague.ciplug("registry", "list")
    assert "fsck" in show.stderr
    repaired = colleague.ciplug("fsck", "--repair", code=3)
    assert "Production" in repaired.stdout
    assert "--restore-registry" in repaired.stdout + repaired.stderr
    restored = colleague.ciplug("fsck", "--restore-registry")
    assert "event 3 of 'wine'" in restored.stdout and "Production" in restored.stdout
    assert scene.production() == 1
    colleague.ciplug("fsck")


def test_what_a_kept_tip_says_of_a_run_never_replaces_the_branch(scene: Scene) -> None:
    """In new/, and in a segment of its own."""
    attacker = scene.attacker
    scene.project.ciplug("compact")
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    path = next(path for path in files if path.startswith("new/runs/"))
    genuine = attacker.read(str(files[path]))
    files[path] = genuine.replace(b'"accuracy":0.85', b'"accuracy":0.11')
    assert files[path] != genuine
    attacker.push(attacker.branch_commit(files), KEEP)
    for _ in range(2):
        (run,) = scene.clone(f"c{_}").json("runs", "list", "--json")
        assert run["metrics"]["accuracy"] == 0.85
        scene.project.ciplug("compact")


def test_a_promotion_pushed_as_an_object_is_not_an_event(scene: Scene) -> None:
    before = entries_of(scene.attacker, "wine")
    run = run_of(scene.project.head, 666)
    scene.attacker.write(as_files("wine", takeover("wine", run, 2, before, holder=1), 4))
    assert scene.production() == 1
    scene.project.ciplug("compact")
    assert scene.production() == 1


def test_a_file_that_is_almost_an_entry_stops_nothing(near: Scene) -> None:
    """At level 0, whoever may push may push it to the branch."""
    files: dict[str, bytes | str] = dict(near.attacker.fetch(BRANCH))
    odd = (
        "registry/wine/0000004.json",
        "registry/wine/4.json",
        "registry/wine/000001-000255.lines",
        "erased/0000001.json",
    )
    files.update(dict.fromkeys(odd, b"{}\n"))
    near.attacker.push(near.attacker.branch_commit(files, near.attacker.refs()[BRANCH]), BRANCH)
    assert near.production(near.project) == 1
