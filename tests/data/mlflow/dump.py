"""Print all runs that MLflow finds in the store of its environment, as JSON: what `mlflow.search_runs` shows."""

import json
import sys

import mlflow
from mlflow.tracking import MlflowClient

client = MlflowClient()
ids = [one.experiment_id for one in client.search_experiments()]
runs = [
    {
        "id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "start": run.info.start_time,
        "end": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": {key: repr(value) for key, value in run.data.metrics.items()},
        "history": {
            key: sorted(
                [one.step, one.timestamp, repr(one.value)] for one in client.get_metric_history(run.info.run_id, key)
            )
            for key in run.data.metrics
        },
        "inputs": [[one.dataset.name, one.dataset.digest] for one in getattr(run.inputs, "dataset_inputs", None) or []]
        if hasattr(run, "inputs")
        else [],
        "outputs": [one.model_id for one in getattr(getattr(run, "outputs", None), "model_outputs", None) or []],
        "artifacts": [one.path for one in client.list_artifacts(run.info.run_id)],
    }
    for run in mlflow.search_runs(experiment_ids=ids, output_format="list")
]
with open(sys.argv[1], "w") as file:
    json.dump(runs, file)
