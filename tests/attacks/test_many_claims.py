"""Many variants of what strangers push about runs: names of refs, times, branches, parents. None of them counts."""

from __future__ import annotations

from typing import Any

import pytest

from ciplug.steps.registered_model import read_registry
from ciplug.steps.select import select_runs
from ciplug.steps.session import Session, open_session
from ciplug.steps.signers import judged_runs
from tests.attacks.attacker import BRANCH, KEEP, as_files, entries_of, objects_of, run_of, takeover
from tests.attacks.conftest import Scene
from tests.attacks.test_registry_override import forged_keep

pytestmark = pytest.mark.slow
FORK = {"trusted": False, "event": "pull_request"}


def session_of(near: Scene) -> Session:
    return open_session(cwd=near.project.folder)


def production(near: Scene) -> int | None:
    model, _, _ = read_registry(session_of(near), "wine")
    return next((one.number for one in model.versions if one.stage == "Production"), None)


REFS = [
    KEEP, "refs/ciplug/keep/0", "refs/ciplug/keep/a/b", "refs/heads/ciplug2", "refs/heads/CIPLUG", "refs/tags/ciplug",
    "refs/ciplug/ciplug", "refs/ciplug/registry/wine", "refs/ciplug/heads/ciplug", "refs/notes/ciplug",
    "refs/remotes/origin/ciplug", "refs/ciplug/inbox/HEAD", "refs/ciplug/files/registry", "refs/replace/TIP",
]  # fmt: skip


@pytest.mark.parametrize("ref", REFS)
def test_events_under_another_ref_are_no_events(near: Scene, ref: str) -> None:
    """A whole copy of the registry, with a promotion more; a reader, and a compaction, take nothing of it."""
    tip = near.attacker.refs()[BRANCH]
    forged = forged_keep(near)
    near.attacker.push(forged, ref.replace("TIP", tip))
    assert production(near) == 1
    near.project.ciplug("compact", code=None)
    assert production(near) == 1
    assert len(entries_of(near.attacker, "wine")) == 3


EVENTS = {
    "in an object": lambda near, entries: as_files("wine", entries, 4),
    "under another case": lambda near, entries: {
        key.replace("wine", "WINE"): data for key, data in as_files("wine", entries, 4).items()
    },
    "with a number of 12 digits": lambda near, entries: {
        f"registry/wine/{number:012d}.json": data for number, data in enumerate(entries, 4)
    },
    "above the folder": lambda near, entries: {f"wine/{number:06d}.json": d for number, d in enumerate(entries, 4)},
    "as a run": lambda near, entries: {f"runs/{near.project.head}-{'7' * 32}.json": entries[0]},
    "as an amendment": lambda near, entries: {f"amend/{near.project.head}-{'7' * 32}-1-00000000.json": entries[0]},
}


@pytest.mark.parametrize("where", EVENTS)
def test_events_in_the_inbox_are_no_events(near: Scene, where: str) -> None:
    entries = takeover("wine", run_of(near.project.head, 666), 2, entries_of(near.attacker, "wine"), holder=1)
    near.attacker.write(EVENTS[where](near, entries))
    assert production(near) == 1
    near.project.ciplug("compact", code=None)
    assert production(near) == 1


INBOX = [
    "0" * 40, "f" * 40, "0" * 39, "0" * 41, "0" * 64, "HEAD", "a/b/c", "zzz", "-x", "ä", "x" * 200, "00000000/1",
]  # fmt: skip


@pytest.mark.parametrize("name", INBOX)
def test_no_name_of_a_pending_write_lets_it_replace_another(near: Scene, name: str) -> None:
    project = near.project
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    run = project.train()
    ref = next(ref for ref in near.attacker.refs() if "/inbox/" in ref)
    path, oid = next((path, oid) for path, oid in near.attacker.fetch(ref).items() if path.endswith(".json"))
    forged = near.attacker.read(oid).replace(b'"accuracy":0.9', b'"accuracy":0.1')
    near.attacker.write({path.removeprefix("new/"): forged}, name)
    for _ in range(2):
        (one,) = [one for one in near.clone(f"c{_}").json("runs", "list", "--json") if one["id"] == run]
        assert one["metrics"]["accuracy"] == 0.9
        project.ciplug("compact", code=None)


