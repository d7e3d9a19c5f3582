import time

import mlflow

mlflow.enable_system_metrics_logging()
mlflow.set_system_metrics_sampling_interval(0.2)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run():
    time.sleep(1.5)
    mlflow.log_metric("done", 1)
