"""Where versions are deployed to, one module each: `open_target` turns settings into a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ciplug.config.targets import LocalTarget, OciTarget
from ciplug.config.targets import Target as Settings
from ciplug.targets.base import Target


def open_target(settings: Settings, env: Mapping[str, str], mask: Callable[[str], str]) -> Target:
    """The target of these settings. Nothing is contacted yet.

    Args:
        mask: masks the secrets in what a program of the target said.
    """
    if isinstance(settings, OciTarget):
        from ciplug.targets.oci import Oci

        return Oci(settings, env)
    if isinstance(settings, LocalTarget):
        from ciplug.targets.local import Local

        return Local(settings, env, mask)
    raise NotImplementedError(settings.kind)
