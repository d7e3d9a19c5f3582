"""Log the predictions of a server for `ciplug monitor`: a WSGI and an ASGI middleware. Standard library alone.

Each prediction is one JSON line with its id, time, version, inputs and answer. It is written once the answer is sent,
and a request never fails because of it. Any number of processes and threads may write to the same files.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import math
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

__all__ = ["ASGIMiddleware", "PredictionLog", "WSGIMiddleware", "mlflow_server"]

FILE, VERSION = "CIPLUG_SERVE_LOG", "CIPLUG_SERVE_VERSION"
"""The variables by which `mlflow_server` knows the file and the version."""
ID_HEADER, ANSWER_HEADER = "x-request-id", "x-prediction-id"
"""The header of a request that names it, and that of the answer: the id in the log, or what it begins with."""
NO_LOG_HEADER = "x-ciplug-smoke-test"
"""A request with this header is answered, and not logged: nobody in production has asked."""
_ID = re.compile(r"[\w.:/+=@-]{1,200}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_BODY_MOST = 16 * 1024 * 1024
"""Bytes of a request or an answer: larger ones are not logged."""
_LOGGER = logging.getLogger("ciplug.serve_log")


class PredictionLog:
    """Files of JSON lines beside one another: `predictions.jsonl` is the pattern of `predictions-2026-11-30.jsonl`.

    A file is of one UTC day, and of at most `max_bytes`: then `predictions-2026-11-30.1.jsonl` follows. Nothing is
    renamed, so whoever reads needs no care.
    """

    def __init__(
        self, file: str | os.PathLike[str], *, max_bytes: int = 256 * 1024 * 1024, keep_days: int | None = None
    ) -> None:
        """
        Args:
            file: the pattern of the files.
            keep_days: files of earlier days are deleted; None: none is.
        """
        self._pattern = Path(file)
        self._max_bytes = max_bytes
        self._keep_days = keep_days
        self._lock = threading.Lock()
        self._cleaned = ""
        self.lost = 0
        """Predictions of this process that could not be written."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append a line for each row, all or none. It never raises."""
        try:
            lines = "".join(f"{json.dumps(_finite(row), ensure_ascii=False, default=str)}\n" for row in rows)
            if lines:
                with self._lock:
                    self._append(lines.encode(errors="replace"))
        except Exception as problem:
            self._lose(len(rows), problem)

    def lose(self, why: str) -> None:
        """Count a request whose predictions cannot be logged."""
        self._lose(1, ValueError(why))

    def _lose(self, count: int, problem: Exception) -> None:
        if not self.lost:
            _LOGGER.warning("predictions are not logged to %s: %s", self._pattern, problem)
        self.lost += count

    def _append(self, data: bytes) -> None:
        day = datetime.fromtimestamp(time.time(), timezone.utc).date().isoformat()
        self._pattern.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open(day)
        try:
            with _locked(descriptor):
                size = os.fstat(descriptor).st_size
                # Whoever died in the middle of a line has lost that one alone.
                if size and os.lseek(descriptor, size - 1, os.SEEK_SET) >= 0 and os.read(descriptor, 1) != b"\n":
                    data = b"\n" + data
                while data:
                    data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)
        if day != self._cleaned:
            self._cleaned = day
            self._clean(day)

    def _open(self, day: str) -> int:
        part = 0
        while True:
            name = f"{self._pattern.stem}-{day}{f'.{part}' if part else ''}{self._pattern.suffix or '.jsonl'}"
            path = self._pattern.with_name(name)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size >= self._max_bytes:
                    part += 1
                    continue
            return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)

    def _clean(self, day: str) -> None:
        if self._keep_days is None:
            return
        first = (datetime.fromisoformat(day) - timedelta(days=self._keep_days)).date().isoformat()
        for path in self._pattern.parent.glob(f"{self._pattern.stem}-*{self._pattern.suffix or '.jsonl'}"):
            found = _DAY.match(path.name.removeprefix(f"{self._pattern.stem}-"))
            if found and found[0] < first:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Hold the lock of a file among processes, where the system has that."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield  # Closing the descriptor releases it.


