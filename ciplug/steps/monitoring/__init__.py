"""Watch a version in production: judge the predictions of a window, record it, and act on failures in a row."""
