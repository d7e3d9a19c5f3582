import mlflow
import pandas as pd

frame = pd.DataFrame({"label": [0, 1, 1, 0, 1, 0], "predicted": [0, 1, 0, 0, 1, 1]})
with mlflow.start_run(run_name="evaluation"):
    result = mlflow.models.evaluate(
        data=frame,
        targets="label",
        predictions="predicted",
        model_type="classifier",
        evaluator_config={"log_model_explainability": False},
    )
    assert result.metrics["accuracy_score"] == 4 / 6