def _finite(value: Any) -> Any:
    """A value as JSON has it: NaN and the infinities are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


class _Recorder:
    """What both middlewares do with a request and its answer."""

    def __init__(
        self,
        log: PredictionLog | str | os.PathLike[str],
        version: int | str,
        paths: Sequence[str],
        columns: Sequence[str] | None,
    ) -> None:
        self.log = log if isinstance(log, PredictionLog) else PredictionLog(log)
        self.version = str(version)
        self.paths = tuple(paths)
        self.columns = None if columns is None else frozenset(columns)

    def concerns(self, method: str, path: str) -> bool:
        return method == "POST" and path.rstrip("/") in self.paths

    def id_of(self, given: str) -> str:
        return given if _ID.fullmatch(given) else uuid.uuid4().hex

    def record(self, name: str, request: bytes | None, content_type: str, answer: bytes | None) -> None:
        """Log what one request asked and was answered; None: it was too large. It never raises."""
        try:
            if request is None or answer is None:
                self.log.lose(f"a request or an answer of more than {_BODY_MOST:,} bytes")
                return
            rows, predictions = inputs_of(request, content_type), predictions_of(answer)
            if len(rows) != len(predictions):
                self.log.lose(f"{len(rows)} rows were asked for, and {len(predictions)} predictions answered")
                return
            now = datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="milliseconds")
            self.log.write(
                [
                    {
                        "id": name if len(rows) == 1 else f"{name}-{number}",
                        "ts": now.replace("+00:00", "Z"),
                        "version": self.version,
                        "inputs": row if self.columns is None else {k: v for k, v in row.items() if k in self.columns},
                        "prediction": prediction,
                    }
                    for number, (row, prediction) in enumerate(zip(rows, predictions, strict=True))
                ]
            )
        except Exception as problem:
            self.log.lose(f"{type(problem).__name__}: {problem}")


def inputs_of(body: bytes, content_type: str = "application/json") -> list[dict[str, Any]]:
    """The rows of a request: in the forms of MLflow and TensorFlow Serving, a list of objects, one object, or CSV.

    Raises ValueError for anything else.
    """
    if content_type.partition(";")[0].strip().lower() == "text/csv":
        table = csv.DictReader(io.StringIO(body.decode()))
        return [{str(name): _number(cell) for name, cell in row.items()} for row in table]
    value = json.loads(body)
    if isinstance(value, dict):
        if isinstance(split := value.get("dataframe_split"), dict):
            return [dict(zip(map(str, split["columns"]), row, strict=True)) for row in split["data"]]
        for name in ("dataframe_records", "instances", "inputs"):
            if name in value:
                value = value[name]
                break
    if isinstance(value, dict):
        columns = list(value.values())
        if columns and all(isinstance(one, list) and len(one) == len(columns[0]) for one in columns):
            return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
        return [value]
    if not isinstance(value, list):
        raise ValueError("the request has no rows")
    return [_row(one) for one in value]


def _row(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {str(at): one for at, one in enumerate(value)} if isinstance(value, list) else {"0": value}


def _number(cell: Any) -> Any:
    try:
        return float(cell) if "." in cell or "e" in cell.lower() else int(cell)
    except (ValueError, TypeError, AttributeError):
        return cell


def predictions_of(body: bytes) -> list[Any]:
    """The predictions of an answer: `{"predictions": […]}`, a list, or one value. Raises ValueError."""
    value = json.loads(body)
    for name in ("predictions", "prediction", "outputs"):
        if isinstance(value, dict) and name in value:
            value = value[name]
            break
    return value if isinstance(value, list) else [value]


class WSGIMiddleware:
    """Around a WSGI application, as in Flask: `app.wsgi_app = WSGIMiddleware(app.wsgi_app, "log/p.jsonl", 3)`."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        log: PredictionLog | str | os.PathLike[str],
        version: int | str,
        *,
        paths: Sequence[str] = ("/invocations",),
        columns: Sequence[str] | None = None,
    ) -> None:
        """
        Args:
            log: the pattern of the files, or a log.
            version: of the registry, which answers.
            paths: what is asked for predictions, by POST.
            columns: inputs to keep; None: all.
        """
        self._app = app
        self._recorder = _Recorder(log, version, paths, columns)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        recorder = self._recorder
        size = str(environ.get("CONTENT_LENGTH") or "")
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        if environ.get("HTTP_X_CIPLUG_SMOKE_TEST"):
            return self._app(environ, start_response)
        if not (recorder.concerns(environ.get("REQUEST_METHOD", ""), path) and size.isascii() and size.isdigit()):
            return self._app(environ, start_response)
        request = None
        if int(size) <= _BODY_MOST:
            request = environ["wsgi.input"].read(int(size))
            environ = {**environ, "wsgi.input": io.BytesIO(request)}
        name = recorder.id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        status: list[str] = []

        def start(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            status[:] = [line]
            return start_response(line, [*headers, (ANSWER_HEADER, name)], *more)

        return self._answered(self._app(environ, start), name, request, environ.get("CONTENT_TYPE", ""), status)

    def _answered(
        self, parts: Iterable[bytes], name: str, request: bytes | None, content_type: str, status: Sequence[str]
    ) -> Iterator[bytes]:
        answer: list[bytes] | None = []
        try:
            for part in parts:
                answer = _with(answer, part)
                yield part
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        if status and status[0].startswith("2"):
            self._recorder.record(name, request, content_type, None if answer is None else b"".join(answer))


class ASGIMiddleware:
    """Around an ASGI application, as in FastAPI: `app.add_middleware(ASGIMiddleware, log="p.jsonl", version=3)`."""

    def __init__(
        self,
        app: Callable[..., Any],
        log: PredictionLog | str | os.PathLike[str],
        version: int | str,
        *,
        paths: Sequence[str] = ("/invocations",),
        columns: Sequence[str] | None = None,
    ) -> None:
        """See `WSGIMiddleware`."""
        self._app = app
        self._recorder = _Recorder(log, version, paths, columns)

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        recorder = self._recorder
        if scope.get("type") != "http" or not recorder.concerns(scope.get("method", ""), scope.get("path", "")):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        if headers.get(NO_LOG_HEADER.encode()):
            await self._app(scope, receive, send)
            return
        name = recorder.id_of(headers.get(ID_HEADER.encode(), ""))
        request: list[bytes] | None = []
        answer: list[bytes] | None = []
        status = 0

        async def received() -> Any:
            nonlocal request
            message = await receive()
            if message["type"] == "http.request":
                request = _with(request, message.get("body", b""))
            return message

        async def sent(message: Any) -> None:
            nonlocal answer, status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (ANSWER_HEADER.encode(), name.encode())]}
            elif message["type"] == "http.response.body":
                answer = _with(answer, message.get("body", b""))
            await send(message)

        await self._app(scope, received, sent)
        if 200 <= status < 300:
            import asyncio

            asked = None if request is None else b"".join(request)
            told = None if answer is None else b"".join(answer)
            content_type = headers.get(b"content-type", "application/json")
            await asyncio.to_thread(recorder.record, name, asked, content_type, told)


def _with(parts: list[bytes] | None, part: bytes) -> list[bytes] | None:
    """The parts of a body with one more; None once they are too large."""
    if parts is None or sum(map(len, parts)) + len(part) > _BODY_MOST:
        return None
    parts.append(part)
    return parts


def mlflow_server() -> ASGIMiddleware:
    """MLflow's scoring server with the log around it, for `uvicorn --factory ciplug.serve_log:mlflow_server`.

    `ciplug serve-log` starts it. File and version are in the environment, as the model of MLflow is.
    """
    from mlflow.pyfunc.scoring_server.app import app

    return ASGIMiddleware(app, os.environ[FILE], os.environ[VERSION])
