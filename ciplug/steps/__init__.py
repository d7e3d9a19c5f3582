"""The actions of the program, which commands and the Python API call, and the readers and rules that they share."""
