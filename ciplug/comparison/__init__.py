"""Pure: choosing a baseline, differences, repeated runs."""
