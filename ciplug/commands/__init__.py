"""The command line: a file for each command, and the options, tables and output that they share.

A command parses, calls a step and prints.
"""
