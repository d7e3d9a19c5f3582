import mlflow

for name in ("first", "second"):
    mlflow.set_experiment(name)
    with mlflow.start_run(run_name=name):
        mlflow.log_metric("score", len(name))
