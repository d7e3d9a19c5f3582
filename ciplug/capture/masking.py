"""Mask secrets before a record is kept: passwords among the parameters, tokens on the command line. Pure.

Three signs show a secret: its name (`--token=…`, a parameter `db_password`, what `redact:` names), its form (tokens of
well-known services, a private key, a password in an address, `mysql -p…`), and that it is the value of a variable of
this job with such a name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote

from ciplug.capture.secret_forms import FORMS, PRIVATE_KEY, PROGRAM_OPTIONS
from ciplug.capture.secret_names import is_secret_name, may_be_secret
from ciplug.records.inputs import DatasetInput
from ciplug.records.run import File, Run

T = TypeVar("T")

MASK = "***"
_LEAST = 6
"""Characters of a variable's value that is masked wherever it stands: a shorter one may be any word."""
_LEAST_PLAIN = {"digits": 8, "letters": 16}
"""The same of a value of digits or of letters only: a shorter one may be a number or a word of the language."""
_LEAST_LINE = 16
"""Characters of a line of a value with several that is masked by itself."""
_PIECE = 1 << 16
"""Characters that are searched at once."""
_ENDS = " \n\t,;&\"'{}"
"""Where a text is parted for that: no secret goes on behind them."""
_RANDOM_WORD = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])\S{8,}")
_REFERENCE = re.compile(
    r"\$\{?\w+\}?|\$\(.*\)|\$\{\{.*\}\}|<[^>]*>|\*+|(?i:(?:none|null|true|false|yes|no|on|off)[)\]]*)"
    # A file, such as that of GOOGLE_APPLICATION_CREDENTIALS: it is in the folder of the job, whose name is no secret.
    r"|(?:~|/(?:home|root|tmp|var|etc|run|opt|usr|mnt|builds|github|workspace|Users))/[\w./@ -]+|[A-Za-z]:\\[\w.\\@ -]+"
)
_CODE = re.compile(r"[A-Za-z_][\w.]*[(\[].*")
"""A call or an element, such as `getpass()` in a line of code."""
_VALUE = r"""(?P<value>[^\s,;&'"}]+)"""
_ASSIGNED = re.compile(
    r"""(?:^|(?<=[\s;,&?'"{(|`]))(?P<name>[+-]{0,2}[A-Za-z_][\w.-]{0,80})(?P<sign>\s?[=:]\s?['"]?)""" + _VALUE
)
"""`NAME=VALUE`, `--name=value` and `name: value` in a text, such as a line for a shell."""
_IN_TEXT = re.compile(
    r"""(?:^|(?<=[\s;,&?#'"{(|`=]))(?P<name>[+-]{0,2}[A-Za-z_][\w.-]{0,80})"""
    r"""(?P<sign>=|\\?['"]?\]?\s{0,8}(?:=>|:=|[=:])\s{0,8}b?\\?['"]|\s{1,8}(?:=>|:=|=)\s{1,8}|: )(?=[^\s,;&'"}])"""
)
"""The names of values in a text for people, such as a line of JSON, YAML or code, or JSON within JSON."""
_ELEMENT = re.compile(
    r"(?<=<)(?P<name>[A-Za-z_][\w.-]{0,80})(?P<sign>>\s{0,8})(?P<value>[^<\s][^<]{0,200}?(?=\s{0,8}</)|[^<\s]+(?=\s*\Z))"
)
"""`<name>value</name>`, or cut off behind the value."""
_VALUE_THERE = re.compile(_VALUE)
_OPTION = re.compile(
    r"""(?:^|(?<=[\s'"]))(?P<name>--?[A-Za-z][\w-]{0,80})(?P<sign>\s['"]?|['"],\s?['"])(?!-)""" + _VALUE
)
"""`--name value` in such a line, and `'--name', 'value'` in a list."""
_POSITION = re.compile(r"(.*/)(\d+)")
"""The name of a parameter that is an element of a list."""
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_BETWEEN = "\x1f"
"""Between the words of a command that are searched as one line."""


