"""One way to name a run: a version, an id, or a commit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import NotFound, StoreError, UsageError
from ciplug.records.provenance import Context, Provenance
from ciplug.records.registry_event import Promote, Register
from ciplug.records.run import File, Run
from ciplug.registry import ledger
from ciplug.registry.events import wrap
from ciplug.steps.named_run import NamedRun, find_run
from ciplug.steps.session import Session, open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import Project, git

STAMP = "2026-11-23T12:00:00.000Z"
MODEL = File(path="model.bin", digest="sha256:" + "1" * 64, size=3)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    project = Project.create(tmp_path / "work")
    return open_session(cwd=project.folder, env={**os.environ, "CIPLUG_STORE": (tmp_path / "store").as_uri()})


def record(session: Session, number: int = 1, model: str = "wine", **other: Any) -> Run:
    facts: dict[str, Any] = {
        **{"id": f"{number:032x}", "started": STAMP, "ended": STAMP, "commit": session.head, "artifacts": (MODEL,)},
        "provenance": Provenance(dirty=False),
        **other,
    }
    run = Run(model=model, status="finished", **facts)
    session.store.add(run_objects(run))
    return run


def register(session: Session, run: Run, **files: str) -> None:
    entries = ledger.read(session.log, "wine")
    payload = Register(version=1, run=run.id, commit=run.commit, files={MODEL.path: MODEL.digest, **files})
    entries = ledger.append(session.log, entries, wrap(payload, model="wine", created=STAMP))
    promotion = Promote(version=1, run=run.id, commit=run.commit, stage="Staging")
    ledger.append(session.log, entries, wrap(promotion, model="wine", created=STAMP))


def named(session: Session, name: str, model: str | None = None) -> NamedRun:
    return find_run(session, session.runs(), name, model)


@pytest.mark.parametrize("name", ["wine@staging", "wine@v1", "wine@1", "models:/wine/1", "models:/wine@Staging"])
def test_a_version(session: Session, name: str) -> None:
    run = record(session)
    register(session, run)
    found = named(session, name)
    assert found.run == run
    assert found.version is not None and (found.version.number, found.version.stage) == (1, "Staging")
    assert found.notes == ()


def test_an_id_and_a_commit(session: Session) -> None:
    run = record(session)
    for name in (run.id, run.id[:31], "main", "HEAD", session.need_head()[:10]):
        assert named(session, name) == NamedRun(run)
    assert named(session, run.id, "wine").run == run
    with pytest.raises(UsageError, match="is of the model 'wine', not 'beer'"):
        named(session, run.id, "beer")


def test_several_models_of_a_commit(session: Session) -> None:
    wine, beer, cider = (record(session, n, model) for n, model in enumerate(("wine", "beer", "cider"), start=1))
    assert named(session, "HEAD").run == wine, "that of ciplug.yaml"
    assert named(session, "HEAD", "beer").run == beer
    own = replace(session, config=replace(session.config, model="ale"))
    with pytest.raises(UsageError, match="'HEAD' has runs of 3 models") as caught:
        named(own, "HEAD")
    assert f"{cider.id[:12]} (cider)" in str(caught.value.hint)


def test_the_last_and_the_best_run(session: Session) -> None:
    at = "2026-11-23T12:00:0{}.000Z".format
    fork = Provenance(dirty=False, context=Context(trusted=False))
    first = record(session, 1, started=at(1), metrics={"accuracy": 0.9, "loss": 0.1})
    last = record(session, 2, started=at(2), metrics={"accuracy": 0.8, "loss": 0.2})
    beer = record(session, 3, "beer", started=at(3), metrics={"accuracy": 0.95, "loss": 0.3})
    record(session, 4, started=at(4), parent=last.id, metrics={"accuracy": 0.7})
    record(session, 5, started=at(5), provenance=fork, metrics={"accuracy": 1.0, "loss": 0.0})
    record(session, 6, started="2999-01-01T00:00:00.000Z")
    assert named(session, "last").run == last, "no child, no fork's run, none of another model or of a wrong clock"
    assert named(session, "last", "beer").run == beer
    assert named(session, "best:accuracy").run == first, "by the gate"
    assert named(session, "best:loss:min").run == first
    assert named(session, "best:loss:max").run == last
    with pytest.raises(UsageError, match="higher or lower is better for 'loss'") as caught:
        named(session, "best:loss")
    assert "best:loss:max or best:loss:min" in str(caught.value.hint)
    with pytest.raises(UsageError, match="says that higher is better"):
        named(session, "best:accuracy:min")
    with pytest.raises(UsageError, match="no run has a metric 'accuray'") as caught:
        named(session, "best:accuray:max")
    assert caught.value.hint == "did you mean 'accuracy'?"


def test_what_may_mean_several(session: Session) -> None:
    runs = [record(session, id=f"abcd{n}".ljust(32, "0"), started=f"2026-11-2{n}T12:00:00.000Z") for n in (1, 2)]
    with pytest.raises(NotFound, match=r"'abcd' is the beginning of 2 runs: abcd10000000 \(wine, 2026-11-21 12:00\)"):
        named(session, "abcd")
    assert named(session, "abcd2").run == runs[1]
    git(session.need_workspace().top, "branch", "abcd2")
    with pytest.raises(NotFound, match=f"'abcd2' may mean run abcd2.*, commit {session.head[:12]}") as caught:
        named(session, "abcd2")
    assert "refs/heads/NAME" in str(caught.value.hint)
    for number in (8, 9):
        record(session, number, commit=f"cafe{number}".ljust(40, "0"))
    with pytest.raises(NotFound, match="'cafe' may mean commit cafe80000000, commit cafe90000000"):
        named(session, "cafe")
    assert named(session, "cafe9").run.id == f"{9:032x}", "a commit that this clone has not"
    git(session.need_workspace().top, "branch", "cafe")
    assert named(session, "cafe").run.commit == session.head, (
        "whoever records a run of another commit takes no name away"
    )


def test_an_id_that_somebody_chose_takes_no_name_away(session: Session) -> None:
    record(session, 1)
    record(session, id="cafe", provenance=Provenance(dirty=False, context=Context(trusted=False)))
    assert named(session, "cafe").run.id == "cafe"
    git(session.need_workspace().top, "branch", "cafe")
    with pytest.raises(NotFound, match=r"'cafe' may mean run cafe .*, commit"):
        named(session, "cafe")


def test_an_unknown_name_has_the_nearest(session: Session) -> None:
    register(session, record(session))
    git(session.need_workspace().top, "tag", "v1.0")
    for name, hint in (
        ("mian", "did you mean 'main'?"),
        ("v1.1", "did you mean 'v1.0'?"),
        ("lats", "did you mean 'last'?"),
        ("wien@production", "did you mean 'wine'?"),
        ("wine@stagging", "did you mean 'staging'?"),
        ("zzzz", "list runs: ciplug runs list"),
    ):
        with pytest.raises(NotFound) as caught:
            named(session, name)
        assert caught.value.hint == hint, name


def test_a_branch_with_an_at_sign_and_the_log_of_git(session: Session) -> None:
    run = record(session)
    git(session.need_workspace().top, "branch", "try@2")
    for name in ("try@2", "HEAD@{0}", "refs/heads/main"):
        assert named(session, name).run == run, name


def test_the_only_run_of_a_commit_that_does_not_count(session: Session) -> None:
    run = record(session, provenance=Provenance(dirty=True))
    with pytest.raises(NotFound, match="counts"):
        named(session, "HEAD")
    assert find_run(session, session.runs(), "HEAD", any_run=True).run == run
    record(session, 2, provenance=Provenance(dirty=True))
    with pytest.raises(NotFound, match="counts"):
        find_run(session, session.runs(), "HEAD", any_run=True)


@pytest.mark.parametrize("name", ["ffff", "wine@v2", "wine@production", "beer@1", "nowhere"])
def test_what_does_not_exist(session: Session, name: str) -> None:
    register(session, record(session))
    with pytest.raises(NotFound):
        named(session, name)


@pytest.mark.parametrize(
    "files", [{"model.bin": "sha256:" + "2" * 64}, {"other.bin": "sha256:" + "1" * 64}], ids=["changed", "added"]
)
@pytest.mark.parametrize("name", ["wine@staging", "wine@v1"])
def test_a_version_whose_run_names_other_files_than_were_registered(
    session: Session, name: str, files: dict[str, str]
) -> None:
    register(session, record(session), **files)
    with pytest.raises(StoreError, match="does not name the artifacts that version 1 of 'wine' was registered with"):
        named(session, name)


def test_a_version_without_files_whose_run_has_one(session: Session) -> None:
    run = record(session)
    entries = ledger.read(session.log, "wine")
    payload = Register(version=1, run=run.id, commit=run.commit)
    ledger.append(session.log, entries, wrap(payload, model="wine", created=STAMP))
    with pytest.raises(StoreError):
        named(session, "wine@v1")


def test_events_that_are_skipped_are_noted(session: Session) -> None:
    register(session, record(session))
    entries = ledger.read(session.log, "wine")
    ledger.append(session.log, entries, replace(entries.events[-1], type="freeze"))
    assert named(session, "wine@v1").notes == (
        "event 3 of 'wine' has type 'freeze', which this ciplug does not know: upgrade ciplug",
    )
