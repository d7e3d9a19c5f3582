"""Objects of a training as the bytes of a file for people: figures, images, texts, tables.

The libraries that made them are not imported: an object is known by its methods.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ciplug.errors import UsageError

_IMAGES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tiff": "TIFF",
}


def artifact_name(name: str | os.PathLike[str]) -> str:
    """The name of a file of a run, with `/`. Raises UsageError for one that leaves the run's folder."""
    text = os.fspath(name)
    path = PurePosixPath(text.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or not text.isprintable() or len(text) > 250:
        raise UsageError(f"{text[:80]!r} cannot be the name of an artifact", hint="a path like plots/roc.png")
    return path.as_posix()


def of_figure(figure: Any, name: str, options: Mapping[str, Any]) -> bytes:
    """A figure of matplotlib or plotly, or what holds one, such as an Axes; the extension determines the format."""
    suffix = PurePosixPath(name).suffix.lower()
    if hasattr(figure, "write_html"):
        if suffix in (".html", ".htm"):
            return str(figure.to_html(**{"include_plotlyjs": "cdn", **options})).encode()
        return bytes(figure.to_image(format=suffix.removeprefix(".") or "png", **options))
    drawn: Any = figure if hasattr(figure, "savefig") else getattr(figure, "figure", None)
    if not hasattr(drawn, "savefig"):
        raise UsageError(f"a figure of matplotlib or plotly is expected, not {type(figure).__name__}")
    out = io.BytesIO()
    drawn.savefig(out, **{"format": suffix.removeprefix(".") or "png", **options})
    return out.getvalue()


def of_image(image: Any, name: str) -> bytes:
    """An image: a path, one of PIL or MLflow, or an array of height × width (× 1, 3 or 4)."""
    if isinstance(image, (str, os.PathLike)):
        return Path(image).read_bytes()
    if hasattr(image, "to_pil"):
        image = image.to_pil()
    if not hasattr(image, "save"):
        image = _of_array(image)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _IMAGES:
        raise UsageError(f"unknown format of images {suffix!r}", hint=", ".join(_IMAGES))
    if _IMAGES[suffix] == "JPEG" and image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    out = io.BytesIO()
    image.save(out, format=_IMAGES[suffix])
    return out.getvalue()


def _of_array(array: Any) -> Any:
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    if not hasattr(array, "ndim") or not hasattr(array, "dtype"):
        raise UsageError(f"an array, an image of PIL or a path is expected, not {type(array).__name__}")
    import numpy
    from PIL import Image

    pixels = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise UsageError(f"an image is height × width (× 1, 3 or 4), and this is {' × '.join(map(str, array.shape))}")
    kind = pixels.dtype.kind
    if kind not in "buif":
        raise UsageError(f"an image is of numbers, not of {pixels.dtype}")
    most = 255 if kind in "ui" else 1
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= most):
        raise UsageError(f"the pixels of {pixels.dtype} are from 0 to {most}")
    return Image.fromarray((pixels if most == 255 else pixels * 255).astype(numpy.uint8))


def of_mapping(value: Any, name: str) -> bytes:
    """A mapping as JSON, or YAML by its extension."""
    if PurePosixPath(name).suffix.lower() in (".yaml", ".yml"):
        import yaml

        plain = json.loads(json.dumps(value, default=_plain))
        return str(yaml.safe_dump(plain, allow_unicode=True, sort_keys=False)).encode()
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain).encode()


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays and scalars of numpy and torch as numbers, all else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def of_table(data: Any, name: str, before: bytes | None) -> bytes:
    """A table with its rows after those of `before`: a DataFrame, or a mapping of columns to values.

    As JSON it is what pandas reads with `orient="split"`, and what MLflow writes.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix != ".json":
        raise UsageError(f"a table is kept as .json, not {suffix or 'without an extension'!r}")
    columns, rows = _table(data)
    if before is not None:
        old = json.loads(before)
        names = list(dict.fromkeys([*old["columns"], *columns]))
        rows = [*_placed(old["columns"], old["data"], names), *_placed(columns, rows, names)]
        columns = names
    return json.dumps({"columns": columns, "data": rows}, ensure_ascii=False, default=_plain).encode()


def _table(data: Any) -> tuple[list[str], list[list[Any]]]:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        split = data.to_dict(orient="split")
        return [str(name) for name in split["columns"]], [list(row) for row in split["data"]]
    if not isinstance(data, Mapping) or not data:
        raise UsageError(f"a DataFrame or a mapping of columns is expected, not {type(data).__name__}")
    columns = [value.tolist() if hasattr(value, "tolist") else value for value in data.values()]
    names = [str(name) for name in data]
    if not any(isinstance(value, (list, tuple)) for value in columns):
        return names, [columns]
    lengths = {len(value) if isinstance(value, (list, tuple)) else 1 for value in columns}
    if len(lengths) != 1:
        raise UsageError("the columns of the table differ in length")
    cells = [value if isinstance(value, (list, tuple)) else [value] for value in columns]
    return names, [list(row) for row in zip(*cells, strict=True)]


def _placed(columns: Sequence[str], rows: Sequence[Sequence[Any]], names: Sequence[str]) -> list[list[Any]]:
    """Rows under the columns `names`; a cell that is not there is null."""
    at = {name: place for place, name in enumerate(columns)}
    return [[row[at[name]] if name in at else None for name in names] for row in rows]
