"""The only folder that runs git."""
