import mlflow
import mlflow.data
import pandas as pd

frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [0, 1, 1]})
dataset = mlflow.data.from_pandas(frame, source="https://example.org/wine.csv", name="wine", targets="y")
with mlflow.start_run():
    mlflow.log_input(dataset, context="training")
    mlflow.log_input(mlflow.data.from_pandas(frame.head(1), name="small"), context="eval", tags={"part": "1"})
    mlflow.log_metric("rows", len(frame), dataset=dataset)
