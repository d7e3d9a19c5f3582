"""A person, as the API of a forge confirms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """A person, as the API of a forge confirms."""

    login: str
    by: str
    """The forge."""
    names: frozenset[str] = frozenset()
    """What else the forge knows the person by: the full name, addresses."""

    def known_as(self) -> set[str]:
        """All names, in lower case."""
        return {name.casefold() for name in (self.login, *self.names)}
