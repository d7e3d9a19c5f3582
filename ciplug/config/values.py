"""Read single values of ciplug.yaml. Each function returns the value, or raises ValueError with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from ciplug.errors import counted

_SHOWN_MOST = 60


def shown(value: Any) -> str:
    """Return a value as YAML would show it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "an empty value", True: "true", False: "false"}[value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return "binary data"
    if isinstance(value, dict):
        return f"a mapping with {counted(len(value), 'key')}"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_MOST:
        return "a number with more than 60 digits"
    text = repr(value)
    return text if len(text) <= _SHOWN_MOST else f"{text[:_SHOWN_MOST]}…"


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a number is expected, not {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"a finite number is expected, not {result}")
    return result


def amount(value: Any, advice: str = "") -> float:
    """From 0 up."""
    result = number(value)
    if result < 0:
        raise ValueError(f"{shown(value)} is below 0: a number from 0 up is expected{advice}")
    return result


def positive(value: Any) -> float:
    result = number(value)
    if result <= 0:
        raise ValueError(f"a number above 0 is expected, not {shown(value)}")
    return result


def error_rate(value: Any) -> float:
    result = number(value)
    if not 0 < result < 0.5:
        raise ValueError(f"a number between 0 and 0.5 is expected, not {shown(value)}")
    return result


def integer_from(least: int) -> Callable[[Any], int]:
    """Read a whole number of at least `least`; 30.0 and 3e1 are whole."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least or value % 1 != 0:
            raise ValueError(f"a whole number from {least} up is expected, not {shown(value)}")
        return int(value)

    return convert


def allowed_loss(value: Any) -> float:
    """From 0 up, in the metric's unit."""
    return amount(value, "; to require a gain use min or max")


def fraction(value: Any) -> float:
    """A part of the baseline, from 0 up: `10%` is 0.1, and so is 0.1."""
    result = _percentage(value) if isinstance(value, str) else number(value)
    if result < 0:
        raise ValueError(f"{shown(value)} is below 0: from 0% up is expected; to require a gain use min or max")
    if result > 1 and not isinstance(value, str):
        raise ValueError(
            f"{result:g} means {result * 100:g}%: write it with its sign, {result:g}% or {result * 100:g}%"
        )
    return result


def _percentage(text: str) -> float:
    plain = text.strip()
    try:
        return number(float(plain.removesuffix("%")) / 100) if plain.endswith("%") else number(text)
    except ValueError:
        raise ValueError(f"a percentage like 10% is expected, not {shown(text)}") from None


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is expected, not {shown(value)}")
    return value


def text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, (bool, int, float, date)):
        raise ValueError(f"text is expected, not {shown(value)}: put it in quotes")
    raise ValueError(f"text is expected, not {shown(value)}")


def nfc(name: str) -> str:
    """A metric's name as records have it: in Unicode's form C."""
    if name.isascii():
        return name
    import unicodedata

    return unicodedata.normalize("NFC", name)


def names(value: Any) -> tuple[str, ...]:
    """A name, or a list of different ones."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not given or not all(isinstance(n, str) and n.strip() for n in given):
        raise ValueError(f"a name or a list of names is expected, not {shown(value)}")
    return _different(given)


def selection(value: Any) -> tuple[str, ...] | None:
    """`all` (None), a name, or a list of different ones."""
    return None if value == "all" else names(value)


def paths(value: Any) -> tuple[str, ...]:
    """A path, or a list of them, which may be empty."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(path, str) and path.strip() for path in given):
        raise ValueError(f"a path or a list of paths is expected, not {shown(value)}")
    return tuple(given)


def _different(given: Sequence[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in given:
        if name in seen:
            raise ValueError(f"'{name}' is listed twice")
        seen.add(name)
    return tuple(given)


def one_of(*choices: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{' or '.join(map(repr, choices))} is expected, not {shown(value)}")
        return value

    return convert


def list_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    """One of the choices, or a list of different ones, which may be empty."""
    one = one_of(*choices)

    def convert(value: Any) -> tuple[str, ...]:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list):
            raise ValueError(f"a list of {', '.join(choices)} is expected, not {shown(value)}")
        return _different([one(item) for item in given])

    return convert


def day(value: Any) -> date:
    try:
        result = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        result = None
    if not isinstance(result, date) or isinstance(result, datetime):
        raise ValueError(f"a day like 2026-12-31 is expected, not {shown(value)}")
    return result


def commit(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{7,64}", value):
        raise ValueError(f"a commit id is expected, at least 7 digits in quotes, not {shown(value)}")
    return value


def parse_size(size: str) -> int | None:
    """Bytes of `10 MB`, `512 kB`, `1.5 GiB` or `1000`; None for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", size, re.IGNORECASE)
    if not match or (match[3] and not match[2]):
        return None
    power = " kmgt".index(match[2].lower() or " ")
    base = 1024 if match[3] else 1000
    try:
        return round(float(match[1]) * float(base**power))
    except OverflowError:
        return None


def size(value: Any) -> int:
    """Bytes of a number, or of text like `10 MB`."""
    result = None if isinstance(value, bool) or not isinstance(value, (int, float, str)) else parse_size(str(value))
    if result is None:
        raise ValueError(f"a size like '10 MB', or a number of bytes, is expected, not {shown(value)}")
    return result


def version(value: Any) -> int:
    if value != 1 or isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not supported: write 'version: 1'")
    return 1


_STAGE_NAME = "[a-z][a-z0-9_-]*"
_RESERVED_STAGES = "none|archived|latest|v[0-9]+"
STAGE_NAME_FORM = {"pattern": f"^{_STAGE_NAME}$", "not": {"pattern": f"^({_RESERVED_STAGES})$"}}
"""What `stage_name` takes, as JSON Schema."""


def stage_name(name: str) -> str:
    if not re.fullmatch(_STAGE_NAME, name):
        raise ValueError("write the name of a stage in lower case, with letters, digits, '-' and '_'")
    if re.fullmatch(_RESERVED_STAGES, name):
        raise ValueError(f"'{name}' has a meaning of its own in the registry: choose another name")
    return name


_PUBLIC_KEY = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,2}(?: .*)?")
SIGNERS_FORM: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "type": "string",
        "pattern": r"^\s*(sk-)?(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,2}",
    },
}


def signers(value: Any) -> dict[str, str]:
    """Name → public key."""
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(
            f"a mapping of names to public keys is expected, {{ci: ssh-ed25519 AAAA…}}, not {shown(value)}"
        )
    for name, public in value.items():
        if not _PUBLIC_KEY.fullmatch(public.strip()):
            raise ValueError(f"the key of '{name}' is not a public key of ssh, like ssh-ed25519 AAAA…")
    return {str(name): public.strip() for name, public in value.items()}


_REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9._/:@+~-]{0,199}"
REPOSITORY_FORM: dict[str, Any] = {"type": "string", "pattern": f"^{_REPOSITORY}$"}


def repository(value: Any) -> str:
    """The name of a repository in signatures."""
    name = text(value)
    if not re.fullmatch(_REPOSITORY, name):
        raise ValueError("a name such as github.com/acme/wine is expected: letters, digits, and . _ / : @ + ~ -")
    return name
