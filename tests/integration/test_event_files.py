"""TensorBoard's event files as the metrics of a run: those that the run wrote, all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ciplug.capture.event_files import event_files, is_event_file, prefixes
from ciplug.capture.metric_files import read_metrics
from ciplug.errors import InputError
from tests.project import Project

DATA = Path(__file__).parents[1] / "data" / "metrics"
CONFIG = """\
version: 1
model: wine
metrics:
  - runs/**/events.out.tfevents.*
gates:
  validation/accuracy: {higher_is_better: true, min: 0.6}
"""
TRAIN = """\
import sys
from tensorboardX import SummaryWriter
number = int(sys.argv[1])
for part in ("train", "validation"):
    with SummaryWriter(f"runs/experiment-{number}/{part}") as writer:
        for step in range(4):
            writer.add_scalar("accuracy", 0.5 + step / 10 * number, step)
"""


@pytest.mark.slow
def test_a_run_has_the_scalars_that_it_wrote(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorboardX")
    project = Project.with_remote(tmp_path, config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / ".gitignore").write_text("runs/\n")
    project.commit("training")
    for number in (1, 2):
        project.ciplug("run", "--", sys.executable, "train.py", str(number))
    first, second = sorted(project.json("runs", "list", "--json"), key=lambda run: str(run["started"]))
    for run, last in ((first, 0.8), (second, 1.1)):
        assert {name: round(value, 6) for name, value in run["metrics"].items()} == {
            "train/accuracy": last,
            "validation/accuracy": last,
        }


def test_a_file_that_is_cut_off_has_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (whole,) = (DATA / "tensorboardx").iterdir()
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:150])
    metrics = read_metrics(cut)
    assert set(metrics.values) == {"Loss/train", "val/acc"}
    assert [(one.name, one.why) for one in metrics.left_out] == [
        (whole.name, "line"),
        ("Loss/train", "last_line"),
        ("val/acc", "last_line"),
    ]
    assert "a part that cannot be read: record" in metrics.left_out[0].reason
    cut.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="holds no metric"):
        read_metrics(cut)


def test_a_damaged_record_is_noted_and_so_are_the_metrics_of_its_file(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (whole,) = (DATA / "tensorboardx").iterdir()
    data = whole.read_bytes()
    assert read_metrics(whole).left_out == ()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / whole.name).write_bytes(data[:-20] + bytes([data[-20] ^ 255]) + data[-19:])
    (tmp_path / "b" / whole.name).write_bytes(data)
    left = {one.name: one.why for one in read_metrics(tmp_path).left_out}
    assert left == {whole.name: "line", "a/Loss/train": "last_line", "a/val/acc": "last_line"}
    # A training that was killed and resumed.
    (tmp_path / "a" / f"{whole.name}.1").write_bytes(data)
    assert {one.name for one in read_metrics(tmp_path).left_out} == {whole.name}


def test_a_gate_on_a_metric_of_a_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (whole,) = (DATA / "tensorboardx").iterdir()
    config = "version: 1\nmetrics: tb\ngates: {val/acc: {higher_is_better: true, min: 0}}\n"
    project = Project.create(tmp_path / "work", config=config)
    (project.folder / ".gitignore").write_text("tb/\n")
    project.commit("ignore")
    (project.folder / "tb").mkdir()
    (project.folder / "tb" / whole.name).write_bytes(whole.read_bytes()[:150])
    project.ciplug("record")
    (verdict,) = json.loads(project.ciplug("gate", "--json", code=None).stdout)["verdicts"]
    assert {gate["outcome"] for gate in verdict["gates"]} == {"ERROR"}


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match="event files need the extra 'tensorboard'") as error:
        read_metrics(DATA / "tensorboardx")
    assert "pip install 'ciplug[tensorboard]'" in str(error.value.hint)


def test_which_files_are_meant(tmp_path: Path) -> None:
    names = ("a/train/x.tfevents.1", "a/val/x.tfevents.2", "a/1764380000.12/x.tfevents.3", "a/notes.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = event_files(tmp_path / "a", {tmp_path / "a/val/x.tfevents.2"})
    assert [file.name for file in found] == ["x.tfevents.3", "x.tfevents.1"]
    every = event_files(tmp_path / "a/**/*.tfevents.*", ())
    assert sorted(prefixes(every).values()) == ["", "train", "val"]
    assert set(prefixes(every[:1]).values()) == {""}
    assert event_files(tmp_path / "none.tfevents.1", ()) == [tmp_path / "none.tfevents.1"]
    assert event_files(tmp_path / "a/notes.txt", ()) == []
    assert is_event_file("runs/**/events.out.tfevents.*") and not is_event_file("a.tfevents.1/metrics.json")
