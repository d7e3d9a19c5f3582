"""Images inside of a page. Pure."""

from __future__ import annotations

import base64


def data_address(path: str, data: bytes) -> str:
    """An image as an address that a page can show without loading anything: script in an SVG does not run there."""
    kind = path.lower().rpartition(".")[2]
    kind = {"jpg": "jpeg", "svg": "svg+xml"}.get(kind, kind)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
