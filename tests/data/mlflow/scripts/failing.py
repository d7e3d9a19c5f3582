import mlflow

with mlflow.start_run():
    mlflow.log_metric("before", 1)
    raise SystemExit("the loss is NaN")
