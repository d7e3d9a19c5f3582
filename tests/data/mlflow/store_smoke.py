"""Ask a ciplug store for all that a program with MLflow alone asks a store for; ids go to stdout, as JSON."""

import json
import os
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()
mlflow.set_experiment("wine")
with mlflow.start_run(run_name="sweep") as sweep:
    mlflow.log_params({"depth": 6})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_text("hello", "notes/a.txt")
    for depth in range(2):
        with mlflow.start_run(nested=True, run_name=f"depth {depth}") as child:
            mlflow.log_metric("accuracy", 0.8 + depth / 100)
    model = mlflow.initialize_logged_model(name="forest", tags={"kind": "tree"})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifacts(model.model_id, folder)
    mlflow.finalize_logged_model(model.model_id, "READY")
found = client.search_runs([sweep.info.experiment_id], "metrics.accuracy >= 0.81")
assert [run.info.run_name for run in found] == ["depth 1"], found
assert [point.value for point in client.get_metric_history(sweep.info.run_id, "loss")] == [1.0, 1 / 2, 1 / 3]
assert [one.path for one in client.list_artifacts(sweep.info.run_id)] == ["notes"]
# A first point that only the record has stands beside what is logged later, open and recorded.
with mlflow.start_run(run_id=child.info.run_id):
    mlflow.log_metric("accuracy", 0.9, step=1)
    assert [point.value for point in client.get_metric_history(child.info.run_id, "accuracy")] == [0.81, 0.9]
assert [point.value for point in client.get_metric_history(child.info.run_id, "accuracy")] == [0.81, 0.9]
# A logged model by its own address, and by that of the folder above its files.
top = client.get_logged_model(model.model_id).artifact_location
for address, name in ((top, "MLmodel"), (top.removesuffix("/artifacts"), "artifacts/MLmodel"), (f"{top}/MLmodel", "")):
    got = mlflow.artifacts.download_artifacts(artifact_uri=address)
    assert Path(got, name).read_text() == "flavors: {}\n", address
(one,) = mlflow.search_logged_models(experiment_ids=[sweep.info.experiment_id], output_format="list")
assert (one.name, str(one.status)) == ("forest", "READY")

client.create_registered_model("forest", tags={"team": "red"}, description="of the cellar")
version = client.create_model_version("forest", f"models:/{model.model_id}", sweep.info.run_id)
assert version.source == f"models:/{model.model_id}" and version.version in (1, "1")
client.set_registered_model_alias("forest", "champion", version.version)
client.set_model_version_tag("forest", version.version, "checked", "yes")
assert client.get_model_version_by_alias("forest", "champion").run_id == sweep.info.run_id
assert [str(one.version) for one in client.search_model_versions("name = 'forest'")] == ["1"]
try:
    client.set_registered_model_alias("forest", "v1", 1)
except MlflowException as refused:
    assert refused.error_code == "INVALID_PARAMETER_VALUE", refused
try:
    client.get_experiment("wine")
except MlflowException as refused:
    assert "Invalid experiment ID 'wine'" in str(refused), refused

batch = client.create_run(sweep.info.experiment_id, run_name="batch")
client.log_batch(
    batch.info.run_id,
    metrics=[Metric("loss", 0.5, 1_700_000_000_000, 0)],
    params=[Param("depth", "7")],
    tags=[RunTag("team", "red")],
)
client.set_terminated(batch.info.run_id)
client.delete_run(batch.info.run_id)
client.delete_run(sweep.info.run_id)
old = client.create_experiment("old")
forgotten = client.create_run(old)
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "big.txt").write_text(os.urandom(8).hex())
    client.log_artifact(forgotten.info.run_id, f"{folder}/big.txt")
client.set_terminated(forgotten.info.run_id)
client.delete_experiment(old)
gone = client.search_runs([sweep.info.experiment_id, old], run_view_type=ViewType.DELETED_ONLY)
assert {run.info.run_id for run in gone} == {batch.info.run_id, sweep.info.run_id, forgotten.info.run_id}
print(
    json.dumps({"sweep": sweep.info.run_id, "batch": batch.info.run_id, "forgotten": forgotten.info.run_id, "old": old})
)
