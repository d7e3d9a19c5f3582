"""Recorded runs: adding and reading them, the catalog, search, retention."""
