"""What the length of a model's log costs its readers: CPU of the whole command, 10,000 events beside 10.

A model whose log grows as teams write it: a version, its two promotions, a tag, an alias. The store is a git
repository on this disk, or a bucket in a folder. "First" is a clone that has read nothing.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring import Fact, Result, Skipped, call
from benchmarks.places import Tools, scratch
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import EntryKey, log_of
from ciplug.records.registry_event import Payload, Promote, Register
from ciplug.records.registry_labels import SetAlias, Tag
from ciplug.registry import stored_checkpoints
from ciplug.registry.events import wrap
from ciplug.registry.model import Model
from ciplug.registry.replay import after
from ciplug.stores.base import Head
from ciplug.stores.git.blocks import LOOSE, SIZE, Block
from ciplug.stores.git.content import Content, entry_path, root_tree
from ciplug.stores.git.objects import LooseObjects

MODEL = "wine"
LADDER = ("Staging", "Production")
NO_SIGNERS = stored_checkpoints.key_of({})
_DIGEST = f"sha256:{'a' * 64}"


def events(count: int) -> Iterator[bytes]:
    """The entries of a log with so many events, a second apart."""
    return (entry for entry, _ in events_and_states(count))


def events_and_states(count: int) -> Iterator[tuple[bytes, bytes | None]]:
    """The same, each with the state before it where it names one."""
    head: Head | None = None
    model = Model(MODEL)
    for number, payload in zip(range(1, count + 1), _payloads(), strict=False):
        minute, second = divmod(number, 60)
        hour, minute = divmod(minute, 60)
        made = wrap(payload, model=MODEL, created=f"2026-11-23T{hour:02d}:{minute:02d}:{second:02d}.000Z", actor="ana")
        state = (
            stored_checkpoints.encode(model, head, NO_SIGNERS)
            if head and stored_checkpoints.is_due(model, head)
            else None
        )
        placed = replace(made, seq=number, previous=head and head.digest, state=state and digest(state))
        entry = dumps(placed)
        head, model = Head(number, digest(entry)), after(model, placed)
        yield entry, state


def _payloads() -> Iterator[Payload]:
    version = 0
    while True:
        version += 1
        run, before = f"{version:032x}", version - 1 or None
        facts = {"version": version, "run": run, "commit": "c" * 40}
        files = {"model.bin": _DIGEST, "settings.json": _DIGEST}
        yield Register(**facts, files=files, record=_DIGEST, metrics={"accuracy": 0.9, "f1": 0.8})  # type: ignore[arg-type]
        for stage, start, replaces in (("Staging", "None", None), ("Production", "Staging", before)):
            yield Promote(
                **facts,  # type: ignore[arg-type]
                stage=stage,
                from_stage=start,
                ladder=LADDER,
                replaces=replaces,
                verdict=f"verdicts/{run}",
                verdict_digest=_DIGEST,
                outcome="PASS",
                gates=("accuracy: PASS, 0.9 is at least 0.8", "f1: PASS, 0.8 is at least 0.7"),
                approvals=("clean tree",),
            )
        yield Tag(version=version, key="reviewed", value="yes")
        yield SetAlias(alias="champion", version=version, replaces=before)


def repository(path: Path, count: int) -> None:
    """A repository with a log of so many events on its store's branch."""
    call(["git", "init", "-q", "-b", "main", str(path)], path.parent)
    call(["git", "commit", "-q", "--allow-empty", "-m", "A training"], path)
    # As forges do.
    call(["git", "config", "uploadpack.allowFilter", "true"], path)
    written = LooseObjects(path / ".git", "sha1")
    made = list(events_and_states(count))
    log, closed = log_of(MODEL), 0 if count < LOOSE else count // SIZE * SIZE - SIZE
    logs = {entry_path(log, seq): written.blob(entry) for seq, (entry, _) in enumerate(made, 1) if seq > closed}
    blocks = {
        Block(log, first + 1).path: written.blob(b"".join(entry for entry, _ in made[first : first + SIZE]))
        for first in range(0, closed, SIZE)
    }
    kept = {log_of(MODEL): written.blob(state) for _, state in made[-stored_checkpoints.EVERY :] if state}
    commit = written.commit(
        root_tree(written, Content(logs=logs, blocks=blocks, states=kept), b""), (), "ciplug: a registry", 0
    )
    call(["git", "update-ref", "refs/heads/ciplug", commit], path)
    call(["git", "repack", "-a", "-d", "--quiet"], path)


def bucket(path: Path, count: int) -> str:
    """A bucket with such a log; returns its URI."""
    log, head, kept = log_of(MODEL), Head(0, ""), b""
    for seq, (entry, state) in enumerate(events_and_states(count), 1):
        _write(path / "logs" / EntryKey(log, seq).key, entry)
        head, kept = Head(seq, digest(entry)), state or kept
    _write(path / f"heads/{log}.json", dumps({"seq": head.seq, "digest": head.digest}))
    if kept:
        _write(path / f"states/{log}.lines.z", zlib.compress(kept, 1))
    return path.as_uri()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def cpu(argv: Sequence[str], cwd: Path, env: dict[str, str]) -> float:
    """Seconds of CPU of a command and of all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call(argv, cwd, env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _first(pairs: int, argv: Sequence[str], cwd: Path, env: dict[str, str]) -> float:
    """The least CPU of the command in a clone that has read nothing."""
    taken = []
    for _ in range(pairs):
        shutil.rmtree(cwd / ".git" / "ciplug", ignore_errors=True)
        taken.append(cpu(argv, cwd, env))
    return min(taken)


def _fetched(clone: Path) -> float:
    """KiB of the git objects that a clone has fetched."""
    objects = (clone / ".git" / "ciplug" / "git").glob("*.git/objects/**/*")
    return sum(file.stat().st_size for file in objects if file.is_file()) / 1024


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    many = 300 if quick else 10_000
    with scratch() as folder:
        places = {count: folder / str(count) for count in (10, many)}
        for count, place in places.items():
            place.mkdir()
            repository(place, count)
        argv = [*tools.ciplug, "registry", "list", "--quiet"]
        buckets = {count: ("--store", bucket(folder / f"bucket-{count}", count)) for count in places}
        for kind, options in (("git", dict.fromkeys(places, ())), ("a bucket", buckets)):
            first = {
                count: _first(pairs, [*argv, *options[count]], place, tools.env) for count, place in places.items()
            }
            fetched = f"; {_fetched(places[10]):.0f} KiB and {_fetched(places[many]):.0f} KiB" if kind == "git" else ""
            yield Fact(
                f"a registry of {many:,} events in {kind}, read for the first time",
                f"{(first[many] - first[10]) * 1000:.0f} ms of CPU",
                f"{first[many] / first[10]:.2f} times a log of 10, which takes {first[10] * 1000:.0f} ms{fetched}; "
                "once a clone",
            )
        moment = json.loads(call([*tools.ciplug, "registry", "history", MODEL, "--json"], places[many], tools.env))
        half = moment[many // 2]["created"]
        for words in (["history", MODEL], ["at", half], ["list"]):
            argv = [*tools.ciplug, "registry", *words]
            # The least of some: what another process takes away is no cost of ours.
            taken = {count: min(cpu(argv, place, tools.env) for _ in range(pairs)) for count, place in places.items()}
            yield Fact(
                f"`ciplug registry {words[0]}`, {many:,} events",
                f"{(taken[many] - taken[10]) * 1000:.0f} ms of CPU",
                f"beyond a log of 10: {taken[10] * 1000:.0f} ms in all; aim: 100 ms; {os.cpu_count()} cores",
            )
