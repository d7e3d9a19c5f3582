import mlflow

with mlflow.start_run(run_name="PARENT_RUN", description="parent") as parent_run:
    mlflow.log_param("parent", "yes")
    with mlflow.start_run(run_name="CHILD_RUN", description="child", nested=True) as child_run:
        mlflow.log_param("child", "yes")
        with mlflow.start_run(run_name="GRANDCHILD", nested=True):
            mlflow.log_metric("deep", 3)
