"""Somebody who may push to the repository, with git alone, and what they push."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ciplug.git.bare import init_bare
from ciplug.records.canonical import digest, dumps
from ciplug.records.provenance import Context, Provenance
from ciplug.records.registry_event import Payload, Promote, Register
from ciplug.records.run import Run
from ciplug.registry.events import wrap
from ciplug.stores.git.content import FORMAT
from ciplug.stores.git.objects import LooseObjects
from ciplug.tracking.run_objects import run_objects

STAMP = "2026-11-23T12:00:00.000Z"
KEEP = "refs/ciplug/keep/tip"
BRANCH = "refs/heads/ciplug"


class Attacker:
    """A clone of the remote without a checkout, and pushes from it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.folder = folder
        init_bare(folder, "sha1")
        self.written = LooseObjects(folder, "sha1")

    def git(self, *args: str, input: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.folder, check=check, capture_output=True, text=True, input=input, env=os.environ
        )
        return done.stdout.strip()

    def refs(self) -> dict[str, str]:
        lines = (line.split() for line in self.git("ls-remote", self.url).splitlines())
        return {ref: oid for oid, ref in lines}

    def push(self, oid: str, *refs: str) -> None:
        self.git("push", "-q", "--force", self.url, *(f"{oid}:{ref}" for ref in refs))

    def delete(self, ref: str) -> None:
        self.git("push", "-q", self.url, f":{ref}")

    def fetch(self, ref: str) -> dict[str, str]:
        """Path → blob of a ref of the remote, which is then here."""
        self.git("fetch", "-q", "--no-tags", self.url, f"+{ref}:refs/copy")
        lines = self.git("ls-tree", "-r", "refs/copy").splitlines()
        return {line.split("\t")[1]: line.split()[2] for line in lines}

    def read(self, oid: str) -> bytes:
        return subprocess.run(["git", "cat-file", "blob", oid], cwd=self.folder, check=True, capture_output=True).stdout

    def write_commit(self, objects: Mapping[str, bytes]) -> str:
        """A commit as a writer of the store makes it."""
        tree = self.written.nested_tree({f"new/{key}": self.written.blob(data) for key, data in objects.items()})
        return self.written.commit(tree, (), f"ciplug: {len(objects)} objects\n\n[skip ci]", 0)

    def write(self, objects: Mapping[str, bytes], name: str | None = None) -> str:
        """Push a pending write; returns its ref."""
        commit = self.write_commit(objects)
        ref = f"refs/ciplug/inbox/{name or commit}"
        self.push(commit, ref)
        return ref

    def branch_commit(self, files: Mapping[str, bytes | str], *parents: str) -> str:
        """A commit with the content of a branch: path → bytes, or a blob that is here."""
        blobs = {path: self.written.blob(data) if isinstance(data, bytes) else data for path, data in files.items()}
        blobs.setdefault("FORMAT", self.written.blob(FORMAT))
        return self.written.commit(self.written.nested_tree(blobs), tuple(parents), "ciplug: fold", 1_700_000_000)


def run_of(commit: str | None, number: int = 1, **fields: Any) -> Run:
    """A run as a pipeline of the main branch would record it."""
    context = Context(**{"host": "github_actions", "branch": "main", "actor": "mallory", **fields.pop("context", {})})
    provenance = Provenance(**{"dirty": False, "context": context, **fields.pop("provenance", {})})
    made: dict[str, Any] = {
        "id": f"{number:032x}",
        "model": "wine",
        "status": "finished",
        "started": STAMP,
        "ended": STAMP,
        "metrics": {"accuracy": 0.99},
        **fields,
    }
    return Run(commit=commit, provenance=provenance, **made)


def objects_of(*runs: Run) -> dict[str, bytes]:
    return {key: data for run in runs for key, data in run_objects(run).items()}


def chain(model: str, payloads: Sequence[Payload], before: Sequence[bytes] = ()) -> list[bytes]:
    """Events that follow from those before, each with the digest of the last one."""
    entries = list(before)
    for payload in payloads:
        event = wrap(payload, model=model, created=STAMP, actor="mallory", actor_source="github_actions")
        entries.append(dumps(replace(event, seq=len(entries) + 1, previous=digest(entries[-1]) if entries else None)))
    return entries[len(before) :]


def takeover(
    model: str, run: Run, version: int, before: Sequence[bytes] = (), holder: int | None = None
) -> list[bytes]:
    """Events that put a run into production without a verdict."""
    files = {file.path: file.digest for file in run.artifacts}
    moves = [("None", "Staging", None), ("Staging", "Production", holder)]
    return chain(
        model,
        [
            Register(version=version, run=run.id, commit=run.commit, files=files),
            *(
                Promote(version=version, run=run.id, commit=run.commit, stage=to, from_stage=old, replaces=replaced)
                for old, to, replaced in moves
            ),
        ],
        before,
    )


def entries_of(attacker: Attacker, model: str) -> list[bytes]:
    """The events of a model as the branch has them."""
    files = attacker.fetch(BRANCH)
    return [attacker.read(files[path]) for path in sorted(files) if path.startswith(f"registry/{model}/")]


def as_files(model: str, entries: Sequence[bytes], first: int = 1) -> dict[str, bytes]:
    return {f"registry/{model}/{number:06d}.json": data for number, data in enumerate(entries, first)}
