"""TensorBoard's event files as metrics by steps. They are read by TensorBoard's own package."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ciplug.capture.metric_shapes import Entry
from ciplug.capture.tables.source import Source
from ciplug.capture.written_files import files_of, is_pattern, without
from ciplug.errors import InputError

_MARK = ".tfevents."
"""In the name of every event file: `events.out.tfevents.1764380000.host.123.0`."""

_FRAME = 16
"""Bytes around the content of a record: its length and two checksums."""


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
    files = [file for file in files_of(path) if is_event_file(file.name)]
    return without(files, skip) if files or is_pattern(path) else [path][: not path.is_dir()]


def prefixes(files: Sequence[Path]) -> dict[Path, str]:
    """File → what comes before its names: its folder, where the files are in several.

    A folder that is named by a number, as `add_hparams` makes one, is not a part of a name.
    """
    common = os.path.commonpath([file.parent for file in files])
    folders = {file: file.parent.relative_to(common).parts for file in files}
    return {file: "/".join(part for part in parts if not _is_number(part)) for file, parts in folders.items()}


def _is_number(text: str) -> bool:
    return text.replace(".", "").isdecimal()


Other = Callable[[str, str, bytes], None]
"""Takes the tag of a value that is not a scalar, the name of its plugin, and what that has written beside the value."""


def entries_of_events(
    source: Source, cut_off: Callable[[InputError], None], other: Other | None = None
) -> Iterator[Entry]:
    """The scalars of an event file, as they were written, up to the first record that is damaged or cut off.

    Args:
        cut_off: is told of such a record: nothing behind it can be read.
        other: is told of the first value of each tag that is not a scalar.

    Raises InputError where the package `tensorboard` is missing, and for a file that it cannot read.
    """
    records, events_of, as_array = _library(source)
    size, read, number = source.size, 0, 0
    plugins: dict[str, str] = {}
    try:
        for record in records(str(source.path)).Load():
            number += 1
            read += _FRAME + len(record)
            for event in events_of(record):
                for value in event.summary.value:
                    # Of each tag, only the first value says which kind it is.
                    if value.tag not in plugins:
                        plugin = value.metadata.plugin_data
                        plugins[value.tag] = plugin.plugin_name
                        if other is not None and plugin.plugin_name != "scalars":
                            other(value.tag, plugin.plugin_name, plugin.content)
                    if plugins[value.tag] == "scalars":
                        scalar = float(as_array(value.tensor).reshape(-1)[0])
                        yield Entry({value.tag: scalar}, step=event.step, time=event.wall_time)
    except (TypeError, ValueError, IndexError) as problem:
        raise source.wrong(f"not an event file of TensorBoard: {problem}") from None
    # TensorBoard's reader ends at such a record without an error.
    if read < size:
        cut_off(source.wrong(f"record {number + 1} is damaged or cut off"))


def _library(source: Source) -> tuple[Any, Any, Any]:
    try:
        # It logs that there is no TensorFlow, which is not needed.
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        from tensorboard import data_compat, dataclass_compat
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as missing:
        hint = "pip install 'ciplug[tensorboard]', or have the training write its metrics to JSON or CSV as well"
        raise source.wrong(f"event files need the extra 'tensorboard': {missing}", hint=hint) from None
    kinds: dict[str, Any] = {}

    def events_of(record: bytes) -> Iterator[Any]:
        """The events of a record, those of old versions in the new format."""
        event = data_compat.migrate_event(Event.FromString(record))
        yield from dataclass_compat.migrate_event(event, kinds)

    return RawEventFileLoader, events_of, make_ndarray
