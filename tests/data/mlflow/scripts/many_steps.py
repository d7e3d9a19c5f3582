import mlflow

with mlflow.start_run():
    for step in range(0, 2000, 2):
        mlflow.log_metrics({"train/loss": 1 / (step + 1), "train/lr": 0.1}, step=step)
    mlflow.log_metric("train/loss", 5.0, step=-1)
