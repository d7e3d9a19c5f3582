"""The actions of the program, one per file; commands and the Python API call these."""
