"""The systems besides MLflow whose runs can be imported, one module each, and what of them is in a folder.

To add a system: a module with a `Source` (`ciplug.interop.import_runs`), and a line in SYSTEMS. Each module is loaded
when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.interop.import_runs import Choice, Imported, Importer
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.interop.import_runs import Source

Open = Callable[[Importer, Path, Sequence[str]], "Source"]
"""From the importer, the path of the source and the chosen part of it to the source. Raises UsageError."""


@dataclass(frozen=True)
class System:
    """A system whose runs can be imported."""

    what: str
    """What is read, for the help."""
    source: str
    """What SOURCE is."""
    open: Open
    places: tuple[str, ...]
    """Patterns of files and folders, from the folder of the user, that are probably its."""
    part: tuple[str, str] | None = None
    """The option that chooses a part of the source, and its help."""
    folder: bool = False
    """Whether SOURCE is the folder of what matches a pattern."""


def _dvc(importer: Importer, path: Path, part: Sequence[str]) -> Source:
    from ciplug.interop.dvc_import import DvcHistory

    return DvcHistory(importer, path, part)


def _json(importer: Importer, path: Path, part: Sequence[str]) -> Source:
    from ciplug.interop.json_import import JsonFolder

    return JsonFolder(importer, path)


def _tensorboard(importer: Importer, path: Path, part: Sequence[str]) -> Source:
    from ciplug.interop.tensorboard_import import EventFolder

    return EventFolder(importer, path)


def _trackio(importer: Importer, path: Path, part: Sequence[str]) -> Source:
    from ciplug.interop.trackio_import import TrackioFolder

    return TrackioFolder(importer, path, part)


def _wandb(importer: Importer, path: Path, part: Sequence[str]) -> Source:
    from ciplug.interop.wandb_import import WandbFolder

    return WandbFolder(importer, path, part)


def _neptune(importer: Importer, path: Path, part: Sequence[str]) -> Source:
    from ciplug.interop.neptune_import import NeptuneExport

    return NeptuneExport(importer, path, part)


_PROJECT = ("--project", "only this project; may be repeated")

SYSTEMS: Mapping[str, System] = {
    "dvc": System(
        what="the metrics, parameters and plots of a DVC project, over its commits and experiments",
        source="a checkout of the project, or a folder in it",
        open=_dvc,
        places=("dvc.yaml", ".dvc"),
        part=("--rev", "only the commits that this branch, tag or commit reaches; may be repeated"),
        folder=True,
    ),
    "json": System(
        what="a folder of JSON files, a run each",
        source="the folder, or one file",
        open=_json,
        places=(),
    ),
    "tensorboard": System(
        what="event files of TensorBoard, a folder a run",
        source="the folder that the training has logged to, such as runs",
        open=_tensorboard,
        places=("runs", "logs", "lightning_logs", "tb_logs"),
    ),
    "trackio": System(
        what="the projects of Trackio, an SQLite file each",
        source="its folder, ~/.cache/huggingface/trackio, or the file of one project",
        open=_trackio,
        places=(),
        part=_PROJECT,
    ),
    "wandb": System(
        what="offline runs of W&B",
        source="the folder wandb, or that of one run",
        open=_wandb,
        places=("wandb/offline-run-*",),
        part=_PROJECT,
        folder=True,
    ),
    "neptune": System(
        what="an export by neptune-exporter, as Parquet",
        source="the folder of its --data-path, or one around it",
        open=_neptune,
        places=(),
        part=_PROJECT,
    ),
}


def import_from(
    system: str, session: Session, source: str, choice: Choice, tell: Callable[[int], None], part: Sequence[str] = ()
) -> Imported:
    """Import the runs of a source of one of SYSTEMS.

    Args:
        tell: is called with numbers of runs that were dealt with.
        part: what to import of it; empty: all.

    Raises UsageError for a source that is not there, and StoreError where the store cannot be reached: what was written
    until then stays.
    """
    importer = Importer(session, choice, tell)
    return importer.run(SYSTEMS[system].open(importer, session.cwd / Path(source).expanduser(), part))


def sources_in(folder: Path) -> list[tuple[str, str]]:
    """Return (system, path) of what seems to be importable in a folder."""
    found = []
    for name, system in SYSTEMS.items():
        matches = [path for pattern in system.places for path in sorted(folder.glob(pattern))]
        if name == "tensorboard":
            matches = [path for path in matches if next(path.rglob("*.tfevents.*"), None)]
        places = [path.parent if system.folder else path for path in matches]
        found += [(name, place.relative_to(folder).as_posix()) for place in dict.fromkeys(places)]
    return found
