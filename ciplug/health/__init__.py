"""The checks of `ciplug doctor`, and the line that fixes each problem."""
