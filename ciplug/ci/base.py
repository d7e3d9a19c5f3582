"""The interface of a CI host, and the defaults of a host that has no special channel.

A host is a module with these functions; it takes defaults by assignment (`annotate = base.annotate`).
The environment is a parameter and is only read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ciplug.errors import counted
from ciplug.records.provenance import Context

Level = Literal["notice", "warning", "error"]


class Host(Protocol):
    """One CI host."""

    @property
    def name(self) -> str:
        """The name in `Context.host`."""
        ...

    @property
    def push_hint(self) -> str:
        """Advice on how a job of this host gets permission to push to the repository."""
        ...

    @property
    def advice(self) -> Advice:
        """The advice of `ciplug doctor` on what to add to a job of this host."""
        ...

    @property
    def names_the_head(self) -> bool:
        """Whether a job always knows the head commit of its pull request."""
        ...

    @property
    def merges_into_head(self) -> bool:
        """Whether a job merges the target into the head of its pull request, before its first command."""
        ...

    @property
    def variables(self) -> tuple[str, ...]:
        """The beginnings of the names of the variables that this host sets: `GITHUB_`."""
        ...

    def detect(self, env: Mapping[str, str]) -> bool:
        """Whether this environment is that of a job of this host."""
        ...

    def context(self, env: Mapping[str, str]) -> Context:
        """Return the environment's facts about the job; missing facts are None."""
        ...

    def merged_head(self, checkout: Checkout) -> str | None:
        """The head of a pull request that HEAD merges, if HEAD is a merge that this host has made."""
        ...

    def target_tips(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """The commits that the environment names as the tip of the pull request's target; they may be shortened."""
        ...

    @property
    def workspace(self) -> str | None:
        """The variable with the folder of the job's checkout."""
        ...

    def write_summary(self, env: Mapping[str, str], markdown: Callable[[], str]) -> bool:
        """Show markdown on the page of the job; False if the host has no such place: then nobody makes it."""
        ...

    def write_outputs(self, env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
        """Pass values to later steps; False if the host cannot. Names are [A-Za-z_][\\w-]*."""
        ...

    def report_url(self, env: Mapping[str, str], file: Path) -> str | None:
        """The address of a file of this job after the host has kept it; None if it is not known."""
        ...

    def annotate(self, level: Level, message: str, file: str | None = None, line: int | None = None) -> str:
        """The log line that makes the host show a message, at a place in a file if one is given."""
        ...


@dataclass(frozen=True)
class Checkout:
    """The facts about a checkout from git."""

    head: str | None
    """The full id of HEAD; None where it has no commit yet."""
    parents: tuple[str, ...] = ()
    """The parents of HEAD, from the commit itself: a shallow clone has their ids, too."""
    committer: str = ""
    """The e-mail address of HEAD's committer."""
    branch: str | None = None
    """None when detached."""
    remote_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Advice on what to add to a job of this host: first the place, then the line itself."""

    push: str = "export {token}=…, a token that may write to the repository"
    """The way to let a job push."""
    keep_credential: str | None = None
    """The way to keep the checkout's credential; None if the host has no such setting."""
    variable: str = "export {name}=…"
    """The place for a secret, and the way to pass it to a step."""
    full_history: str = "git fetch --unshallow"
    """The way to check out the complete history."""


PUSH_HINT = "the job needs the right to push: set CIPLUG_PUSH_TOKEN to a token that may write the repository"


def second_parent(checkout: Checkout) -> str | None:
    """The head that was merged into its target."""
    return checkout.parents[1] if len(checkout.parents) == 2 else None


def no_target_tips(env: Mapping[str, str]) -> tuple[str, ...]:
    return ()


_HTTP_REMOTE = re.compile(r"(https?://)(?:[^/@]*@)?([^/]+)/(.+?)(?:\.git)?/?")
_SSH_REMOTE = re.compile(r"(?:ssh://)?(?:[^/@]+@)([^/:]+)(?::\d+/|[:/])/*(.+?)(?:\.git)?/?")


def place_of_remote(url: str | None) -> tuple[str | None, str | None]:
    """Web address and repository of the forge, from the address of a remote; a folder has neither."""
    if match := _HTTP_REMOTE.fullmatch(url or ""):
        return match[1] + match[2], match[3]
    if match := _SSH_REMOTE.fullmatch(url or ""):
        return f"https://{match[1]}", match[2]
    return None, None


def no_summary(env: Mapping[str, str], markdown: Callable[[], str]) -> bool:
    return False


def no_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    return False


def no_report_url(env: Mapping[str, str], file: Path) -> str | None:
    return None


def below(top: str | None, file: Path) -> str | None:
    """The path of a file below a folder, quoted for an address; None if it is elsewhere."""
    from urllib.parse import quote

    folder = Path(top).resolve() if top else None
    return quote(file.relative_to(folder).as_posix()) if folder and file.is_relative_to(folder) else None


def append_outputs(path: str | None, outputs: Mapping[str, str]) -> bool:
    """Append outputs to a file of shell variables, each one line: `run-id` becomes `run_id`.

    False if there is no such file. Raises ValueError for an invalid name.
    """
    if path is None:
        return False
    check_outputs(outputs)
    lines = [f"{key.replace('-', '_')}={' '.join(value.split())}\n" for key, value in outputs.items()]
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write("".join(lines))
    except OSError:
        return False
    return True


def check_outputs(names: Iterable[str]) -> None:
    """Raises ValueError for an invalid name."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            raise ValueError(f"not a name for an output: {name!r}")


def annotate(level: Level, message: str, file: str | None = None, line: int | None = None) -> str:
    """`file:line: level: message`, as compilers print it."""
    place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
    return safe_log(f"{place}{level}: {message}".replace("\n", " "))


def text(env: Mapping[str, str], name: str) -> str | None:
    """A variable's value; an empty one counts as not set."""
    return env.get(name) or None


def number(env: Mapping[str, str], name: str) -> int | None:
    value = env.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None


# Control characters but \t and \n; bidirectional overrides; characters without width.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_COMMAND_AT_START = re.compile(r"^([^\S\n]*):(?=:)", re.MULTILINE)
_COMMAND_ANYWHERE = re.compile(r"##(?=\w*\[)")
_NOTE_BYTES = 100
"""Space for the line about what was cut."""


def safe_log(untrusted: str) -> str:
    """The text for a log, changed so that no line starts a workflow command, a fold or an escape sequence.

    `::set-output` becomes `: :set-output`, `##[error]` becomes `# #[error]`, an escape character `\\x1b`.
    """
    visible = _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], untrusted)
    return _COMMAND_ANYWHERE.sub("# #", _COMMAND_AT_START.sub(r"\1: ", visible))


