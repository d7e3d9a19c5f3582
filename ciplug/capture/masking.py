"""Mask secrets before a record is kept: passwords among the parameters, tokens on the command line. Pure.

Three signs show a secret: its name (`--token=…`, a parameter `db_password`, what `redact:` names), its form (tokens of
well-known services, a private key, a password in an address), and that it is the value of a variable of this job with
such a name. In machine learning many harmless names end in `token` (`pad_token`, `max_tokens`): such a name counts only
with a value that looks like a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from ciplug.capture.secret_forms import FORMS, PRIVATE_KEY
from ciplug.records.inputs import DatasetInput
from ciplug.records.run import File, Run

T = TypeVar("T")

MASK = "***"
_FOLDERS = ("PWD", "OLDPWD")
"""Variables with the working directory (POSIX, 8.3): no password, though their names are like those of one."""
_LEAST = 8
"""Characters of a variable's value that is masked wherever it stands: a shorter one may be any word."""
_PIECE = 1 << 16
"""Characters that are searched at once."""
_ENDS = " \n\t,;&\"'{}"
"""Where a text is parted for that: no secret goes on behind them."""
_SECRET = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials", "apikey"}
_WITH = {
    "token": {"access", "api", "auth", "bearer", "bot", "deploy", "hf", "github", "gitlab", "hub", "id", "job", "push"}
    | {"read", "refresh", "security", "session", "slack", "use", "wandb", "write"},
    "key": {"access", "account", "api", "auth", "encryption", "private", "secret", "signing", "ssh", "wandb"},
}
"""Last word of a name → words before it that make it that of a secret."""
_LAST = {*_SECRET, *_WITH}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_RANDOM = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w+/=.:~-]{16,}")
_RANDOM_WORD = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])\S{8,}")
_REFERENCE = re.compile(r"\$\{?\w+\}?|\$\(.*\)|\$\{\{.*\}\}|<[^>]*>|\*+|None|null")
_VALUE = r"""(?P<value>[^\s,;&'"}]+)"""
_ASSIGNED = re.compile(
    r"""(?:^|(?<=[\s;,&?'"{]))(?P<name>-{0,2}[A-Za-z][\w.-]{0,80})(?P<sign>\s?[=:]\s?['"]?)""" + _VALUE
)
"""`NAME=VALUE`, `--name=value` and `name: value` in a text, such as a line for a shell."""
_IN_TEXT = re.compile(
    r"""(?:^|(?<=[\s;,&?'"{=]))(?P<name>-{0,2}[A-Za-z][\w.-]{0,80})(?P<sign>=|['"]?\s?[=:]\s?['"]|: )(?=[^\s,;&'"}])"""
)
"""The names of values in a text for people, such as a line of JSON or YAML."""
_VALUE_THERE = re.compile(_VALUE)
_OPTION = re.compile(r"""(?:^|(?<=\s))(?P<name>--[A-Za-z][\w-]{0,80})(?P<sign>\s['"]?)(?!-)""" + _VALUE)
"""`--name value` in such a line."""


