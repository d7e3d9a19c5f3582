"""A repository, a folder as store, and runs and verdicts written there as jobs write them, for tests in one process."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pytest

from ciplug.errors import PromotionRefused
from ciplug.records.amendment import Amendment
from ciplug.records.keys import amendment_object, log_of, verdict_object
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import File, Run
from ciplug.records.verdict import Verdict
from ciplug.steps.judge import judge_runs
from ciplug.steps.promotion.promote import Promotion, PromotionRequest, promote
from ciplug.steps.session import Session, open_session
from ciplug.stores.files import Files
from ciplug.tracking.run_objects import run_objects
from tests.project import Project

POLICY = """\
version: 1
model: wine
gates:
  accuracy: {higher_is_better: true, min: 0.8}
  size: {metric: model_mb, higher_is_better: false, max: 100}
"""
STAMP = "2026-11-23T12:00:00.000Z"
MODEL = File(path="model.bin", digest=f"sha256:{sha256(b'abc').hexdigest()}", size=3)
"""Its bytes are in the store of the team."""


@dataclass
class Team:
    """A repository, a folder as store, and runs and verdicts that are written there as jobs write them."""

    project: Project
    session: Session
    recorded: int = 0

    def policy(self, text: str) -> None:
        (self.project.folder / "ciplug.yaml").write_text(POLICY + text)
        self.project.commit("policy")
        self.session = self.session.refreshed()

    def run(self, *, accuracy: float = 0.9, commit: str | None = "", **fields: Any) -> Run:
        """Record a run of the head."""
        self.recorded += 1
        provenance = {"dirty": False, "context": Context(actor="octocat"), **fields.pop("provenance", {})}
        run = Run(
            id=f"{self.recorded:032x}",
            model=fields.pop("model", "wine"),
            status=fields.pop("status", "finished"),
            parent=fields.pop("parent", None),
            started=STAMP,
            ended=STAMP,
            commit=self.project.head if commit == "" else commit,
            metrics={"accuracy": accuracy, "model_mb": 1.0},
            provenance=Provenance(**provenance),
            artifacts=tuple(self._kept(file) for file in fields.pop("artifacts", (MODEL,))),
            datasets=fields.pop("datasets", ()),
        )
        self.session.store.add(run_objects(run))
        return run

    def keep(self, data: bytes, path: str, kind: Literal["folder"] | None = None) -> File:
        """Keep the content of a file, or the lines of a folder, in the store."""
        digest = f"sha256:{sha256(data).hexdigest()}"
        source = self.project.folder.parent / digest.removeprefix("sha256:")
        source.write_bytes(data)
        self._files.put({digest: source}, lambda _: None)
        return File(path=path, digest=digest, size=len(data), kind=kind, store=self.session.store_uri)

    @property
    def _files(self) -> Files:
        return self.session.files_at(self.session.store_uri)

    def _kept(self, file: File) -> File:
        return file if file.store or self._files.missing([file.digest]) else replace(file, store=self._files.uri)

    def verdict(self, run: Run, key_of: Run | None = None, **changes: Any) -> str:
        """Record what the policy says of a run, with some changes; returns the key."""
        (judged,) = judge_runs(self.session, self.session.runs(), [run], named=True)
        assert judged.verdict is not None
        verdict: Verdict = replace(judged.verdict, **changes)
        key, data = verdict_object(verdict)
        if key_of:
            key = key.replace(run.id, key_of.id)
        self.session.store.add({key: data})
        return key

    def amend(self, run: Run, **fields: Any) -> None:
        """Add an amendment of a run as it is given."""
        made = {"model": run.model, "seq": 1, "created": STAMP, "commit": run.commit, **fields}
        key, data = amendment_object(Amendment(run=run.id, **made))
        self.session.store.add({key.key: data})

    def judged(self, **fields: Any) -> Run:
        run = self.run(**fields)
        self.verdict(run)
        return run

    def promote(self, to: str = "staging", session: Session | None = None, **request: Any) -> Promotion:
        return promote(session or self.session.refreshed(), PromotionRequest("wine", to, **request))

    def refused(self, to: str = "staging", session: Session | None = None, **request: Any) -> PromotionRefused:
        """The refusal; the log is as it was before."""
        before = self.session.refreshed().log.entries(log_of("wine"))
        with pytest.raises(PromotionRefused) as caught:
            self.promote(to, session, **request)
        assert self.session.refreshed().log.entries(log_of("wine")) == before
        return with_whole_ids(caught.value)

    def with_context(self, **changes: Any) -> Session:
        session = self.session.refreshed()
        return replace(session, context=replace(session.context, **changes))


def with_whole_ids(refusal: PromotionRefused) -> PromotionRefused:
    """The refusal, in which each id is whole, or cut to 12 characters; that of the commit of a policy to 8."""
    shown = re.findall(r"\b[0-9a-f]{6,}\b", f"{refusal.message} {refusal.hint}")
    assert {len(one) for one in shown} <= {8, 12, 32, 40}
    return refusal


def team_in(folder: Path) -> Team:
    """A new team that works in `folder`."""
    project = Project.create(folder / "work", config=POLICY)
    env = {**os.environ, "CIPLUG_STORE": (folder / "store").as_uri(), "CIPLUG_SPOOL": str(folder / "spool")}
    team = Team(project, open_session(cwd=project.folder, env=env))
    team.keep(b"abc", MODEL.path)
    return team
