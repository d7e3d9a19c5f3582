"""TensorBoard's event files as metrics by steps. They are read by TensorBoard's own package."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ciplug.capture.metric_shapes import Entry
from ciplug.capture.tables.source import Source
from ciplug.capture.written import files_of, is_pattern, without

_MARK = ".tfevents."
"""In the name of every event file: `events.out.tfevents.1764380000.host.123.0`."""


def is_event_file(name: str) -> bool:
    """Whether a file, or the files of a pattern, are TensorBoard's, by the name."""
    return _MARK in name.replace("\\", "/").rpartition("/")[2]


def event_files(path: Path, skip: Collection[Path]) -> list[Path]:
    """The event files of a path: itself, those that match it, or those below a folder. None: it names no such files.

    Args:
        skip: absolute paths of files that do not count.
    """
    if not (path.is_dir() or is_event_file(path.name)):
        return []
    found = [file for file in files_of(path) if is_event_file(file.name)]
    return without(found, skip) if found or is_pattern(path) else [path][: not path.is_dir()]


def prefixes(files: Sequence[Path]) -> dict[Path, str]:
    """File → what comes before its names: its folder, where the files are in several.

    A folder that is named by a number, as `add_hparams` makes one, is not a part of a name.
    """
    common = os.path.commonpath([file.parent for file in files])
    folders = {file: file.parent.relative_to(common).parts for file in files}
    return {file: "/".join(part for part in parts if not _is_number(part)) for file, parts in folders.items()}


def _is_number(text: str) -> bool:
    return text.replace(".", "").isdecimal()


def entries_of_events(source: Source) -> Iterator[Entry]:
    """The scalars of an event file, as they were written; what is cut off at its end is not there.

    Raises InputError where the package `tensorboard` is missing, and for a file that it cannot read.
    """
    loader, as_array = _library(source)
    _ = source.size
    plugins: dict[str, str] = {}
    try:
        for event in loader(str(source.path)).Load():
            for value in event.summary.value:
                # Of each tag, only the first value says which kind it is.
                plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                if plugins[value.tag] == "scalars":
                    number = float(as_array(value.tensor).reshape(-1)[0])
                    yield Entry({value.tag: number}, step=event.step, time=event.wall_time)
    except (TypeError, ValueError, IndexError) as problem:
        raise source.wrong(f"not an event file of TensorBoard: {problem}") from None


def _library(source: Source) -> tuple[Any, Any]:
    try:
        # It logs that there is no TensorFlow, which is not needed.
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as missing:
        hint = "pip install 'ciplug[tensorboard]', or have the training write its metrics to JSON or CSV as well"
        raise source.wrong(f"event files need the extra 'tensorboard': {missing}", hint=hint) from None
    return EventFileLoader, make_ndarray
