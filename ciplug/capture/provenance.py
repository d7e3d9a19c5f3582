"""The origin of a run's numbers: the facts at its beginning, completed by those at its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug._version import __version__
from ciplug.capture.output_tail import error_in, last_lines, visible
from ciplug.git.worktree import Dirt
from ciplug.records.provenance import MOST_FILES, MOST_IGNORED, Context, Provenance

if TYPE_CHECKING:
    from ciplug.capture.masking import Masks
    from ciplug.capture.process import ChildResult


def at_start(
    context: Context,
    dirt: Dirt | None,
    *,
    command: Sequence[str] = (),
    seed: int | None = None,
) -> Provenance:
    """The part that a training can change.

    Args:
        dirt: the tracked files that differ from the commit; None outside of a repository.
    """
    measured = dirt or Dirt()
    return Provenance(
        context=context,
        command=tuple(command),
        seed=seed,
        dirty=None if dirt is None else bool(dirt.files),
        dirty_files=measured.files[:MOST_FILES],
        dirty_count=len(measured.files) or None,
        ignored_files=measured.ignored[:MOST_IGNORED],
        diff_digest=measured.digest,
        ciplug=__version__,
    )


def without_outputs(start: Provenance, outputs: Collection[str]) -> Provenance:
    """The facts of a run whose program has named its outputs while it ran: that these differed does not count.

    Args:
        outputs: files that the program wrote, from the repository's top.
    """
    start = replace(start, ignored_files=tuple(path for path in start.ignored_files if path not in outputs))
    files = tuple(path for path in start.dirty_files if path not in outputs)
    count = (start.dirty_count or 0) - len(start.dirty_files) + len(files)
    if count == (start.dirty_count or 0):
        return start
    return replace(
        start,
        dirty=count > 0,
        dirty_files=files,
        dirty_count=count or None,
        diff_digest=start.diff_digest if count else None,
    )


def with_dirt(start: Provenance, files: Sequence[str], digest: str) -> Provenance:
    """The facts of a run of which more files differed when it began.

    Args:
        digest: that of all files that differed.
    """
    return replace(
        start,
        dirty=True,
        dirty_files=tuple(sorted((*start.dirty_files, *files))[:MOST_FILES]),
        dirty_count=(start.dirty_count or 0) + len(files),
        diff_digest=digest,
    )


def at_end(
    start: Provenance,
    *,
    env: Mapping[str, str],
    top: Path,
    seed: int | None = None,
    unchanged: tuple[str, ...] = (),
    committed: tuple[str, ...] = (),
    older: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
    child: ChildResult | None = None,
    python: str | None = None,
    head_after: str | None = None,
) -> Provenance:
    """The whole of it.

    Args:
        env: the environment that `python` is looked for in.
        top: the folder whose lock files count.
        unchanged: outputs that the command did not write.
        committed: logged artifacts that the command did not write, since they are files of the commit.
        older: outputs that are older than the commit.
        beside: the runs that went on at the same time, and were to write some of the same files.
        child: what the training command cost, where ciplug started one.
        python: the first word of that command; None: the Python that runs this.
        head_after: the commit that the command checked out, if it is another one than at the start.
    """
    from ciplug.capture import environment

    version, packages = environment.python_environment(python, env)
    whole = replace(
        start,
        seed=seed,
        unchanged=unchanged,
        committed=committed,
        older=older,
        beside=beside,
        python=version,
        os=environment.operating_system(),
        packages=packages,
        lockfiles=environment.lockfiles(top),
        hardware=environment.hardware(),
        head_after=head_after,
        dirty=True if head_after else start.dirty,
    )
    return whole if child is None else _with_costs(whole, child)


def _with_costs(provenance: Provenance, child: ChildResult) -> Provenance:
    return replace(
        provenance,
        exit_code=child.exit_code,
        signal=child.signal,
        wall_seconds=round(child.wall_seconds, 3),
        cpu_seconds=None if child.cpu_seconds is None else round(child.cpu_seconds, 3),
        peak_memory_bytes=child.peak_memory_bytes,
    )


def with_output(provenance: Provenance, output: str, masks: Masks) -> Provenance:
    """The facts of a run that did not finish, with the end of what its command wrote, and the error in it."""
    lines = last_lines(masks.text(visible(output), "the end of the output"))
    return replace(provenance, error=error_in(lines), last_lines=lines)
