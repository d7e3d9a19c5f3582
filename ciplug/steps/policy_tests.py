"""Judge the cases of a policy's tests: the files of `policy_tests` in ciplug.yaml, or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciplug.config import FILE, Config
from ciplug.errors import ConfigError
from ciplug.gates import cases
from ciplug.strict_yaml import load


@dataclass(frozen=True)
class JudgedCase:
    case: cases.Case
    differences: Sequence[str]
    """How the verdict differs from the expected one; empty where the case passes."""


def judge_cases(config: Config, files: Sequence[Path], model: str | None) -> Iterator[JudgedCase]:
    """Judge every case of the files, or of those that `policy_tests` names. Raises ConfigError naming file and line.

    Args:
        model: of the cases that do not name one.
    """
    for case in _read(files or _configured(config)):
        yield JudgedCase(case, cases.differences(config.of(case.model or model).policy, case))


def _read(files: Sequence[Path]) -> Iterator[cases.Case]:
    """The cases of the files. Raises ConfigError naming file, line and key."""
    for file in files:
        try:
            document = load(file.read_text(encoding="utf-8"), str(file), ConfigError)
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(f"{file}: cannot be read: {problem}") from None
        if not isinstance(document.data, list) or not document.data:
            raise ConfigError(f"{file}: a list of cases is expected, like - {{metrics: …, expect: PASS}}")
        for number, data in enumerate(document.data):
            yield cases.read(data, f"{file}:{document.line((number,))}", number + 1)


def _configured(config: Config) -> list[Path]:
    """The files that `policy_tests` names. Raises ConfigError where there are none: that is no pass."""
    patterns = [pattern for section in config.sections() for pattern in section.policy.policy_tests or ()]
    if not patterns:
        raise ConfigError(
            f"{config.path or FILE}: no tests of the policy are configured",
            hint="add policy_tests: tests/policy/*.yaml",
        )
    where = config.places.where("policy_tests")
    try:
        files = {path for pattern in patterns for path in config.folder.glob(pattern) if path.is_file()}
    except (NotImplementedError, ValueError) as problem:  # An absolute path, or `**` within a name.
        raise ConfigError(f"{where}: policy_tests: {problem}", hint="like tests/policy/*.yaml") from None
    if not files:
        raise ConfigError(f"{where}: no file matches {', '.join(patterns)}")
    return sorted(files)
