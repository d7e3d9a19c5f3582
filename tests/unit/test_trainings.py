"""How a project trains, by what its files say."""

from __future__ import annotations

import pytest

from ciplug.scaffold.training import trainings

LEARNS = "from sklearn.svm import SVC\nSVC().fit([[0]], [0])\n"
MAIN = "if __name__ == '__main__':\n    pass\n"
DVC = """\
stages:
  prepare: {cmd: python prepare.py, deps: [raw], outs: [data]}
  train:
    cmd: python src/train.py
    wdir: model
    params: [lr, conf/more.yaml: [depth]]
    metrics:
      - scores/metrics.json: {cache: false}
      - ${item}.json
"""
CASES: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"README.md": "x"}, None),
    ({"train.py": ""}, "python train.py"),
    ({"src/train.py": "", "main.py": LEARNS}, "python src/train.py"),
    ({"train.py": "", "src/train.py": LEARNS}, "python train.py"),
    ({"scripts/train_model.py": LEARNS}, "python scripts/train_model.py"),
    ({"scripts/train_utils.py": "import os"}, None),
    ({"main.py": LEARNS}, "python main.py"),
    ({"main.py": "print('hello')"}, None),
    ({"experiment_7.py": LEARNS}, "python experiment_7.py"),
    ({"tests/train.py": LEARNS, "docs/train.py": LEARNS}, None),
    ({"my model/train.py": ""}, "python 'my model/train.py'"),
    ({"src/wine/train.py": "from .data import load", "src/wine/data.py": ""}, "python -m wine.train"),
    ({"train.py": "this is no Python ("}, None),
    ({"train.py": "(" * 5000}, None),
    ({"Makefile": "all: train\ntrain: data\n\tpython x.py\n", "train.py": ""}, "make train"),
    ({"Makefile": "train := x\ntraining:\n\ttrue\n"}, None),
    ({"MLproject": "entry_points:\n  main: {command: python train.py}\n"}, "mlflow run . --env-manager=local"),
    ({"MLproject": "entry_points:\n  train: {command: x}\n"}, "mlflow run . --env-manager=local -e train"),
    ({"MLproject": "name: x\n"}, None),
    ({"dvc.yaml": DVC, "Makefile": "train:\n", "src/train.py": LEARNS}, "dvc repro"),
    ({"dvc.yaml": "artifacts: {}\n"}, None),
    ({"package.json": '{"scripts": {"train": "x"}}'}, None),
]


@pytest.mark.parametrize(("files", "command"), CASES, ids=lambda case: str(case)[:40])
def test_the_likeliest_command(files: dict[str, str], command: str | None) -> None:
    best = trainings(sorted(files), files.get).best
    assert (best.command if best else None) == command


def test_dvc_says_which_files_it_writes_and_reads() -> None:
    best = trainings(["dvc.yaml"], {"dvc.yaml": DVC}.get).best
    assert best is not None
    assert best.metrics == ("model/scores/metrics.json",)
    assert best.params == ("model/params.yaml", "model/conf/more.yaml")


def test_a_script_says_what_it_writes_needs_and_logs_with() -> None:
    script = (
        "import os, sklearn, yaml\nimport mlflow, helpers\nfrom transformers import Trainer\n"
        "open('out/metrics.json', 'w')\nopen('/etc/metrics.json')\nopen('params.yaml')\nx = 'the metrics.json of it'\n"
    )
    best = trainings(["train.py", "helpers.py"], {"train.py": script}.get).best
    assert best is not None
    assert best.metrics == ("out/metrics.json",)
    assert best.imports == {"sklearn", "yaml", "mlflow", "transformers"}
    assert best.tools == {"mlflow", "huggingface"}


def test_a_target_knows_what_its_script_knows() -> None:
    files = {"Makefile": "train:\n\tpython train.py\n", "train.py": "import sklearn\nopen('metrics.json', 'w')"}
    best = trainings(sorted(files), files.get).best
    assert best is not None
    assert (best.command, best.metrics, best.imports) == ("make train", ("metrics.json",), {"sklearn"})


def test_several_that_are_as_likely() -> None:
    files = {"train_a.py": LEARNS, "train_b.py": LEARNS, "sub/train_c.py": LEARNS}
    found = trainings(sorted(files), files.get)
    assert found.best is not None
    assert found.best.command == "python train_a.py"
    assert [t.command for t in found.rivals] == ["python train_b.py"]


def test_what_cannot_be_read_is_said() -> None:
    found = trainings(["dvc.yaml", "train.py"], {"dvc.yaml": "a: [", "train.py": ""}.get)
    assert found.best is not None
    assert found.best.command == "python train.py"
    assert len(found.problems) == 1
    assert found.problems[0].startswith("dvc.yaml:")
