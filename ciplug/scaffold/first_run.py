"""Run the training once, only for its numbers: nothing is recorded. Gates are proposed from them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import config
from ciplug.capture.written_files import is_pattern, newest
from ciplug.console import Note, warning
from ciplug.errors import CiplugError, UsageError
from ciplug.git.workspace import Workspace
from ciplug.records.provenance import Context
from ciplug.scaffold.project import Numbers, Project, metric_files, read_numbers, scan
from ciplug.scaffold.template_text import after_dashes
from ciplug.scaffold.training import Training
from ciplug.steps.inputs import Inputs
from ciplug.steps.session import NO_ARTIFACTS, Session
from ciplug.steps.train import train
from ciplug.stores import DEFAULT_URI

if TYPE_CHECKING:
    from ciplug.console import Listener


class _TrainingFailed(CiplugError):
    """The training of the first run ended with a code of its own."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(
            f"the training ended with {code}, and nothing was written: {command}",
            hint="fix it, name another with --command, or omit --run",
        )
        self.exit_code = code


def first_run(workspace: Workspace, project: Project, training: Training, listener: Listener) -> tuple[Numbers, str]:
    """Run the training as `ciplug run` does, without a store. Returns its numbers, and where they come from."""
    metrics = metric_files(project, training.metrics)
    before = {path: _touched(project.top / path) for path in (*metrics, *training.models)}
    with tempfile.TemporaryDirectory(prefix="ciplug-init-") as spool:
        session = Session(
            cwd=project.top,
            env={**os.environ, "CIPLUG_SPOOL": spool},
            workspace=workspace,
            config=config.Config(),
            context=Context(),
            store_uri=DEFAULT_URI,
            artifact_store=NO_ARTIFACTS,
        )
        listener.tell([Note(f"running {training.command}")])
        trained = train(session, Inputs(), _words(training.command))
    recorded, code = trained.recorded, trained.exit_code
    if recorded.run.provenance.signal == "SIGINT" or code == 130:
        raise KeyboardInterrupt
    if code:
        raise _TrainingFailed(training.command, code)
    files = metric_files(scan(project.top), training.metrics)
    written, models = (
        [path for path in paths if _touched(project.top / path) not in (None, before.get(path))]
        for paths in (files, training.models)
    )
    logged = recorded.run.metrics
    if files and not written and not logged:
        listener.tell([warning(f"the run did not write {', '.join(files)}: these are numbers of an earlier one")])
        numbers = replace(read_numbers(project.top, files), models=tuple(models))
        return numbers, f"{', '.join(numbers.files)} of an earlier run"
    numbers = read_numbers(project.top, written)
    numbers = replace(numbers, values={**logged, **numbers.values}, models=tuple(models))
    return numbers, f"a run of {training.command}"


def _words(command: str) -> list[str]:
    """The words to start the command with; a shell if it uses a shell's syntax."""
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise UsageError(f"the command {command!r} cannot be read: {problem}") from None
    if after_dashes(command) != command or set("$*?[~#\\") & set(command):
        return ["sh", "-c", command]
    if words[0] == "python" and not shutil.which("python"):
        words[0] = "python3" if shutil.which("python3") else sys.executable
    return words


def _touched(path: Path) -> tuple[int, int] | None:
    """(time, size) of a file, or of DVCLive's folder, to see whether it was written; None if it is missing.

    Of a pattern, those of the file that was written last.
    """
    if is_pattern(path):
        found = newest(path, ())
        return None if found is None else _touched(found)
    try:
        state = (path / "metrics.json" if path.is_dir() else path).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
