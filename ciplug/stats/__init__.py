"""Pure numbers: intervals, resampling, scores, drift, power."""
