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
_making = threading.Lock()


class Place(View):
    """A checkout and its store, with what this process changes there."""

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self)


def place_of(uri: str, *, is_server: bool = False) -> Place:
    """Return the place that a URI names, the same one for all that this process makes of the URI."""
    # A checkout is the one of the present folder, and a worker that was forked locks for itself.
    key = (uri, "" if uri.partition("?")[0] not in (f"{SCHEME}:", SCHEME) else str(Path.cwd()))
    with _making:
        place = _places.get(key)
        if place is None or place.process != os.getpid():
            place = _places[key] = Place(uri)
        place.is_server = place.is_server or is_server
        return place
