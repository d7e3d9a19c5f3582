"""A version of the registry as a model card of Hugging Face: README.md in a folder, such as a clone of its repository.

What people have written there stays: the keys of the front matter that are not of this export, and all text outside of
the part between two marks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ciplug.attestation.documents import CARD
from ciplug.errors import InputError, UsageError
from ciplug.steps.evidence.attest import attest
from ciplug.steps.session import Session

BEGIN, END = "<!-- ciplug: from here on, `ciplug export huggingface` writes -->", "<!-- ciplug: until here -->"
_PART = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
_HEAD = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_MOST = 10_000_000
"""Bytes of a README.md."""


def export_card(session: Session, version: str, folder: Path, task: str) -> Path:
    """Write README.md; returns its path.

    Args:
        version: as `ciplug attest` takes it: MODEL, MODEL@STAGE, MODEL@vN.
        task: such as text-classification.

    Raises NotFound for a version that does not exist, BrokenChain for one that does not verify, InputError for a
    README.md that cannot be read, UsageError for one that cannot be written.
    """
    made = attest(session, version, task=task).documents[CARD].decode()
    file = folder / "README.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > _MOST:
            raise InputError(f"{file} has more than {_MOST:,} bytes")
        old = file.read_text(encoding="utf-8") if file.exists() else ""
    except UnicodeDecodeError:
        raise InputError(f"{file} is not text in UTF-8", hint="move it away") from None
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}") from None
    text = merged(old, made, str(file))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{file} cannot be written: {problem.strerror}") from None
    return file


def merged(old: str, made: str, where: str) -> str:
    """Put a card into what is there.

    Args:
        old: README.md as it is; empty: there is none.
        where: its name, for errors.

    Raises InputError for front matter that is not YAML.
    """
    import yaml

    text, head, body = _split(old, where)
    _, own, page = _split(made, "the card")
    tags = head.get("tags")
    known = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, list) else []
    own["tags"] = [*known, *(tag for tag in own["tags"] if tag not in known)]
    # The blocks of other keys stay as they were written, with their comments.
    blocks = re.split(r"^(?=[A-Za-z_])", text, flags=re.MULTILINE)
    kept = "".join(block for block in blocks if block.partition(":")[0].strip() not in own)
    part = f"{BEGIN}\n\n{page.strip()}\n\n{END}"
    if _PART.search(body):
        body = _PART.sub(lambda _: part, body, count=1)
    else:
        body = f"{body.rstrip()}\n\n{part}\n" if body.strip() else f"{part}\n"
    return f"---\n{kept}{yaml.safe_dump(own, sort_keys=False)}---\n\n{body.lstrip()}"


def _split(text: str, where: str) -> tuple[str, dict[str, Any], str]:
    """The front matter as text and as a table, and the rest."""
    import yaml

    found = _HEAD.match(text)
    if found is None:
        return "", {}, text
    try:
        head = yaml.safe_load(found["yaml"])
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise InputError(f"{where}:{line}: the front matter is not YAML", hint="repair it, or move the file") from None
    if head is not None and not isinstance(head, dict):
        raise InputError(f"{where}:1: the front matter is not a table of keys", hint="repair it, or move the file")
    return found["yaml"], head or {}, text[found.end() :]
