import mlflow

with mlflow.start_run() as run:
    mlflow.log_metric("epoch", 1, step=1)
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_metric("epoch", 2, step=2)
    mlflow.log_param("resumed", True)
