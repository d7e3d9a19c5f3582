"""Save a model of each framework that is installed, or load each by its alias, and print what they predict as JSON.

python frameworks.py save|load: framework → its predictions, or `absent`
"""

import importlib.util
import json
import sys

import mlflow
import numpy as np
from mlflow.utils import requirements_utils

# What a model needs is found out by a process of its own that loads it, which takes long.
requirements_utils._capture_imported_modules = lambda *words, **options: set()
DATA = np.random.default_rng(7).normal(size=(60, 4)).astype("float32")
TARGET = (DATA @ np.array([1.0, -2.0, 0.5, 0.0], dtype="float32") > 0).astype("int64")


def sklearn(name):
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.log_model(LogisticRegression().fit(DATA, TARGET), name="model", registered_model_name=name)


def xgboost(name):
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=5).fit(DATA, TARGET)
    mlflow.xgboost.log_model(model, name="model", registered_model_name=name)


def torch(name):
    import torch

    torch.manual_seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(torch.from_numpy(DATA))[:, 0], torch.from_numpy(TARGET).float())
        loss.backward()
        optimizer.step()
    mlflow.pytorch.log_model(model, name="model", registered_model_name=name, serialization_format="pickle")


def tensorflow(name):
    import tensorflow

    tensorflow.keras.utils.set_random_seed(7)
    layers = tensorflow.keras.layers
    model = tensorflow.keras.Sequential([layers.Input((4,)), layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(DATA, TARGET, epochs=2, verbose=0)
    mlflow.tensorflow.log_model(model, name="model", registered_model_name=name)


found = {}
for save in (sklearn, xgboost, torch, tensorflow):
    name = f"with-{save.__name__}"
    if importlib.util.find_spec(save.__name__) is None:
        found[save.__name__] = "absent"
        continue
    if sys.argv[1] == "save":
        with mlflow.start_run():
            save(name)
        mlflow.MlflowClient().set_registered_model_alias(name, "production", 1)
    model = mlflow.pyfunc.load_model(f"models:/{name}@production")
    found[save.__name__] = [round(float(value), 6) for value in np.ravel(model.predict(DATA))]
print(json.dumps(found))
