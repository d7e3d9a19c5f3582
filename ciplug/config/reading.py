"""From the text of ciplug.yaml, and of the files that it extends, to settings. Every mistake is reported at once."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ciplug import strict_yaml
from ciplug.config import kinds
from ciplug.config.contradictions import Readable, contradictions
from ciplug.config.kinds import Mistake, Mistakes, Table
from ciplug.config.merging import Lines, Merged, merge
from ciplug.config.mistakes import Located, Report
from ciplug.config.policy import Policy
from ciplug.config.settings import WHOLE_FILE, Config, Places
from ciplug.errors import ConfigError

Reader = Callable[[str], str]
"""Text of the file of this path, as `extends` or the command line names it. Raises ConfigError."""
Check = Callable[[Config], Iterable[Mistake]]
"""Finds mistakes in settings; the paths begin at the top of the file."""
EXTENDS_MOST = 8
_TOP = Table(Config, "{metrics: metrics.json}")


def no_mistakes(config: Config) -> Iterable[Mistake]:
    return ()


def parse(text: str, path: Path, read: Reader, origin: str = "", further: Check = no_mistakes) -> Config:
    """The settings in the text of a file.

    Args:
        read: reads the files that it extends, by their path.
        origin: where the text is from, to precede the names of files in errors: `main (1a2b3c4d)`.
        further: finds more mistakes in what could be read.

    Raises ConfigError with every mistake of the file and of those that it extends.
    """
    parser = _Parser(read, further)
    config = parser.file(text, path, ()).config
    parser.report.check(origin, _for_recording(config))
    return config


def _for_recording(config: Config) -> Config:
    """The settings without what judges runs, but with the files that are recorded for it."""
    models = {name: replace(section, policy=_recorded(section.policy)) for name, section in config.models.items()}
    return replace(config, policy=_recorded(config.policy), models=models)


def _recorded(policy: Policy) -> Policy:
    return Policy(evaluation=policy.evaluation, samples=policy.samples)


class _File(NamedTuple):
    """A file with what it extends."""

    merged: Merged
    config: Config
    unreadable: set[kinds.Path]
    """The values that YAML cannot read."""
    wrong: bool
    """Whether it has a mistake."""


@dataclass
class _Parser:
    read: Reader
    further: Check
    report: Report = field(default_factory=Report)
    bases: dict[str, _File] = field(default_factory=dict)
    """The files by path: a file of several models may extend another one many times."""

    def file(self, text: str, path: Path, within: Sequence[str]) -> _File:
        """Read a file. `within`: the files that extend it, the outermost first."""
        before = len(self.report)
        self.report.open(str(path))
        own, unreadable = self._document(text, path)
        within = (*within, posixpath.normpath(path.as_posix()))
        bases = {part: self._base(own, part, path, within) for part in _parts(own.data)}
        merged = _merged(own, bases)
        mistakes: Mistakes = []
        config = _located(_TOP.read(merged.data, (), mistakes), path, merged.lines)
        unreadable |= {(*part, *at) for part, base in bases.items() if base for at in base.unreadable}
        wrong = {*(mistake.path for mistake in mistakes), *unreadable}
        for part, base in bases.items():
            mistakes += self._of_part(config, part, base, merged, wrong, outermost=len(within) == 1)
        if len(within) == 1:
            mistakes += [mistake for mistake in self.further(config) if mistake.is_known(wrong)]
        # A value that YAML cannot read has been reported already, and what it is in is not to blame.
        reported = {at[:length] for at in unreadable for length in range(1, len(at) + 1)}
        self.report.locate((mistake for mistake in mistakes if mistake.path not in reported), str(path), merged.lines)
        return _File(merged, _extending(config, bases), unreadable, len(self.report) > before)

    def _of_part(
        self,
        config: Config,
        part: kinds.Path,
        base: _File | None,
        merged: Merged,
        wrong: Collection[kinds.Path],
        *,
        outermost: bool,
    ) -> Mistakes:
        """Find mistakes between the keys of a model, and between it and the file that it extends."""
        section = config.models.get(str(part[1])) if part else config
        if section is None:
            return []
        depth = len(part)
        within = [at[depth:] for at in wrong if len(at) > depth and at[:depth] == part]
        others: list[Mistake] = []
        if outermost:
            given = _value(merged.data, part).get("gates")
            others += contradictions(Readable(section.policy, given if isinstance(given, dict) else {}, within))
        if base and not base.wrong:
            from ciplug.config.tighten import loosenings, section_loosenings

            others += loosenings(base.config.policy, section.policy, within)
            others += (one for one in section_loosenings(base.config, section) if one.is_known(within))
        return [mistake.below(part) for mistake in others]

    def _document(self, text: str, path: Path) -> tuple[Merged, set[kinds.Path]]:
        """Read one file without the ones that it extends; also returns the paths of values that YAML cannot read."""
        document = strict_yaml.read(text)
        lines = {at: (str(path), line) for at, line in document.lines.items()}
        self.report.add(*(Located(str(path), p.line, "", p.words) for p in document.problems))
        data = {} if document.data is None else document.data
        if not isinstance(data, dict):
            self.report.add(Located(str(path), 1, "", "a mapping of keys is expected, like 'metrics: metrics.json'"))
            data = {}
        strays = [key for key in data if "models" in data and key not in WHOLE_FILE and key in kinds.keys_of(Config)]
        words, hint = "this key is not allowed beside 'models:'", "move it into each model"
        self.report.locate((Mistake((key,), words, hint) for key in strays), str(path), lines)
        data = {key: value for key, value in data.items() if key not in strays}
        return Merged(data, lines), {problem.path for problem in document.problems if problem.path}

    def _base(self, own: Merged, part: kinds.Path, path: Path, within: Sequence[str]) -> _File | None:
        """The file that a part extends; None where there is none that can be read."""
        name = _value(own.data, part).get("extends")
        if not isinstance(name, str) or not name.strip():
            return None
        target = posixpath.normpath(posixpath.join(path.parent.as_posix(), name))
        try:
            return self._extended(target, name, within)
        except ConfigError as problem:
            self.report.locate([Mistake((*part, "extends"), problem.message)], str(path), own.lines)
            return None

    def _extended(self, target: str, name: str, within: Sequence[str]) -> _File:
        if target in within:
            raise ConfigError(f"{name} extends this file in turn")
        if len(within) > EXTENDS_MOST:
            raise ConfigError(f"more than {EXTENDS_MOST} files extend one another")
        if target not in self.bases:
            self.bases[target] = self.file(self.read(target), Path(target), within)
        if self.bases[target].config.models:
            raise ConfigError(f"{name} has several models, and only a file of one model can be extended")
        return self.bases[target]


def _parts(data: Mapping[str, Any]) -> Iterator[kinds.Path]:
    """Return the place of each model's settings: the top, or below `models`."""
    if "models" not in data:
        yield ()
        return
    models = data["models"] if isinstance(data["models"], dict) else {}
    yield from (("models", name) for name, part in models.items() if isinstance(part, dict))


