"""A ref that stands where the store must write is named at once, with the line that removes it."""

from __future__ import annotations

import sys
import time

import pytest

from tests.attacks.conftest import Scene

pytestmark = pytest.mark.slow


def blocked(scene: Scene, ref: str) -> None:
    """Push a branch of code to a ref, once nothing is above or below it."""
    scene.attacker.git("fetch", "-q", scene.attacker.url, "main")
    head = scene.attacker.git("rev-parse", "FETCH_HEAD")
    for name in scene.attacker.refs():
        if ref.startswith(f"{name}/") or name.startswith(f"{ref}/"):
            scene.attacker.delete(name)
    scene.attacker.push(head, ref)


@pytest.mark.parametrize(
    ("ref", "commands"),
    [
        ("refs/heads/ciplug/setup", [("compact",)]),
        ("refs/ciplug/keep", [("compact",), ("promote", "wine", "--to", "staging")]),
        ("refs/ciplug/inbox", [("record", "--metrics", "metrics.json")]),
    ],
)
def test_a_ref_in_the_way_is_named_at_once(scene: Scene, ref: str, commands: list[tuple[str, ...]]) -> None:
    project = scene.project
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    project.train()
    project.ciplug("gate")
    blocked(scene, ref)
    project.ciplug("fsck", "--accept-registry", code=None)
    assert f"{ref}: it stands in the way of the store" in project.ciplug("fsck", code=3).stdout
    line = f"git push REMOTE :{ref}"
    for command in commands:
        began = time.monotonic()
        done = project.ciplug(*command, code=3)
        assert ref in done.stderr and line in done.stderr, done.stderr
        assert time.monotonic() - began < 10
    assert line in project.ciplug("doctor", code=3).stdout
    scene.attacker.delete(ref)
    for command in commands[-1:]:
        project.ciplug(*command)


def test_a_promotion_into_a_new_branch_is_refused_at_once(scene: Scene) -> None:
    blocked(scene, "refs/heads/other/setup")
    project, store = scene.project, ("--store", "git:?branch=other")
    project.ciplug("run", "--artifact", "model.txt", *store, "--", sys.executable, "train.py")
    project.ciplug("gate", *store)
    began = time.monotonic()
    refused = project.ciplug("promote", "wine", "--to", "staging", *store, code=3).stderr
    assert "git push REMOTE :refs/heads/other/setup" in refused
    assert time.monotonic() - began < 10


def test_a_ref_with_the_name_of_a_write_is_named(scene: Scene) -> None:
    project = scene.project
    project.train()
    (ref,) = [ref for ref in scene.attacker.refs() if "/inbox/" in ref]
    files = scene.attacker.fetch(ref)
    objects = {path.removeprefix("new/"): scene.attacker.read(oid) for path, oid in files.items()}
    scene.attacker.delete(ref)
    scene.attacker.push(scene.attacker.write_commit({"runs/none-1.json": b"{}\n"}), ref)
    from ciplug.errors import StoreError
    from ciplug.stores import open_store

    with pytest.raises(StoreError, match="stands in the way") as refused:
        open_store(f"git+{scene.attacker.url}", None).add(objects)
    assert f"git push REMOTE :{ref}" in (refused.value.hint or "")


WAYS = [
    "refs/ciplug/files/folded/x", "refs/ciplug/keep", "refs/ciplug/inbox", "refs/ciplug/inbox/0/1", "refs/ciplug/files",
    "refs/ciplug/keep/tip/x", "refs/heads/ciplug/a", "refs/heads/ciplug/a/b", "refs/tags/ciplug", "refs/heads/HEAD",
    "refs/ciplug/" + "x" * 200, "refs/ciplug/ä",
]  # fmt: skip


@pytest.mark.parametrize("ref", WAYS)
def test_any_ref_is_passed_by_or_named_with_the_line_that_removes_it(near: Scene, ref: str) -> None:
    project = near.project
    blocked(near, ref)
    project.ciplug("fsck", "--accept-registry", code=None)
    project.numbers({"accuracy": 0.9})
    for command in (("record", "--metrics", "numbers.json"), ("compact",)):
        began = time.monotonic()
        done = project.ciplug(*command, code=None)
        assert time.monotonic() - began < 10
        assert done.returncode == 0 or (done.returncode == 3 and f":{ref}" in done.stderr), (command, done.stderr)
    near.attacker.delete(ref)
    project.ciplug("record", "--spooled")
    project.ciplug("compact")
    assert project.json("runs", "list", "--json", "--limit", "0")
