"""What MLflow's stores on a disk, and the runs of a training in them, are known by."""

from __future__ import annotations

from pathlib import Path

TAG = "ciplug.run"
"""The tag of a run in MLflow that a training has made under `ciplug run`; its value is the id of ciplug's run."""
HEADER = b"SQLite format 3\x00"
META = "meta.yaml"


def is_experiment(folder: Path) -> bool:
    """Whether a folder is that of an experiment in a file store: MLflow names them by a number."""
    return folder.name.isdigit() and (folder / META).is_file()
