"""A version of the registry as a model card of Hugging Face: README.md in a folder, such as a clone of its repository.

What people have written there stays: the keys of the front matter that are not of this export, and all text outside of
the part between two marks.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ciplug.attestation.documents import CARD
from ciplug.errors import InputError, UsageError
from ciplug.locking import write_atomically
from ciplug.steps.evidence.attest import attest
from ciplug.steps.session import Session

BEGIN, END = "<!-- ciplug: from here on, `ciplug export huggingface` writes -->", "<!-- ciplug: until here -->"
_MARKS = re.compile(f"{re.escape(BEGIN)}|{re.escape(END)}")
_HEAD = re.compile(r"\A\s*---[ \t]*\n(?P<yaml>.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
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
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise UsageError(f"{file} is a link, or no file", hint="move it away: only a plain file is written")
        if file.exists() and file.stat().st_size > _MOST:
            raise InputError(f"{file} has more than {_MOST:,} bytes")
        old = file.read_bytes().decode() if file.exists() else ""
    except UnicodeDecodeError:
        raise InputError(f"{file} is not text in UTF-8", hint="move it away") from None
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}") from None
    end = "\r\n" if "\r\n" in old else "\n"
    text = merged(old.removeprefix("\ufeff").replace("\r\n", "\n"), made, str(file)).replace("\n", end)
    try:
        write_atomically(file, text.encode())
    except OSError as problem:
        raise UsageError(f"{file} cannot be written: {problem.strerror}") from None
    return file


def merged(old: str, made: str, where: str) -> str:
    """Put a card into what is there.

    Args:
        old: README.md as it is; empty: there is none.
        where: its name, for errors.

    Raises InputError for front matter that is not YAML or cannot be kept, and for marks that are not one part.
    """
    import yaml

    text, head, body = _split(old, where)
    _, own, page = _split(made, "the card")
    tags = head.get("tags")
    known = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, list) else []
    own["tags"] = [*known, *(tag for tag in own["tags"] if tag not in known)]
    kept = _without(text, own, where)
    front = f"{kept}{yaml.safe_dump(own, sort_keys=False)}"
    _check(front, {**{key: value for key, value in head.items() if key not in own}, **own}, where)
    for mark in (BEGIN, END):
        page = page.replace(mark, mark.replace("<", "&lt;"))
    part = f"{BEGIN}\n\n{page.strip()}\n\n{END}"
    before, is_there, after = _around_part(body, where, len(old[: len(old) - len(body)].splitlines()))
    if not is_there:
        before, after = f"{body.rstrip()}\n\n".lstrip(), "\n"
    body = f"{before}{part}{after}"
    return f"---\n{front}---\n\n{body.lstrip()}"


def _around_part(body: str, where: str, line: int) -> tuple[str, bool, str]:
    """What stands before and after the part that an export has written, and whether there is one.

    Args:
        line: the number of lines before the body.
    """
    marks = list(_MARKS.finditer(body))
    if not marks:
        return body, False, ""
    if [mark[0] for mark in marks] != [BEGIN, END]:
        wrong = line + body.count("\n", 0, marks[0].start()) + 1
        raise InputError(
            f"{where}:{wrong}: the marks of this export do not stand there once each, one after the other",
            hint="remove them with what is between them, or move the file",
        )
    return body[: marks[0].start()], True, body[marks[1].end() :]


def _without(text: str, keys: Collection[str], where: str) -> str:
    """Front matter without some keys; the others stay as they were written, with their comments."""
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return text
    if node.flow_style:
        raise InputError(f"{where}:2: the front matter stands in braces", hint="write one key in a line")
    lines = text.splitlines(keepends=True)
    begins = [key.start_mark.line for key, _ in node.value]
    kept = lines[: begins[0]] if begins else lines
    for (key, _), begin, end in zip(node.value, begins, [*begins[1:], len(lines)], strict=True):
        if key.value not in keys:
            kept += lines[begin:end]
    return "".join(kept)


def _check(front: str, wanted: dict[str, Any], where: str) -> None:
    """Raise InputError where the front matter would not say what it has to, as with an anchor in what is replaced."""
    import yaml

    try:
        is_right = yaml.safe_load(front) == wanted
    except yaml.YAMLError:
        is_right = False
    if not is_right:
        raise InputError(
            f"{where}:1: the front matter cannot be kept beside the keys of this export",
            hint="write it plainly, one key in a line and without anchors, or move the file",
        )


def _split(text: str, where: str) -> tuple[str, dict[str, Any], str]:
    """The front matter as text and as a table, and the rest."""
    import yaml

    found = _HEAD.match(text)
    if found is None and text.lstrip().partition("\n")[0].rstrip() == "---":
        # As a part of the text, its keys would mean nothing any more.
        raise InputError(f"{where}:1: the front matter has no end", hint="write --- below it, or move the file")
    if found is None:
        return "", {}, text
    try:
        if any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(found["yaml"], Loader=yaml.SafeLoader)):
            raise InputError(f"{where}:1: the front matter has an alias (*)", hint="write its value out")
        head = yaml.safe_load(found["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise InputError(f"{where}:{line}: the front matter is not YAML", hint="repair it, or move the file") from None
    if head is not None and not isinstance(head, dict):
        raise InputError(f"{where}:1: the front matter is not a table of keys", hint="repair it, or move the file")
    return found["yaml"], head or {}, text[found.end() :]
