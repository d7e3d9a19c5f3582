"""Whether a name is that of a secret: `db_password`, `PGPASSWORD`, `opt.auth.bearer`, `X-Amz-Signature`. Pure.

A name is parted into words at case, digits and marks; a joined last word (`PGPASSWORD`) at a known ending. Trailing
numbers and names of environments (`DB_PASSWORD_PROD`) do not count. In machine learning many harmless names end in
`token` or `key` (`pad_token`, `sort_key`): such a name counts with a word before it, or a value, that says so.
"""

from __future__ import annotations

import re

_FOLDERS = ("PWD", "OLDPWD")
"""Variables with the working directory (POSIX, 8.3): no password, though their names are like those of one."""
_SECRET = {
    *("password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "credential"),
    *("credentials", "apikey", "cookie", "cookies", "bearer"),
}
_WITH = {
    "token": {"access", "api", "auth", "bearer", "bot", "deploy", "hf", "github", "gitlab", "hub", "id", "job", "push"}
    | {"read", "refresh", "security", "session", "slack", "use", "wandb", "write"},
    "key": {"access", "account", "api", "auth", "deploy", "encryption", "private", "secret", "shared", "signing", "ssh"}
    | {"master", "subscription", "wandb"},
    "pass": {"admin", "auth", "db", "ftp", "git", "http", "https", "ldap", "login", "mail", "mysql", "pg", "proxy"}
    | {"redis", "registry", "root", "smtp", "ssh", "sudo", "user"},
    "signature": {"amz", "aws", "goog", "hmac", "sas"},
    "authorization": {"proxy"},
    "auth": set[str](),
}
"""Last word of a name → words before it that make it that of a secret."""
_VOCABULARY = {
    *("additional", "audio", "begin", "boi", "bos", "class", "cls", "current", "decoder", "end", "eoi", "eom", "eos"),
    *("eot", "fim", "first", "forced", "image", "initializer", "instance", "last", "mask", "max", "middle", "min"),
    *("n", "next", "num", "pad", "per", "placeholder", "pre", "prefix", "prompt", "sep", "separator", "sot"),
    *("special", "start", "stop", "style", "sub", "suffix", "target", "text", "think", "trigger", "unk", "video"),
    *("added", "concept", "modifier", "new", "vision"),
}
"""Words before `token` in the names of a language model's tokens, and of their numbers."""
_COUNTS = {"n", "num", "max", "min"}
_NUMBERED = {"password", "passwd", "passphrase", "passcode", "pwd", "pass"}
"""What may be a short number: of others, it is an index, a length or a count."""
_LEAST_NUMBER = 6
_PLURALS = {"passwords", "secrets", "credentials", "cookies"}
"""With a number, a count of them."""
_FOLLOWING = {"prod", "production", "staging", "dev", "b", "base"}
"""Words that may follow: environments, and `B64`, `BASE64`, `BASE` for an encoding or a seed."""
_JOINED_WITH = {"key", "pass", "signature", "auth", "authorization"}
"""Endings that harmless words have too, such as `monkey` and `compass`: joined, they count only as in `_WITH`."""
_ENDINGS = sorted({*_SECRET, *_WITH}, key=len, reverse=True)
_STEM = re.compile(r"pass|pwd|secret|credential|token|key|cookie|bearer|signature|auth", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_RANDOM = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w+/=.:~-]{16,}")
_RANDOM_SHORT = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w+/=.:~-]{8,}")
_NUMBER = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?")


def may_be_secret(name: str) -> bool:
    """Whether a name is that of a secret with some value: quick, for the many names in a text."""
    return _STEM.search(name) is not None and _parted(name)[1] != ""


def is_secret_name(name: str, value: object) -> bool:
    """Whether a name is that of a secret: by itself, or since the value looks like a token."""
    if _STEM.search(name) is None or (name in _FOLDERS and str(value).startswith("/")):
        return False
    before, last, is_whole = _parted(name)
    is_number = not isinstance(value, str) or _NUMBER.fullmatch(value) is not None
    if not last or (is_number and (_COUNTS & set(before) or last in _PLURALS)):
        return False
    if is_number and last not in _NUMBERED and len(str(value)) < _LEAST_NUMBER:
        return False
    if last in _SECRET or _WITH[last] & set(before):
        return not (last == "pass" and is_number)
    if last == "token" and not before and is_whole:
        return True
    if not isinstance(value, str):
        return False
    # SOME_TOKEN is how variables of a job are named, some_token also how a model's settings are.
    is_variable = bool(before) and name.isupper() and not is_number
    if last == "pass":
        return is_variable
    if last == "token" and before and before[-1] not in _VOCABULARY:
        return is_variable or _RANDOM_SHORT.fullmatch(value) is not None
    return last != "signature" and _RANDOM.fullmatch(value) is not None


def _parted(name: str) -> tuple[list[str], str, bool]:
    """The words before the last, the last one if secrets have it, and whether no number or environment follows it."""
    words = [word.casefold() for word in _WORDS.findall(name)]
    count = len(words)
    while words and (words[-1].isdigit() or words[-1] in _FOLLOWING):
        words.pop()
    if not words:
        return [], "", False
    for ending in _ENDINGS:
        if words[-1].endswith(ending):
            joined = words[-1].removesuffix(ending)
            if joined and ending in _JOINED_WITH and joined not in _WITH[ending]:
                continue
            return [*words[:-1], *([joined] if joined else [])], ending, len(words) == count
    return [], "", False
