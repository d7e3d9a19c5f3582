import mlflow

with mlflow.start_run() as run:
    for step in (1, 2):
        model = mlflow.initialize_logged_model(name="checkpoint", source_run_id=run.info.run_id)
        mlflow.log_outputs([mlflow.entities.LoggedModelOutput(model.model_id, step)])
        mlflow.log_metric("loss", 1 / step, step=step, model_id=model.model_id)
