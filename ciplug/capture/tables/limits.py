"""Limits on the size of files. docs/files.md has them in a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The same for every format and for everybody who reads a file."""

    file_bytes: int = 1024**3
    """The limit for a file that is read in pieces; of Parquet, for the columns that are read, unpacked."""
    document_bytes: int = 64 * 1024**2
    """The limit for a file that is read at once, one JSON value or TOML: as objects of Python, about ten times that."""
    documents: int = 100_000
    """The limit for JSON values in one file, or on one line, that are not one a line."""
    line_bytes: int = 16 * 1024**2
    """The limit for a line of JSON lines or CSV."""
    cell_bytes: int = 1024**2
    """The limit for the text in one cell, as UTF-8."""
    rows: int = 5_000_000
    columns: int = 10_000
    cells: int = 50_000_000
    """Rows × columns that are read in one pass."""
    depth: int = 32
    """Levels of objects and lists in one another."""


LIMITS = Limits()
