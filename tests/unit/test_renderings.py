"""Figures, images, texts and tables of a training become files for people, and never stop it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import ciplug
from ciplug.capture import log
from ciplug.capture.renderings import artifact_name, of_image
from ciplug.capture.writer import KEPT, RunWriter
from ciplug.errors import UsageError

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
PNG = b"\x89PNG\r\n"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the files that were given to the run around this program."""
    writer = RunWriter.create(tmp_path / "r1", {})
    monkeypatch.setenv("CIPLUG_RUN_ID", "r1")
    monkeypatch.setenv("CIPLUG_RUN_DIR", str(writer.folder))
    yield writer.folder / KEPT
    ciplug.end_run()


@pytest.mark.slow
def test_a_figure_of_matplotlib_is_kept_in_the_format_of_its_extension(kept: Path) -> None:
    figure_of = pytest.importorskip("matplotlib.figure").Figure
    figure = figure_of()
    axes = figure.subplots()
    axes.plot([1, 2])
    ciplug.log_figure(figure, "plots/roc.png", save_kwargs={"dpi": 40})
    ciplug.log_figure(axes, "axes.svg")
    assert (kept / "plots/roc.png").read_bytes().startswith(PNG)
    assert b"<svg" in (kept / "axes.svg").read_bytes()
    assert log.read(kept.parent).files == ("plots/roc.png", "axes.svg")


def test_a_figure_of_plotly_is_kept_as_a_page(kept: Path) -> None:
    go = pytest.importorskip("plotly.graph_objects")
    ciplug.log_figure(go.Figure(go.Scatter(y=[1, 2])), "loss.html")
    assert b"plotly" in (kept / "loss.html").read_bytes()


ARRAYS = {
    "L": np.zeros((2, 3), dtype="uint8"),
    "RGB": np.ones((2, 3, 3)) / 2,
    "RGBA": np.zeros((2, 3, 4), dtype="int64"),
    "one channel": np.array([[[True], [False]]]),
}


@pytest.mark.parametrize("mode", ARRAYS)
def test_an_array_is_an_image(mode: str) -> None:
    image = Image.open(io.BytesIO(of_image(ARRAYS[mode], "a.png")))
    assert image.mode == ("L" if mode == "one channel" else mode)
    assert image.size == ARRAYS[mode].shape[1::-1]
    if mode == "RGB":
        assert image.getpixel((0, 0)) == (127, 127, 127)


def test_images_of_all_kinds_are_kept(kept: Path, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2, 2))
    ciplug.log_image(picture, "a.jpg")
    picture.save(tmp_path / "of a path.png")
    ciplug.log_image(tmp_path / "of a path.png", "b.png")
    ciplug.log_image(np.zeros((2, 2)), key="samples", step=3)
    assert log.read(kept.parent).files == ("a.jpg", "b.png", "images/samples-3.png")
    assert (kept / "b.png").read_bytes() == (tmp_path / "of a path.png").read_bytes()


def test_mappings_and_texts_are_kept(kept: Path) -> None:
    value = {"b": np.float32(0.5), "a": [np.array([1, 2])], "name": "हिन्दी", "path": Path("x")}
    plain = {"b": 0.5, "a": [[1, 2]], "name": "हिन्दी", "path": "x"}
    ciplug.log_dict(value, "d.json")
    ciplug.log_dict(value, "d.yml")
    ciplug.log_text("a line\n", "notes/t.txt")
    ciplug.log_text("another\n", "notes/t.txt")
    assert json.loads((kept / "d.json").read_text()) == yaml.safe_load((kept / "d.yml").read_text()) == plain
    assert (kept / "notes/t.txt").read_text() == "another\n"
    assert log.read(kept.parent).files == ("d.json", "d.yml", "notes/t.txt")


def test_a_table_grows_and_pandas_reads_it(kept: Path) -> None:
    pd = pytest.importorskip("pandas")
    ciplug.log_table({"text": ["a", "b"], "score": np.array([1.0, 2.0])}, "t.json")
    ciplug.log_table(pd.DataFrame({"score": [3.0], "new": ["x"]}), "t.json")
    ciplug.log_table({"text": "c", "score": 4}, "t.json")
    found = pd.read_json(kept / "t.json", orient="split")
    assert list(found.columns) == ["text", "score", "new"]
    assert list(found["score"]) == [1, 2, 3, 4]
    assert list(found["new"].fillna("")) == ["", "", "x", ""]


class Broken:
    def savefig(self, *args: Any, **options: Any) -> None:
        raise RuntimeError("no display")


def test_what_cannot_be_drawn_stops_no_training(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = {
        "a.png": lambda: ciplug.log_figure(Broken(), "a.png"),
        "b.png": lambda: ciplug.log_figure(None, "b.png"),
        "c.png": lambda: ciplug.log_image(np.full((2, 2), 7.0), "c.png"),
        "d.png": lambda: ciplug.log_image("missing.png", "d.png"),
        "e.csv": lambda: ciplug.log_table({"a": [1]}, "e.csv"),
        "f.json": lambda: ciplug.log_table({"a": [1], "b": [1, 2]}, "f.json"),
        "../g.txt": lambda: ciplug.log_text("out", "../g.txt"),
        "h.xyz": lambda: ciplug.log_image(np.zeros((2, 2)), "h.xyz"),
    }
    for call in calls.values():
        call()
    ciplug.log_metric("loss", 0.5)
    found = log.read(kept.parent)
    assert (found.files, found.metrics) == ((), {"loss": 0.5})
    assert {one.name: one.why for one in found.left_out} == dict.fromkeys(calls, "artifact")
    said = capsys.readouterr().err
    assert "1 name is left out: 'a.png' (no file: RuntimeError: no display)" in said
    assert "no gate looks at this file" in said and "a gate on a metric" not in said
    assert "the pixels of float64 are from 0 to 1" in said
    assert not (kept.parent / "g.txt").exists()


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a\nb", "x" * 251, "..\\x"])
def test_names_that_a_file_of_a_run_cannot_have(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of an artifact"):
        artifact_name(name)


def test_several_tags(kept: Path) -> None:
    ciplug.set_tags({"team": "wine", "fold": 3})
    assert log.read(kept.parent).tags == {"team": "wine", "fold": "3"}
