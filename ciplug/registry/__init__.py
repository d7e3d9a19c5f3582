"""Model versions and stages: an append-only log of events, folded into the current state."""
