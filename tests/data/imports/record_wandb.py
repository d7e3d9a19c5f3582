"""Record an offline run of W&B: python record_wandb.py NAME ID EXIT_CODE, in a repository with a remote.

tests/data/imports/wandb was recorded with W&B 0.31.0 and 0.17.9, `run-ID.wandb` and `files/note.txt` of each.
"""

import sys
from pathlib import Path

import wandb

name, run_id, exit_code = sys.argv[1:]
run = wandb.init(
    project="wine",
    name=name,
    id=run_id,
    mode="offline",
    config={"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "none": None, "flag": True},
    tags=["a", "b"],
    notes="note",
    group="g",
)
for step in range(4):
    run.log({"train/loss": 1 / (step + 1), "val": {"acc": step / 4}, "word": "good"})
run.log({"bad": float("nan"), "up": float("inf"), "hist": wandb.Histogram([1, 2, 3])})
run.summary["best"] = 0.75
run.summary["train/loss"] = 0.2
Path("note.txt").write_text("hello")
run.save("note.txt", policy="now")
run.finish(exit_code=int(exit_code))
