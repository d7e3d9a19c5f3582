"""Mask secrets before a record is kept: passwords among the parameters, tokens on the command line. Pure.

Three signs show a secret: its name (`--token=…`, a parameter `db_password`, what `redact:` names), its form (tokens of
well-known services, a private key, a password in an address), and that it is the value of a variable of this job with
such a name. In machine learning many harmless names end in `token` (`pad_token`, `max_tokens`): such a name counts only
with a value that looks like a token.

Sources of the forms: the services' documentation of their token formats; RFC 7519 (JWT), RFC 7468 (private keys),
RFC 3986, 3.2.1 (passwords in addresses).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from ciplug.records.inputs import DatasetInput
from ciplug.records.run import Run

MASK = "***"
_FOLDERS = ("PWD", "OLDPWD")
"""Variables with the working directory (POSIX, 8.3): no password, though their names are like those of one."""
_LEAST = 8
"""Characters of a variable's value that is masked wherever it stands: a shorter one may be any word."""
_PIECE = 1 << 16
"""Characters that are searched at once."""
_SECRET = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials", "apikey"}
_WITH = {
    "token": {"access", "api", "auth", "bearer", "bot", "deploy", "hf", "github", "gitlab", "hub", "id", "job", "push"}
    | {"read", "refresh", "session", "slack", "use", "wandb", "write"},
    "key": {"access", "account", "api", "auth", "encryption", "private", "secret", "signing", "ssh", "wandb"},
}
"""Last word of a name → words before it that make it that of a secret."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_RANDOM = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w+/=.:~-]{16,}")
_FORMS = tuple(
    re.compile(form)
    for form in (
        r"\bgh[pousr]_[A-Za-z0-9]{20,255}",
        r"\bgithub_pat_\w{22,255}",
        r"\bgl(?:pat|ptt|dt|rt|soat|cbt|agent|ft|imt|oas|ffct)-[\w-]{16,255}",
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        r"\bAIza[\w-]{35}",
        r"\bya29\.[\w-]{20,}",
        r"\bGOCSPX-[\w-]{20,}",
        r"\bxox[abeoprs]-[\w-]{10,}",
        r"\bhooks\.slack\.com/services/[\w/]{20,}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\bsk-(?:proj-|ant-|svcacct-|admin-)?[\w-]{20,}",
        r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bnpm_[A-Za-z0-9]{36}",
        r"\bpypi-[\w-]{50,}",
        r"\bdo[opr]_v1_[a-f0-9]{64}",
        r"\bSG\.[\w-]{20,}\.[\w-]{20,}",
        r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[^-]*(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----)?",
        r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
        r"(?i)(?<=bearer )[\w.=+/~-]{8,}",
        r"(?i)(?<=basic )[A-Za-z0-9+/]{12,}={0,2}",
        r"(?i)(?<=accountkey=)[A-Za-z0-9+/]{40,}={0,2}",
        r"(?i)(?<=[?&]sig=)[\w%+/=-]{16,}",
        r"(?i)(?<=[?&]x-amz-signature=)[0-9a-f]{32,}",
    )
)
_REFERENCE = re.compile(r"\$\{?\w+\}?|\$\(.*\)|\$\{\{.*\}\}|<[^>]*>|\*+|None|null")
_VALUE = r"""(?P<value>[^\s,;&'"}]+)"""
_ASSIGNED = re.compile(
    r"""(?:^|(?<=[\s;,&?'"{]))(?P<name>-{0,2}[A-Za-z][\w.-]{0,80})(?P<sign>\s?[=:]\s?['"]?)""" + _VALUE
)
"""`NAME=VALUE`, `--name=value` and `name: value` in a text, such as a line for a shell."""
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
        if len(text) > _PIECE:
            return "".join(self.text(text[at : at + _PIECE], where) for at in range(0, len(text), _PIECE))
        masked = text
        for value in self.values:
            masked = masked.replace(value, MASK)
        for form in _FORMS:
            masked = form.sub(MASK, masked)
        if masked != text:
            self.masked[where] = None
        return masked

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
        return {name: self.value(name, value, f"{kind} {name}") for name, value in values.items()}

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
            inputs=tuple(map(self._input, run.inputs)),
            provenance=replace(run.provenance, command=self.command(run.provenance.command)),
        )

    def _input(self, one: DatasetInput) -> DatasetInput:
        where = f"dataset {one.name}"
        return replace(one, source=self.text(one.source, where), tags=self.mapping(one.tags, f"{where}, tag"))


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
