"""The report of a commit: made from the store, and kept current on the forge."""
