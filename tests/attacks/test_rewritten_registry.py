"""A registry that somebody rewrote, who may move the branch: a clone that saw it refuses, and fsck names the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.canonical import digest, dumps
from tests.attacks.attacker import BRANCH, KEEP, Attacker, as_files, entries_of, objects_of, run_of, takeover
from tests.attacks.conftest import Scene
from tests.project import Project, git

pytestmark = pytest.mark.slow

Rewrite = Callable[[list[bytes]], list[bytes]]


def rewrite(attacker: Attacker, change: Rewrite, *, keep: bool = True, on_top: bool = False) -> None:
    """Replace the log, in the branch and in what is kept of it: by a force-push, or by a commit on top."""
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    entries = change(entries_of(attacker, "wine"))
    files = {path: data for path, data in files.items() if not path.startswith("registry/")}
    parents = [attacker.refs()[BRANCH]] if on_top else []
    commit = attacker.branch_commit({**files, **as_files("wine", entries)}, *parents)
    attacker.push(commit, *([BRANCH, KEEP] if keep else [BRANCH]))


def chained(events: list[dict[str, Any]]) -> list[bytes]:
    """The events with digests that make a whole chain."""
    entries: list[bytes] = []
    for seq, event in enumerate(events, 1):
        made = {name: value for name, value in {**event, "seq": seq}.items() if name != "previous"}
        entries.append(dumps({**made, "previous": digest(entries[-1])} if entries else made))
    return entries


def cut_off(entries: list[bytes]) -> list[bytes]:
    return entries[:-1]


def removed(entries: list[bytes]) -> list[bytes]:
    return []


def last_edited(entries: list[bytes]) -> list[bytes]:
    last = json.loads(entries[-1])
    return [*entries[:-1], dumps({**last, "actor": "somebody else"})]


def begun_anew(entries: list[bytes]) -> list[bytes]:
    events = [json.loads(entry) for entry in entries]
    events[0]["payload"]["files"] = {"model.txt": f"sha256:{'0' * 64}"}
    return chained(events)


@pytest.mark.parametrize("change", [cut_off, removed, last_edited, begun_anew])
def test_a_clone_that_saw_the_log_refuses_to_go_back(scene: Scene, change: Rewrite) -> None:
    scene.project.ciplug("registry", "list")
    rewrite(scene.attacker, change)
    for command in (("registry", "show", "wine"), ("promote", "wine", "--to", "staging"), ("pull", "wine@production")):
        refused = scene.project.ciplug(*command, code=3)
        assert "went back" in refused.stderr and "ciplug fsck --accept-registry" in refused.stderr
    assert "went back" in scene.project.ciplug("fsck", code=3).stdout
    # The gates still judge, and say what they could not see.
    judged = scene.project.ciplug("gate", code=None)
    assert judged.returncode in (0, 1) and "went back" in judged.stdout + judged.stderr
    accepted = scene.project.ciplug("fsck", "--accept-registry", code=None)
    assert "accepted: registry/wine went back" in accepted.stdout
    assert "went back" not in scene.project.ciplug("registry", "list").stderr


@pytest.mark.parametrize(("change", "on_top"), [(cut_off, False), (last_edited, False), (cut_off, True)])
def test_a_fresh_clone_hears_of_what_the_store_still_keeps(
    scene: Scene, change: Rewrite, on_top: bool, tmp_path: Path
) -> None:
    """Only the branch was rewritten. Nobody deploys by it, and whoever verifies finds the chain broken."""
    rewrite(scene.attacker, change, keep=False, on_top=on_top)
    git(tmp_path, "clone", "-q", git(scene.project.folder, "remote", "get-url", "origin"), "fresh")
    fresh = Project(tmp_path / "fresh")
    refused = fresh.ciplug("pull", "wine@v1", "--to", "got", code=3).stderr
    assert "missing or were replaced" in refused and "ciplug fsck --restore-registry" in refused
    assert not (fresh.folder / "got").exists() and not (fresh.folder / "ciplug.lock").exists()
    assert "missing or were replaced" in fresh.ciplug("registry", "verify", code=3).stderr
    assert "BROKEN  version" in fresh.ciplug("verify", "wine@v1", "--fetch", "--no-files", code=3).stdout


def test_a_clone_that_reads_while_another_process_appends_is_not_fooled(scene: Scene) -> None:
    scene.project.ciplug("registry", "list")
    colleague = scene.clone()
    colleague.ciplug("registry", "list")
    colleague.numbers({"accuracy": 0.9})
    colleague.commit("better")
    colleague.train()
    colleague.ciplug("gate")
    colleague.ciplug("promote", "wine", "--to", "staging")
    assert "Staging" in scene.project.ciplug("registry", "show", "wine").stdout


def test_an_appended_promotion_without_a_verdict_is_named(scene: Scene) -> None:
    run = run_of(scene.project.head, 666)
    scene.attacker.write(objects_of(run))
    rewrite(scene.attacker, lambda entries: [*entries, *takeover("wine", run, 2, entries, holder=1)])
    found = scene.clone().ciplug("fsck", code=3).stdout
    assert "event 5 of 'wine' promotes without a verdict" in found
    assert "event 6 of 'wine' promotes without a verdict" in found


def edited(number: int, **fields: Any) -> Rewrite:
    """Change the payload of one event, and make the chain whole again."""

    def change(entries: list[bytes]) -> list[bytes]:
        events = [json.loads(entry) for entry in entries]
        events[number - 1]["payload"].update(fields)
        return chained(events)

    return change


def without(*numbers: int) -> Rewrite:
    return lambda entries: chained([json.loads(e) for n, e in enumerate(entries, 1) if n not in numbers])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(edited(3, stage="Staging"), "version 1 is already in Staging", id="not a move"),
        pytest.param(edited(3, from_stage="Archived"), "moves version 1 from Archived", id="from elsewhere"),
        pytest.param(edited(3, replaces=7), "replaces version 7 in Production", id="replaces nothing"),
        pytest.param(edited(3, version=9), "promotes version 9, which is not registered", id="no version"),
        pytest.param(edited(3, run="f" * 32), "promotes another run", id="another run"),
        pytest.param(edited(1, version=4), "registers version 4, and the next one is 1", id="number"),
        pytest.param(without(2), "Production takes only versions from Staging", id="a skipped stage"),
        pytest.param(without(1), "promotes version 1, which is not registered", id="nothing registered"),
        pytest.param(edited(1, record=f"sha256:{'0' * 64}"), "changed since it was registered", id="record"),
        pytest.param(edited(3, verdict="verdicts/none-1-2.json"), "which is missing", id="no such verdict"),
        pytest.param(edited(3, verdict_digest="sha256:0"), "other content of this verdict", id="another verdict"),
    ],
)
def test_fsck_replays_the_rules(scene: Scene, change: Rewrite, words: str) -> None:
    rewrite(scene.attacker, change)
    found = scene.clone().ciplug("fsck", code=3).stdout
    assert words in found


def test_stages_of_another_time_or_of_a_forger_are_named(scene: Scene) -> None:
    rewrite(scene.attacker, edited(3, stage="Gold", ladder=["Staging", "Gold"]))
    found = scene.clone().ciplug("fsck", code=None).stderr
    assert "event 3 of 'wine' was made when the stages were Staging, Gold; today they are Staging, Production" in found


def test_a_metric_of_a_registered_run_that_was_changed_is_named(scene: Scene) -> None:
    attacker = scene.attacker
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    path = next(path for path in files if path.startswith("new/runs/"))
    files[path] = attacker.read(str(files[path])).replace(b'"accuracy":0.85', b'"accuracy":0.99')
    attacker.push(attacker.branch_commit(files), BRANCH, KEEP)
    reader = scene.clone()
    assert "changed since it was registered as version 1" in reader.ciplug("fsck", code=3).stdout


def test_a_verdict_that_did_not_pass_is_no_evidence(scene: Scene) -> None:
    attacker = scene.attacker
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    path = next(path for path in files if path.startswith("new/verdicts/"))
    verdict = json.loads(attacker.read(str(files[path])))
    failed = dumps({**verdict, "outcome": "FAIL"})
    stem = path.removeprefix("new/").rpartition("-")[0]
    key = f"{stem}-{digest(failed)[7:19]}.json"
    scene.attacker.write({key: failed})
    rewrite(scene.attacker, edited(3, verdict=key, verdict_digest=digest(failed)))
    assert "which is FAIL" in scene.clone().ciplug("fsck", code=3).stdout
