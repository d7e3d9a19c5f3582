"""Text that a stranger may have chosen, so that it means only itself: in Markdown, in a log, in an address."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

NAME_LIMIT = 250
PROSE_LIMIT = 600

_INVISIBLE = "\u200b"
_JOINERS = "\u200c\u200d"
"""Invisible, but parts of words in Persian and Hindi, and of emoji."""
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")
_REFERENCE = re.compile(
    # Mentions and references of GitHub and GitLab; then addresses, :emoji:, GH-1 and the keys of trackers like Jira.
    r"(?<=@)|(?<=[#!~%&$^\[])(?=[\w\"'])|(?<=\*)(?=iteration)|(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=:)(?=[\w+-]+(?::|$))"
    r"|(?<=[{\[])(?=[+-])"
    r"|(?<=[A-Z]-)(?=\d)|(?<=[A-Z]\d-)(?=\d)|(?<=[gG][hHlL]-)(?=\d)"
)
_MAY_REFER = re.compile(r"[@#!~%&$^\[{*:]|[wW]{3}|-\d|[{\[][+-]")
"""What every match of `_REFERENCE` is next to: most texts have none, and this is found out in a tenth of the time."""
_COMMIT = re.compile(r"(?<!\w)(?<!\d\.)(?=\d*[a-fA-F])[0-9a-fA-F]{7,64}(?!\w)")
"""Text that a forge takes for the id of a commit; the decimals of a number are excluded."""
_MAY_BE_COMMIT = re.compile(r"[0-9a-fA-F]{7}")
_ENTITIES = {c: f"&#{ord(c)};" for c in "|\\`$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ACTIVE = re.compile(r"[|\\`$&<>]|[*\[\]~#!]|(?<![^\W_])_|_(?![^\W_])|^[-+](?=[\s-]|$)")
_COMMAND = re.compile(r"##(?=\w*\[)")
"""The begin of a command, anywhere in the log of a CI host."""
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def clean(text: str, limit: int = PROSE_LIMIT) -> str:
    """One line of visible text: white space collapsed, control and bidi characters shown as �, long text cut."""
    if not (text.isascii() and text.isprintable()):
        text = " ".join(text.split())
        hidden = ("Cc", "Cf", "Cs", "Co")
        text = "".join("�" if unicodedata.category(c) in hidden and c not in _JOINERS else c for c in text)
        text = _NONCHARACTERS.sub("�", text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_name(text: str) -> str:
    """The same of a name: of a model, an alias, a person."""
    return clean(text, NAME_LIMIT)


def shortened(text: str, limit: int) -> str:
    """One line of visible text, of which the middle is left out where it is long: names differ at their ends."""
    text = clean(text)
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"


def told_apart(names: Iterable[str], limit: int) -> dict[str, str]:
    """Return name → `shortened`, or the whole line where another name would look the same."""
    names = dict.fromkeys(names)
    short = {name: shortened(name, limit) for name in names}
    seen = Counter(short.values())
    return {name: one if seen[one] == 1 else clean(name, NAME_LIMIT) for name, one in short.items()}


def escape_markdown(text: str, limit: int = PROSE_LIMIT) -> str:
    """Text that means only itself in Markdown, in a table cell too.

    Mentions, issue references and addresses are broken by an invisible space, since forges look for them in
    the rendered text, where no escape is left. What may be a commit's id becomes code, where they do not look.
    """
    text = clean(text, limit)
    if _MAY_REFER.search(text):
        text = _REFERENCE.sub(_INVISIBLE, text)
    text = _ACTIVE.sub(lambda m: _ENTITIES.get(m[0], "\\" + m[0]), text)
    if _MAY_BE_COMMIT.search(text):
        text = _COMMIT.sub(r"`\g<0>`", text)
    return _NUMBERED.sub(r"\1\\\2", text)


def code_markdown(name: str, limit: int = NAME_LIMIT) -> str | None:
    """A name as a code span, from which it can be copied as it is; None for one that no table's cell can hold so."""
    name = clean(name, limit)
    return f"`{name}`" if name and not set(name) & set("`|\\") and not _COMMAND.search(name) else None


def csv_cell(text: str) -> str:
    """A cell of CSV in which a spreadsheet finds no formula, and a runner no command: `'=cmd()`, `# #[error]`."""
    text = _COMMAND.sub("# #", text)
    # In some countries, a spreadsheet begins a cell at each semicolon.
    text = _NEXT_CELL.sub(lambda m: m[1] + (f"'{m[2]}" if _is_formula(m[2]) else m[2]), text)
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)


def output_line(text: str, limit: int = PROSE_LIMIT) -> str:
    """A line of a program's output: as `clean`, with the spaces that it begins with."""
    return " " * min(len(text) - len(text.lstrip(" ")), 40) + clean(text, limit)


def fenced_markdown(lines: Iterable[str]) -> str:
    """Lines of a program's output as a code block of Markdown, where forges look for no mention and no reference.

    Nothing in it ends the block, and no line begins with `/`: GitLab takes that for a command.
    """
    shown = (output_line(line).replace("`", f"`{_INVISIBLE}") for line in lines)
    shown = (line.replace("<!", f"<{_INVISIBLE}!") for line in shown)  # no marker of a comment of ours
    shown = (f"{_INVISIBLE}{line}" if line.lstrip(" ").startswith("/") else line for line in shown)
    return "\n".join(["```", *map(defuse, shown), "```"])


def defuse(lines: str) -> str:
    """Lines for a CI log in which no runner finds a command: `::` and `##` are broken by an invisible space."""
    return re.sub("(?<=:)(?=:)|(?<=#)(?=#)", _INVISIBLE, lines)


_FORMULA = re.compile(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NEXT_CELL = re.compile(r"([;\t\r\n])([^;\t\r\n]+)")
_NUMBER = re.compile(r"[-+]?(?:[\d.]+(?:[eE][-+]?\d+)?|inf|Infinity)")
_URL = re.compile(r"https?://[^/?#\s]+.*", re.DOTALL | re.IGNORECASE)
_URL_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~:/?#@!$&*+,=%]")


def safe_url(url: str) -> str | None:
    """The address with all that is special to HTML or Markdown percent-encoded; None unless it is http(s)."""
    if not _URL.fullmatch(url):
        return None
    return _URL_UNSAFE.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode("utf-8", "replace")), url)
