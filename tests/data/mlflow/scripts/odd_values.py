import math

import mlflow

with mlflow.start_run(run_name="ödd ✓"):
    mlflow.log_metrics({"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "tiny": 5e-324, "big": 1.7e308})
    mlflow.log_metrics({"a b/c.d-e_f": 1, "x:y": 2, "zero": 0.0, "bool": True})
    mlflow.log_params({"list": [1, 2], "none": None, "long": "x" * 400, "empty": "", "quote": "'\"", "1": 1})
    mlflow.log_param("lines", "a\nb\r\nc\n")
