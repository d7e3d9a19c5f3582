"""Record two runs of TensorBoard: python record_tensorboard.py FOLDER.

tests/data/imports/tensorboard was recorded with tensorboardX 2.6.5.
"""

import sys

import numpy
from tensorboardX import SummaryWriter

for part in ("train", "validation"):
    with SummaryWriter(f"{sys.argv[1]}/first/{part}") as writer:
        for step in range(3):
            writer.add_scalar("loss", 1 / (step + 1), step)
        writer.add_scalar("bad", float("nan"), 3)
with SummaryWriter(f"{sys.argv[1]}/second") as writer:
    writer.add_scalar("loss", 0.5, 1)
    writer.add_histogram("weights", numpy.array([1.0, 2.0, 3.0]), 1)
    writer.add_hparams({"lr": 0.1, "name": "adam", "flag": True}, {"score": 0.75})
