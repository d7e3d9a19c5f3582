"""Real servers on loopback, for tests and benchmarks: git over smart HTTP, GitHub, GitLab."""
