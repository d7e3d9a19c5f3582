"""The files of a version, read and verified against what was registered."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ciplug.errors import CiplugError, PromotionRefused, Refusal, StoreError
from ciplug.records.keys import run_key
from ciplug.records.run import Run
from ciplug.registry.files import has_files
from ciplug.registry.model import Version
from ciplug.reports.untrusted import clean, clean_name
from ciplug.steps.fetch import fetch
from ciplug.steps.session import Session
from ciplug.tracking.runs import Runs


def run_of(runs: Runs, model: str, version: Version) -> Run:
    """The run of a version, whose record and files are those that were registered.

    Raises PromotionRefused for a version without a run, StoreError where the record is not the registered one.
    """
    if version.run is None:
        raise PromotionRefused(
            Refusal.NO_RUN,
            f"version {version.number} of '{clean_name(model)}' was registered without a run, so nothing has judged it",
            hint="record a run that makes it: ciplug run -- COMMAND; and promote that run",
        )
    run = runs.at(version.commit, version.run)
    if not version.files:
        raise PromotionRefused(
            Refusal.NO_FILE,
            f"version {version.number} of '{clean_name(model)}' was registered from an address, and with no file of "
            f"its run: {clean(version.source or 'none')}",
            hint=f"promote the run itself, which makes a version of its files: --run {run.id[:12]}",
        )
    if not has_files(run, version):
        raise StoreError(
            f"run {run.id} does not name the artifacts that version {version.number} of '{clean_name(model)}' was "
            "registered with",
            hint="the log is a verified chain, the record of the run is not; find out who changed it: ciplug fsck",
        )
    if version.record not in (None, runs.digests([run])[run_key(run).key]):
        raise StoreError(
            f"the record of run {run.id[:12]} is not the one that was registered as version {version.number} of "
            f"'{clean_name(model)}': somebody has changed it",
            hint="find out who: ciplug fsck",
        )
    return run


def verify_files(session: Session, runs: Runs, model: str, version: Version) -> tuple[Run, int]:
    """Read every file of a version, each checked by its digest; returns the run, and how many files there are.

    Raises PromotionRefused where one cannot be read, or is not what was registered.
    """
    other = f"bring back another version: ciplug registry show '{clean_name(model)}'; then --version N"
    named = f"version {version.number} of '{clean_name(model)}'"
    try:
        run = run_of(runs, model, version)
        with tempfile.TemporaryDirectory(prefix="ciplug-") as folder:
            fetched = fetch(session, run, Path(folder) / "files")
    except PromotionRefused:
        raise
    except CiplugError as problem:
        words = f"the files of {named} do not verify: {problem.message}"
        raise PromotionRefused(Refusal.FILE_NOT_KEPT, words, hint=other) from None
    if fetched.digest_only:
        words = f"no store has the content of {clean(fetched.digest_only[0].path)}, a file of {named}"
        raise PromotionRefused(Refusal.FILE_NOT_KEPT, words, hint=other)
    return run, len(fetched.files)
