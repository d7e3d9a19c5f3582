"""Names of places that stay the same however a place is reached: by https or ssh, with a port, with a user."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ciplug.records.remote_address import parse

_MOST = 200


def place_name(address: str) -> str:
    """`github.com/acme/wine` of the address of a store, as https and ssh have it; a folder's path; else the address."""
    url = address.partition("#")[0]
    remote = parse(url)
    if remote:
        # Azure and Bitbucket put a word of their own into one of the two addresses.
        path = remote.path.removeprefix("v3/").removeprefix("scm/").replace("/_git/", "/")
        name = f"{remote.host.removeprefix('ssh.')}/{path}".lower()
    elif url.startswith("file://"):
        name = unquote(urlsplit(url).path).rstrip("/")
    elif "://" not in url:
        name = str(Path(url).absolute())
    else:
        name = url.rstrip("/")
    short = len(name) <= _MOST and name.isprintable()
    return name if short else "sha256:" + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()


def repository_name(address: str | None) -> str | None:
    """`acme/wine` of the address of a remote; of a folder, its name without `.git`; None where there is none."""
    if not address:
        return None
    remote = parse(address)
    path = remote.path if remote else place_name(address).rpartition("/")[2]
    return path.removesuffix(".git") or None
