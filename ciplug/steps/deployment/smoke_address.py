"""Where a served version is asked, and the token for that: only an address of ciplug.yaml gets it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ciplug.config.service_targets import KserveTarget
from ciplug.config.target_base import SmokeTest, Target
from ciplug.config.targets import LocalTarget
from ciplug.errors import ConfigError
from ciplug.targets.invocations import VARIABLE, token_for

_OF_THIS_MACHINE = re.compile(r"http://127\.0\.0\.1:([0-9]{1,5})")


class Address(NamedTuple):
    url: str
    token: str | None


def check_address(name: str, target: Target, test: SmokeTest, env: Mapping[str, str]) -> None:
    """Raise ConfigError where a smoke test of a target could not ask it: before anything is deployed there."""
    if test.url is not None:
        token_for(_joined(test.url, test), env)
    elif isinstance(target, LocalTarget):
        token_for(_joined(f"http://127.0.0.1:{target.ports[0]}", test), env)
    elif not (isinstance(target, KserveTarget) and target.apply):
        raise ConfigError(
            f"the target '{name}' is no server, or answers in a way of its own, so nothing is known to ask",
            hint=_hint(name),
        )
    elif env.get(VARIABLE, "").strip():
        raise ConfigError(
            f"{VARIABLE} is sent only to an address of ciplug.yaml, which names none for '{name}'", hint=_hint(name)
        )


def address_of(
    name: str, target: Target, test: SmokeTest, endpoint: str | None, env: Mapping[str, str]
) -> Address | None:
    """The address to ask; None: it is not known.

    Args:
        endpoint: where the target serves, by the log.

    Raises ConfigError.
    """
    check_address(name, target, test, env)
    if test.url is not None:
        url = _joined(test.url, test)
        return Address(url, token_for(url, env))
    if not (endpoint or "").startswith(("http://", "https://")):
        return None
    url = _joined(endpoint or "", test)
    if not isinstance(target, LocalTarget):
        token_for(url, {})
        return Address(url, None)
    of_this_machine = _OF_THIS_MACHINE.fullmatch(endpoint or "")
    token = token_for(url, env)
    if not of_this_machine or (token and int(of_this_machine[1]) not in target.ports):
        raise ConfigError(
            f"by the log, '{name}' serves at {url}, which is not an address of ciplug.yaml", hint=_hint(name)
        )
    return Address(url, token)


def _joined(address: str, test: SmokeTest) -> str:
    return address.rstrip("/") + test.path


def _hint(name: str) -> str:
    return f"name the server: targets: {{{name}: {{smoke_test: {{url: https://wine.example.com}}}}}}"
