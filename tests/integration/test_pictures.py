"""Images that a training leaves are in the HTML report, beside those of the baseline."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ciplug.records.run import File
from ciplug.reports import comment, html
from ciplug.reports.report import ModelSection, Picture, Report, as_json
from ciplug.steps.pictures import SIZE_MOST, images_of
from tests import report_samples as samples
from tests.project import Project, git

CONFIG = """\
version: 1
model: wine
metrics: metrics.json
artifacts: [confusion_matrix.png, plots, notes.txt]
"""
TRAIN = """\
import json, pathlib, shutil
pathlib.Path("metrics.json").write_text('{"accuracy": 0.9}')
pathlib.Path("notes.txt").write_text("no image")
shutil.rmtree("plots", ignore_errors=True)
shutil.copytree("made", "plots")
pathlib.Path("confusion_matrix.png").write_bytes(pathlib.Path("made/roc.png").read_bytes())
"""


def png(grey: int, extra: bytes = b"") -> bytes:
    """An image of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head, pixels = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), zlib.compress(bytes([0, grey]))
    text = chunk(b"tEXt", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + text + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def shown(page: str) -> list[tuple[str, bytes]]:
    """The images of a page: the words beside each, and its bytes."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="([^"]*)">', page)
    return [(words, base64.b64decode(data)) for data, words in found]


@pytest.mark.slow
def test_images_are_shown_beside_the_baseline_s(tmp_path: Path) -> None:
    project = Project.with_remote(tmp_path, config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    made = project.folder / "made"
    made.mkdir()
    (project.folder / ".gitignore").write_text("metrics.json\nconfusion_matrix.png\nplots/\nnotes.txt\n*.html\nout/\n")
    for name in ("roc", "same"):
        (made / f"{name}.png").write_bytes(png(1))
    (made / "gone.png").write_bytes(png(4))
    project.commit("images")
    project.push()
    project.train("--artifact-limit", "10MB")
    git(project.folder, "checkout", "-q", "-b", "topic")
    (made / "roc.png").write_bytes(png(2))
    (made / "gone.png").unlink()
    (made / "large.png").write_bytes(png(3, bytes(SIZE_MOST)))
    project.commit("other images")
    project.push()
    project.ciplug("ci", "--output-dir", "out", "--no-comment", "--", sys.executable, "train.py")
    page = (project.folder / "out" / "report.html").read_text()
    assert shown(page) == [
        ("confusion_matrix.png", png(2)),
        ("confusion_matrix.png, merge base", png(1)),
        ("plots/roc.png", png(2)),
        ("plots/roc.png, merge base", png(1)),
        ("plots/same.png", png(1)),
        ("plots/gone.png, merge base", png(4)),
    ]
    assert "the same as the baseline" in page
    assert "plots/large.png: it has more than 2,097,152 bytes" in page
    assert "1 image, beside the baseline" in (project.folder / "out" / "report.md").read_text()
    # Elsewhere, the bytes come from the store.
    git(tmp_path, "clone", "-q", "--branch", "topic", "remote.git", "other")
    other = Project(tmp_path / "other")
    elsewhere = other.ciplug("report", "--format", "html").stdout
    assert shown(elsewhere) == shown(page)
    assert "plots/large.png: it has more than 2,097,152 bytes" in elsewhere and "recorded, and is" not in elsewhere


def test_what_is_shown_of_images_is_safe() -> None:
    section: ModelSection = samples.passing().sections[0]
    hostile = '"><script>alert(1)</script>.svg'
    pictures = (
        Picture(path=hostile, now=b"<svg onload='alert(1)'/>"),
        Picture(path="roc.png", problem="its bytes were not kept"),
    )
    report = Report(sections=(section,), pictures={section.model: pictures})
    page = html.render(report)
    assert "<script" not in page and "onload" not in page
    assert "data:image/svg+xml;base64," in page
    assert "roc.png: its bytes were not kept." in page
    assert as_json(report) == as_json(Report(sections=(section,)))
    assert "image" not in comment.render(report)


def test_a_list_of_a_folder_that_cannot_be_read_is_told() -> None:
    class Session:
        store_uri = "git:"

        def files_at(self, place: str) -> Session:
            return self

        def get(self, digests: list[str], folder: Path, *_: object) -> None:
            for digest in digests:
                (folder / digest.removeprefix("sha256:")).write_bytes(b"no list")

    folder = File(path="plots", digest=f"sha256:{'0' * 64}", size=7, store="git:", kind="folder")
    image = File(path="a.png", digest=f"sha256:{'1' * 64}", size=7, store="git:")
    far = replace(folder, path="model", store="s3://elsewhere/models")
    images, unknown = images_of(cast(Any, Session()), [folder, image, far])
    assert images == [image]
    assert unknown["model"] == "not looked for in s3://elsewhere/models"
    assert unknown["plots"].startswith("the list of its files cannot be read: ")


def test_each_image_is_linked_where_the_report_is_a_page() -> None:
    """GitLab and Jenkins show the page itself; on the other hosts the report is in an archive."""
    names = ("plots/roc curve.png", "confusion|matrix.png", "a`b.png")
    page = "https://gitlab.example.org/acme/wine/-/jobs/7/artifacts/file/ciplug-report/report.html"
    archive = "https://github.com/acme/wine/actions/runs/7#artifacts"
    plain: ModelSection = samples.passing().sections[0]
    for address, linked in ((page, True), (archive, False)):
        made = plain.run.provenance
        context = replace(made.context, report_url=address, trusted=True)
        artifacts = tuple(File(path=name, digest=digest_of(name), size=1) for name in names)
        run = replace(plain.run, artifacts=artifacts, provenance=replace(made, context=context))
        section = replace(plain, run=run)
        pictures = tuple(Picture(path=name, now=png(1)) for name in names)
        report = Report(sections=(section,), pictures={section.model: pictures})
        anchors = set(re.findall(r'<div class="pictures" id="(image-[0-9a-f]{16})">', html.render(report)))
        assert len(anchors) == len(names)
        found = re.findall(rf"\({re.escape(page)}#([^)]+)\)", comment.render(report))
        assert set(found) == (anchors if linked else set())
        assert all(name in comment.render(report) for name in names[:1])


def digest_of(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()
