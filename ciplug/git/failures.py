"""What git's own words say about a failure."""

from __future__ import annotations

from ciplug.git.credentials import redact

_BY_SSH = "Could not read from remote repository"


def last_words(stderr: bytes) -> str:
    """What git said, in one line, without progress noise and credentials."""
    text = redact(stderr.decode(errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line.removeprefix("remote: ")
        for line, after in zip(lines, [*lines, ""][1:], strict=True)
        # What ssh has said stands before git's own words, in no form of its own.
        if line.startswith(("fatal:", "error:", "remote:", " !", "!")) or _BY_SSH in after
    ]
    return "; ".join(dict.fromkeys(telling or lines[-2:])) or "no message"


def hint_for(stderr: bytes) -> str | None:
    if b"dubious ownership" in stderr:
        return "run as the owner of the checkout, or: git config --global --add safe.directory <path>"
    if b"could not read Username" in stderr or b"Authentication failed" in stderr or b"403" in stderr:
        return "this checkout's credentials do not reach the repository: CIPLUG_PUSH_TOKEN takes their place"
    return None
