import mlflow

mlflow.set_experiment("tagged")
mlflow.set_experiment_tags({"project": "x"})
with mlflow.start_run(run_name="tags", tags={"version": "v1", "priority": "P1"}):
    mlflow.set_tags({"engineering": "ML Platform", "release.candidate": "RC1", "text": "two\nlines ✓"})
    mlflow.set_tag("gone", "soon")
    mlflow.delete_tag("gone")
    mlflow.log_metric("m", 1)
