"""Runs that other jobs hand over: where bundles come from, their archive format, and their checks."""