def safe_result(untrusted: str) -> str:
    """`safe_log` for a result, in which invisible joiners are parts of words, of emoji, and of Markdown's escapes."""
    visible = _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], untrusted)
    return _COMMAND_ANYWHERE.sub("# #", _COMMAND_AT_START.sub(r"\1: ", visible))


def cut_markdown(markdown: str, limit: int) -> str:
    """Cut Markdown to `limit` UTF-8 bytes: whole sections are dropped from the end, and a line mentions it.

    A section starts at a heading that stands outside of code fences and of <details>.
    """
    if len(markdown.encode()) <= limit:
        return markdown
    sections = _sections(markdown)
    kept, room = 0, limit - _NOTE_BYTES
    for section in sections:
        room -= len(section.encode())
        if room < 0:
            break
        kept += 1
    if limit < _NOTE_BYTES:
        return ""
    left = len(sections) - kept
    what = f"{counted(left, 'section')} {'was' if left == 1 else 'were'}"
    note = f"_{what} left out here for lack of space: see the full report._\n"
    return "".join([*sections[:kept], "\n" if kept else "", note])


def _sections(markdown: str) -> list[str]:
    sections: list[list[str]] = [[]]
    fence = ""
    details = 0
    for line in markdown.splitlines(keepends=True):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        elif not fence:
            if re.match("#{1,6} ", line) and details <= 0 and sections[-1]:
                sections.append([])
            details += line.count("<details") - line.count("</details>")
        sections[-1].append(line)
    return ["".join(lines) for lines in sections]