@dataclass
class Masks:
    """What is masked, and what was: the names of those who hold it."""

    redact: Sequence[str] = ()
    """Names of parameters, tags and options, with `*` for any characters; case does not matter."""
    values: frozenset[str] = frozenset()
    """Texts to mask wherever they stand."""
    masked: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, env: Mapping[str, str], redact: Sequence[str] = ()) -> Masks:
        """The masks of a job. The values of its variables with the name of a secret are masked wherever they stand."""
        named = (name for name, value in env.items() if name not in _FOLDERS and is_secret_name(name, value))
        values = (env[name].strip() for name in named)
        return cls(tuple(redact), frozenset(value for value in values if len(value) >= _LEAST and not value.isalpha()))

    def is_named(self, name: str) -> bool:
        """Whether `redact:` names it."""
        plain = name.lstrip("-").casefold()
        return any(fnmatchcase(plain, pattern.lstrip("-").casefold()) for pattern in self.redact)

    def text(self, text: str, where: str) -> str:
        """Mask what has the form of a secret, or is the value of a secret variable."""
        masked = text
        for value in self.values:
            masked = masked.replace(value, MASK)
        masked = "".join(map(self._piece, _pieces(PRIVATE_KEY.sub(MASK, masked))))
        if masked != text:
            self.masked[where] = None
        return masked

    def _piece(self, text: str) -> str:
        for form in FORMS:
            text = form.sub(MASK, text)
        return self._assigned_in(text)

    def _assigned_in(self, text: str) -> str:
        """Mask what a text for people gives the name of a secret: `a=password: x` has it behind another name."""
        parts, done, at = [], 0, 0
        while match := _IN_TEXT.search(text, at):
            name, at = match["name"], match.end()
            if not (self.is_named(name) or _last_word(name) in _LAST):
                continue
            value = _VALUE_THERE.match(text, at)
            if value and self._is_secret(name, match["sign"], value[0]):
                parts += [text[done:at], MASK]
                done = at = value.end()
        return "".join([*parts, text[done:]])

    def _is_secret(self, name: str, sign: str, value: str) -> bool:
        """Whether a value is a secret; "token: x" is a sentence, unless x looks like one."""
        surely = self.is_named(name) or (is_secret_name(name, value) and not _is_no_secret(value))
        return surely and (sign != ": " or _RANDOM_WORD.fullmatch(value) is not None)

    def value(self, name: str, value: Any, where: str) -> Any:
        """Mask the value of a parameter, tag or option."""
        if value is None or isinstance(value, bool) or value == "":
            return value
        if self.is_named(name) or (is_secret_name(name, value) and not _is_no_secret(value)):
            self.masked[where] = None
            return MASK
        return self.text(value, where) if isinstance(value, str) else value

    def mapping(self, values: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Mask the values of parameters or tags."""
        return {
            self.text(name, f"a name of a {kind}"): self.value(name, value, f"{kind} {self.text(name, kind)}")
            for name, value in values.items()
        }

    def names(self, values: Mapping[str, T], kind: str) -> dict[str, T]:
        """Mask the names of metrics."""
        return {self.text(name, f"a name of a {kind}"): value for name, value in values.items()}

    def command(self, words: Sequence[str]) -> tuple[str, ...]:
        """Mask `--token=…`, `--token …`, `TOKEN=…`, also in a line for a shell, which is one word."""
        masked: list[str] = []
        before = ""
        for word in words:
            if before and not word.startswith("-"):
                masked.append(str(self.value(before, word, f"option {before}")))
                before = ""
                continue
            line = _OPTION.sub(self._assigned, _ASSIGNED.sub(self._assigned, word))
            masked.append(self.text(line, "the command"))
            before = word if word.startswith("-") and "=" not in word else ""
        return tuple(masked)

    def _assigned(self, match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        return f"{name}{match['sign']}{self.value(name, value, f'option {name}')}"

    def run(self, run: Run) -> Run:
        """The run, with all that people and programs wrote into it masked."""
        return replace(
            run,
            name=None if run.name is None else self.text(run.name, "the name"),
            params=self.mapping(run.params, "parameter"),
            tags=self.mapping(run.tags, "tag"),
            metrics=self.names(run.metrics, "metric"),
            last=self.names(run.last, "metric"),
            datasets=tuple(map(self._dataset, run.datasets)),
            inputs=self.inputs(run.inputs),
            provenance=replace(run.provenance, command=self.command(run.provenance.command)),
        )

    def inputs(self, inputs: Iterable[DatasetInput]) -> tuple[DatasetInput, ...]:
        """Datasets that were logged, with their names, addresses and tags masked."""
        return tuple(map(self._input, inputs))

    def _input(self, one: DatasetInput) -> DatasetInput:
        name = self.text(one.name, "a name of a dataset")
        where = f"dataset {name}"
        return replace(
            one, name=name, source=self.text(one.source, where), tags=self.mapping(one.tags, f"{where}, tag")
        )

    def _dataset(self, one: File) -> File:
        path = self.text(one.path, "a name of a dataset")
        return replace(one, path=path, store=one.store and self.text(one.store, f"dataset {path}"))


def _last_word(name: str) -> str:
    words = _WORDS.findall(name)
    return words[-1].casefold() if words else ""


def is_secret_name(name: str, value: object) -> bool:
    """Whether a name is that of a secret: by itself, or since the value looks like a token."""
    words = [word.casefold() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[:-1]
    if last in _SECRET or (last == "token" and not before):
        return True
    if last == "tokens" or last not in _WITH:
        return False
    if _WITH[last] & set(before):
        return True
    return isinstance(value, str) and _RANDOM.fullmatch(value) is not None


def _is_no_secret(value: object) -> bool:
    """Whether a value only tells where a secret is: the name of a variable, a path, a reference."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _pieces(text: str) -> Iterator[str]:
    """Part a long text where no secret is cut."""
    while len(text) > _PIECE:
        end = max(text.rfind(mark, 0, _PIECE) for mark in _ENDS)
        end = end if end > 0 else _PIECE
        yield text[:end]
        text = text[end:]
    yield text
