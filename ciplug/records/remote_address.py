"""The address of a git remote or a web page, taken apart. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_SSH_ALIASES = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}


class Remote(NamedTuple):
    """A git remote or a web address, without credentials."""

    host: str
    origin: str
    """The address of its web pages, as far as it is known."""
    path: str


def parse(url: str | None) -> Remote | None:
    """Take a remote apart: https://host/path.git, ssh://git@host:22/path.git, git@host:path.git. None: a path."""
    if not url:
        return None
    scp = re.fullmatch(r"(?:[\w.+-]+@)?([\w.-]{2,}):(?!//|\\)/?(.+)", url)
    parts = urlsplit(f"ssh://{scp[1]}/{scp[2]}" if scp else url)
    if parts.scheme not in ("http", "https", "ssh", "git", "git+ssh") or not parts.hostname:
        return None
    host = _SSH_ALIASES.get(parts.hostname, parts.hostname)
    origin = f"https://{host}"
    if parts.scheme.startswith("http"):
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return Remote(host, origin, parts.path.strip("/").removesuffix(".git"))