def _value(data: Mapping[str, Any], part: kinds.Path) -> Mapping[str, Any]:
    for step in part:
        data = data[str(step)]
    return data


def _merged(own: Merged, bases: Mapping[kinds.Path, _File | None]) -> Merged:
    """A file with each part laid over what it extends."""
    merged = own
    for part, base in bases.items():
        if base is None:
            continue
        laid = merge(base.merged, Merged(dict(_value(own.data, part)), merged.lines), part)
        if not part:
            return laid
        models = {**merged.data["models"], str(part[1]): laid.data}
        merged = Merged({**merged.data, "models": models}, laid.lines)
    return merged


def _extending(config: Config, bases: Mapping[kinds.Path, _File | None]) -> Config:
    """The settings, each policy with the one that it extends."""
    base_of = {part: base.config.policy for part, base in bases.items() if base}
    models = {
        name: replace(one, policy=replace(one.policy, extended=base_of.get(("models", name))))
        for name, one in config.models.items()
    }
    return replace(config, models=models, policy=replace(config.policy, extended=base_of.get(())))


def _located(config: Config, path: Path, lines: Lines) -> Config:
    """The settings with the file, and for each model its name."""
    models = {
        name: replace(part, model=name, path=path, places=Places(str(path), lines, ("models", name)))
        for name, part in config.models.items()
    }
    return replace(config, models=models, path=path, places=Places(str(path), lines))
