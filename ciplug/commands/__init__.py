"""The command line: one verb, one file. A command parses, calls a step and prints."""
