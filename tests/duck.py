"""DuckDB that reads `s3://` without its httpfs extension, which has to be downloaded: by way of obstore's fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READ = "read_parquet('{uri}/runs/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"


def connect(env: Mapping[str, str]) -> tuple[Any, Any]:
    """A connection, and the file system under it, whose `bytes_read` and `requests` say what has been fetched."""
    import duckdb
    from obstore.fsspec import FsspecStore

    class S3(FsspecStore):  # type: ignore[misc]
        bytes_read = requests = 0

        def glob(self, path: str, *args: Any, **kwargs: Any) -> Any:
            # Its paths have no scheme, and DuckDB's do.
            return super().glob(path.removeprefix("s3://"), *args, **kwargs)

        def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
            return _Counted(self, super().open(path, *args, **kwargs))

    class _Counted:
        def __init__(self, fs: S3, file: Any) -> None:
            self._fs, self._file = fs, file

        def read(self, size: int = -1) -> bytes:
            data = bytes(self._file.read(size))
            self._fs.bytes_read += len(data)
            self._fs.requests += 1
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    config = {name.lower(): env[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
    fs = S3("s3", config={**config, "aws_endpoint": env["AWS_ENDPOINT_URL"]}, client_options={"allow_http": True})
    connection = duckdb.connect()
    connection.register_filesystem(fs)
    # A segment never changes: it need not be asked again and again whether it has.
    connection.sql("SET validate_external_file_cache = 'NO_VALIDATION'")
    return connection, fs
