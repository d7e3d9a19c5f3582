"""The grammar of keys: runs/<commit>-<id>.json, beside it .series and .examples; verdicts/<commit>-<run>-<digest>.json.

The commit comes first, so that what is known of a commit is found without listing the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ciplug.records.canonical import NO_COMMIT, digest, dumps

if TYPE_CHECKING:
    from ciplug.records.run import Run
    from ciplug.records.verdict import Verdict

# It becomes an argument of git.
_COMMIT = re.compile("[0-9a-f]{7,64}")


def run_key(run: Run) -> str:
    return key_of(run.commit, run.id)


def key_of(commit: str | None, run_id: str) -> str:
    return f"runs/{commit or NO_COMMIT}-{run_id}.json"


def verdict_object(verdict: Verdict) -> tuple[str, bytes]:
    """Key and bytes of a verdict."""
    data = dumps(verdict)
    return verdict_key(verdict, data), data


def verdict_key(verdict: Verdict, data: bytes) -> str:
    return f"verdicts/{verdict.commit or NO_COMMIT}-{verdict.run}-{digest(data)[7:19]}.json"


class RunKey(NamedTuple):
    key: str
    commit: str | None
    id: str


def parse_keys(keys: Iterable[str]) -> list[RunKey]:
    """Those of the keys that are a run's."""
    found = []
    for key in keys:
        commit, dash, run_id = key.removeprefix("runs/").removesuffix(".json").rpartition("-")
        if key.startswith("runs/") and key.endswith(".json") and dash:
            found.append(RunKey(key, None if commit == NO_COMMIT else commit, run_id))
    return found


def misplaced(key: str, commit: str | None, run_id: str) -> str | None:
    """Why no record of this run and this commit can stand under the key; None if it can."""
    if key != key_of(commit, run_id):
        return f"{key}: it holds the run '{run_id}' of commit '{commit}'"
    if commit and not _COMMIT.fullmatch(commit):
        return f"{key}: commit: '{commit}' is no commit id"
    return None
