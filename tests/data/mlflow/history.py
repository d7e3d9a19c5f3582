"""A store of MLflow as a team leaves it: nested, failed, deleted and open runs, files, a dataset, a logged model."""

import math
import sys

import mlflow
import pandas as pd
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException


class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
mlflow.set_experiment("wine/tuning")
experiment = client.get_experiment_by_name("wine/tuning")
client.set_experiment_tag(experiment.experiment_id, "team", "red")
with mlflow.start_run(run_name="sweep") as sweep:
    mlflow.log_params({"depth": 6, "note": "free text"})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("odd/nan", math.nan, step=3)
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_text("{}", "top.json")
    cellar = mlflow.data.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), name="cellar")
    mlflow.log_input(cellar, context="training")
    same = mlflow.pyfunc.log_model(name="same", python_model=Same())
    for depth in range(2):
        with mlflow.start_run(nested=True, run_name=f"depth {depth}"):
            mlflow.log_param("depth", depth)
            mlflow.log_metric("accuracy", 0.8 + depth / 100)
with mlflow.start_run(run_name="gone") as gone:
    mlflow.log_metric("accuracy", 0.1)
client.delete_run(gone.info.run_id)
try:
    with mlflow.start_run(run_name="failed"):
        raise MlflowException("no data")
except MlflowException:
    pass
long = client.create_run("0", start_time=1_700_000_000_000, run_name="long")
points = [Metric("loss", 1 / (step + 1), 1_700_000_000_000 + 500 * step, step) for step in range(900)]
client.log_batch(long.info.run_id, metrics=points, tags=[RunTag("by", "hand")])
client.set_terminated(long.info.run_id, "KILLED", end_time=1_700_000_900_000)
old = client.create_experiment("old")
forgotten = client.create_run(old)
client.set_terminated(forgotten.info.run_id)
client.delete_experiment(old)
client.create_run("0", run_name="open")

client.create_registered_model("o'same", {"team": "red"}, "the same again")
of_sweep = ("o'same", f"models:/{same.model_id}", sweep.info.run_id)
client.create_model_version(*of_sweep, tags={"checked": "yes"}, description="first")
client.create_model_version(*of_sweep)
client.create_model_version("o'same", f"runs:/{sweep.info.run_id}/notes", sweep.info.run_id)
client.create_model_version(*of_sweep)
client.create_model_version("o'same", "s3://elsewhere/model")
client.delete_model_version("o'same", "2")
client.set_registered_model_alias("o'same", "champion", "3")
client.set_registered_model_alias("o'same", "production", "4")
client.transition_model_version_stage("o'same", "1", "Archived")
client.transition_model_version_stage("o'same", "3", "Staging")
client.transition_model_version_stage("o'same", "4", "Production")
client.create_registered_model("empty")
