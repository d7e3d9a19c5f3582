"""Values of ciplug.yaml that no job could use are mistakes of the file, with the others, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciplug import config
from ciplug.errors import ConfigError
from ciplug.steps.config_checks import impossible_values
from ciplug.steps.session import open_session


def mistakes(folder: Path, text: str) -> list[str]:
    """What is wrong, by the end of each line of the error: `LINE: KEY: WORDS`."""
    (folder / "ciplug.yaml").write_text(text)
    try:
        config.load(folder / "ciplug.yaml", impossible_values)
    except ConfigError as wrong:
        lines = wrong.message.split("\n")
        return [line.partition("ciplug.yaml:")[2] for line in (lines[1:] or lines)]
    return []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: a/b", "1: model: not the name of a model"),
        ("models:\n  'a:b': {metrics: m.json}", "2: models.a:b: not the name of a model"),
        ("store: ftp://x", "1: store: unsupported store 'ftp://x'"),
        ("store: git+ftp://x/y", "1: store: store 'git+ftp://x/y': git is not reached by 'ftp'"),
        ("store: 'git:?brunch=x'", "1: store: store 'git:?brunch=x': unknown option 'brunch'"),
        ("store: s3:///x", "1: store: store 's3:///x': a bucket is expected"),
        ("store: s3://b/../x", "1: store: store 's3://b/../x': '../x' is not a path"),
        ("store: file://host/x", "1: store: store 'file://host/x': the full path of a folder is expected"),
        ("store: jenkins+https://host/x", "1: store: store 'jenkins+https://host/x' does not name a job"),
        ("store: 'jenkins:?builds=0'", "1: store: store 'jenkins:': unknown option 'builds=0'"),
        ("artifact_store: 'jenkins:'", "1: artifact_store: unsupported artifact store 'jenkins:'"),
        ("store: 'jenkins:'\nartifact_store: s3://b", "2: artifact_store: the store 'jenkins:' keeps only"),
        ("metrics: [m.json, m.txt]", "1: metrics: m.txt: no file of metrics has the extension '.txt'"),
        ("models: {a: {params: p.xlsx}}", "1: models.a.params: p.xlsx: no file of params has the extension '.xlsx'"),
        ("artifacts: [m.bin, ftp://y]", "1: artifacts: ftp://y: unsupported address"),
        ("artifacts: s3://b/k?x=1", "1: artifacts: s3://b/k: an address with a query or credentials"),
        ("datasets: s3://b/k", "1: datasets: s3://b/k: a file or folder is expected, not an address"),
        ("samples: s.xml", "1: samples.file: no file of examples has the extension '.xml'"),
        ("samples: {file: s.xml, format: jsonlines}", "1: samples.format: unknown format of examples 'jsonlines'"),
        (
            "gates: {d: {kind: drift, reference: r.txt, current: c.csv}}",
            "1: gates.d.reference: no table has the extension '.txt'",
        ),
    ],
)
def test_values_that_no_job_could_use(tmp_path: Path, text: str, says: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith(says)


def test_what_a_job_may_use(tmp_path: Path) -> None:
    (tmp_path / "v1.2").mkdir()
    assert not mistakes(
        tmp_path,
        "store: 'git:?branch=runs'\nartifact_store: none\nmodel: wine\nmetrics: [m.json, v1.2, dvclive, M.CSV]\n"
        "params: p.yaml\nartifacts: [model.bin, 's3://b/k', weights]\ndatasets: [d.weird]\n"
        "samples: {file: s.out, format: jsonl}\n",
    )


def test_they_stand_among_the_other_mistakes_and_stop_a_command_at_once(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("metrics: m.txt\ngates: {a: {min: 1}}\n")
    (tmp_path / "ciplug.yaml").write_text("extends: base.yaml\nstore: ftp://x\nkeep: {last: 0}\n")
    with pytest.raises(ConfigError) as caught:
        open_session(cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    assert "3 mistakes in 2 files" in caught.value.message
    assert "base.yaml:1: metrics: m.txt: no file of metrics has the extension '.txt'" in caught.value.message
