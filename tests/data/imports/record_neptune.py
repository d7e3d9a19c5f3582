"""Record an export: PYTHONPATH=neptune-exporter/src python record_neptune.py FOLDER.

tests/data/imports/neptune was written with the writer and schema of neptune-exporter 0.1.0 (February 2026). Neptune's
server is gone, so the attributes are made up, with the names that it gives.
"""

import datetime
import math
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
from neptune_exporter.model import SCHEMA
from neptune_exporter.storage.parquet_writer import ParquetWriter
from neptune_exporter.utils import sanitize_path_part

PROJECT = "acme/wine"
NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
top = Path(sys.argv[1])
writer = ParquetWriter(top / "data")


def attribute(path: str, kind: str, **values: object) -> dict[str, object]:
    return {"project_id": PROJECT, "run_id": run_id, "attribute_path": path, "attribute_type": kind, **values}


for run_id in ("WIN-1", "WIN-2"):
    file = Path(sanitize_path_part(PROJECT), sanitize_path_part(run_id), "model", "note.txt")
    (top / "files" / file).parent.mkdir(parents=True)
    (top / "files" / file).write_text(f"hello from {run_id}")
    rows = [
        attribute("sys/name", "string", string_value=f"run of {run_id}"),
        attribute("sys/owner", "string", string_value="ann"),
        attribute("sys/creation_time", "datetime", datetime_value=NOON),
        attribute("sys/modification_time", "datetime", datetime_value=NOON + datetime.timedelta(minutes=30)),
        attribute("sys/failed", "bool", bool_value=run_id == "WIN-2"),
        attribute("sys/tags", "string_set", string_set_value=["a", "b"]),
        attribute("source_code/git/commit_id", "string", string_value="0123456789abcdef0123456789abcdef01234567"),
        attribute("parameters/lr", "float", float_value=0.1),
        attribute("parameters/depth", "int", int_value=6),
        attribute("metrics/final", "float", float_value=0.93),
        attribute("model/note", "file", file_value={"path": file.as_posix()}),
        attribute("weights", "histogram_series", step=Decimal(0), histogram_value={"type": "COUNTING"}),
    ]
    for step in range(3):
        moment = NOON + datetime.timedelta(seconds=step)
        rows.append(
            attribute("metrics/loss", "float_series", step=Decimal(step), timestamp=moment, float_value=1 / (step + 1))
        )
        half = attribute("metrics/half", "float_series", step=Decimal(step) / 2, timestamp=moment, float_value=math.nan)
        rows.append(half)
    with writer.run_writer(PROJECT, run_id) as run:
        run.save(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
