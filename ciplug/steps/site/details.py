"""The details of chosen runs for the site: steps, images, and how each run came to be."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug.records.canonical import dumps
from ciplug.records.keys import RunKey, parse_runs, run_key
from ciplug.reports import number_format, untrusted
from ciplug.reports.charts import thin
from ciplug.reports.crash import crash_of
from ciplug.reports.images import data_address
from ciplug.reports.run_facts import facts_of
from ciplug.reports.site import scripts
from ciplug.steps.pictures import ImageShelf
from ciplug.steps.site.folder import DATA, SiteFolder
from ciplug.stores.files import hex_of

if TYPE_CHECKING:
    from ciplug.records.run import File, Run
    from ciplug.records.series import Series
    from ciplug.steps.session import Session
    from ciplug.tracking.runs import Runs

Image = tuple[str, str, str | None]
"""Path, name of the file with the image, and why there is none."""
AT_ONCE = 200
"""Runs whose records and images are fetched together."""
SERIES_MOST = 100
"""Metrics of a run whose steps are shown."""
IMAGES_MOST = 12
"""Images of a run."""
FILES_MOST = 200
ROOM = 256 * 1024 * 1024
"""Bytes of images that one build adds."""


def write_details(session: Session, runs: Runs, keys: Sequence[str], folder: SiteFolder) -> dict[str, str]:
    """Write the details of these runs; returns the id of a run → the name of its file.

    What a run has beside its record never changes, apart from amendments: the name of a file says which it is made of.
    """
    wanted = parse_runs(keys)
    runs.recorded_on({run.commit for run in wanted})
    names = {run: f"{DATA}/run/{_version(runs, run)}.js" for run in wanted}
    new = [run for run in wanted if not folder.has(names[run])]
    with tempfile.TemporaryDirectory() as place:
        shelf = ImageShelf(session, Path(place), ROOM)
        for start in range(0, len(new), AT_ONCE):
            loaded = runs.load(new[start : start + AT_ONCE])
            images = {run.id: dict(sorted(shelf.images(run.artifacts).items())) for run in loaded}
            first = {run: dict(list(of_run.items())[:IMAGES_MOST]) for run, of_run in images.items()}
            shelf.bring([file for of_run in first.values() for file in of_run.values()])
            for run, series in zip(loaded, runs.series_of(loaded), strict=True):
                shown = list(_written(shelf, first[run.id], folder))
                left = len(images[run.id]) - len(shown)
                folder.put(names[run_key(run)], scripts.script(_record(run, series, shown, left)))
    for name in list(_images_named(folder, names.values())):
        folder.has(name)
    return {run.id: name for run, name in names.items() if folder.has(name)}


def _version(runs: Runs, run: RunKey) -> str:
    """A name that changes with what is shown of a run."""
    parts = [scripts.FORMAT, *runs.objects_of([run]), *runs.beside_amendments(run)]
    return hashlib.sha256(dumps(parts)).hexdigest()[:24]


def _written(shelf: ImageShelf, images: Mapping[str, File], folder: SiteFolder) -> Iterator[Image]:
    for path, file in images.items():
        kind = path.lower().rpartition(".")[2]
        name = f"{DATA}/image/{hex_of(file.digest)[:40]}-{kind}.js"
        if not folder.has(name):
            data = shelf.bytes(file)
            if data is None:
                yield path, "", shelf.problem(file) or "it cannot be read"
                continue
            folder.put(name, scripts.script({"kind": "image", "file": name, "address": data_address(path, data)}))
        yield path, name, None


def _images_named(folder: SiteFolder, details: Iterable[str]) -> Iterator[str]:
    """The files of the images that written details name."""
    for name in details:
        try:
            content = (folder.path / name).read_text(encoding="utf-8")
        except OSError:
            continue
        yield from (image for _, image, _ in scripts.parse(content)["images"] if image)


def _record(run: Run, series: Mapping[str, Series], images: Iterable[Image], images_left: int) -> dict[str, Any]:
    curves = [
        [scripts.shown(name), *_curve(one)] for name, one in sorted(series.items())[:SERIES_MOST] if len(one.steps) > 1
    ]
    crash = crash_of(run)
    return {
        "kind": "run",
        "run": run.id,
        "facts": scripts.pairs(facts_of(run)),
        "ended": [scripts.shown(crash.words), crash.error and scripts.shown(crash.error)] if crash else None,
        "output": list(map(untrusted.output_line, crash.lines)) if crash else [],
        "series": curves,
        "series_left": max(0, len(series) - SERIES_MOST),
        "images": [[scripts.shown(path), name, problem and scripts.shown(problem)] for path, name, problem in images],
        "images_left": images_left,
        "files": [
            [scripts.shown(file.path), number_format.size(file.size), file.digest.removeprefix("sha256:")[:12]]
            for file in run.artifacts[:FILES_MOST]
        ],
    }


def _curve(series: Series) -> tuple[list[float], list[float | str]]:
    points = thin(list(zip(map(float, series.steps), series.values, strict=True)))
    return [x for x, _ in points], [scripts.number(y) for _, y in points]
