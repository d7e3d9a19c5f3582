"""The log of predictions: whole lines whoever writes, files by day and size, and no request fails because of it."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ciplug import serve_log
from ciplug.serve_log import ASGIMiddleware, PredictionLog, WSGIMiddleware, inputs_of

SPLIT = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2.5, None]]}}
ROWS = [{"a": 1, "b": "x"}, {"a": 2.5, "b": None}]
DAY = 86_400


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (SPLIT, ROWS),
        ({"dataframe_records": ROWS}, ROWS),
        ({"instances": ROWS}, ROWS),
        ({"inputs": {"a": [1, 2.5], "b": ["x", None]}}, ROWS),
        (ROWS, ROWS),
        ({"a": 1, "b": "x"}, ROWS[:1]),
        ({"instances": [[1, 2], [3, 4]]}, [{"0": 1, "1": 2}, {"0": 3, "1": 4}]),
        ([7], [{"0": 7}]),
    ],
)
def test_requests_in_all_forms_have_rows(body: Any, rows: list[dict[str, Any]]) -> None:
    assert inputs_of(json.dumps(body).encode()) == rows
    assert inputs_of(b"a,b\n1,x\n2.5,\n", "text/csv; charset=utf-8") == [{"a": 1, "b": "x"}, {"a": 2.5, "b": ""}]


def asked(app: Callable[..., Any], body: bytes, **environ: Any) -> tuple[str, dict[str, str], bytes]:
    """What a WSGI application answers."""
    told: list[Any] = []
    request = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/invocations",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    answer = b"".join(app(request, lambda status, headers, *more: told.extend([status, dict(headers)])))
    return told[0], told[1], answer


def doubling(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    if body == b"fail":
        start_response("500 Oh", [])
        return [b"{}"]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"predictions": ', json.dumps([2 * row["a"] for row in inputs_of(body)]).encode(), b"}"]


def test_a_wsgi_application_is_logged_and_never_disturbed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log/p.jsonl")
    app = WSGIMiddleware(doubling, log, 3, columns=["a"])
    status, headers, answer = asked(app, json.dumps(SPLIT).encode(), HTTP_X_REQUEST_ID="r-1")
    assert (status, headers["x-prediction-id"], json.loads(answer)) == ("200 OK", "r-1", {"predictions": [2, 5.0]})
    first, second = lines(tmp_path / "log")
    assert (first["id"], first["version"], first["inputs"], first["prediction"]) == ("r-1-0", "3", {"a": 1}, 2)
    assert second["id"] == "r-1-1" and second["ts"].endswith("Z")
    # One row has the id itself; an id with a line break is replaced; other paths, and failures, are not logged.
    _, headers, _ = asked(app, b'{"a": 1}', HTTP_X_REQUEST_ID='x"\n{}')
    assert lines(tmp_path / "log")[-1]["id"] == headers["x-prediction-id"] != 'x"\n{}'
    assert asked(app, b'{"a": 1}', PATH_INFO="/other")[0] == "200 OK"
    assert asked(app, b"fail")[0] == "500 Oh"
    # Nor is the request of a smoke test.
    assert asked(app, b'{"a": 1}', HTTP_X_CIPLUG_SMOKE_TEST="1")[0] == "200 OK"
    assert (len(lines(tmp_path / "log")), log.lost) == (3, 0)
    # Neither a log that cannot be written, nor an answer that is no prediction, costs the request anything.
    (tmp_path / "file").write_text("")
    broken = PredictionLog(tmp_path / "file" / "p.jsonl")
    assert asked(WSGIMiddleware(doubling, broken, 3), b'{"a": 1}')[0] == "200 OK" and broken.lost == 1
    other = WSGIMiddleware(lambda environ, start: [start("200 OK", []) or b"not JSON"], broken, 3)
    assert asked(other, b'{"a": 1}')[2] == b"not JSON" and broken.lost == 2


def test_an_asgi_application_is_logged_in_pieces_as_they_come(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for part in (b'{"predictions": [1', b", 0]}"):
            await send({"type": "http.response.body", "body": part, "more_body": part.endswith(b"1")})

    data = json.dumps(SPLIT).encode()
    pieces = [{"type": "http.request", "body": one, "more_body": one != data[9:]} for one in (data[:9], data[9:])]
    told: list[Any] = []

    async def ask() -> None:
        async def receive() -> Any:
            return pieces.pop(0)

        async def send(message: Any) -> None:
            told.append(message)

        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [(b"X-Request-Id", b"r")]}
        await ASGIMiddleware(app, tmp_path / "p.jsonl", 2)(scope, receive, send)
        if not pieces:
            pieces.append({"type": "http.request", "body": data})
            scope["headers"].append((b"X-Ciplug-Smoke-Test", b"1"))
            await ASGIMiddleware(app, tmp_path / "p.jsonl", 2)(scope, receive, send)

    asyncio.run(ask())
    assert (b"x-prediction-id", b"r") in told[0]["headers"] and len(told) == 6
    assert [(one["id"], one["inputs"]["a"], one["prediction"]) for one in lines(tmp_path)] == [
        ("r-0", 1, 1),
        ("r-1", 2.5, 0),
    ]


def test_files_are_of_one_day_and_size_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [20_000 * DAY + 10.0]
    monkeypatch.setattr(serve_log.time, "time", lambda: clock[0])
    log = PredictionLog(tmp_path / "p.jsonl", max_bytes=20, keep_days=1)
    for number in range(3):
        log.write([{"id": number, "value": float("nan")}])
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("p-2024-10-04.1.jsonl", "p-2024-10-04.2.jsonl", "p-2024-10-04.jsonl")
    ]
    # Whoever was killed in the middle of a line has lost that one alone.
    clock[0] += DAY
    (tmp_path / "p-2024-10-05.jsonl").write_text('{"id": 3')
    log.write([{"id": 4}])
    assert (tmp_path / "p-2024-10-05.jsonl").read_text() == '{"id": 3\n{"id": 4}\n'
    clock[0] += DAY
    log.write([{"id": 5}])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p-2024-10-05.jsonl", "p-2024-10-06.jsonl"]
    assert log.lost == 0


WRITER = """\
import sys
from ciplug.serve_log import PredictionLog
log = PredictionLog(sys.argv[1], max_bytes=200_000)
for number in range(200):
    log.write([{"id": f"{sys.argv[2]}-{number}-{row}", "text": "x" * 300} for row in range(5)])
sys.exit(log.lost)
"""


def test_several_processes_write_whole_lines(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path / "p.jsonl")]
    writers = [subprocess.Popen([*words, str(one)]) for one in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len({one["id"] for one in lines(tmp_path)}) == 3 * 200 * 5
    assert len(list(tmp_path.iterdir())) > 3