@dataclass
class Masks:
    """What is masked, and what was: the names of those who hold it."""

    redact: Sequence[str] = ()
    """Names of parameters, tags and options, with `*` for any characters; case does not matter."""
    values: tuple[str, ...] = ()
    """Texts to mask wherever they stand, the longest first, since one may be a part of another."""
    masked: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, env: Mapping[str, str], redact: Sequence[str] = ()) -> Masks:
        """The masks of a job. The values of its variables with the name of a secret are masked wherever they stand."""
        values = [value.strip() for name, value in env.items() if is_secret_name(name, value)]
        values += [unquote(login[1]) for value in env.values() for login in _PASSWORD_IN_URL.finditer(value)]
        written = {form for value in values if _stands_out(value) for form in _written_forms(value)}
        return cls(tuple(redact), tuple(sorted(written, key=len, reverse=True)))

    def is_named(self, name: str) -> bool:
        """Whether `redact:` names it."""
        plain = name.lstrip("-").casefold()
        return any(fnmatchcase(plain, pattern.lstrip("-").casefold()) for pattern in self.redact)

    def text(self, text: str, where: str) -> str:
        """Mask what has the form of a secret, or is the value of a secret variable."""
        masked = text
        for value in self.values:
            masked = masked.replace(value, MASK)
        masked = "".join(map(self._piece, _pieces(PRIVATE_KEY.sub(MASK, self._without_beginning(masked)))))
        if masked != text:
            self.masked[where] = None
        return masked

    def _without_beginning(self, text: str) -> str:
        """Mask the larger half of a value at the end of a text, if who wrote it was killed: less may be any word."""
        for value in self.values:
            for length in range(min(len(value), len(text)), max(_LEAST, len(value) // 2 + 1) - 1, -1):
                if text.endswith(value[:length]):
                    return text[:-length] + MASK
        return text

    def _piece(self, text: str) -> str:
        for form in FORMS:
            text = form.sub(MASK, text)
        text = _ELEMENT.sub(self._assigned, text)
        return self._assigned_in(_OPTION.sub(self._option, _program_options(text)))

    def _assigned_in(self, text: str) -> str:
        """Mask what a text for people gives the name of a secret: `a=password: x` has it behind another name."""
        parts, done, at = [], 0, 0
        while match := _IN_TEXT.search(text, at):
            name, at = match["name"], match.end()
            if not (may_be_secret(name) or self.is_named(name)):
                continue
            value = _VALUE_THERE.match(text, at)
            if value and self._is_secret(name, match["sign"], value[0]):
                parts += [text[done:at], MASK]
                done = at = value.end()
        return "".join([*parts, text[done:]])

    def _is_secret(self, name: str, sign: str, value: str) -> bool:
        """Whether a value is a secret; "token: x" and "token = x" are sentences, unless x looks like one."""
        if not self._is_secret_value(name, value):
            return False
        is_spaced = sign != "=" and not sign.rstrip().endswith(("'", '"'))
        if sign == ": " or (is_spaced and name.lstrip("-").casefold() == "token"):
            return _RANDOM_WORD.fullmatch(value) is not None
        return not (is_spaced and _CODE.fullmatch(value))

    def _is_secret_value(self, name: str, value: object) -> bool:
        return self.is_named(name) or (is_secret_name(name, value) and not _is_no_secret(value))

    def value(self, name: str, value: Any, where: str) -> Any:
        """Mask the value of a parameter, tag or option."""
        if value is None or isinstance(value, bool) or value == "":
            return value
        if self._is_secret_value(name, value):
            self.masked[where] = None
            return MASK
        return self.text(value, where) if isinstance(value, str) else value

    def mapping(self, values: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Mask the values of parameters or tags."""
        return {
            self.text(name, f"a name of a {kind}"): self.value(
                self._name_for(values, name), value, f"{kind} {self.text(name, kind)}"
            )
            for name, value in values.items()
        }

    def _name_for(self, values: Mapping[str, Any], name: str) -> str:
        """What names the value of a parameter: the option before it, if it is an element of a list of words."""
        option = _option_before(values, name)
        return option if option and self._is_secret_value(option, values[name]) else name

    def names(self, values: Mapping[str, T], kind: str) -> dict[str, T]:
        """Mask the names of metrics."""
        return {self.text(name, f"a name of a {kind}"): value for name, value in values.items()}

    def command(self, words: Sequence[str]) -> tuple[str, ...]:
        """Mask `--token=…`, `--token …`, `TOKEN=…`, also in a line for a shell, which is one word."""
        masked: list[str] = []
        before = ""
        for word in words:
            if before and not word.startswith("-") and self._is_secret_value(before, word):
                masked.append(str(self.value(before, word, f"option {before}")))
            else:
                line = _OPTION.sub(self._assigned, _ASSIGNED.sub(self._assigned, word))
                masked.append(self.text(line, "the command"))
            before = word if word.startswith("-") and "=" not in word else ""
        line = _BETWEEN.join(masked)
        searched = _program_options(line)
        if searched != line and line.count(_BETWEEN) == len(masked) - 1:
            self.masked["the command"] = None
            masked = searched.split(_BETWEEN)
        return tuple(masked)

    def _assigned(self, match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        return f"{name}{match['sign']}{self.value(name, value, f'option {name}')}"

    def _option(self, match: re.Match[str]) -> str:
        """As `_assigned`, in a text for people: "--token is" is a sentence."""
        name, value = match["name"], match["value"]
        is_sentence = match["sign"].isspace() and value.isalpha()
        return match[0] if is_sentence or not self._is_secret_value(name, value) else f"{name}{match['sign']}{MASK}"

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


def _written_forms(value: str) -> Iterator[str]:
    """A value, and how it stands in an address, in JSON, in code and in Base64; of several lines, each one."""
    from html import escape

    yield value
    yield from (
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        escape(value),
    )
    yield base64.b64encode(value.encode(errors="replace")).decode().rstrip("=")
    yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= _LEAST_LINE)


def _stands_out(value: str) -> bool:
    """Whether a value of a variable is masked wherever it stands."""
    if _is_no_secret(value):
        return False
    if value.isdigit():
        return len(value) >= _LEAST_PLAIN["digits"]
    if value.isalpha() and value in (value.lower(), value.upper(), value.capitalize()):
        return len(value) >= _LEAST_PLAIN["letters"]
    return len(value) >= _LEAST


def _program_options(text: str) -> str:
    """Mask the passwords that well-known programs take in short options."""
    for option in PROGRAM_OPTIONS:
        text = option.sub(_kept_or_masked, text)
    return text


def _kept_or_masked(match: re.Match[str]) -> str:
    return match[0] if _is_no_secret(match["value"]) else match["kept"] + MASK


def _option_before(values: Mapping[str, object], name: str) -> str | None:
    """The option that a parameter is the value of: `args/1` after `args/0: --token`, in a list of words."""
    position = _POSITION.fullmatch(name)
    if position is None or position[2] == "0":
        return None
    option, value = values.get(f"{position[1]}{int(position[2]) - 1}"), values[name]
    is_option = isinstance(option, str) and option.startswith("-") and "=" not in option
    return str(option) if is_option and not str(value).startswith("-") else None


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
