"""Where versions are deployed to, one module each: `open_target` turns settings into a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ciplug.config.target_base import Target as Settings
from ciplug.targets.base import Target

Mask = Callable[[str], str]


def open_target(settings: Settings, env: Mapping[str, str], mask: Mask) -> Target:
    """The target of these settings. Nothing is contacted yet.

    Args:
        mask: masks the secrets in what a program of the target said.
    """
    return OPENERS[settings.kind](settings, env, mask)


def _oci(settings: Any, env: Mapping[str, str], mask: Mask) -> Target:
    from ciplug.targets.oci import Oci

    return Oci(settings, env)


def _local(settings: Any, env: Mapping[str, str], mask: Mask) -> Target:
    from ciplug.targets.local import Local

    return Local(settings, env, mask)


def _sagemaker(settings: Any, env: Mapping[str, str], mask: Mask) -> Target:
    from ciplug.targets.sagemaker import Sagemaker

    return Sagemaker(settings, mask)


def _kserve(settings: Any, env: Mapping[str, str], mask: Mask) -> Target:
    from ciplug.targets.kserve import Kserve

    return Kserve(settings, env, mask)


def _azureml(settings: Any, env: Mapping[str, str], mask: Mask) -> Target:
    from ciplug.targets.azureml import Azureml

    return Azureml(settings, mask)


def _mlflow(settings: Any, env: Mapping[str, str], mask: Mask) -> Target:
    from ciplug.targets.mlflow import Mlflow

    return Mlflow(settings, mask)


OPENERS: Mapping[str, Callable[[Any, Mapping[str, str], Mask], Target]] = {
    "oci": _oci,
    "local": _local,
    "sagemaker": _sagemaker,
    "kserve": _kserve,
    "azureml": _azureml,
    "mlflow": _mlflow,
}
"""By the kind of the settings: only the module of a target that is used is imported."""
