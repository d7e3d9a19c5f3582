"""Tell the cultivar of a wine by its chemistry: 178 wines, from the data that scikit-learn ships.

It logs with MLflow alone. Where to, the environment says: MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import mlflow
from sklearn.datasets import load_wine
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# What a pull request changes.
PARAMS = {"epochs": 5, "alpha": 0.5}
SEED = 7


def main() -> None:
    wines = load_wine(as_frame=True)
    cultivar = wines.target_names[wines.target]
    train_x, test_x, train_y, test_y = train_test_split(
        wines.data, cultivar, test_size=0.5, stratify=cultivar, random_state=SEED
    )
    mlflow.set_experiment("wine")
    with mlflow.start_run(run_name="linear"):
        mlflow.log_params({**PARAMS, "seed": SEED})
        mlflow.log_input(mlflow.data.from_pandas(train_x, name="wines"), context="training")
        scaler = StandardScaler().fit(train_x)
        classifier = SGDClassifier(loss="log_loss", alpha=PARAMS["alpha"], random_state=SEED)
        model = make_pipeline(scaler, classifier)
        for epoch in range(1, PARAMS["epochs"] + 1):
            classifier.partial_fit(scaler.transform(train_x), train_y, classes=wines.target_names)
            mlflow.log_metric("log_loss", log_loss(test_y, model.predict_proba(test_x)), step=epoch)
        predicted = model.predict(test_x)
        mlflow.log_metric("accuracy", accuracy_score(test_y, predicted))
        signature = mlflow.models.infer_signature(test_x, predicted)
        mlflow.sklearn.log_model(model, name="model", signature=signature, pip_requirements="requirements.txt")


if __name__ == "__main__":
    main()
