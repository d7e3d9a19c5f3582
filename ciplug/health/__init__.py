"""Whether ciplug can work where it is, check by check, and the line to add where it cannot."""
