"""The values of a run on their way to its copy: in the batches that a server takes, and each once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused
from ciplug.interop.mlflow_uploads import pairs

_ATTEMPTS = 5
_BACKOFF = 0.5
_HISTORY = 25_000
"""Points of one answer."""
_WORDS = {"params": "parameter", "tags": "tag", "metrics": "metric"}
T = TypeVar("T")


class LeftOut(Protocol):
    """Is told of what the server does not take."""

    def __call__(self, kind: str, why: str, count: int = 1) -> None: ...


class RunValues:
    """Sends values to one copy.

    Args:
        run: its id there.
    """

    def __init__(self, server: MlflowServer, run: str, left_out: LeftOut) -> None:
        self._server, self._run, self._left_out = server, run, left_out

    def log_texts(self, kind: str, values: Mapping[str, str]) -> None:
        """Send the `params` or the `tags`."""
        dialect = self._server.dialect
        most = dialect.params_most if kind == "params" else dialect.tags_most
        items = pairs(self._named(kind, values) if kind == "params" else values)
        for some in _batches(items, most):
            self._log(kind, [[item] for item in some])

    def log_metrics(self, points: Mapping[str, list[dict[str, Any]]]) -> None:
        """Send all points of all metrics."""
        metrics = [self._finite(some) for some in self._named("metrics", points).values()]
        for group in _groups(metrics, self._server.dialect.points_most):
            self._log("metrics", group)

    def _finite(self, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The points that the server takes."""
        if not self._server.dialect.only_finite:
            return points
        finite = [point for point in points if not isinstance(point["value"], str)]
        if len(finite) < len(points):
            self._left_out("metric value", "it is NaN or infinite", len(points) - len(finite))
        return finite

    def _log(self, kind: str, parts: Sequence[Sequence[dict[str, Any]]]) -> None:
        """Log values; of those that the server refuses together, each part alone.

        Args:
            parts: what can be logged, or left out, apart from the rest.
        """
        items = [item for part in parts for item in part]
        if not items:
            return
        try:
            self._send_once(kind, items)
        except Refused as refused:
            if not refused.is_about_value:
                raise
            finite = [item for item in items if kind != "metrics" or not isinstance(item["value"], str)]
            if len(parts) == 1 and 0 < len(finite) < len(items):
                self._left_out("metric value", "it is NaN or infinite", len(items) - len(finite))
                self._log(kind, [finite])
                return
            if len(parts) == 1:
                self._left_out(_WORDS[kind], refused.reason)
                return
            for part in parts:
                self._log(kind, [part])

    def _send_once(self, kind: str, items: Sequence[dict[str, Any]]) -> None:
        """Log values, each once: a server may keep a point twice that it gets twice, or refuse a name that it has."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._server.post("runs/log-batch", {"run_id": self._run, kind: items}, repeats=False)
                return
            except Interrupted:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_BACKOFF * attempt)
                if kind == "metrics":
                    there = {key: self._history(key) for key in dict.fromkeys(one["key"] for one in items)}
                    if None in there.values():
                        raise
                    items = [one for one in items if _facts(one) not in (there[one["key"]] or ())]
                else:
                    found = (self._server.get("runs/get", run_id=self._run)["run"].get("data") or {}).get(kind) or ()
                    known = {one["key"] for one in found}
                    items = [one for one in items if one["key"] not in known]
                if not items:
                    return

    def _history(self, key: str) -> set[tuple[int, int, str]] | None:
        """The points of a metric that the server has; None where it does not tell."""
        about = {"run_id": self._run, "metric_key": key, "max_results": _HISTORY}

        def read() -> dict[str, Any]:
            pages = self._server.pages("metrics/get-history", "metrics", about, method="GET")
            return {"found": set(map(_facts, pages))}

        try:
            found = self._server.supports("history of metrics", read)
        except Refused as refused:
            if not refused.is_unknown_thing:
                raise
            return set()
        return None if found is None else found["found"]

    def _named(self, kind: str, values: Mapping[str, T]) -> dict[str, T]:
        """The values under names that the server takes."""
        taken = {name: value for name, value in values.items() if self._server.dialect.name.fullmatch(name)}
        for name in values.keys() - taken.keys():
            self._left_out(_WORDS[kind], f"its name is not one of the server's: {name}")
        return taken


def _facts(point: Mapping[str, Any]) -> tuple[int, int, str]:
    """What a point is, however a server writes its numbers."""
    return int(point.get("step") or 0), int(point["timestamp"]), repr(float(point["value"]))


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[at : at + size] for at in range(0, len(values), size))


def _groups(parts: Sequence[Sequence[T]], most: int) -> Iterator[list[Sequence[T]]]:
    """Put lists together until there are `most` items; a longer one is cut."""
    group: list[Sequence[T]] = []
    for part in (some for one in parts for some in _batches(one, most)):
        if sum(map(len, group)) + len(part) > most:
            yield group
            group = []
        group.append(part)
    if group:
        yield group
