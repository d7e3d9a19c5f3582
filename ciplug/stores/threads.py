"""Threads for transfers, where there can be some.

While the interpreter ends, Python starts no thread any more, and a run that ends in `atexit` is sent then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def pool(threads: int) -> Iterator[ThreadPoolExecutor | None]:
    """A pool of threads; None while the interpreter ends: the caller then does one thing after another."""
    try:
        from concurrent.futures import ThreadPoolExecutor

        executor = ThreadPoolExecutor(threads)
        # It takes tasks no more once the interpreter ends, and says so with the first.
        executor.submit(int).result()
    except RuntimeError:
        yield None
        return
    with executor:
        yield executor


def each(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """The function's value for every item, in order; several calls are under way at once where that is possible."""
    with pool(threads) as executor:
        return list(map(function, items) if executor is None else executor.map(function, items))
