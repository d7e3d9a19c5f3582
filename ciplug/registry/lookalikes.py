"""Names that a person cannot tell from others: letters of other alphabets that look alike, and marks that show nothing.

Pure. The letters are those of Unicode's confusables (UTS 39) that look like Latin ones in lower or upper case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LETTERS = str.maketrans(
    "\u0430\u0432\u0435\u0437\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0501\u04bb\u04cf\u051b\u051d\u0475"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131\u0261\u0251",
    "abe3ijkmhopctyxsdhlqwvabezhikmvoptuxiga",
)
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0]")


def skeleton(name: str) -> str:
    """What the eye sees of a name: two names with the same are easily mistaken for each other."""
    text = _UNSEEN.sub("", unicodedata.normalize("NFKC", name)).casefold()
    return unicodedata.normalize("NFC", text.translate(_LETTERS))


def lookalike(name: str, others: Iterable[str]) -> str | None:
    """Return the one of the other names that a name looks like by letters that are not what they seem; else None.

    A name that is written in ASCII is what it seems: `Wine` is not `wine`.
    """
    own, is_plain = skeleton(name), name.isascii()
    alike = (other for other in others if other != name and skeleton(other) == own)
    return min((other for other in alike if not (is_plain and other.isascii())), default=None)
