"""The origin of a run's numbers: the facts at its beginning, completed by those at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug._version import __version__
from ciplug.git.worktree import dirty_state
from ciplug.records.provenance import Context, Provenance

if TYPE_CHECKING:
    from ciplug.capture.process import ChildResult
    from ciplug.git.workspace import Workspace


def at_start(
    context: Context,
    workspace: Workspace | None,
    *,
    command: Sequence[str] = (),
    seed: int | None = None,
    outputs: Sequence[Path] = (),
) -> Provenance:
    """The part that a training can change.

    Args:
        outputs: files that the training writes: that they differ from the commit makes no tree dirty.
    """
    dirty, diff = dirty_state(workspace, outputs) if workspace else (None, None)
    return Provenance(
        context=context,
        command=tuple(command),
        seed=seed,
        dirty=dirty,
        diff_digest=diff,
        ciplug=__version__,
    )


def at_end(
    start: Provenance,
    *,
    env: Mapping[str, str],
    top: Path,
    seed: int | None = None,
    unchanged: tuple[str, ...] = (),
    child: ChildResult | None = None,
    python: str | None = None,
) -> Provenance:
    """The whole of it.

    Args:
        env: the environment that `python` is looked for in.
        top: the folder whose lock files count.
        unchanged: outputs that the command did not write.
        child: what the training command cost, where ciplug started one.
        python: the first word of that command; None: the Python that runs this.
    """
    from ciplug.capture import environment

    version, packages = environment.python_environment(python, env)
    whole = replace(
        start,
        seed=seed,
        unchanged=unchanged,
        python=version,
        os=environment.operating_system(),
        packages=packages,
        lockfiles=environment.lockfiles(top),
        hardware=environment.hardware(),
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
