"""The committed file that proposes promotions: model → stage → version. Pure.

wine-quality: {staging: 4, production: 3}
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from ciplug import strict_yaml
from ciplug.errors import ConfigError

_HINT = "write it like this: wine-quality: {staging: 4, production: 3}"


class Proposal(NamedTuple):
    """The promotion that a pull request must propose."""

    model: str
    """The registered name."""
    stage: str
    """In lower case."""
    version: int | None
    """None: the run is not a version yet."""
    run: str

    def is_in(self, data: bytes | None) -> bool:
        """Whether the file with this content proposes it: by the number of the version, or by the whole id of the run.

        The beginning of an id is not enough: whoever records a run chooses its id.
        """
        value = proposed(data, self.model, self.stage)
        return value is not None and value in (self.version, self.run)

    @property
    def line(self) -> str:
        """What the file has to say."""
        value = self.run if self.version is None else str(self.version)
        return f"{self.model}: {{{self.stage}: {value}}}"


def proposed(data: bytes | None, model: str, stage: str) -> int | str | None:
    """What a file proposes for a stage of a model; None: nothing, or nothing that can be read."""
    try:
        return every_proposed(data, "").get(model, {}).get(stage)
    except ConfigError:
        return None


def every_proposed(data: bytes | None, source: str) -> dict[str, dict[str, int | str]]:
    """What a file proposes: model → stage in lower case → version. Raises ConfigError where it cannot be read."""
    if data is None:
        raise ConfigError(f"there is no file {source}", hint=_HINT)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    _check_visible(text, source)
    content = strict_yaml.load(text, source, ConfigError).data
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: a mapping of models is expected", hint=_HINT)
    return {str(model): _stages(stages, f"{source}: {model}") for model, stages in content.items()}


def _check_visible(text: str, source: str) -> None:
    """Raise ConfigError for a character that a diff does not show: to YAML, some of them end a line, and a comment."""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        for one in line:
            if one != "\t" and unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp"):
                raise ConfigError(f"{source}:{number}: the character U+{ord(one):04X} cannot be seen", hint="remove it")


def _stages(stages: object, where: str) -> dict[str, int | str]:
    if not isinstance(stages, dict):
        raise ConfigError(f"{where}: a mapping of stages is expected", hint=_HINT)
    for stage, value in stages.items():
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ConfigError(f"{where}: {stage}: the number of a version or the id of a run is expected", hint=_HINT)
    lower = {str(stage).lower(): value for stage, value in stages.items()}
    if len(lower) < len(stages):
        raise ConfigError(f"{where}: a stage is named twice, in upper and lower case", hint="leave one of them")
    return lower
