"""What the program does, one verb of the domain a file; commands and the Python API call these."""
