"""Find values of ciplug.yaml that no job could use: a store, a format or a name that does not exist.

`config` reads the file without knowing stores and formats; what they take is asked here, before a training begins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from ciplug.config.kinds import Mistake, Unknown
from ciplug.config.kinds import Path as Keys
from ciplug.config.settings import Config, Section
from ciplug.errors import ConfigError
from ciplug.records.run import is_model_name


def impossible_values(config: Config) -> Iterator[Mistake]:
    """Yield each value that could never work; paths begin at the top of the file."""
    yield from _stores(config)
    names = config.named_sections
    for name in names:
        if not is_model_name(name):
            path: Keys = ("models", name) if config.models else ("model",)
            yield _wrong(path, "not the name of a model: up to 120 printable characters, without / : and \\")
    for name, section in config.models.items() or [("", config)]:
        at: Keys = ("models", name) if config.models else ()
        yield from (mistake.below(at) for mistake in _of_section(section))


def _wrong(path: Keys, words: str, hint: str | Unknown | None = None) -> Mistake:
    return Mistake(path, words, hint, (path,))


def _stores(config: Config) -> Iterator[Mistake]:
    from ciplug.stores import check_files, check_store, is_archived

    kept = config.artifact_store
    for key, uri, check in (("store", config.store, check_store), ("artifact_store", kept, check_files)):
        if uri is None or (key == "artifact_store" and uri == "none"):
            continue
        try:
            check(uri)
        except ConfigError as problem:
            yield _wrong((key,), problem.message, problem.hint)
    if kept not in (None, "none") and config.store is not None and is_archived(config.store):
        words = f"the store '{config.store}' keeps only the digests of artifacts"
        yield Mistake(("artifact_store",), words, "remove it", (("store",), ("artifact_store",)))


def _of_section(section: Section) -> Iterator[Mistake]:
    yield from _metric_files(section)
    yield from _artifacts(section)
    samples = section.policy.samples
    if samples is not None:
        from ciplug.capture.example_files import EXTENSIONS, FORMATS

        path = ("samples", "format")
        if samples.format is not None and samples.format not in FORMATS:
            yield _wrong(path, f"unknown format of examples '{samples.format}'", Unknown(samples.format, list(FORMATS)))
        elif samples.format is None:
            problems = _extension(section, samples.file, EXTENSIONS, "no file of examples has the extension")
            yield from (Mistake(("samples", "file"), words, None, (path, ("samples", "file"))) for words in problems)
    for name, gate in section.policy.gates.items():
        for key in ("reference", "current"):
            file = getattr(gate, key)
            if gate.kind == "drift" and file is not None:
                from ciplug.capture.tables.formats import FORMATS as TABLES

                problems = _extension(section, file, TABLES, "no table has the extension")
                yield from (_wrong(("gates", name, key), words) for words in problems)


def _metric_files(section: Section) -> Iterator[Mistake]:
    if not (section.metrics.files or section.params):
        return
    from ciplug.capture.event_files import is_event_file
    from ciplug.capture.metric_formats import READERS

    metrics = tuple(one.file for one in section.metrics.files if one is not None)  # None: it could not be read.
    for key, files in (("metrics", metrics), ("params", section.params)):
        for file in files:
            if key == "metrics" and is_event_file(file):
                continue
            for words in _extension(section, file, READERS, f"no file of {key} has the extension"):
                yield _wrong((key,), f"{file}: {words}")


def _artifacts(section: Section) -> Iterator[Mistake]:
    for key, paths in (("artifacts", section.artifacts), ("datasets", section.datasets)):
        for path in paths:
            if "://" in path:
                yield from (_wrong((key,), words) for words in _address(key, path))


def _address(key: str, address: str) -> Iterator[str]:
    from ciplug.git.credentials import redact
    from ciplug.stores.bucket.files import ADDRESSES

    shown = redact(address).partition("?")[0]
    if key == "datasets":
        yield f"{shown}: a file or folder is expected, not an address"
    elif not address.startswith(ADDRESSES):
        yield f"{shown}: unsupported address: use one of {', '.join(ADDRESSES)}"
    elif any(sign in address for sign in "@?#"):
        yield f"{shown}: an address with a query or credentials would be recorded: name it without them"


def _extension(section: Section, file: str, extensions: Collection[str], words: str) -> Iterable[str]:
    """The sentence on a file that nothing can read. A folder has no extension, whatever it is called."""
    extension = PurePosixPath(file).suffix.lower()
    if not extension or extension in extensions or Path(section.folder / file).is_dir():
        return ()
    return (f"{words} {extension!r}: {', '.join(extensions)}",)
