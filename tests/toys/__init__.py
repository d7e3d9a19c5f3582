"""What the recipes of CONTRIBUTING.md describe, in the smallest form that works."""
