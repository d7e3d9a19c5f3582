"""Record two runs of Trackio: TRACKIO_DIR=FOLDER python record_trackio.py; then `sqlite3 FOLDER/wine.db .dump`.

tests/data/imports/trackio was recorded with Trackio 0.43.0.
"""

import trackio

for name in ("first", "second"):
    trackio.init(project="wine", name=name, config={"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}})
    for step in range(3):
        trackio.log({"train/loss": 1 / (step + 1), "val": {"acc": step / 4}, "word": "ok"})
    trackio.log({"bad": float("nan"), "up": float("inf")}, step=7)
    trackio.finish()
