"""What a training has logged with MLflow: read from the store that it logged to, without MLflow."""
