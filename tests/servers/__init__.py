"""Real servers on loopback, for tests and benchmarks: git over smart HTTP, the APIs of forges and of Jenkins."""
