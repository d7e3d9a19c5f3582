"""Deploying versions to targets, and what the targets serve."""
