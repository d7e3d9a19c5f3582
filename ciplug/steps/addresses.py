"""Artifacts at addresses, such as s3://…: whether a command has written them while it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ciplug.errors import CiplugError


class Addresses:
    """What lies at addresses before a command begins, beside what lies there afterwards."""

    def __init__(self, addresses: Sequence[str], env: Mapping[str, str]) -> None:
        self._addresses, self._env = addresses, env
        self._before = dict(self._versions())

    def unwritten(self) -> list[str]:
        """The addresses whose content is the same as before."""
        now = dict(self._versions())
        return [one for one, before in self._before.items() if before is not None and now.get(one) == before]

    def unknown(self) -> list[str]:
        """The addresses that could not be asked before: their content may be older than the command."""
        return [one for one in self._addresses if one not in self._before]

    def _versions(self) -> list[tuple[str, str | None]]:
        if not self._addresses:
            return []
        from ciplug.stores.bucket.files import version

        versions = []
        for address in self._addresses:
            try:
                versions.append((address, version(address, self._env)))
            except CiplugError:
                # Whoever reads it after the training reports what is wrong.
                continue
        return versions
