import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np

with mlflow.start_run():
    figure, axes = plt.subplots()
    axes.plot([0, 1], [2, 3])
    mlflow.log_figure(figure, "plots/figure.png")
    mlflow.log_image(np.zeros((8, 8, 3), dtype=np.uint8), "image.png")
    mlflow.log_table({"inputs": ["a"], "outputs": ["b"]}, artifact_file="table.json")
    mlflow.log_dict({"k": "v"}, "dict.yml")
    mlflow.log_text("<h1>x</h1>", "page.html")
    mlflow.log_metric("figures", 5)
