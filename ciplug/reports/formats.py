"""The renderings of a report by the names that `ciplug report --format` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from ciplug.reports.report import Report

Format = Literal["markdown", "html", "json", "line", "openmetrics"]
FORMATS: tuple[Format, ...] = get_args(Format)


def render(report: Report, form: Format) -> str | bytes:
    """The report in one of its formats."""
    if form == "json":
        from ciplug.reports.report import as_json

        return as_json(report)
    if form == "html":
        from ciplug.reports import html

        return html.render(report)
    if form == "line":
        from ciplug.reports import one_line

        return one_line.render(report)
    if form == "openmetrics":
        from ciplug.reports import openmetrics

        return openmetrics.render(report)
    from ciplug.reports import comment

    return comment.render(report)
