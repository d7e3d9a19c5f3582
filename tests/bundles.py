"""Bundles and archives for tests: honest ones, and what strangers could make of them."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from typing import Any

from ciplug.records import bundle
from ciplug.records.keys import verdict_object
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run
from ciplug.records.series import Series
from ciplug.records.verdict import Verdict
from ciplug.tracking.run_objects import run_objects

COMMIT = "c" * 40


def a_run(commit: str | None = COMMIT, *, trusted: bool = True, **fields: Any) -> Run:
    made = Run(
        id=os.urandom(16).hex(),
        model="wine",
        status="finished",
        started="2026-11-23T19:24:00.000Z",
        ended="2026-11-23T19:25:00.000Z",
        commit=commit,
        metrics={"accuracy": 0.9},
        provenance=Provenance(dirty=False, context=Context(host="github_actions", trusted=trusted)),
    )
    return replace(made, **fields)


def objects_of(run: Run, *, judged: bool = True) -> dict[str, bytes]:
    """A run, its series, and its verdict."""
    objects = run_objects(run, {"loss": Series(steps=(0, 1), values=(2.0, 1.0))})
    if judged:
        verdict = Verdict(
            run=run.id,
            model=run.model,
            commit=run.commit,
            outcome="PASS",
            created=run.ended,
            policy_digest="sha256:" + "0" * 64,
            policy_file="ciplug.yaml",
        )
        objects.update([verdict_object(verdict)])
    return objects


def packed(*runs: Run) -> bytes:
    return bundle.pack({key: data for run in runs for key, data in objects_of(run).items()})


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
