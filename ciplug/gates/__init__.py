"""Pure: the gates of a policy, judged on the facts of a run and its baselines."""
