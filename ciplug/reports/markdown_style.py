"""Markdown as the forges show it: code, folds and tables, with HTML and without. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from ciplug.reports import untrusted

_FEW_NAMES = 4
"""The number of names in the title of a folded part."""
_RULES = {"left": ":---", "right": "---:", "center": ":---:"}
_SPACES = re.compile(r" {2,}")


class Paint:
    """The few things that look different where a forge shows HTML tags as text."""

    def __init__(self, html: bool) -> None:
        self.html = html

    def code(self, name: str) -> str:
        """A name, literally: forges look for no mention and no reference inside of code."""
        if code := untrusted.code_markdown(name):
            return code
        shown = untrusted.escape_markdown(name, untrusted.NAME_LIMIT) or "(empty)"
        return f"<code>{shown}</code>" if self.html else shown

    def fold(self, title: str, head: str) -> tuple[str, str]:
        """Head and tail of a part that is folded up under its title."""
        if self.html:
            return f"<details><summary>{title}</summary>\n\n{head}", "\n\n</details>"
        return f"**{title}**\n\n{head}", ""

    def title(self, counted: str, examples: Sequence[str]) -> str:
        """ "3 changed parameters: a, b, c": the first of them, inside of a <summary>, which holds no Markdown."""
        if not self.html or not examples:
            return counted
        shown = [f"<code>{escape(untrusted.clean(e, 60)) or '(empty)'}</code>" for e in examples[:_FEW_NAMES]]
        return f"{counted}: {', '.join(shown)}{', …' if len(examples) > _FEW_NAMES else ''}"

    def lines(self, first: str, rest: Sequence[str]) -> str:
        """Lines in one cell of a table: the first as it is, the others escaped and small."""
        shown = map(untrusted.escape_markdown, rest)
        return "<br>".join([first, *map(self.small, shown)]) if self.html else " · ".join([first, *shown])

    def small(self, line: str) -> str:
        return f"<sub>{line}</sub>" if self.html else line


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """Head and rows of a table, without the padding: bytes are what a comment is short of."""
    align = [*align, *["left"] * (len(headers) - len(align))]
    head = [_row(headers), f"|{'|'.join(_RULES[side] for side in align)}|"]
    return "\n".join(head), tuple(_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return _SPACES.sub(" ", f"| {' | '.join(cells)} |")
