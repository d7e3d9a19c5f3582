"""A training that logs whatever MLflow 2.0 and later can keep, for the stores beside it."""

import mlflow
from mlflow.tracking import MlflowClient

mlflow.set_experiment("wine")
with mlflow.start_run(run_name="sweep") as run:
    mlflow.log_params({"lr": 0.01, "depth": 6, "optimizer": "adam", "shuffle": True, "eps": 1e-08, "code": "007"})
    mlflow.log_param("note", "two\nlines")
    for epoch in range(1, 4):
        mlflow.log_metric("loss", 1 / epoch, step=epoch)
    mlflow.log_metrics({"accuracy": 0.9, "val/f1 macro": 0.8, "bad": float("nan")})
    mlflow.set_tag("team", "vision ✓")
    mlflow.log_text("hello\n", "notes/hello.txt")
    mlflow.log_dict({"classes": 3}, "classes.json")
    for fold in range(2):
        with mlflow.start_run(nested=True, run_name=f"fold-{fold}"):
            mlflow.log_param("fold", fold)
            mlflow.log_metric("accuracy", 0.8 + fold / 10)
            if fold:
                with mlflow.start_run(nested=True, run_name="inner"):
                    mlflow.log_metric("accuracy", 0.7)
    if hasattr(mlflow, "log_input"):
        from mlflow.data.http_dataset_source import HTTPDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        data = MetaDataset(HTTPDatasetSource("https://example.org/wine.csv"), name="wine-red")
        mlflow.log_input(data, context="training", tags={"split": "a"})
    if hasattr(mlflow, "initialize_logged_model"):
        about = {"params": {"depth": "6", "kind": "tree"}, "tags": {"stage": "trial"}}
        model = mlflow.initialize_logged_model(name="classifier", source_run_id=run.info.run_id, **about)
        mlflow.log_outputs([mlflow.entities.LoggedModelOutput(model.model_id, 3)])

client = MlflowClient()
lost = client.create_run(run.info.experiment_id, tags={"mlflow.parentRunId": run.info.run_id})
client.log_metric(lost.info.run_id, "accuracy", 0.1)
client.set_terminated(lost.info.run_id, "FAILED")
deleted = client.create_run(run.info.experiment_id)
client.delete_run(deleted.info.run_id)
