"""Which names of metrics are of a single class: they stand behind the averages."""

from __future__ import annotations

import pytest

from ciplug.records.classes import of_classes

CASES = {
    "a report on two classes": ("0/f1 1/f1 accuracy macro/f1", "0/f1 1/f1"),
    "numbers alone": ("0/recall 1/recall", "0/recall 1/recall"),
    "beside an average": ("recall/cat recall/dog recall/macro", "recall/cat recall/dog"),
    "a family": ("iou/car/val iou/bus/val iou/van/val miou", "iou/car/val iou/bus/val iou/van/val"),
    "numbered": ("f1_0 f1_1 f1_2 f1", "f1_0 f1_1 f1_2"),
    "by a word": ("ents_per_type/ORG/f by_country/fr ents_f", "ents_per_type/ORG/f by_country/fr"),
    "parts of the data": ("train/loss val/loss test/loss test_1/loss", ""),
    "ranks, not classes": ("top_1 top_5 rouge_1 rouge_2 precision@5", ""),
    "parts of one run": ("train/loss train/acc train/f1 lr/pg0 lr/pg1", ""),
    "two models": ("rf/accuracy svm/accuracy", ""),
    "folds": ("fold_0/acc fold_1/acc", ""),
}


@pytest.mark.parametrize(("names", "classes"), CASES.values(), ids=CASES)
def test_names_of_single_classes(names: str, classes: str) -> None:
    assert of_classes(names.split()) == frozenset(classes.split())
