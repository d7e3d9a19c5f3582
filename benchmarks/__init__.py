"""Ratios of ciplug against peers and floors, taken in the same run; `python benchmarks/run.py` measures them."""
