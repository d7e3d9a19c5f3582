"""ciplug.yaml: its keys are the fields of dataclasses, from which reading, errors and the JSON schema follow."""

from __future__ import annotations

from ciplug.config.ciplug_yaml import find, load, parse
from ciplug.config.mistakes import PolicyError
from ciplug.config.policy import Samples
from ciplug.config.settings import DEFAULT_ARTIFACT_LIMIT, DEFAULT_MODEL, FILE, Config, Keep, Section
from ciplug.config.values import parse_size

__all__ = [
    "DEFAULT_ARTIFACT_LIMIT",
    "DEFAULT_MODEL",
    "FILE",
    "Config",
    "Keep",
    "PolicyError",
    "Samples",
    "Section",
    "find",
    "load",
    "parse",
    "parse_size",
]
