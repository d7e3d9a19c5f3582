"""One way to name a run: a version, an id, or a commit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.errors import NotFound, StoreError, UsageError
from ciplug.records.provenance import Provenance
from ciplug.records.registry_event import Promote, Register
from ciplug.records.run import File, Run
from ciplug.registry import ledger
from ciplug.registry.events import wrap
from ciplug.steps.named_run import NamedRun, find_run
from ciplug.steps.session import Session, open_session
from ciplug.tracking.runs import run_objects
from tests.project import Project

STAMP = "2026-11-23T12:00:00.000Z"
MODEL = File(path="model.bin", digest="sha256:" + "1" * 64, size=3)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    project = Project.create(tmp_path / "work")
    return open_session(cwd=project.folder, env={**os.environ, "CIPLUG_STORE": (tmp_path / "store").as_uri()})


def record(session: Session, number: int = 1, model: str = "wine") -> Run:
    run = Run(
        id=f"{number:032x}", model=model, status="finished", started=STAMP, ended=STAMP, commit=session.head,
        artifacts=(MODEL,), provenance=Provenance(dirty=False),
    )  # fmt: skip
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
