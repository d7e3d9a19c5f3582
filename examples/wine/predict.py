"""Predict with the model that is in production, on any machine that has a clone of the repository."""

import mlflow
from sklearn.datasets import load_wine

model = mlflow.pyfunc.load_model("models:/wine@production")
print(*model.predict(load_wine(as_frame=True).data.head(3)))
