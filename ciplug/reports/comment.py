"""The sticky comment of a pull request: Markdown under a marker by which it is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.reports import markdown

if TYPE_CHECKING:
    from ciplug.reports.report import Report

MARKER = "<!-- ciplug:report -->"
PLAIN_MARKER = "[//]: # (ciplug:report)"
"""Where HTML is shown as text: a link definition that nothing uses is not shown at all."""
NO_LIMIT = 1 << 30


def marker(*, html: bool) -> str:
    """The line by which the comment is found; `html`: whether the forge takes HTML in comments."""
    return MARKER if html else PLAIN_MARKER


def render(report: Report, limit: int = NO_LIMIT, *, html: bool = True) -> str:
    """The comment in at most `limit` bytes. Nothing of this job is in it, so jobs that race write the same."""
    return markdown.render(report, marker=marker(html=html), limit=limit, html=html)
