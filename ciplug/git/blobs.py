"""Read the content of many blobs by one process of git, in pieces: no blob is ever whole in memory."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from ciplug.errors import GitError
from ciplug.git.environment import git_environment

_CHUNK = 1024 * 1024


class BlobStream:
    """Blobs of a repository, in the order of their ids: each as its bytes in pieces, or None where it is not there.

    What a caller leaves unread of one is skipped when it asks for the next.
    """

    def __init__(self, repository: Path, oids: Sequence[str]) -> None:
        self._oids = oids
        self._process = subprocess.Popen(
            # git itself holds what is smaller whole.
            ["git", "-c", "core.bigFileThreshold=1m", "cat-file", "--batch"],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=git_environment(),
        )
        # git answers while it is asked: neither pipe may wait for the other.
        self._asking = threading.Thread(target=self._ask, daemon=True)
        self._asking.start()

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.close()
        self._process.wait()
        self._asking.join()

    def __iter__(self) -> Iterator[Iterator[bytes] | None]:
        for oid in self._oids:
            header = self._answers.readline().split()
            if not header:
                raise GitError(f"git cat-file ended before {oid}")
            if header[-1] == b"missing":
                yield None
                continue
            content = self._content(int(header[2]))
            yield content
            for _ in content:
                pass
            self._answers.read(1)

    def _content(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._answers.read(min(size, _CHUNK))
            if not chunk:
                raise GitError("git cat-file ended in a blob")
            size -= len(chunk)
            yield chunk

    @property
    def _answers(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise GitError("git cat-file has no output")
        return self._process.stdout

    def _ask(self) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            try:
                with stdin:
                    stdin.write("".join(f"{oid}\n" for oid in self._oids).encode())
            except OSError:
                pass  # git has ended: the answers stop, and the reader says so
