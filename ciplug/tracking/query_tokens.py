"""The words of the search language: names, numbers, quoted text, comparison signs, single characters. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

QUOTES = "\"'`"
Sort = Literal["word", "number", "text", "quoted name", "comparison", "sign"]
_TOKEN = re.compile(r"\s+|[<>=~!]+|\w+|.", re.DOTALL)
_COMMENT = re.compile(r"--|/\*|# ")


class Token(NamedTuple):
    sort: Sort
    """`text` is in single or double quotes, a `quoted name` in backticks."""
    text: str
    """The text in the expression, with its quotes."""
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class NotUnderstood(ValueError):
    """A place at which no token can be read."""

    def __init__(self, why: str, token: Token) -> None:
        super().__init__(why)
        self.why = why
        self.token = token


def tokens(source: str) -> Iterator[Token]:
    """The tokens of an expression, without the blanks between them. Raises NotUnderstood."""
    at = 0
    while at < len(source):
        token = _token_at(source, at)
        if not token.text.isspace():
            yield token
        at = token.end


def _token_at(source: str, at: int) -> Token:
    if comment := _COMMENT.match(source, at):
        raise NotUnderstood("comments are not supported", Token("sign", comment[0], at))
    if source[at] in QUOTES:
        return _quoted_at(source, at)
    match = _TOKEN.match(source, at)
    text = match[0] if match else source[at]
    return Token(_sort_of(text), text, at)


def _sort_of(text: str) -> Sort:
    if text[0] in "<>=~!":
        return "comparison"
    if text[0].isdecimal():
        return "number"
    return "word" if text[0].isalnum() or text[0] == "_" else "sign"


def _quoted_at(source: str, start: int) -> Token:
    """Text in quotes; a quote inside is doubled."""
    quote, at = source[start], start + 1
    while (end := source.find(quote, at)) >= 0:
        if source[end + 1 : end + 2] != quote:
            return Token("quoted name" if quote == "`" else "text", source[start : end + 1], start)
        at = end + 2
    raise NotUnderstood("this quote is not closed", Token("sign", quote, start))


def unquoted(text: str) -> str:
    """Return the text without its quotes; text without quotes is unchanged."""
    quote = text[:1]
    if quote and quote in QUOTES and len(text) > 1 and text.endswith(quote):
        return text[1:-1].replace(quote * 2, quote)
    return text
