import mlflow

mlflow.set_experiment("hyperparameters")
with mlflow.start_run():
    best = 0.0
    for depth in range(20):
        with mlflow.start_run(nested=True):
            accuracy = 1 - 1 / (depth + 2)
            mlflow.log_params({"depth": depth, "lr": 10**-depth})
            for step in range(3):
                mlflow.log_metric("accuracy", accuracy * (step + 1) / 3, step=step)
            best = max(best, accuracy)
    mlflow.log_metric("accuracy", best)
