"""The points of a run's metrics, for MLflow's charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric
from mlflow.entities.metric import MetricWithRunId
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList

from ciplug.mlflow import entities, mlflow_names
from ciplug.mlflow.errors import translated

if TYPE_CHECKING:
    from ciplug.mlflow.place import Place

Point = tuple[int, int, float]
"""Time, step, value."""


class MetricHistory:
    """The part of the tracking store that answers for the points of metrics."""

    place: Place

    def _points(self, run_id: str, metric_key: str) -> list[Point]:
        """Return the points of a metric, by time, step and value."""
        points = self.place.points(run_id, metric_key)
        return sorted(points, key=lambda point: (point[0], point[1], 0.0 if point[2] != point[2] else point[2]))

    @translated
    def get_metric_history(
        self, run_id: str, metric_key: str, max_results: int | None = None, page_token: str | None = None
    ) -> Any:
        points = self._points(run_id, metric_key)
        offset = mlflow_names.SearchUtils.parse_start_offset_from_page_token(page_token)
        end = None if max_results is None else offset + max_results
        token = mlflow_names.SearchUtils.create_page_token(end) if end is not None and len(points) > end else None
        return PagedList([_metric(metric_key, point) for point in points[offset:end]], token)

    @translated
    def get_metric_history_bulk(self, run_ids: Sequence[str], metric_key: str, max_results: int) -> list[Any]:
        found: list[Any] = []
        for run_id in sorted(run_ids):
            found += _of_run(run_id, metric_key, self._points(run_id, metric_key))
            if len(found) >= max_results:
                break
        return found[:max_results]

    @translated
    def get_max_step_for_metric(self, run_id: str, metric_key: str) -> int:
        return max((step for _, step, _ in self._points(run_id, metric_key)), default=0)

    @translated
    def get_metric_history_bulk_interval_from_steps(
        self, run_id: str, metric_key: str, steps: Sequence[int], max_results: int
    ) -> list[Any]:
        wanted = set(steps)
        points = [point for point in _by_step(self._points(run_id, metric_key)) if point[1] in wanted]
        return _of_run(run_id, metric_key, points[:max_results])

    @translated
    def get_metric_history_bulk_interval(
        self,
        run_ids: Sequence[str],
        metric_key: str,
        max_results: int,
        start_step: int | None,
        end_step: int | None,
    ) -> list[Any]:
        if (start_step is None) != (end_step is None):
            raise MlflowException.invalid_parameter_value(
                "Both start_step and end_step must be specified together, or neither may be specified."
            )
        found: list[Any] = []
        for run_id in run_ids:
            points = _by_step(self._points(run_id, metric_key))
            if start_step is not None and end_step is not None:
                points = [point for point in points if start_step <= point[1] <= end_step]
            found += _of_run(run_id, metric_key, _sampled(points, max(1, max_results)))
        return found


def _by_step(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: (point[1], point[0], 0.0 if point[2] != point[2] else point[2]))


def _sampled(points: Sequence[Point], most: int) -> list[Point]:
    """Return the first point of each of `most` equal parts, and the last point of all."""
    count = len(points)
    if count <= most:
        return list(points)
    small, larger = divmod(count, most)
    starts = [number * small + min(number, larger) for number in range(most)]
    return [*(points[start] for start in starts[:-1]), points[-1]]


def _metric(name: str, point: Point) -> Metric:
    time, step, value = point
    return entities.metric(name, value, time, step)


def _of_run(run_id: str, name: str, points: Sequence[Point]) -> list[Any]:
    return [MetricWithRunId(run_id=run_id, metric=_metric(name, point)) for point in points]
