"""What a `ciplug:` URI names: a checkout and its store. One a process and URI, shared by all that MLflow makes of it.

ciplug:    this checkout      ciplug:/path/to/checkout      ciplug:?store=<address of another store, %-encoded>
"""

from __future__ import annotations

import os
import threading
from functools import cached_property
from pathlib import Path

from ciplug.mlflow.sessions import Sessions
from ciplug.mlflow.view import SCHEME, View

_places: dict[tuple[str, str], Place] = {}
_folders: dict[str, str] = {}
"""URI that names the checkout of the present folder → the folder of the tracking store that MLflow has made of it."""
_making = threading.Lock()


class Place(View):
    """A checkout and its store, with what this process changes there."""

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self)


def place_of(uri: str, *, is_server: bool = False, is_tracking: bool = False) -> Place:
    """Return the place that a URI names, the same one for all that this process makes of the URI.

    Args:
        is_tracking: whether it is for the tracking store. MLflow makes that once, and keeps it: a program that changes
            its folder later goes on in the checkout in which it began, with its files and its registry, too.
    """
    folder = ""
    with _making:
        if uri.partition("?")[0] in (f"{SCHEME}:", SCHEME):
            folder = str(Path.cwd()) if is_tracking or uri not in _folders else _folders[uri]
            if is_tracking:
                _folders[uri] = folder
        place = _places.get((uri, folder))
        # A worker that was forked locks for itself.
        if place is None or place.process != os.getpid():
            place = _places[uri, folder] = Place(uri, Path(folder) if folder else None)
        place.is_server = place.is_server or is_server
        return place
