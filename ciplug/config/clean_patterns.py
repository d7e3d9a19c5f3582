"""`clean:`: the files that may differ from the commit without making its run a dirty one. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ciplug.config import kinds
from ciplug.config.kinds import Mistake, key


@dataclass(frozen=True, kw_only=True)
class Clean:
    """What counts as a clean tree."""

    ignore: tuple[str, ...] = key(kinds.PATHS, ())
    """Patterns of .gitignore, seen from the folder of ciplug.yaml: tracked files that the pipeline rewrites."""

    def mistakes(self) -> list[Mistake]:
        return [
            Mistake(("ignore",), f"'{pattern}' can match no file", None, (("ignore",),))
            for pattern in self.ignore
            if not pattern.strip().removeprefix("!").strip("/")
        ]

    def ignores(self, path: str) -> bool:
        """Whether a file is set aside. `path` is relative to the folder of ciplug.yaml, and may begin with `../`.

        The rules are those of .gitignore: the last pattern that matches decides, `!` takes a file back, a pattern
        without a slash matches a name in any folder (of the whole repository), and a folder stands for all that
        is in it.
        """
        return any(self._decides(part, folder=part != path) for part in _levels(path))

    def _decides(self, path: str, *, folder: bool) -> bool:
        for pattern in reversed(self.ignore):
            if _matches(pattern.removeprefix("!"), path, folder=folder):
                return not pattern.startswith("!")
        return False


def line_to_add(files: Iterable[str], folder: str = "") -> str:
    """The line of ciplug.yaml that sets files aside.

    Args:
        files: paths from the top of the repository.
        folder: that of ciplug.yaml, from the top of the repository.
    """
    named = ", ".join(_quoted(_escaped(posixpath.relpath(path, folder or "."))) for path in files)
    return f"clean: {{ignore: [{named}]}}"


def _escaped(path: str) -> str:
    """The pattern that matches this path alone."""
    pattern = re.sub(r"([\\*?\[]| (?= *$))", r"\\\1", path)
    if "/" not in pattern:
        return f"/{pattern}"
    return f"\\{pattern}" if pattern.startswith(("!", "#")) else pattern


def _quoted(text: str) -> str:
    """A text as YAML takes it within a list."""
    if re.fullmatch(r"[\w./][\w./ -]*(?<! )", text, re.ASCII):
        return text
    return "'" + text.replace("'", "''") + "'"


def _levels(path: str) -> Iterator[str]:
    """The folders that a path leads through, the outermost first, and the path itself."""
    parts = path.split("/")
    first = next((number for number, part in enumerate(parts) if part != ".."), 0)
    for end in range(first + 1, len(parts) + 1):
        yield "/".join(parts[:end])


def _matches(pattern: str, path: str, *, folder: bool) -> bool:
    pattern = pattern.rstrip(" ") if not pattern.endswith("\\ ") else pattern
    if pattern.endswith("/"):
        if not folder:
            return False
        pattern = pattern[:-1]
    if "/" not in pattern:
        return bool(_expression(pattern).fullmatch(posixpath.basename(path)))
    return bool(_expression(pattern.removeprefix("./").removeprefix("/")).fullmatch(path))


_TOKENS = re.compile(r"\A\*\*/|/\*\*/|/\*\*\Z|\*+|\?|\\.|\[(?:[!^]?\]?)(?:\[:\w+:\]|\\.|[^\]\\])*\]|.", re.DOTALL)
_WILDCARDS = {"**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "/**": "/.+", "?": "[^/]"}


@lru_cache(maxsize=1000)
def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern without `!` and the slashes at its ends."""
    return re.compile("".join(map(_translated, _TOKENS.findall(pattern))), re.DOTALL)


def _translated(token: str) -> str:
    if token in _WILDCARDS:
        return _WILDCARDS[token]
    if token.strip("*") == "":
        return "[^/]*"
    if token.startswith("[") and len(token) > 2:
        return _set(token[1:-1])
    return re.escape(token[1:] if len(token) == 2 and token[0] == "\\" else token)


_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "digit": "0-9", "lower": "a-z", "upper": "A-Z",
    "xdigit": "0-9a-fA-F", "space": r"\s", "punct": r"!-/:-@\[-`{-~", "blank": r" \t",
}  # fmt: skip


def _set(inner: str) -> str:
    """A set of characters, which never matches a slash."""
    negated = inner[:1] in ("!", "^")
    body = ""
    for part in re.findall(r"\[:\w+:\]|\\.|.", inner[negated:], re.DOTALL):
        if len(part) > 2:
            body += _CLASSES.get(part[2:-2], "")
        elif part == "-":
            body += "-"
        else:
            body += re.escape(part[-1])
    try:
        re.compile(f"[{body}]")
    except re.error:
        return "(?!)"
    return f"(?!/)[{'^' if negated else ''}{body}]"
