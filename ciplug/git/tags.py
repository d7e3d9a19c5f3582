"""Names of tags: which texts git takes, and what it keeps under them."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|\.(?:/|$)|^-|^/|/$|^@$")


def is_tag_name(name: str) -> bool:
    """Whether git takes the text as the name of a tag, by the rules of git-check-ref-format."""
    return bool(name) and len(name.encode()) <= 200 and not _FORBIDDEN.search(name)