STARTED = [
    "9999-01-01T00:00:00.000Z", "2999-12-31T23:59:59Z", "9999", "zzzz", "", "never", "~", "\U0001f680",
    "99999-01-01T00:00:00Z", "+10000-01-01T00:00:00Z", "now", "9999-99-99T99:99:99Z",
]  # fmt: skip


@pytest.mark.parametrize("started", STARTED)
def test_no_time_makes_a_run_the_last(near: Scene, started: str) -> None:
    """The run of a stranger is as good by every other rule."""
    project = near.project
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    run = project.train()
    claimed = run_of(project.head, 0, started=started, metrics={"accuracy": 0.1}, context={"host": "local"})
    near.attacker.write(objects_of(claimed))
    session = session_of(near)
    assert select_runs(session, judged_runs(session), project.head)["wine"].chosen == run


FORKS: dict[str, dict[str, Any]] = {
    "a better number": {"metrics": {"accuracy": 0.999}},
    "a worse number": {"metrics": {"accuracy": 0.001}},
    "no number": {"metrics": {}},
    "not a number": {"metrics": {"accuracy": float("nan")}},
    "another model": {"model": "other"},
    "a model of the same looks": {"model": "w\u0456ne"},
    "it failed": {"status": "failed"},
    "a child of the genuine run": {"parent": "RUN"},
    "a child of itself": {"parent": f"{666:032x}"},
    "a pipeline of the main branch": {"context": {"host": "gitlab_ci", "branch": "main", "event": "push"}},
    "started later": {"started": "2999-01-01T00:00:00.000Z"},
    "started first": {"started": "1970-01-01T00:00:00.000Z"},
    "the same seed": {"params": {"seed": 1}, "provenance": {"seed": 1}},
    "the same id with another commit": {"provenance": {"dirty": True, "head_after": "f" * 40}},
}


@pytest.mark.parametrize("claim", FORKS)
def test_no_run_of_a_fork_changes_a_verdict(near: Scene, claim: str) -> None:
    project = near.project
    project.numbers({"accuracy": 0.9})
    project.commit("better")
    run = project.train()
    expected = project.json("gate", "--dry-run", "--json")["verdicts"]
    fields = {name: run if value == "RUN" else value for name, value in FORKS[claim].items()}
    near.attacker.write(
        objects_of(run_of(project.head, 666, **{**fields, "context": {**fields.get("context", {}), **FORK}}))
    )
    found = project.json("gate", "--dry-run", "--json")["verdicts"]
    assert [_decided(one) for one in found] == [_decided(one) for one in expected]
    project.ciplug("gate")


def _decided(verdict: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in verdict.items() if name not in ("created", "duration_seconds")}


BRANCHES: dict[str, dict[str, Any]] = {
    "the main branch": {"context": {"branch": "main"}},
    "a tag": {"context": {"branch": None, "tag": "v1.0"}},
    "a push": {"context": {"branch": "main", "event": "push"}},
    "a person's machine": {"context": {"host": "local", "branch": "main"}},
    "a person of the team": {"context": {"actor": "test@example.com", "branch": "main"}},
    "the default branch": {"context": {"branch": "main", "default_branch": "main"}},
    "a pull request into main": {"context": {"target_branch": "main", "pull_request": 1}},
    "a run that is still to come": {"started": "9999-01-01T00:00:00.000Z", "ended": "9999-01-01T00:00:00.000Z"},
    "children of a genuine run": {"parent": "RUN"},
    "better than all": {"metrics": {"accuracy": 1.0}},
    "a model each": {"model": "NUMBER"},
}


@pytest.mark.parametrize("claim", BRANCHES)
def test_no_run_of_a_fork_evicts_a_genuine_one(near: Scene, claim: str) -> None:
    project = near.project
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + "keep: {last: 2}\n")
    project.commit("keep")
    genuine = {project.train()}
    project.commit("more")
    genuine.add(project.train())
    project.push()
    runs = []
    for number in range(20):
        fields = {
            name: min(genuine) if value == "RUN" else f"model-{number}" if value == "NUMBER" else value
            for name, value in BRANCHES[claim].items()
        }
        fields["context"] = {**fields.get("context", {}), **FORK}
        runs.append(run_of(project.head, 100 + number, **fields))
    near.attacker.write(objects_of(*runs))
    project.ciplug("compact")
    kept = {run["id"] for run in project.json("runs", "list", "--json", "--limit", "0", "--all")}
    assert genuine <= kept
