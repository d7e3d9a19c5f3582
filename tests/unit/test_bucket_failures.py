"""What a failure of a bucket is about, whatever the bucket and the files in it are called."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ciplug.errors import Cause
from ciplug.stores.bucket.failures import library_error

BUCKETS = ("plain", "identity-dns-503", "credential-connect", "timeout-404-forbidden")
ANSWERS = (
    (503, "busy", Cause.NETWORK),
    (500, "", Cause.NETWORK),
    (403, "<Error><Code>AccessDenied</Code><Message>no identity</Message></Error>", Cause.FORBIDDEN),
    (403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", Cause.BAD_CREDENTIAL),
    (403, "<Error><Code>OfTomorrow</Code></Error>", Cause.FORBIDDEN),
    (401, "", Cause.BAD_CREDENTIAL),
    (404, "<Error><Code>NoSuchBucket</Code></Error>", Cause.NOT_FOUND),
    (418, "connect your identity", Cause.UNKNOWN),
)


@contextmanager
def server(status: int, body: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


def cause_from(endpoint: str, bucket: str) -> Cause:
    from obstore.store import S3Store

    once = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}
    options = {"allow_http": True, "timeout": "5s"}
    store = S3Store(
        *(bucket,),
        endpoint=endpoint,
        access_key_id="a",
        secret_access_key="b",
        region="r",
        client_options=options,  # type: ignore[arg-type]
        retry_config=once,  # type: ignore[arg-type]
    )
    try:
        store.get(f"{bucket}/credential-404/os error 28")
    except (OSError, Exception) as problem:
        return library_error("s3://x", problem, None).cause
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize(("status", "body", "cause"), ANSWERS)
def test_an_answer_of_the_server(bucket: str, status: int, body: str, cause: Cause) -> None:
    with server(status, body) as endpoint:
        assert cause_from(endpoint, bucket) == cause


@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_answer(bucket: str) -> None:
    assert cause_from("http://127.0.0.1:1", bucket) == Cause.NETWORK


@pytest.mark.e2e
@pytest.mark.parametrize("bucket", BUCKETS)
def test_google_gives_the_status(bucket: str) -> None:
    exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs pip install 'ciplug[gcs]'")
    words = f"GET https://storage.example/b/{bucket}: no"
    causes = {
        exceptions.Forbidden: Cause.FORBIDDEN,
        exceptions.Unauthorized: Cause.BAD_CREDENTIAL,
        exceptions.NotFound: Cause.NOT_FOUND,
        exceptions.ServiceUnavailable: Cause.NETWORK,
        exceptions.BadRequest: Cause.UNKNOWN,
    }
    assert {kind: library_error("gs://x", kind(words), None).cause for kind in causes} == causes


@pytest.mark.parametrize("bucket", BUCKETS)
def test_types_and_words_of_libraries(bucket: str) -> None:
    causes = (
        (OSError(errno.ENOSPC, "No space left on device", f"/mnt/{bucket}"), Cause.FULL),
        (PermissionError(errno.EACCES, "Permission denied", f"/mnt/{bucket}"), Cause.FORBIDDEN),
        (ConnectionResetError(errno.ECONNRESET, bucket), Cause.NETWORK),
        (TimeoutError(bucket), Cause.NETWORK),
        (ValueError(f"no credential is set for 's3://{bucket}'"), Cause.NO_CREDENTIAL),
        (ValueError(f"'{bucket}' is odd"), Cause.UNKNOWN),
    )
    assert [library_error("x", problem, None).cause for problem, _ in causes] == [cause for _, cause in causes]


def test_a_machine_without_an_identity_has_no_credential() -> None:
    words = "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 2ms - HTTP error: error"
    assert library_error("x", ValueError(words), None).cause == Cause.NO_CREDENTIAL
