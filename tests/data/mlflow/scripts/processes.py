import subprocess
import sys

import mlflow

CHILD = """
import sys, mlflow
with mlflow.start_run(run_name="worker", parent_run_id=sys.argv[1]):
    mlflow.log_metric("shard", int(sys.argv[2]))
"""

with mlflow.start_run() as run:
    for shard in range(2):
        subprocess.run([sys.executable, "-c", CHILD, run.info.run_id, str(shard)], check=True)
    mlflow.log_metric("shards", 2)
