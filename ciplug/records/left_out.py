"""A name, of a file or of a log call, that gave no metric or no file, and why; or a whole file that gave nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.errors import listed

Why = Literal[
    "null",
    "text",
    "list",
    "name",
    "param",
    "twice",
    "files",
    "size",
    "step",
    "no_step",
    "artifact",
    "output",
    "elsewhere",
    "logged",
    "line",
    "last_line",
    "order",
    "header",
    "file",
]
UNSURE: tuple[Why, ...] = ("last_line", "order")
"""The metric has a value, and it may not be its last."""
NAME_MOST = 80
"""Characters of a name in a summary."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A name whose value could not be used, or a file that could not. A gate on what is missing for it is an ERROR."""

    name: str
    """The beginning of a name that is too long."""
    why: Why
    """null: no value. text: text where a number was due. list: a list without numbers, or of lists. name: metrics
    cannot have the name. param: parameters cannot. twice, files: several different numbers, in one file or in several.
    size: an integer too large for a float. step: no value at the step that was asked for. no_step: a step that is not
    a whole number. artifact: a file for people that could not be made; then it is the name of a file. output: an
    artifact that is not recorded, or whose content no store has; the name is that of the file. elsewhere: an artifact
    that stays where MLflow has it. logged: the metric was logged with another value than its file has, and the file
    counts. line: a line, or the rest of a file without
    lines, that cannot be read, and may have held any metric. last_line: the metric has a value, and the line or rest
    that cannot be read may have held the last. order: the metric has a value, and the steps rise and fall, so that no
    value is surely the last. header: a table without names of columns, any of which may be the metric.
    file: all of a file, which may have held any metric; the name is that of the file."""
    file: str | None = None
    """None: not from a file: it was logged, or a tag is in the place of the metric."""
    found: str | None = None
    """The beginning of the text that stands there; the other file, for `files`; what is wrong, for `file` and
    `output`; the address, for `elsewhere`; the value that was logged."""
    line: int | None = None
    advice: str | None = None
    """What to do, where it depends on what is wrong."""

    @property
    def reason(self) -> str:
        """The reason as a noun phrase: "the text 'N/A'", "null"."""
        found = repr(self.found)
        part = "a part" if self.line is None else "a line"
        if self.why == "null":
            return "null" if self.found is None else found if self.found else "an empty cell"
        if self.why == "files":
            return f"another value than in {self.found}"
        return {
            "text": f"the text {found}",
            "list": "a list without numbers" if self.found is None else f"a list: {self.found}",
            "name": "not a name for a metric",
            "param": "not a name for a parameter: too long, or not printable",
            "twice": "several values",
            "size": "an integer too large for a 64-bit float",
            "step": "no value at the chosen step",
            "no_step": f"the step {self.found} is not a whole number",
            "artifact": f"no file: {self.found}",
            "output": f"{self.found}",
            "elsewhere": f"it stays at {self.found}",
            "logged": f"logged as {self.found}, and its file has another value",
            "line": f"{part} that cannot be read: {self.found}",
            "order": "steps that rise and fall",
            "header": f"{self.found}",
            "last_line": f"in {part} that cannot be read: {self.found}",
            "file": f"{self.found}" + (f", line {self.line}" if self.line is not None else ""),
        }[self.why]

    @property
    def clause(self) -> str:
        """The reason and its place: "null in metrics.json:3"."""
        if self.why in ("output", "elsewhere"):
            return f"{self.name}: {self.reason}"
        if self.why == "file":
            return f"{self.name} is not recorded: {self.reason}"
        if self.file is None:
            return self.reason
        if self.why == "files":
            return f"different values in {self.found} and {self.file}"
        return f"{self.reason} in {self.file}" + (f":{self.line}" if self.line is not None else "")


def summary(left: Sequence[LeftOut]) -> str:
    """ "2 names are left out: 'a' (null), 'b' (the text 'N/A')": one clause, without the files."""
    each = [f"'{_visible(one.name)}' ({one.reason})" for one in left]
    return f"{len(left)} {'name is' if len(left) == 1 else 'names are'} left out: {listed(each)}"


def some_names(names: Sequence[str]) -> str:
    """ "'a', 'b' and 3 more"."""
    return listed([f"'{_visible(name)}'" for name in names])


def _visible(name: str) -> str:
    """A name on one line: what is not printable as an escape, a long one cut."""
    name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    return name if len(name) <= NAME_MOST else name[: NAME_MOST - 1] + "…"
